//! Fetch requests, one under way per broker, and what comes back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use broker_core::consumer::aborted::{AbortedTransactions, BatchOfProducer};
use broker_core::consumer::{
    EpochEndOffset, FetchPosition, Fetched, FetchedBatch, Generation, Input, OffsetAndEpoch,
};
use broker_core::fetch_session::{FetchParams, SessionRequest};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition, Uuid};
use broker_protocol::record::{ControlRecordType, RecordBatch, RecordBatches};
use bytes::Bytes;

use super::ConsumerRecord;
use super::buffer::Chunk;
use super::shell::{Shell, State};
use crate::config::millis;
use crate::connections::Lane;
use crate::error::CallError;
use crate::tasks::lock;

/// Decompressed size of one batch above which it counts as corrupt.
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

type Answers = BTreeMap<TopicIdPartition, Result<wire::FetchPartitionData, ErrorCode>>;

/// Decoded records of one partition's answer.
pub struct Arrived {
    topic: Arc<str>,
    records: VecDeque<ConsumerRecord>,
}

impl Arrived {
    /// Those of `from..next`.
    pub fn into_chunk(
        mut self,
        id: TopicIdPartition,
        generation: Generation,
        from: i64,
        next: OffsetAndEpoch,
    ) -> Chunk {
        self.records
            .retain(|record| (from..next.offset).contains(&record.offset));
        Chunk {
            id,
            generation,
            topic: self.topic,
            from,
            next,
            records: self.records,
        }
    }
}

impl Shell {
    pub(super) fn fetch(
        self: &Arc<Self>,
        state: &mut State,
        node: NodeId,
        positions: Vec<FetchPosition>,
    ) {
        state.fetching.insert(node);
        let wanted = positions
            .iter()
            .map(|position| (position.partition, self.params(position)))
            .collect();
        let session = state.sessions.entry(node).or_default();
        session.want_only(&wanted);
        let session = session.request();
        let request = self.fetch_request(state, session);
        let weak = Arc::downgrade(self);
        let client = self.client.clone();
        let limit = client.config().request_timeout + self.config.fetch_max_wait;
        self.tasks.spawn("fetch", async move {
            let result = client.call_on(node, Lane::Fetch, &request, limit).await;
            finish(&weak, node, &positions, result);
        });
    }

    fn params(&self, position: &FetchPosition) -> FetchParams {
        FetchParams {
            current_leader_epoch: Some(position.current_leader_epoch),
            fetch_offset: position.offset,
            last_fetched_epoch: position.last_fetched_epoch,
            log_start: -1,
            max_bytes: self.config.max_partition_fetch_bytes,
        }
    }

    fn fetch_request(&self, state: &State, session: SessionRequest) -> wire::FetchRequest {
        let name = |topic_id: &Uuid| match state.names.get(topic_id) {
            Some(name) => name.to_string(),
            None => String::new(),
        };
        let mut topics: BTreeMap<Uuid, Vec<wire::FetchPartition>> = BTreeMap::new();
        for (id, params) in session.partitions {
            let epoch = |epoch: Option<LeaderEpoch>| epoch.map_or(-1, |epoch| epoch.0);
            topics
                .entry(id.topic_id)
                .or_default()
                .push(wire::FetchPartition {
                    partition: id.partition,
                    current_leader_epoch: epoch(params.current_leader_epoch),
                    fetch_offset: params.fetch_offset,
                    last_fetched_epoch: epoch(params.last_fetched_epoch),
                    partition_max_bytes: params.max_bytes,
                    ..Default::default()
                });
        }
        let mut forgotten: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for id in session.forgotten {
            forgotten.entry(id.topic_id).or_default().push(id.partition);
        }
        let topic = |(topic_id, partitions)| wire::FetchTopic {
            topic: name(&topic_id),
            topic_id,
            partitions,
            ..Default::default()
        };
        let forgotten_topic = |(topic_id, partitions)| wire::ForgottenTopic {
            topic: name(&topic_id),
            topic_id,
            partitions,
            ..Default::default()
        };
        wire::FetchRequest {
            max_wait_ms: millis(self.config.fetch_max_wait),
            min_bytes: self.config.fetch_min_bytes,
            max_bytes: self.config.fetch_max_bytes,
            isolation_level: self.config.isolation_level.code(),
            rack_id: self.config.client_rack.clone(),
            session_id: session.session_id,
            session_epoch: session.session_epoch,
            topics: topics.into_iter().map(topic).collect(),
            forgotten_topics_data: forgotten.into_iter().map(forgotten_topic).collect(),
            ..Default::default()
        }
    }

