//! Produce requests out of batches, and what their answers say.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use broker_core::producer::{BatchToSend, Input, RequestId};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition, Uuid};
use broker_protocol::record::{BatchBuilder, BatchOptions};
use bytes::Bytes;

use super::shell::{Shell, State};
use crate::client::Client;
use crate::config::{Acks, ProducerConfig, millis};
use crate::error::CallError;
use crate::tasks::lock;

/// The last version in which a partition has to be in the transaction before its records come (KIP-890).
const PRODUCE_CLASSIC: i16 = 11;

/// What a broker, or the network, said beside the error code.
#[derive(Debug, Default)]
pub struct Told {
    append_times: BTreeMap<TopicIdPartition, i64>,
    reasons: BTreeMap<TopicIdPartition, String>,
    failure: Option<String>,
}

impl Told {
    /// Nobody said anything in time.
    pub fn late() -> Told {
        Told {
            failure: Some("no success within delivery.timeout.ms".to_string()),
            ..Default::default()
        }
    }

    pub fn append_time(&self, partition: TopicIdPartition) -> Option<i64> {
        self.append_times.get(&partition).copied()
    }

    pub fn reason(&self, partition: TopicIdPartition) -> String {
        let reason = self.reasons.get(&partition).or(self.failure.as_ref());
        reason
            .cloned()
            .unwrap_or_else(|| "no reason was given".to_string())
    }
}

/// What became of each partition of a request.
type Results = Vec<(TopicIdPartition, Result<Offset, ErrorCode>)>;

impl Shell {
    pub(super) fn produce(
        self: &Arc<Self>,
        state: &State,
        request: RequestId,
        node: NodeId,
        batches: &[BatchToSend],
    ) {
        let partitions: Vec<TopicIdPartition> =
            batches.iter().map(|batch| batch.partition).collect();
        let wire_request = self.wire_request(state, batches);
        let (weak, client) = (Arc::downgrade(self), self.client.clone());
        let config = self.config.clone();
        let classic = config.transactional_id.is_some() && !state.core.is_implicit();
        let max = if classic { PRODUCE_CLASSIC } else { i16::MAX };
        let exchange = async move { exchange(&client, node, &wire_request, max, &config).await };
        let begun = begin(Box::pin(exchange));
        self.tasks.spawn("produce", async move {
            let result = begun.await;
            finish(&weak, request, &partitions, result);
        });
    }

    fn wire_request(&self, state: &State, batches: &[BatchToSend]) -> wire::ProduceRequest {
        let mut topics: BTreeMap<Uuid, Vec<wire::PartitionProduceData>> = BTreeMap::new();
        for batch in batches {
            topics
                .entry(batch.partition.topic_id)
                .or_default()
                .push(wire::PartitionProduceData {
                    index: batch.partition.partition,
                    records: Some(self.encode(state, batch)),
                    ..Default::default()
                });
        }
        let topic = |(topic_id, partition_data)| wire::TopicProduceData {
            name: state.names.get(&topic_id).cloned().unwrap_or_default(),
            topic_id,
            partition_data,
            ..Default::default()
        };
        wire::ProduceRequest {
            transactional_id: self.config.transactional_id.clone(),
            acks: self.config.acks.code(),
            timeout_ms: millis(self.config.request_timeout),
            topic_data: topics.into_iter().map(topic).collect(),
            ..Default::default()
        }
    }

    fn encode(&self, state: &State, batch: &BatchToSend) -> Bytes {
        let mut options = BatchOptions {
            compression: self.config.compression,
            is_transactional: self.config.transactional_id.is_some(),
            ..Default::default()
        };
        if let Some(sequence) = batch.sequence {
            options.producer_id = sequence.producer.producer_id;
            options.producer_epoch = sequence.producer.producer_epoch;
            options.base_sequence = sequence.base_sequence;
        }
        let mut builder = BatchBuilder::new(options);
        for handle in &batch.records {
            let pending = state
                .records
                .get(handle)
                .expect("a record is kept until its outcome");
            let record = &pending.record;
            builder.append(
                pending.timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                &record.headers,
            );
        }
        builder.build().into_bytes()
    }

