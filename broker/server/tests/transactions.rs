//! Transactions in one partition, on a real disk: what readers of committed data get, and what a restart knows.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use broker_core::producer_state::{ProducerEntry, Proof};
use broker_core::replica::{ConsumerFetch, FollowerFetch, Input, PartitionState};
use broker_env::{Env, WallTime};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, TopicIdPartition, TopicPartition, Uuid,
};
use broker_protocol::record::{BatchBuilder, BatchOptions, EndTxnMarker};
use broker_server::config::TopicConfig;
use broker_server::observe::Observer;
use broker_server::partition::{
    FetchRead, Isolation, Partition, PartitionContext, PartitionEvent, ProduceBatch, ReadLimits,
    log_config,
};
use broker_storage::{AbortedTxn, DirectoryOptions, LogDirectory, MetaProperties};
use bytes::BytesMut;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const LIMITS: ReadLimits = ReadLimits {
    max_bytes: 1 << 20,
    min_one_message: true,
};

/// A partition in a folder of its own, over restarts.
struct Broker {
    runtime: Runtime,
    env: Env,
    folder: PathBuf,
    config: TopicConfig,
    replicas: Vec<NodeId>,
    epoch: i32,
    running: Option<Running>,
}

struct Running {
    partition: Arc<Partition>,
    _directory: LogDirectory,
    _events: mpsc::UnboundedReceiver<PartitionEvent>,
}

impl Broker {
    /// Leads alone with `replicas` of 1, else the high watermark waits for node 2.
    fn start(name: &str, replicas: i32, segment_bytes: i64) -> Broker {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let env = broker_env::production::env_on(runtime.handle());
        let folder = format!("trial-transactions-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let config = TopicConfig {
            segment_bytes,
            ..TopicConfig::default()
        };
        let properties = MetaProperties {
            cluster_id: "test".into(),
            node_id: NodeId(1),
            directory_id: Uuid([1; 16]),
        };
        let formatted = LogDirectory::format(env.disk.as_ref(), &folder, &properties);
        runtime.block_on(formatted).expect("formats");
        let mut broker = Broker {
            runtime,
            env,
            folder,
            config,
            replicas: (1..=replicas).map(NodeId).collect(),
            epoch: 0,
            running: None,
        };
        broker.restart();
        broker
    }

    /// The process before was killed.
    fn restart(&mut self) {
        self.running = None;
        let id = TopicIdPartition {
            topic_id: Uuid([7; 16]),
            partition: 0,
        };
        let name = TopicPartition::new("accounts", 0);
        let defaults = log_config(&self.config);
        let options = DirectoryOptions {
            disk: self.env.disk.clone(),
            path: self.folder.clone(),
            cluster_id: None,
            node_id: NodeId(1),
            config: Arc::new(move |_: &TopicPartition| defaults.clone()),
            now_ms: 0,
        };
        let (directory, log) = self.runtime.block_on(async {
            let directory = LogDirectory::open(options).await.expect("opens");
            let log = match directory.log(&name) {
                Some(log) => log,
                None => directory
                    .create_log(&name, Some(id.topic_id), log_config(&self.config), 0, 0)
                    .await
                    .expect("a log is created"),
            };
            (directory, log)
        });
        let (events, receiver) = mpsc::unbounded_channel();
        let context = PartitionContext {
            producer_id_expiration_ms: i64::MAX,
            env: self.env.clone(),
            node: NodeId(1),
            observer: Observer::none(),
            events,
        };
        let config = self.config.clone();
        let opened = Partition::new(id, name, Uuid::ZERO, context, log, config, 0);
        let partition = Arc::new(opened.expect("a readable log"));
        partition.step(Input::Metadata(PartitionState {
            leader: NodeId(1),
            leader_epoch: LeaderEpoch(self.epoch),
            partition_epoch: PartitionEpoch(self.epoch),
            replicas: self.replicas.clone(),
            isr: self.replicas.clone(),
        }));
        self.epoch += 1;
        self.running = Some(Running {
            partition,
            _directory: directory,
            _events: receiver,
        });
    }

    fn partition(&self) -> &Arc<Partition> {
        &self.running.as_ref().expect("a running broker").partition
    }

    /// Node 2 has everything below.
    fn replicated(&self, fetch_offset: i64) {
        let fetch = FollowerFetch {
            follower: NodeId(2),
            broker_epoch: BrokerEpoch(-1),
            current_leader_epoch: Some(LeaderEpoch(self.epoch - 1)),
            fetch_offset,
            last_fetched_epoch: None,
            log_start: 0,
        };
        self.partition()
            .follower_fetch(fetch, LIMITS)
            .expect("a follower");
    }

