//! Sends markers to the leaders of partitions, over the network also to this broker, until each has them or the
//! coordinator that decided is gone.
//!
//! One task per broker: what gathers while a request is under way goes with the next. A partition whose leader
//! is not known waits; one that the metadata does not have for a while is deleted and needs no marker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_core::transaction::{Markers, MarkersWritten, Producer};
use broker_env::{Env, Instant};
use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, TopicPartition};
use tokio::sync::{Notify, mpsc};

use super::TransactionShard;
use crate::config::BrokerConfig;
use crate::coordinator::Started;
use crate::metadata_cache::MetadataCache;
use crate::peer::Peer;

const WRITE_TXN_MARKERS_VERSION: i16 = 1;
/// Pause before a partition that failed is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// A partition that the metadata does not have may be newer than the metadata; for so long it is not taken for
/// deleted.
const UNKNOWN: Duration = Duration::from_secs(2);
/// Transactions in one request.
const BATCH_MAX: usize = 1_000;

/// The lines to the brokers.
pub struct MarkerSender {
    env: Env,
    config: Arc<BrokerConfig>,
    metadata: Arc<MetadataCache>,
    queues: Mutex<BTreeMap<NodeId, Arc<Queue>>>,
}

#[derive(Default)]
struct Queue {
    entries: Mutex<Vec<Entry>>,
    ready: Notify,
}

/// Markers of one transaction for partitions of one leader, as far as is known.
#[derive(Clone)]
struct Entry {
    markers: Arc<Markers>,
    epoch: LeaderEpoch,
    reports: mpsc::UnboundedSender<MarkersWritten>,
    partitions: BTreeSet<TopicPartition>,
    /// Since when the metadata have not had them.
    unknown_since: Option<Instant>,
}

/// Where a partition's marker goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Destination {
    Leader(NodeId),
    NoLeader,
    Unknown,
}

impl MarkerSender {
    pub fn new(
        env: Env,
        config: Arc<BrokerConfig>,
        metadata: Arc<MetadataCache>,
    ) -> Arc<MarkerSender> {
        Arc::new(MarkerSender {
            env,
            config,
            metadata,
            queues: Mutex::default(),
        })
    }

    pub fn start(self: &Arc<Self>, started: Started<TransactionShard>) {
        self.route(Entry {
            partitions: started.job.partitions.clone(),
            markers: Arc::new(started.job),
            epoch: started.epoch,
            reports: started.reports,
            unknown_since: None,
        });
    }

    /// Hands each partition to the task of its leader.
    fn route(self: &Arc<Self>, entry: Entry) {
        let mut destinations: BTreeMap<Destination, BTreeSet<TopicPartition>> = BTreeMap::new();
        for partition in &entry.partitions {
            let destination = self.destination(partition);
            let partitions = destinations.entry(destination).or_default();
            partitions.insert(partition.clone());
        }
        for (destination, partitions) in destinations {
            let unknown_since = entry
                .unknown_since
                .filter(|_| destination == Destination::Unknown);
            let part = Entry {
                partitions,
                unknown_since,
                ..entry.clone()
            };
            match destination {
                Destination::Leader(leader) => self.send_to(leader, part),
                Destination::NoLeader => self.later(part),
                Destination::Unknown => self.unknown(part),
            }
        }
    }

    fn destination(&self, partition: &TopicPartition) -> Destination {
        self.metadata.read(|image| {
            let registration = image.partition_by_name(&partition.topic, partition.partition);
            match registration {
                None => Destination::Unknown,
                Some(registration) => registration
                    .leader
                    .map_or(Destination::NoLeader, Destination::Leader),
            }
        })
    }

    fn unknown(self: &Arc<Self>, mut entry: Entry) {
        let now = self.env.now();
        let since = *entry.unknown_since.get_or_insert(now);
        if now.saturating_since(since) < UNKNOWN {
            self.later(entry);
            return;
        }
        probe!("transaction: no marker for a partition that is deleted");
        let partitions = std::mem::take(&mut entry.partitions);
        entry.report(partitions);
    }

