//! What is written, and what comes back of it.

use super::*;
use crate::history::{End, Record};

fn partition() -> Partition {
    Partition {
        topic: "orders".into(),
        index: 1,
    }
}

fn operation(at: u64, action: Action, outcome: Outcome) -> Operation {
    Operation {
        process: 3,
        invoked_ns: at,
        completed_ns: at + 5,
        invoked_event: at,
        completed_event: at + 5,
        transaction: None,
        action,
        outcome,
    }
}

fn send(value: u64, offset: Option<i64>) -> Action {
    Action::Send {
        partition: partition(),
        value,
        content: 0,
        acks: -1,
        offset,
        sequence: 0,
    }
}

#[test]
fn a_history_reads_as_jepsens_kafka_workload_writes_it() {
    let records = vec![
        Record {
            offset: 0,
            value: Some(7),
            content: 0,
        },
        Record {
            offset: 2,
            value: None,
            content: 0,
        },
    ];
    let poll = Action::Poll {
        partition: partition(),
        from: 0,
        records,
        next: 3,
        isolation: Isolation::ReadUncommitted,
    };
    let list = Action::ListOffsets {
        partition: partition(),
        earliest: 0,
        latest: 3,
        isolation: Isolation::ReadUncommitted,
    };
    let history = History {
        operations: vec![
            operation(10, send(7, Some(0)), Outcome::Ok),
            operation(12, send(8, None), Outcome::Info("timed \"out\"".into())),
            operation(
                20,
                Action::Assign {
                    partition: partition(),
                    position: 0,
                },
                Outcome::Ok,
            ),
            operation(30, poll, Outcome::Ok),
            operation(40, list, Outcome::Ok),
            operation(50, send(9, None), Outcome::Fail("MESSAGE_TOO_LARGE".into())),
        ],
    };
    let expected = r#"{:process 3, :type :invoke, :f :send, :value [[:send "orders-1" 7]], :time 10}
{:process 7, :type :invoke, :f :send, :value [[:send "orders-1" 8]], :time 12}
{:process 3, :type :ok, :f :send, :value [[:send "orders-1" [0 7]]], :time 15}
{:process 7, :type :info, :f :send, :value [[:send "orders-1" 8]], :time 17, :error "timed \"out\""}
{:process 3, :type :invoke, :f :assign, :value ["orders-1"], :time 20}
{:process 3, :type :ok, :f :assign, :value ["orders-1"], :time 20}
{:process 3, :type :invoke, :f :poll, :value [[:poll]], :time 30}
{:process 3, :type :ok, :f :poll, :value [[:poll {"orders-1" [[0 7] [2 nil]]}]], :time 35, :positions [{"orders-1" [0 3]}], :isolation :read-uncommitted}
{:process 3, :type :invoke, :f :send, :value [[:send "orders-1" 9]], :time 50}
{:process 3, :type :fail, :f :send, :value [[:send "orders-1" 9]], :time 55, :error "MESSAGE_TOO_LARGE"}
"#;
    assert_eq!(export(&history), expected);
}

#[test]
fn one_poll_of_two_partitions_is_one_operation() {
    let poll = |index: i32| Action::Poll {
        partition: Partition {
            topic: "orders".into(),
            index,
        },
        from: 0,
        records: vec![Record {
            offset: 4,
            value: Some(1),
            content: 0,
        }],
        next: 5,
        isolation: Isolation::ReadUncommitted,
    };
    let history = History {
        operations: vec![
            operation(10, poll(0), Outcome::Ok),
            operation(10, poll(1), Outcome::Ok),
        ],
    };
    let expected = r#"{:process 3, :type :invoke, :f :poll, :value [[:poll]], :time 10}
{:process 3, :type :ok, :f :poll, :value [[:poll {"orders-0" [[4 1]], "orders-1" [[4 1]]}]], :time 15, :positions [{"orders-0" [0 5], "orders-1" [0 5]}], :isolation :read-uncommitted}
"#;
    assert_eq!(export(&history), expected);
}