    fn batch(&self, producer_id: i64, sequence: i32) -> ProduceBatch {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer_id,
            producer_epoch: 0,
            base_sequence: sequence,
            is_transactional: true,
            ..BatchOptions::default()
        });
        builder.append(1, None, Some(&[5; 100]), &[]);
        let records = BytesMut::from(builder.build().as_bytes());
        ProduceBatch::validate(records, &self.config, WallTime(0)).expect("a good batch")
    }

    fn produce(&self, batch: ProduceBatch) -> Option<ErrorCode> {
        let answer = self.partition().produce(batch, 1).try_recv();
        answer.expect("answered at once").err()
    }

    /// As after the coordinator's yes.
    fn write(&self, producer_id: i64, sequence: i32) {
        let batch = self.batch(producer_id, sequence);
        let guard = self.partition().begin_verification(&batch, false);
        let proof = guard.map_or(Proof::OpenTransaction, Proof::Verified);
        assert_eq!(self.produce(batch.with_proof(proof)), None);
    }

    fn end(&self, producer_id: i64, committed: bool) {
        let marker = EndTxnMarker {
            committed,
            coordinator_epoch: 3,
        };
        let end = ProduceBatch::end_of_transaction(producer_id, 0, marker, WallTime(1));
        assert_eq!(self.produce(end), None);
    }

    fn read(&self, fetch_offset: i64, isolation: Isolation) -> FetchRead {
        let fetch = ConsumerFetch {
            current_leader_epoch: None,
            fetch_offset,
            last_fetched_epoch: None,
            leader_only: true,
        };
        self.partition()
            .read_for_consumer(&fetch, &BTreeSet::new(), isolation, LIMITS)
            .expect("readable")
    }

    /// What a reader of committed data gets from the start: end, and what it is to leave out.
    fn committed(&self) -> (i64, Vec<(i64, i64)>) {
        let read = self.read(0, Isolation::ReadCommitted);
        let batches = broker_protocol::record::RecordBatches::new(read.records);
        let end = batches
            .map(|batch| batch.expect("whole").next_offset())
            .last();
        let aborted = read.aborted.expect("a list");
        let aborted = aborted
            .iter()
            .map(|txn| (txn.producer_id, txn.first_offset));
        (end.unwrap_or(0), aborted.collect())
    }

    fn known(&self) -> (Vec<ProducerEntry>, Option<i64>, Vec<AbortedTxn>) {
        let partition = self.partition();
        let producers = partition.describe_producers().expect("a leader");
        let aborted = partition.with_log(|log| log.aborted_transactions(0, i64::MAX));
        let aborted = aborted.expect("a healthy disk");
        (producers, partition.first_unstable_offset(), aborted)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.running = None;
        let _left_to_the_system = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn readers_of_committed_data_wait_for_the_end_of_transactions_and_know_the_aborted() {
    let broker = Broker::start("readers", 2, 1 << 20);
    broker.write(7, 0);
    broker.write(8, 0);
    broker.replicated(2);
    assert_eq!(broker.committed(), (0, vec![]));
    let all = broker.read(0, Isolation::ReadUncommitted);
    assert_eq!(
        (all.answer.limit, all.last_stable_offset, all.aborted),
        (2, 0, None)
    );
    broker.end(7, false);
    // The marker may still be lost.
    assert_eq!(broker.committed(), (0, vec![]));
    broker.replicated(3);
    assert_eq!(broker.committed(), (1, vec![(7, 0)]));
    broker.end(8, true);
    broker.replicated(4);
    assert_eq!(broker.committed(), (4, vec![(7, 0)]));
    assert_eq!(
        broker.read(3, Isolation::ReadCommitted).aborted,
        Some(vec![])
    );
}

#[test]
fn a_transactional_record_needs_a_transaction_that_the_coordinator_knows() {
    let broker = Broker::start("verification", 1, 1 << 20);
    let unproven = broker.batch(7, 0).with_proof(Proof::OpenTransaction);
    assert_eq!(broker.produce(unproven), Some(ErrorCode::InvalidTxnState));
    let late = broker.batch(7, 0);
    let guard = broker
        .partition()
        .begin_verification(&late, false)
        .expect("none is open");
    broker.end(7, false);
    let late = late.with_proof(Proof::Verified(guard));
    assert_eq!(broker.produce(late), Some(ErrorCode::InvalidTxnState));
    broker.write(7, 0);
    broker.write(7, 1);
    let old = EndTxnMarker {
        committed: true,
        coordinator_epoch: 2,
    };
    let old = ProduceBatch::end_of_transaction(7, 0, old, WallTime(1));
    assert_eq!(
        broker.produce(old),
        Some(ErrorCode::TransactionCoordinatorFenced)
    );
}

#[test]
fn a_restart_knows_what_was_open_and_what_was_aborted() {
    for segment_bytes in [400, 1 << 20] {
        let mut broker = Broker::start(&format!("restart-{segment_bytes}"), 1, segment_bytes);
        for sequence in 0..4 {
            broker.write(7, sequence);
            broker.write(8, sequence);
            broker.end(7, sequence % 2 == 0);
        }
        let before = broker.known();
        assert_eq!((before.1, before.2.len()), (Some(1), 2));
        broker.runtime.block_on(broker.partition().flush());
        broker.restart();
        assert_eq!(broker.known(), before);
        broker.end(8, false);
        let before = broker.known();
        broker.restart();
        assert_eq!(broker.known(), before);
    }
}

/// The marker is above the high watermark, which a restart begins with: it may still be cut off.
#[test]
fn a_restart_knows_which_ends_may_still_be_lost() {
    let mut broker = Broker::start("unreplicated", 2, 300);
    for sequence in 0..4 {
        broker.write(7, sequence);
        broker.end(7, false);
    }
    broker.partition().close_producers();
    broker.runtime.block_on(broker.partition().flush());
    broker.restart();
    assert_eq!(broker.partition().first_unstable_offset(), Some(0));
    broker.replicated(4);
    assert_eq!(broker.partition().first_unstable_offset(), Some(4));
    // A read ends with its segment.
    assert_eq!(broker.committed(), (2, vec![(7, 0)]));
}