    fn answered(
        self: &Arc<Self>,
        request: RequestId,
        asked: &[TopicIdPartition],
        response: wire::ProduceResponse,
    ) {
        let mut state = lock(&self.state);
        let (results, told, moved) = self.read(&state, asked, response);
        for topic_id in moved {
            self.tell_leaders(&mut state, topic_id);
        }
        self.step(&mut state, Input::Response { request, results }, &told);
    }

    /// Outcomes, what was said beside, and the topics of which new leaders were named (KIP-951).
    fn read(
        &self,
        state: &State,
        asked: &[TopicIdPartition],
        response: wire::ProduceResponse,
    ) -> (Results, Told, Vec<Uuid>) {
        let (mut results, mut told, mut moved) = (Vec::new(), Told::default(), Vec::new());
        self.client.with_metadata(|metadata| {
            for node in &response.node_endpoints {
                metadata.endpoint(node.node_id, &node.host, node.port, node.rack.as_deref());
            }
        });
        for topic in response.responses {
            for partition in topic.partition_responses {
                let is_it = |id: &&TopicIdPartition| {
                    let same = id.topic_id == topic.topic_id
                        || state.names.get(&id.topic_id) == Some(&topic.name);
                    same && id.partition == partition.index
                };
                let Some(id) = asked.iter().find(is_it).copied() else {
                    continue;
                };
                let error = ErrorCode::from_code_or_unknown(partition.error_code);
                results.push((
                    id,
                    if error.is_error() {
                        Err(error)
                    } else {
                        Ok(partition.base_offset)
                    },
                ));
                if partition.log_append_time_ms >= 0 {
                    told.append_times.insert(id, partition.log_append_time_ms);
                }
                if error.is_error() {
                    let reason = partition
                        .error_message
                        .unwrap_or_else(|| "answered by the broker".to_string());
                    told.reasons.insert(id, reason);
                }
                let leader = partition.current_leader;
                if leader.leader_id >= 0
                    && self.hint(
                        id,
                        NodeId(leader.leader_id),
                        LeaderEpoch(leader.leader_epoch),
                    )
                {
                    moved.push(id.topic_id);
                }
            }
        }
        moved.dedup();
        (results, told, moved)
    }

    fn hint(&self, id: TopicIdPartition, leader: NodeId, epoch: LeaderEpoch) -> bool {
        self.client
            .with_metadata(|metadata| metadata.hint(id.topic_id, id.partition, leader, epoch))
    }
}

/// Polls once, at once: requests get into the connection's queue in the order in which the core makes them, not
/// in the order in which their tasks happen to run. A broker refuses a batch that overtakes another.
fn begin<T>(
    mut future: std::pin::Pin<Box<impl Future<Output = T> + Send>>,
) -> impl Future<Output = T> + Send
where
    T: Send,
{
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let first = future.as_mut().poll(&mut context);
    async move {
        match first {
            std::task::Poll::Ready(done) => done,
            std::task::Poll::Pending => future.await,
        }
    }
}

/// `None` if no answer is to come.
async fn exchange(
    client: &Client,
    node: NodeId,
    request: &wire::ProduceRequest,
    max: i16,
    config: &ProducerConfig,
) -> Result<Option<wire::ProduceResponse>, CallError> {
    if config.acks == Acks::None {
        return client
            .send(node, request, config.request_timeout)
            .await
            .map(|()| None);
    }
    client
        .call_up_to(node, request, max, config.request_timeout)
        .await
        .map(Some)
}

fn finish(
    shell: &Weak<Shell>,
    request: RequestId,
    partitions: &[TopicIdPartition],
    result: Result<Option<wire::ProduceResponse>, CallError>,
) {
    let Some(shell) = shell.upgrade() else { return };
    match result {
        Ok(Some(response)) => shell.answered(request, partitions, response),
        Ok(None) => {
            let results = partitions
                .iter()
                .map(|partition| (*partition, Ok(-1)))
                .collect();
            shell.step(
                &mut lock(&shell.state),
                Input::Response { request, results },
                &Told::default(),
            );
        }
        Err(error) => {
            let told = Told {
                failure: Some(error.to_string()),
                ..Default::default()
            };
            let sent = error.may_have_arrived();
            shell.step(
                &mut lock(&shell.state),
                Input::RequestFailed { request, sent },
                &told,
            );
        }
    }
}