/// Time stands still while what was fetched ahead is handed out.
#[test]
fn two_polls_at_one_time_are_two_operations() {
    let poll = |from: i64| Action::Poll {
        partition: partition(),
        from,
        records: Vec::new(),
        next: from + 1,
        isolation: Isolation::ReadUncommitted,
    };
    let at_once = |from| Operation {
        completed_ns: 10,
        ..operation(10, poll(from), Outcome::Ok)
    };
    let history = History {
        operations: vec![at_once(0), at_once(1)],
    };
    let text = export(&history);
    assert_eq!(text.matches(":ok").count(), 2, "{text}");
    let back = import(&text, Isolation::ReadUncommitted).expect("our own text");
    let polls = back.operations.iter();
    let polls = polls.filter(|one| matches!(one.action, Action::Poll { .. }));
    assert_eq!(polls.count(), 2);
}

#[test]
fn a_transaction_is_one_operation_and_comes_back_as_it_was() {
    let end = |commit| {
        Some(End {
            commit,
            invoked_ns: 90,
        })
    };
    let transaction = |number, commit| Transaction {
        number,
        transactional_id: "mover".into(),
        producer: None,
        end: end(commit),
        offsets: Vec::new(),
    };
    let poll = Action::Poll {
        partition: partition(),
        from: 2,
        records: vec![Record {
            offset: 3,
            value: Some(4),
            content: 0,
        }],
        next: 6,
        isolation: Isolation::ReadCommitted,
    };
    let within = |number, at, action| Operation {
        transaction: Some(number),
        ..operation(at, action, Outcome::Ok)
    };
    let whole = |number, at, commit, outcome| Operation {
        completed_ns: 100,
        ..operation(
            at,
            Action::Transaction(transaction(number, commit)),
            outcome,
        )
    };
    let start = Action::Assign {
        partition: partition(),
        position: 2,
    };
    let history = History {
        operations: vec![
            operation(0, start, Outcome::Ok),
            within(1, 20, poll),
            within(1, 40, send(7, Some(9))),
            whole(1, 10, true, Outcome::Ok),
            Operation {
                process: 4,
                ..within(2, 30, send(8, Some(10)))
            },
            Operation {
                process: 4,
                ..whole(2, 20, false, Outcome::Ok)
            },
        ],
    };
    let text = export(&history);
    let expected = r#"{:process 3, :type :invoke, :f :assign, :value ["orders-1"], :time 0}
{:process 3, :type :ok, :f :assign, :value ["orders-1"], :time 0}
{:process 3, :type :invoke, :f :txn, :value [[:poll] [:send "orders-1" 7]], :time 10}
{:process 4, :type :invoke, :f :txn, :value [[:send "orders-1" 8]], :time 20}
{:process 3, :type :ok, :f :txn, :value [[:poll {"orders-1" [[3 4]]}] [:send "orders-1" [9 7]]], :time 100, :positions [{"orders-1" [2 6]}], :isolation :read-committed, :transactional-id "mover", :end-time 90}
{:process 4, :type :fail, :f :txn, :value [[:send "orders-1" [10 8]]], :time 100, :transactional-id "mover", :end-time 90, :error "aborted"}
"#;
    assert_eq!(text, expected);
    let back = import(&text, Isolation::ReadUncommitted).expect("our own text");
    let again = export(&back);
    let records = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains(":assign"));
        lines.map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(records(&again), records(expected));
    let fates: Vec<Fate> = back
        .operations
        .iter()
        .filter_map(|one| match &one.action {
            Action::Transaction(transaction) => Some(transaction.fate(&one.outcome)),
            _ => None,
        })
        .collect();
    assert_eq!(fates, [Fate::Committed, Fate::Aborted]);
}