    fn fetched(
        self: &Arc<Self>,
        node: NodeId,
        positions: &[FetchPosition],
        response: wire::FetchResponse,
    ) {
        let session_id = response.session_id;
        let (mut answers, moved) = self.by_partition(response);
        let mut state = lock(&self.state);
        state.fetching.remove(&node);
        let answered = answers.keys().copied().collect();
        let session = state.sessions.entry(node).or_default();
        if let Err(error) = session.answered(session_id, &answered) {
            drop(state);
            return failed(self, node, positions, error);
        }
        for position in positions {
            let (result, arrived) = match answers.remove(&position.partition) {
                Some(Ok(data)) => self.read(&state, position.partition, data),
                Some(Err(error)) => (Err(error), None),
                // Nothing is new there.
                None => {
                    let unchanged = Input::FetchUnchanged {
                        position: *position,
                    };
                    self.step(&mut state, unchanged, None);
                    continue;
                }
            };
            self.step(
                &mut state,
                Input::FetchResult {
                    position: *position,
                    result,
                },
                arrived,
            );
        }
        if moved {
            self.tell_leaders(&mut state);
        }
        self.pump(&mut state);
    }

    /// Also takes over which leaders and addresses the broker named (KIP-951); true if there is a new leader.
    fn by_partition(&self, response: wire::FetchResponse) -> (Answers, bool) {
        let (mut answers, mut moved) = (BTreeMap::new(), false);
        self.client.with_metadata(|metadata| {
            for node in &response.node_endpoints {
                metadata.endpoint(node.node_id, &node.host, node.port, node.rack.as_deref());
            }
            for topic in response.responses {
                for data in topic.partitions {
                    let id = TopicIdPartition {
                        topic_id: topic.topic_id,
                        partition: data.partition_index,
                    };
                    let leader = &data.current_leader;
                    if leader.leader_id >= 0 {
                        let (node, epoch) =
                            (NodeId(leader.leader_id), LeaderEpoch(leader.leader_epoch));
                        moved |= metadata.hint(id.topic_id, id.partition, node, epoch);
                    }
                    let answer = match ErrorCode::from_code_or_unknown(data.error_code) {
                        ErrorCode::None => Ok(data),
                        error => Err(error),
                    };
                    answers.insert(id, answer);
                }
            }
        });
        (answers, moved)
    }

    fn read(
        &self,
        state: &State,
        id: TopicIdPartition,
        data: wire::FetchPartitionData,
    ) -> (Result<Fetched, ErrorCode>, Option<Arrived>) {
        let Some(topic) = state.names.get(&id.topic_id) else {
            return (Err(ErrorCode::UnknownTopicId), None);
        };
        let mut fetched = Fetched {
            diverging: diverging(&data.diverging_epoch),
            high_watermark: data.high_watermark,
            log_start: data.log_start_offset,
            preferred_read_replica: (data.preferred_read_replica >= 0)
                .then_some(NodeId(data.preferred_read_replica)),
            batches: Vec::new(),
        };
        let mut arrived = Arrived {
            topic: topic.clone(),
            records: VecDeque::new(),
        };
        let bytes = data.records.unwrap_or_default();
        let aborted = data.aborted_transactions.unwrap_or_default();
        let aborted = aborted
            .iter()
            .map(|one| (one.producer_id, one.first_offset));
        let aborted = AbortedTransactions::new(aborted);
        let sound = self.decode(bytes, id, aborted, &mut fetched, &mut arrived);
        // What is sound comes first; the next fetch begins with the rest.
        if !sound && fetched.batches.is_empty() {
            return (Err(ErrorCode::CorruptMessage), None);
        }
        (Ok(fetched), Some(arrived))
    }

