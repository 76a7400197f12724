//! Client and server half over a lossy line: what the server reads is what the client wants, and what the
//! client has been told is what the server's log is.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, TopicIdPartition, Uuid};
use proptest::prelude::*;

use crate::fetch_session::{
    FetchParams, FetchSession, Outcome, Request, SessionCache, SessionPartition, SessionTopic,
};

#[derive(Clone, Copy, Debug)]
enum Action {
    Want(i32, i64),
    Drop(i32),
    HighWatermark(i32, i64),
    Exchange,
    LoseRequest,
    LoseAnswer,
    /// The server forgets all sessions.
    Restart,
    /// Others take all slots.
    Crowd,
}

#[expect(
    clippy::disallowed_types,
    reason = "prop_oneof shares its branches; tests are no core"
)]
fn action() -> impl Strategy<Value = Action> {
    let partition = 0..4i32;
    prop_oneof![
        3 => (partition.clone(), 0..5i64).prop_map(|(id, offset)| Action::Want(id, offset)),
        1 => partition.clone().prop_map(Action::Drop),
        3 => (partition, 0..5i64).prop_map(|(id, offset)| Action::HighWatermark(id, offset)),
        6 => Just(Action::Exchange),
        1 => Just(Action::LoseRequest),
        1 => Just(Action::LoseAnswer),
        1 => Just(Action::Restart),
        1 => Just(Action::Crowd),
    ]
}

fn id(partition: i32) -> TopicIdPartition {
    let topic_id = Uuid([7; 16]);
    TopicIdPartition {
        topic_id,
        partition,
    }
}

fn server_name(id: TopicIdPartition) -> SessionPartition {
    SessionPartition {
        topic: SessionTopic::Id(id.topic_id),
        partition: id.partition,
    }
}

fn params(offset: i64) -> FetchParams {
    FetchParams {
        current_leader_epoch: Some(LeaderEpoch(1)),
        fetch_offset: offset,
        last_fetched_epoch: None,
        log_start: 0,
        max_bytes: 1,
    }
}

struct World {
    client: FetchSession,
    server: SessionCache,
    truth: BTreeMap<TopicIdPartition, i64>,
    told: BTreeMap<TopicIdPartition, i64>,
    now_ms: u64,
    next_id: i32,
}

impl World {
    fn new() -> World {
        World {
            client: FetchSession::default(),
            server: SessionCache::new(1),
            truth: (0..4).map(|partition| (id(partition), 0)).collect(),
            told: BTreeMap::new(),
            now_ms: 0,
            next_id: 1,
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Want(partition, offset) => self.client.want(id(partition), params(offset)),
            Action::Drop(partition) => self.client.drop_partition(id(partition)),
            Action::HighWatermark(partition, to) => {
                self.truth.insert(id(partition), to);
            }
            Action::Exchange => self.exchange(false),
            Action::LoseRequest => {
                self.client.request();
                self.client.failed();
            }
            Action::LoseAnswer => self.exchange(true),
            Action::Restart => self.server = SessionCache::new(1),
            Action::Crowd => self.crowd(),
        }
    }

    fn crowd(&mut self) {
        self.now_ms += 120_001;
        let request = Request {
            session_id: 0,
            session_epoch: 0,
            privileged: true,
            uses_topic_ids: true,
            partitions: vec![(server_name(id(0)), params(0))],
            forgotten: Vec::new(),
        };
        let context = self
            .server
            .begin(self.now_ms, request)
            .expect("a full fetch");
        let outcome = Outcome {
            high_watermark: 0,
            log_start: 0,
            has_records: false,
            has_news: false,
            failed: false,
        };
        self.next_id += 1;
        let fresh_id = self.next_id;
        self.server
            .finish(self.now_ms, &context, &[outcome], || fresh_id)
            .expect("a full fetch");
    }