    fn later(self: &Arc<Self>, entry: Entry) {
        if entry.is_over() {
            return;
        }
        let sender = self.clone();
        let sleep = self.env.sleep(RETRY);
        self.env.spawn("transaction markers", async move {
            sleep.await;
            sender.route(entry);
        });
    }

    fn send_to(self: &Arc<Self>, leader: NodeId, entry: Entry) {
        let mut queues = self.queues.lock().expect("no panic under this lock");
        let queue = queues.entry(leader).or_insert_with(|| {
            let queue = Arc::new(Queue::default());
            self.env.spawn(
                "transaction marker sender",
                self.clone().run(leader, queue.clone()),
            );
            queue
        });
        let mut entries = queue.entries.lock().expect("no panic under this lock");
        entries.push(entry);
        drop(entries);
        queue.ready.notify_one();
    }

    async fn run(self: Arc<Self>, leader: NodeId, queue: Arc<Queue>) {
        let mut peer: Option<Peer> = None;
        loop {
            let batch = queue.take();
            if batch.is_empty() {
                queue.ready.notified().await;
                continue;
            }
            let listener = self.config.inter_broker_listener();
            let address = self.metadata.broker_address(leader, &listener);
            if peer
                .as_ref()
                .is_some_and(|peer| Some(peer.address()) != address.as_ref())
            {
                peer = None;
            }
            let Some(address) = address else {
                self.retry(batch);
                continue;
            };
            let peer = peer.get_or_insert_with(|| {
                let client_id = format!("broker-{}-txn-marker-sender", self.config.node_id);
                Peer::new(self.env.clone(), address, client_id)
            });
            let limit = u64::try_from(self.config.request_timeout_ms).unwrap_or(0);
            let request = request(&batch);
            let answer = peer
                .call(
                    &request,
                    WRITE_TXN_MARKERS_VERSION,
                    Duration::from_millis(limit),
                )
                .await;
            match answer {
                Ok(response) => self.answered(batch, &response),
                Err(error) => {
                    tracing::debug!(node = self.config.node_id, %leader, %error, "markers not sent");
                    self.retry(batch);
                }
            }
        }
    }

    fn retry(self: &Arc<Self>, batch: Vec<Entry>) {
        for entry in batch {
            self.later(entry);
        }
    }

    /// Reports what is done; the rest is tried again.
    fn answered(self: &Arc<Self>, batch: Vec<Entry>, response: &wire::WriteTxnMarkersResponse) {
        let outcomes = outcomes(response);
        for mut entry in batch {
            let producer = entry.markers.producer;
            let (done, left) = judge(producer, std::mem::take(&mut entry.partitions), &outcomes);
            if !done.is_empty() {
                entry.report(done);
            }
            if !left.is_empty() {
                probe!("transaction: markers were refused, and sent again");
                entry.partitions = left;
                self.later(entry);
            }
        }
    }
}

impl Queue {
    /// What can go in one request: of each producer one transaction.
    fn take(&self) -> Vec<Entry> {
        let mut entries = self.entries.lock().expect("no panic under this lock");
        let mut producers = BTreeSet::new();
        let mut batch = Vec::new();
        let mut left = Vec::new();
        for entry in entries.drain(..).filter(|entry| !entry.is_over()) {
            if batch.len() < BATCH_MAX && producers.insert(entry.markers.producer.id) {
                batch.push(entry);
            } else {
                left.push(entry);
            }
        }
        *entries = left;
        batch
    }
}

impl Entry {
    /// Nobody waits for it: the coordinator went elsewhere, or began anew.
    fn is_over(&self) -> bool {
        self.reports.is_closed()
    }

    fn report(&self, partitions: BTreeSet<TopicPartition>) {
        let _coordinator_may_be_gone = self.reports.send(MarkersWritten {
            transactional_id: self.markers.transactional_id.clone(),
            attempt: self.markers.attempt,
            partitions,
        });
    }
}

