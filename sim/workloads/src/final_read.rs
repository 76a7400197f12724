//! The complete read at the end: every partition from its start to its end, by a fresh consumer.

mod proofs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_client::{Client, Consumer, ConsumerConfig, IsolationLevel, OffsetSpec, TopicPartition};
use broker_env::{BoxFuture, Instant};
use serde::{Deserialize, Serialize};

use crate::produce_consume::Reading;
use crate::{ClientContext, WorkloadSpec};

/// A partition that could not be read to its end in time (LIVE-5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    pub topic: String,
    /// -1: not even the topic's partitions or offsets could be learned.
    pub partition: i32,
    /// `None`: not known.
    pub position: Option<i64>,
    pub end: Option<i64>,
    /// The last error, if one was told.
    pub detail: String,
}

/// How the final read ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalRead {
    pub stuck: Vec<Stuck>,
    /// Partitions read to their end.
    pub complete: u32,
}

impl FinalRead {
    /// Whether the history holds a complete final read of every partition.
    pub fn is_complete(&self) -> bool {
        self.stuck.is_empty()
    }
}

/// Reads all partitions of the workload's topics; ends by itself within `finish_timeout_ms`.
pub fn finish(context: ClientContext, spec: Arc<WorkloadSpec>) -> BoxFuture<'static, FinalRead> {
    Box::pin(async move {
        let client = context.client(&spec);
        let deadline = context.env.now() + Duration::from_millis(spec.finish_timeout_ms);
        let result = match ends(&context, &client, &spec, deadline).await {
            Ok(ends) => {
                let whole = IsolationLevel::ReadUncommitted;
                let mut result = read(&context, &client, &spec, &ends, whole, deadline).await;
                if spec.isolation() == IsolationLevel::ReadCommitted {
                    let stable = proofs::stable_ends(&context, &client, &spec, &ends, deadline);
                    let (stable, committed) = (stable.await, spec.isolation());
                    let again = read(&context, &client, &spec, &stable, committed, deadline).await;
                    result.stuck.extend(again.stuck);
                }
                proofs::note_bounds(&context, &client, &spec, ends.keys()).await;
                proofs::work_again(&context, &client, &spec).await;
                result
            }
            Err(stuck) => FinalRead {
                stuck: vec![stuck],
                complete: 0,
            },
        };
        client.close();
        result
    })
}

/// Where each partition ends now.
async fn ends(
    context: &ClientContext,
    client: &Client,
    spec: &WorkloadSpec,
    deadline: Instant,
) -> Result<BTreeMap<TopicPartition, i64>, Stuck> {
    let mut ends = BTreeMap::new();
    for topic in &spec.topics {
        let stuck = |detail: String| Stuck {
            topic: topic.clone(),
            partition: -1,
            position: None,
            end: None,
            detail,
        };
        let left = || deadline.saturating_since(context.env.now());
        let known = client
            .topic(topic, left())
            .await
            .map_err(|(_, reason)| stuck(reason))?;
        let partitions: Vec<TopicPartition> = known
            .partitions
            .keys()
            .map(|index| TopicPartition::new(topic, *index))
            .collect();
        let listed = client
            .list_offsets(&partitions, OffsetSpec::Latest, left())
            .await;
        let listed = listed.map_err(|error| stuck(error.to_string()))?;
        ends.extend(
            listed
                .into_iter()
                .map(|(partition, listed)| (partition, listed.offset)),
        );
    }
    Ok(ends)
}

async fn read(
    context: &ClientContext,
    client: &Client,
    spec: &WorkloadSpec,
    ends: &BTreeMap<TopicPartition, i64>,
    isolation_level: IsolationLevel,
    deadline: Instant,
) -> FinalRead {
    let config = ConsumerConfig {
        isolation_level,
        ..spec.consumer_config()
    };
    let consumer = Consumer::new(client.clone(), config);
    let mut reading = Reading::new(context, isolation_level);
    let partitions: Vec<TopicPartition> = ends.keys().cloned().collect();
    let assigned = reading.assign(&consumer, &partitions).await;
    let behind = || -> Vec<(&TopicPartition, i64)> {
        let at_end = |(partition, end): &(&TopicPartition, &i64)| {
            consumer
                .position(partition)
                .is_some_and(|position| position >= **end)
        };
        ends.iter()
            .filter(|one| !at_end(one))
            .map(|(partition, end)| (partition, *end))
            .collect()
    };
    while assigned && !behind().is_empty() && context.env.now() < deadline {
        reading.poll(&consumer, Duration::from_millis(100)).await;
    }
    let stuck: Vec<Stuck> = behind()
        .into_iter()
        .map(|(partition, end)| Stuck {
            topic: partition.topic.clone(),
            partition: partition.partition,
            position: consumer.position(partition),
            end: Some(end),
            detail: "the end was not reached in time".to_string(),
        })
        .collect();
    consumer.close();
    let complete = u32::try_from(ends.len() - stuck.len()).expect("fewer than 2^32 partitions");
    FinalRead { stuck, complete }
}