    fn exchange(&mut self, lose_answer: bool) {
        let sent = self.client.request();
        for partition in &sent.forgotten {
            self.told.remove(partition);
        }
        let request = Request {
            session_id: sent.session_id,
            session_epoch: sent.session_epoch,
            privileged: true,
            uses_topic_ids: true,
            partitions: sent
                .partitions
                .iter()
                .map(|(id, params)| (server_name(*id), *params))
                .collect(),
            forgotten: sent.forgotten.iter().map(|id| server_name(*id)).collect(),
        };
        let context = match self.server.begin(self.now_ms, request) {
            Ok(context) => context,
            Err(_) if lose_answer => return self.client.failed(),
            Err(error) => {
                let retry = self.client.refused(error);
                assert!(retry, "a full fetch was refused with {error}");
                return;
            }
        };
        let read: BTreeMap<SessionPartition, FetchParams> =
            context.partitions.iter().cloned().collect();
        let wanted: BTreeMap<SessionPartition, FetchParams> = self
            .client
            .wanted()
            .iter()
            .map(|(id, params)| (server_name(*id), *params))
            .collect();
        assert_eq!(read, wanted, "the server reads what the client wants");
        self.answer(&context, lose_answer);
    }

    fn answer(&mut self, context: &crate::fetch_session::Context, lose_answer: bool) {
        let of = |partition: &SessionPartition| id(partition.partition);
        let outcomes: Vec<Outcome> = context
            .partitions
            .iter()
            .map(|(partition, _)| Outcome {
                high_watermark: self.truth[&of(partition)],
                log_start: 0,
                has_records: false,
                has_news: false,
                failed: false,
            })
            .collect();
        self.next_id += 1;
        let fresh_id = self.next_id;
        let finished = self
            .server
            .finish(self.now_ms, context, &outcomes, || fresh_id)
            .expect("no other request came between");
        if lose_answer {
            return self.client.failed();
        }
        let mut answered = BTreeSet::new();
        for ((partition, _), included) in context.partitions.iter().zip(finished.included) {
            if included {
                answered.insert(of(partition));
                self.told.insert(of(partition), self.truth[&of(partition)]);
            }
        }
        self.client
            .answered(finished.session_id, &answered)
            .expect("an answer that fits");
        for partition in self.client.wanted().keys() {
            assert_eq!(
                self.told.get(partition),
                Some(&self.truth[partition]),
                "{partition:?} after an answer"
            );
        }
    }
}

proptest! {
    #[test]
    fn the_server_reads_what_the_client_wants_and_the_client_knows_what_is_there(
        actions in prop::collection::vec(action(), 1..60)
    ) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
        }
    }
}

#[test]
fn an_answer_that_does_not_fit_is_dropped_and_a_full_fetch_follows() {
    let mut client = FetchSession::default();
    client.want(id(0), params(0));
    client.request();
    // A full answer leaves nothing out.
    assert_eq!(
        client.answered(5, &BTreeSet::new()),
        Err(ErrorCode::InvalidFetchSessionEpoch)
    );
    client.request();
    assert_eq!(client.answered(5, &BTreeSet::from([id(0)])), Ok(()));
    client.request();
    // An incremental one names nothing that was not asked for.
    assert_eq!(
        client.answered(5, &BTreeSet::from([id(1)])),
        Err(ErrorCode::InvalidFetchSessionEpoch)
    );
    let next = client.request();
    assert_eq!((next.session_id, next.session_epoch), (5, 0));
    assert_eq!(next.partitions.len(), 1);
}

#[test]
fn an_unchanged_session_says_nothing() {
    let mut client = FetchSession::default();
    client.want(id(0), params(3));
    client.want(id(1), params(3));
    client.request();
    client
        .answered(9, &BTreeSet::from([id(0), id(1)]))
        .expect("fits");
    client.want(id(0), params(3));
    let request = client.request();
    assert_eq!((request.session_id, request.session_epoch), (9, 1));
    assert!(request.partitions.is_empty() && request.forgotten.is_empty());
}