    /// False if it ended at something unsound. A batch cut off at the end is none, unless it is the first.
    fn decode(
        &self,
        bytes: Bytes,
        id: TopicIdPartition,
        mut aborted: AbortedTransactions,
        fetched: &mut Fetched,
        arrived: &mut Arrived,
    ) -> bool {
        let some = !bytes.is_empty();
        for batch in RecordBatches::new(bytes) {
            let records = batch
                .ok()
                .and_then(|batch| Some((self.records(&batch, id, &arrived.topic)?, batch)));
            let Some((records, batch)) = records else {
                return false;
            };
            if !aborted.is_aborted(of_producer(&batch)) {
                arrived.records.extend(records);
            }
            fetched.batches.push(FetchedBatch {
                base_offset: batch.base_offset(),
                last_offset: batch.last_offset(),
                leader_epoch: LeaderEpoch(batch.partition_leader_epoch()),
            });
        }
        !some || !fetched.batches.is_empty()
    }

    /// `None` if the batch is not sound. Control records are not for the application.
    fn records(
        &self,
        batch: &RecordBatch,
        id: TopicIdPartition,
        topic: &Arc<str>,
    ) -> Option<Vec<ConsumerRecord>> {
        if self.config.check_crcs
            && let Err(error) = batch.validate()
        {
            tracing::warn!(%topic, partition = id.partition, offset = batch.base_offset(), %error, "corrupt batch");
            return None;
        }
        if batch.is_control() {
            return Some(Vec::new());
        }
        let leader_epoch = LeaderEpoch(batch.partition_leader_epoch());
        let records = batch.records(DECOMPRESSED_BYTES_MAX).ok()?.map(|record| {
            record.ok().map(|record| ConsumerRecord {
                topic: topic.clone(),
                partition: id.partition,
                offset: record.offset,
                leader_epoch,
                timestamp: record.timestamp,
                key: record.key,
                value: record.value,
                headers: record.headers,
            })
        });
        records.collect()
    }
}

fn of_producer(batch: &RecordBatch) -> BatchOfProducer {
    BatchOfProducer {
        last_offset: batch.last_offset(),
        producer_id: batch.producer_id(),
        is_transactional: batch.is_transactional(),
        is_abort_marker: batch.is_control() && is_abort_marker(batch),
    }
}

/// A marker is the only record of its batch.
fn is_abort_marker(batch: &RecordBatch) -> bool {
    let Ok(mut records) = batch.records(DECOMPRESSED_BYTES_MAX) else {
        return false;
    };
    let key = records.next().and_then(Result::ok);
    let key = key.and_then(|record| record.key);
    let kind = key.and_then(|key| ControlRecordType::from_key(&key).ok().flatten());
    kind == Some(ControlRecordType::Abort)
}

fn diverging(told: &wire::FetchEpochEndOffset) -> Option<EpochEndOffset> {
    (told.epoch >= 0).then_some(EpochEndOffset {
        epoch: LeaderEpoch(told.epoch),
        end_offset: told.end_offset,
    })
}

/// Every partition that was asked for gets a result, so that none stays in flight.
fn finish(
    shell: &Weak<Shell>,
    node: NodeId,
    positions: &[FetchPosition],
    result: Result<wire::FetchResponse, CallError>,
) {
    let Some(shell) = shell.upgrade() else { return };
    match result {
        Ok(response) if response.error_code == ErrorCode::None.code() => {
            shell.fetched(node, positions, response)
        }
        Ok(response) => {
            let error = ErrorCode::from_code_or_unknown(response.error_code);
            let again = lock(&shell.state)
                .sessions
                .entry(node)
                .or_default()
                .refused(error);
            if again {
                return unanswered(&shell, node, positions);
            }
            failed(&shell, node, positions, error);
        }
        Err(error) => {
            tracing::debug!(%node, %error, "fetch failed");
            if let Some(session) = lock(&shell.state).sessions.get_mut(&node) {
                session.failed();
            }
            failed(&shell, node, positions, ErrorCode::NetworkException);
        }
    }
}

fn failed(shell: &Arc<Shell>, node: NodeId, positions: &[FetchPosition], error: ErrorCode) {
    lock(&shell.state).fetching.remove(&node);
    shell.steps(positions.iter().map(|position| Input::FetchResult {
        position: *position,
        result: Err(error),
    }));
}

/// The session is over, and a full fetch may follow at once.
fn unanswered(shell: &Arc<Shell>, node: NodeId, positions: &[FetchPosition]) {
    lock(&shell.state).fetching.remove(&node);
    shell.steps(positions.iter().map(|position| Input::FetchUnchanged {
        position: *position,
    }));
}