/// Without positions: a consumer goes on where it was until it is assigned anew or its group is rebalanced.
#[test]
fn jepsens_own_histories_are_read() {
    let text = r#"
        #jepsen.history.Op{:index 0, :time 1, :type :invoke, :process 0, :f :txn, :value [[:send 5 1] [:poll]]}
        {:time 2, :type :info, :process :nemesis, :f :kill, :value ["n1"]}
        {:time 3, :type :ok, :process 0, :f :txn, :value [[:send 5 [0 1]] [:poll {5 [[2 3]], 6 [[7 9]]}]]}
        {:time 4, :type :invoke, :process 0, :f :poll, :value [[:poll]]}
        {:time 5, :type :ok, :process 0, :f :poll, :value [[:poll {5 [[4 5]] 6 []}]]}
        {:time 6, :type :invoke, :process 0, :f :poll, :value [[:poll]]}
        {:time 7, :type :ok, :process 0, :f :poll, :value [[:poll {5 [[3 6]]}]], :rebalance-log [{:type :revoked}]}
        {:time 8, :type :invoke, :process 1, :f :send, :value [[:send 5 10]]}
        {:time 9, :type :invoke, :process 2, :f :debug-topic-partitions, :value [5]} ; others
        "#;
    let history = import(text, Isolation::ReadCommitted).expect("a history");
    let shown: Vec<String> = history
        .operations
        .iter()
        .map(|one| match &one.action {
            Action::Poll {
                partition,
                from,
                next,
                ..
            } => {
                format!("poll {} {from} {next}", partition.topic)
            }
            Action::Assign {
                partition,
                position,
            } => {
                format!("assign {} {position}", partition.topic)
            }
            Action::Send { offset, .. } => format!("send {offset:?} {:?}", one.outcome),
            Action::Transaction(transaction) => format!("transaction {}", transaction.number),
            other => format!("{other:?}"),
        })
        .collect();
    let expected = [
        "send Some(0) Ok",
        "assign 5 2",
        "poll 5 2 3",
        "assign 6 7",
        "poll 6 7 8",
        "transaction 1",
        "poll 5 3 5",
        "poll 6 8 8",
        "assign 5 3",
        "poll 5 3 4",
        "send None Info(\"unknown\")",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn bad_input_is_an_error_that_names_the_line() {
    let good = "{:process 1, :type :invoke, :f :send, :value [[:send 1 2]], :time 5}\n";
    let cases = [
        ("7", 1, "not an operation"),
        ("\n{:process 1", 2, "} is missing"),
        ("{:process}", 1, "a key that has no value"),
        ("{:process -1, :type :ok}", 1, "out of range"),
        ("{:type :ok, :f :send}", 1, ":process has to be a number"),
        ("{:process 1 :type :done}", 1, ":type has to be"),
        (
            "{:process 1 :type :ok :f :send}",
            1,
            "what it did not invoke",
        ),
        ("{:process 1 :type :invoke}", 1, ":f has to be"),
        (
            "{:process 1 :type :invoke :f :send :time -4}",
            1,
            "negative",
        ),
        ("\"open", 1, "a string does not end"),
        ("]", 1, "where a value should be"),
        ("[", 1, "] is missing"),
        (
            "{:process 1 :type :ok :f :send :time 7 :value [[:send 1 [0 2 3]]]}",
            2,
            "neither",
        ),
        (
            "{:process 1 :type :ok :f :send :time 7 :value [[:send 1 -2]]}",
            2,
            "neither",
        ),
        (
            "{:process 1 :type :ok :f :send :time 7 :value 3}",
            2,
            ":value has to be a list",
        ),
        (
            "{:process 1 :type :ok :f :poll :time 7 :value []}",
            2,
            "not what was invoked",
        ),
        (
            "{:process 1 :type :ok :f :send :time 4 :value []}",
            2,
            "comes after 5",
        ),
        (
            "{:process 1 :type :ok :f :send :value []}",
            2,
            "some operations have a :time",
        ),
        ("{:process 1 :type :invoke :f :send :time 9}", 2, "line 1"),
    ];
    for (text, line, problem) in cases {
        let text = if line == 2 && !text.starts_with('\n') {
            format!("{good}{text}")
        } else {
            text.to_owned()
        };
        let error = import(&text, Isolation::ReadCommitted).expect_err(&text);
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.problem.contains(problem), "{text}: {error}");
    }
    let deep = "[".repeat(100_000);
    assert!(import(&format!("{{:a {deep}"), Isolation::ReadCommitted).is_err());
}
