//! ListOffsets: where a partition begins and ends, and what is at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, TopicPartition};

use crate::client::Client;
use crate::config::IsolationLevel;
use crate::error::{AdminError, CallError};

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OffsetSpec {
    /// The log start.
    Earliest,
    /// The high watermark: where the next record a consumer gets will be.
    Latest,
    /// The last stable offset: where a consumer that reads committed records gets its next one.
    LastStable,
    /// Of the record with the greatest timestamp.
    MaxTimestamp,
    /// Of the first record with this timestamp (ms) or a later one.
    Timestamp(i64),
}

impl OffsetSpec {
    fn code(self) -> i64 {
        match self {
            OffsetSpec::Latest | OffsetSpec::LastStable => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::Timestamp(timestamp) => timestamp,
        }
    }
}

/// A broker's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListedOffset {
    /// -1 if no record has such a timestamp.
    pub offset: i64,
    /// Of that record, ms; -1 for `Earliest` and `Latest`.
    pub timestamp: i64,
    pub leader_epoch: Option<LeaderEpoch>,
}

/// What one leader is asked: partition, the leader epoch believed in (-1 none), which offset.
pub(crate) type Question = (TopicPartition, LeaderEpoch, OffsetSpec);
pub(crate) type Answers = BTreeMap<TopicPartition, Result<ListedOffset, ErrorCode>>;

/// Asks one broker, once. Partitions it leaves out have no answer.
pub(crate) async fn ask(
    client: &Client,
    node: NodeId,
    questions: &[Question],
) -> Result<Answers, CallError> {
    let mut topics: BTreeMap<&str, Vec<wire::ListOffsetsPartition>> = BTreeMap::new();
    for (partition, epoch, spec) in questions {
        topics
            .entry(&partition.topic)
            .or_default()
            .push(wire::ListOffsetsPartition {
                partition_index: partition.partition,
                current_leader_epoch: epoch.0,
                timestamp: spec.code(),
                ..Default::default()
            });
    }
    let topic =
        |(name, partitions): (&str, Vec<wire::ListOffsetsPartition>)| wire::ListOffsetsTopic {
            name: name.to_string(),
            partitions,
            ..Default::default()
        };
    let request = wire::ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation(questions).code(),
        topics: topics.into_iter().map(topic).collect(),
        timeout_ms: crate::config::millis(client.config().request_timeout),
        ..Default::default()
    };
    let response = client
        .call(node, &request, client.config().request_timeout)
        .await?;
    Ok(answers(response))
}

/// One for all: nobody asks for both ends at once, and the start is the same for all.
fn isolation(questions: &[Question]) -> IsolationLevel {
    let stable = |(_, _, spec): &Question| *spec == OffsetSpec::LastStable;
    if questions.iter().any(stable) {
        IsolationLevel::ReadCommitted
    } else {
        IsolationLevel::ReadUncommitted
    }
}

fn answers(response: wire::ListOffsetsResponse) -> Answers {
    let mut answers = BTreeMap::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let id = TopicPartition::new(topic.name.clone(), partition.partition_index);
            let result = match ErrorCode::from_code_or_unknown(partition.error_code) {
                ErrorCode::None => Ok(ListedOffset {
                    offset: partition.offset,
                    timestamp: partition.timestamp,
                    leader_epoch: (partition.leader_epoch >= 0)
                        .then_some(LeaderEpoch(partition.leader_epoch)),
                }),
                error => Err(error),
            };
            answers.insert(id, result);
        }
    }
    answers
}

impl Client {
    /// Asks the leaders until each partition has an answer or `limit` is over.
    ///
    /// # Errors
    /// The first final error, or the last retriable one when the time is over.
    pub async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        limit: Duration,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, AdminError> {
        let deadline = self.env().now() + limit;
        let mut listed = BTreeMap::new();
        let mut left: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        let mut attempt = 0;
        loop {
            let last = self.list_some(&mut left, spec, &mut listed).await?;
            if left.is_empty() {
                return Ok(listed);
            }
            if !self.pause_before_retry(attempt, deadline).await {
                return Err(AdminError::Timeout { limit, last });
            }
            attempt += 1;
            let topics = left
                .iter()
                .map(|partition| partition.topic.clone())
                .collect();
            if let Err(CallError::Closed) = self.refresh_metadata(&topics).await {
                return Err(AdminError::Closed);
            }
        }
    }

    /// One round over the leaders; gives the last retriable error.
    async fn list_some(
        &self,
        left: &mut BTreeSet<TopicPartition>,
        spec: OffsetSpec,
        listed: &mut BTreeMap<TopicPartition, ListedOffset>,
    ) -> Result<String, AdminError> {
        let mut last = "no leader is known".to_string();
        for (leader, questions) in self.by_leader(left, spec) {
            let answers = match ask(self, leader, &questions).await {
                Ok(answers) => answers,
                Err(CallError::Closed) => return Err(AdminError::Closed),
                Err(error) => {
                    last = error.to_string();
                    continue;
                }
            };
            for (partition, answer) in answers {
                match answer {
                    Ok(offset) if left.remove(&partition) => drop(listed.insert(partition, offset)),
                    Ok(_) => {}
                    Err(error) if error.is_retriable() || error == ErrorCode::FencedLeaderEpoch => {
                        last = format!("{partition}: {error}");
                    }
                    Err(error) => return Err(AdminError::api(error, Some(partition.to_string()))),
                }
            }
        }
        Ok(last)
    }

    fn by_leader(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        spec: OffsetSpec,
    ) -> BTreeMap<NodeId, Vec<Question>> {
        let mut questions: BTreeMap<NodeId, Vec<Question>> = BTreeMap::new();
        self.metadata(|metadata| {
            for partition in partitions {
                let known = metadata.partition(&partition.topic, partition.partition);
                let Some((leader, epoch)) =
                    known.and_then(|known| Some((known.leader?, known.leader_epoch)))
                else {
                    continue;
                };
                questions
                    .entry(leader)
                    .or_default()
                    .push((partition.clone(), epoch, spec));
            }
        });
        questions
    }
}
