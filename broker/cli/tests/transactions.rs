//! Transactions over the wire, as clients of both protocols drive them.

mod support;

use std::time::{Duration, Instant};

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::record::BatchOptions;
use support::assert_says;
use support::command::{Cli, done, failed};
use support::node::Node;
use support::wire::{Wire, batch_of, produce_request};

const CLASSIC: &str = "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
     transaction.state.log.num.partitions=2\noffsets.topic.replication.factor=1\n\
     internal.supported.feature.levels=transaction.version:1";
const LIMIT: Duration = Duration::from_secs(20);

/// Asks until the answer is no passing error.
fn settled<T>(mut ask: impl FnMut() -> (ErrorCode, T)) -> (ErrorCode, T) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let (error, answer) = ask();
        let passes = error.is_retriable() && error != ErrorCode::None;
        if !passes || Instant::now() > deadline {
            return (error, answer);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code_or_unknown(code)
}

struct Client {
    wire: Wire,
    id: &'static str,
    producer: (i64, i16),
}

impl Client {
    fn new(node: &Node, id: &'static str) -> Client {
        let mut wire = node.connect();
        let request = wire::FindCoordinatorRequest {
            key_type: 1,
            coordinator_keys: vec![id.into()],
            ..Default::default()
        };
        let (error, port) = settled(|| {
            let found = wire.call(&request, 4).coordinators.remove(0);
            (code(found.error_code), found.port)
        });
        assert_eq!((error, port), (ErrorCode::None, i32::from(node.port)));
        let producer = (-1, -1);
        Client { wire, id, producer }
    }

    fn init(&mut self, timeout_ms: i32, version: i16) -> ErrorCode {
        let request = wire::InitProducerIdRequest {
            transactional_id: Some(self.id.into()),
            transaction_timeout_ms: timeout_ms,
            ..Default::default()
        };
        let (error, producer) = settled(|| {
            let answer = self.wire.call(&request, version);
            let producer = (answer.producer_id, answer.producer_epoch);
            (code(answer.error_code), producer)
        });
        if error == ErrorCode::None {
            self.producer = producer;
        }
        error
    }

    fn add(&mut self, topics: &[&str], version: i16) -> Vec<ErrorCode> {
        let topic = |name: &&str| wire::AddPartitionsToTxnTopic {
            name: name.to_string(),
            partitions: vec![0],
            ..Default::default()
        };
        let request = wire::AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.into(),
            v3_and_below_producer_id: self.producer.0,
            v3_and_below_producer_epoch: self.producer.1,
            v3_and_below_topics: topics.iter().map(topic).collect(),
            ..Default::default()
        };
        let (_, errors) = settled(|| {
            let answer = self.wire.call(&request, version);
            let topics = answer.results_by_topic_v3_and_below.iter();
            let partitions = topics.flat_map(|topic| &topic.results_by_partition);
            let errors = partitions.map(|it| code(it.partition_error_code));
            let errors: Vec<ErrorCode> = errors.collect();
            let passing = |error: &ErrorCode| *error == ErrorCode::ConcurrentTransactions;
            let first = errors.iter().copied().find(passing);
            (first.unwrap_or_default(), errors)
        });
        errors
    }

    fn end(&mut self, committed: bool, version: i16) -> ErrorCode {
        let request = wire::EndTxnRequest {
            transactional_id: self.id.into(),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            committed,
            ..Default::default()
        };
        let (error, producer) = settled(|| {
            let answer = self.wire.call(&request, version);
            let producer = (answer.producer_id, answer.producer_epoch);
            (code(answer.error_code), producer)
        });
        if error == ErrorCode::None && version >= 5 {
            self.producer = producer;
        }
        error
    }

    fn describe(&mut self, id: &str) -> wire::DescribedTransaction {
        let request = wire::DescribeTransactionsRequest {
            transactional_ids: vec![id.into()],
            ..Default::default()
        };
        let (_, described) = settled(|| {
            let described = self.wire.call(&request, 0).transaction_states.remove(0);
            (code(described.error_code), described)
        });
        described
    }

    /// Waits until the transaction is over.
    fn completed(&mut self) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let state = self.describe(self.id).transaction_state;
            if state.starts_with("Complete") || Instant::now() > deadline {
                return state;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn list(&mut self, state: &str, pattern: Option<&str>) -> wire::ListTransactionsResponse {
        let states = [state].into_iter().filter(|state| !state.is_empty());
        let request = wire::ListTransactionsRequest {
            state_filters: states.map(String::from).collect(),
            transactional_id_pattern: pattern.map(String::from),
            ..Default::default()
        };
        self.wire.call(&request, 2)
    }
}