fn request(batch: &[Entry]) -> wire::WriteTxnMarkersRequest {
    let markers = batch.iter().map(|entry| {
        let mut topics: BTreeMap<&String, Vec<i32>> = BTreeMap::new();
        for partition in &entry.partitions {
            let indexes = topics.entry(&partition.topic).or_default();
            indexes.push(partition.partition);
        }
        let topics =
            topics
                .into_iter()
                .map(|(name, partition_indexes)| wire::WritableTxnMarkerTopic {
                    name: name.clone(),
                    partition_indexes,
                    ..Default::default()
                });
        wire::WritableTxnMarker {
            producer_id: entry.markers.producer.id,
            producer_epoch: entry.markers.producer.epoch,
            transaction_result: entry.markers.committed,
            topics: topics.collect(),
            coordinator_epoch: entry.epoch.0,
            ..Default::default()
        }
    });
    wire::WriteTxnMarkersRequest {
        markers: markers.collect(),
        ..Default::default()
    }
}

/// By producer and partition.
type Outcomes = BTreeMap<(i64, TopicPartition), ErrorCode>;

fn outcomes(response: &wire::WriteTxnMarkersResponse) -> Outcomes {
    let mut outcomes = BTreeMap::new();
    for marker in &response.markers {
        for topic in &marker.topics {
            for result in &topic.partitions {
                let partition = TopicPartition::new(topic.name.clone(), result.partition_index);
                let error = ErrorCode::from_code_or_unknown(result.error_code);
                outcomes.insert((marker.producer_id, partition), error);
            }
        }
    }
    outcomes
}

/// The partitions that need no marker any more, and those that do.
fn judge(
    producer: Producer,
    partitions: BTreeSet<TopicPartition>,
    outcomes: &Outcomes,
) -> (BTreeSet<TopicPartition>, BTreeSet<TopicPartition>) {
    let of = |partition: &TopicPartition| {
        let outcome = outcomes.get(&(producer.id, partition.clone())).copied();
        outcome.unwrap_or(ErrorCode::UnknownServerError)
    };
    let (done, mut left): (BTreeSet<_>, BTreeSet<_>) = partitions
        .into_iter()
        .partition(|partition| is_done(of(partition), producer, partition));
    if mutant!(T_14) {
        left.retain(|partition| !is_elsewhere(of(partition)));
    }
    (done, left)
}

/// It never gives up otherwise: a transaction that is decided and not ended keeps read_committed consumers waiting
/// for ever (KAFKA-5610).
fn is_done(error: ErrorCode, producer: Producer, partition: &TopicPartition) -> bool {
    match error {
        ErrorCode::None | ErrorCode::UnsupportedForMessageFormat => true,
        // The producer is past this epoch there, which it can only be after this marker.
        ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced if !mutant!(T_17) => {
            probe!("transaction: a marker came after the next epoch");
            tracing::info!(?producer, %partition, %error, "the marker is not needed");
            true
        }
        _ => false,
    }
}

fn is_elsewhere(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotLeaderOrFollower
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: Producer = Producer { id: 7, epoch: 2 };

    fn left_of(error: Option<ErrorCode>) -> (usize, usize) {
        let partition = TopicPartition::new("t", 0);
        let outcomes = error.map(|error| ((PRODUCER.id, partition.clone()), error));
        let outcomes = outcomes.into_iter().collect();
        let (done, left) = judge(PRODUCER, BTreeSet::from([partition]), &outcomes);
        (done.len(), left.len())
    }

    #[test]
    fn a_partition_is_done_or_tried_again_for_ever() {
        for error in [
            ErrorCode::None,
            ErrorCode::InvalidProducerEpoch,
            ErrorCode::UnsupportedForMessageFormat,
        ] {
            assert_eq!(left_of(Some(error)), (1, 0), "{error}");
        }
        for error in [
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::NotEnoughReplicas,
            ErrorCode::TransactionCoordinatorFenced,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::UnknownServerError,
        ] {
            assert_eq!(left_of(Some(error)), (0, 1), "{error}");
        }
        // The answer left it out.
        assert_eq!(left_of(None), (0, 1));
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn t_14_a_partition_that_has_moved_never_gets_its_marker() {
        broker_probe::set_mutant(Some("T_14"));
        let moved = left_of(Some(ErrorCode::NotLeaderOrFollower));
        broker_probe::set_mutant(None);
        assert_eq!(moved, (0, 0));
    }
}