fn names(listed: &wire::ListTransactionsResponse) -> Vec<&str> {
    let states = listed.transaction_states.iter();
    states.map(|it| it.transactional_id.as_str()).collect()
}

/// As librdkafka does it: partitions first, one epoch for all.
#[test]
fn the_classic_protocol_walks_from_begin_to_end() {
    let mut node = Node::start(CLASSIC);
    node.connect().create_topic("t", 1, &[]);
    let mut client = Client::new(&node, "x");
    assert_eq!(client.init(60_000, 4), ErrorCode::None);
    let producer = client.producer;
    assert_eq!(producer.1, 0);
    assert_eq!(client.add(&["t"], 0), [ErrorCode::None]);
    let described = client.describe("x");
    assert_eq!(described.transaction_state, "Ongoing");
    assert_eq!((described.producer_id, described.producer_epoch), producer);
    assert_eq!(described.transaction_timeout_ms, 60_000);
    assert_eq!(described.topics[0].topic, "t");
    assert_eq!(client.end(true, 1), ErrorCode::None);
    assert_eq!(client.completed(), "CompleteCommit");
    // The same epoch again, and this time it is aborted.
    assert_eq!(client.add(&["t"], 0), [ErrorCode::None]);
    assert_eq!(client.end(false, 1), ErrorCode::None);
    assert_eq!(client.completed(), "CompleteAbort");
    assert_eq!(client.end(false, 1), ErrorCode::None);
    assert_eq!(client.end(true, 1), ErrorCode::InvalidTxnState);
    assert_eq!(client.producer, producer);
    // A new coordinator knows it all.
    node.terminate();
    node.launch();
    let mut again = Client::new(&node, "x");
    assert_eq!(again.completed(), "CompleteAbort");
    assert_eq!(again.init(60_000, 4), ErrorCode::None);
    assert_eq!(again.producer, (producer.0, 1));
}

/// Also of a group that nobody has asked for: its topic is created.
#[test]
fn offsets_of_any_group_join_a_transaction() {
    let node = Node::start(CLASSIC);
    node.connect().create_topic("t", 1, &[]);
    let mut client = Client::new(&node, "x");
    assert_eq!(client.init(60_000, 4), ErrorCode::None);
    let request = wire::AddOffsetsToTxnRequest {
        transactional_id: "x".into(),
        producer_id: client.producer.0,
        producer_epoch: client.producer.1,
        group_id: "g".into(),
        ..Default::default()
    };
    let (error, ()) = settled(|| {
        let answer = client.wire.call(&request, 3);
        (code(answer.error_code), ())
    });
    assert_eq!(error, ErrorCode::None);
    assert_eq!(client.describe("x").topics[0].topic, "__consumer_offsets");
    let commit = wire::TxnOffsetCommitRequest {
        transactional_id: "x".into(),
        group_id: "g".into(),
        producer_id: client.producer.0,
        producer_epoch: client.producer.1,
        topics: vec![wire::TxnOffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![wire::TxnOffsetCommitRequestPartition {
                committed_offset: 5,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let (error, ()) = settled(|| {
        let mut answer = client.wire.call(&commit, 3);
        let partition = answer.topics.remove(0).partitions.remove(0);
        (code(partition.error_code), ())
    });
    assert_eq!(error, ErrorCode::None);
    assert_eq!(client.end(true, 3), ErrorCode::None);
    assert_eq!(client.completed(), "CompleteCommit");
    let described = Cli::of(&node).run(&["groups", "describe", "--group", "g"]);
    assert_says(&done(&described), &["t-0\t5\t"]);
}

/// KIP-890 part 2: each end raises the epoch.
#[test]
fn the_end_of_a_transaction_gives_the_next_one_its_epoch() {
    let node = Node::start(CLASSIC);
    node.connect().create_topic("t", 1, &[]);
    let mut client = Client::new(&node, "x");
    assert_eq!(client.init(60_000, 5), ErrorCode::None);
    let id = client.producer.0;
    for epoch in 0..3 {
        assert_eq!(client.producer, (id, epoch));
        assert_eq!(client.add(&["t"], 3), [ErrorCode::None]);
        assert_eq!(client.end(epoch == 1, 5), ErrorCode::None);
    }
    // An abort of nothing is fine.
    assert_eq!(client.end(false, 5), ErrorCode::None);
    assert_eq!(client.producer, (id, 4));
    assert_eq!(client.end(true, 5), ErrorCode::InvalidTxnState);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    let often = "transaction.abort.timed.out.transaction.cleanup.interval.ms=50";
    let node = Node::start(&format!("{CLASSIC}\n{often}"));
    node.connect().create_topic("t", 1, &[]);
    let mut client = Client::new(&node, "x");
    assert_eq!(client.init(100, 4), ErrorCode::None);
    assert_eq!(client.add(&["t"], 3), [ErrorCode::None]);
    assert_eq!(client.completed(), "CompleteAbort");
    assert_eq!(client.end(true, 3), ErrorCode::ProducerFenced);
}

#[test]
fn what_makes_no_sense_is_refused_by_kafkas_names() {
    let node = Node::start(CLASSIC);
    node.connect().create_topic("t", 1, &[]);
    let mut client = Client::new(&node, "x");
    let mut empty = Client {
        wire: node.connect(),
        id: "",
        producer: (1, 0),
    };
    assert_eq!(empty.init(60_000, 4), ErrorCode::InvalidRequest);
    assert_eq!(empty.end(true, 3), ErrorCode::InvalidRequest);
    assert_eq!(empty.add(&["t"], 3), [ErrorCode::InvalidRequest]);
    for timeout in [0, -1, 900_001] {
        assert_eq!(
            client.init(timeout, 4),
            ErrorCode::InvalidTransactionTimeout
        );
    }
    // Nobody knows it yet.
    assert_eq!(client.add(&["t"], 3), [ErrorCode::InvalidProducerIdMapping]);
    assert_eq!(client.end(true, 3), ErrorCode::InvalidProducerIdMapping);
    assert_eq!(
        code(client.describe("nobody").error_code),
        ErrorCode::TransactionalIdNotFound
    );
    assert_eq!(client.init(60_000, 4), ErrorCode::None);
    assert_eq!(client.end(true, 3), ErrorCode::InvalidTxnState);
    // One partition that is not there fails all.
    assert_eq!(
        client.add(&["missing", "t"], 3),
        [
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::OperationNotAttempted
        ]
    );
    assert_eq!(client.describe("x").transaction_state, "Empty");
    // A new instance fences the old one; old clients know another name for it.
    let mut second = Client::new(&node, "x");
    assert_eq!(second.init(60_000, 4), ErrorCode::None);
    assert_eq!(second.producer, (client.producer.0, 1));
    assert_eq!(client.add(&["t"], 3), [ErrorCode::ProducerFenced]);
    assert_eq!(client.add(&["t"], 1), [ErrorCode::InvalidProducerEpoch]);
    assert_eq!(client.end(true, 3), ErrorCode::ProducerFenced);
    assert_eq!(client.end(true, 1), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn transactions_are_listed_by_state_and_by_pattern() {
    let node = Node::start(CLASSIC);
    node.connect().create_topic("t", 1, &[]);
    for id in ["one", "two", "three"] {
        assert_eq!(Client::new(&node, id).init(60_000, 4), ErrorCode::None);
    }
    let mut client = Client::new(&node, "two");
    assert_eq!(client.init(60_000, 4), ErrorCode::None);
    assert_eq!(client.add(&["t"], 3), [ErrorCode::None]);
    assert_eq!(names(&client.list("Ongoing", None)), ["two"]);
    let by_pattern = client.list("", Some("t.*"));
    let mut found = names(&by_pattern);
    found.sort_unstable();
    assert_eq!(found, ["three", "two"]);
    assert_eq!(names(&client.list("", Some("t"))), Vec::<&str>::new());
    assert_eq!(
        client.list("Unheard", None).unknown_state_filters,
        ["Unheard"]
    );
    assert_eq!(
        code(client.list("", Some("(")).error_code),
        ErrorCode::InvalidRegularExpression
    );
}

/// A record of a transaction that no coordinator knows, as in clusters that did not verify.
fn hang(node: &Node) {
    let options = BatchOptions {
        producer_id: 4711,
        producer_epoch: 3,
        base_sequence: 0,
        is_transactional: true,
        ..BatchOptions::default()
    };
    let mut request = produce_request("t", 0, -1, batch_of(&["lost"], options));
    request.transactional_id = Some("forgotten".into());
    let mut answer = node.connect().call(&request, 9);
    let appended = answer.responses.remove(0).partition_responses.remove(0);
    assert_eq!(code(appended.error_code), ErrorCode::None);
}

#[test]
fn a_hanging_transaction_is_found_and_aborted_from_the_command_line() {
    let unverified = "transaction.partition.verification.enable=false";
    let node = Node::start(&format!("{CLASSIC}\n{unverified}"));
    node.connect().create_topic("t", 1, &[]);
    let mut client = Client::new(&node, "x");
    assert_eq!(client.init(60_000, 4), ErrorCode::None);
    assert_eq!(client.add(&["t"], 3), [ErrorCode::None]);
    hang(&node);
    let cli = Cli::of(&node);
    let run = |arguments: &[&str]| done(&cli.run(&[&["transactions"], arguments].concat()));
    let producer = client.producer.0;
    let listed = run(&["list", "--state", "Ongoing"]);
    assert_says(&listed, &[&format!("x\t1\t{producer}\tOngoing\n")]);
    let described = run(&["describe", "--transactional-id", "x"]);
    assert_says(&described, &["x: Ongoing", "timeout 60000 ms", "\nt-0\n"]);
    let place = ["--topic", "t", "--partition", "0"];
    let producers = run(&[&["describe-producers"], &place[..]].concat());
    assert_says(&producers, &["4711\t3\t-\t0\t1700000000000\t0\n"]);
    let find = ["find-hanging", "--max-transaction-timeout", "1"];
    assert_says(&run(&find), &["t-0\t4711\t3\t-\t0\t1700000000000\n"]);
    let abort = |start| [&["abort"], &place[..], &["--start-offset", start]].concat();
    let none = cli.run(&[&["transactions"], &abort("1")[..]].concat());
    assert_says(
        &failed(&none, 1),
        &["no transaction is open since offset 1"],
    );
    run(&abort("0"));
    assert_eq!(run(&find).lines().count(), 1);
    let unknown = cli.run(&["transactions", "list", "--state", "Odd"]);
    assert_says(&failed(&unknown, 1), &["unknown states: Odd"]);
    let unknown = cli.run(&["transactions", "describe", "--transactional-id", "y"]);
    assert_says(&failed(&unknown, 1), &["TRANSACTIONAL_ID_NOT_FOUND"]);
}
