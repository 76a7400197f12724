//! Topics that exist before the clients start.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_client::admin::NewTopic;
use broker_client::{Admin, AdminError, Client, ErrorCode};
use broker_protocol::ids::NodeId;
use serde::{Deserialize, Serialize};

use crate::{ClientContext, WorkloadSpec};

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: i32,
    pub replication_factor: i16,
    /// Ids of each partition's replicas; empty: where the controller puts them.
    #[serde(default)]
    pub assignment: Vec<Vec<i32>>,
    #[serde(default)]
    pub configs: BTreeMap<String, String>,
}

/// Creates the topics, and waits until some broker names a leader for every partition.
///
/// # Errors
/// A sentence, when `limit` is over.
pub async fn setup(
    context: &ClientContext,
    topics: &[TopicSpec],
    limit: Duration,
) -> Result<(), String> {
    let client = context.client(&WorkloadSpec::default());
    let admin = Admin::new(client.clone());
    let deadline = context.env.now() + limit;
    for topic in topics {
        loop {
            let left = deadline.saturating_since(context.env.now());
            let Err(error) = create(&admin, topic, left).await else {
                break;
            };
            // Brokers may not have registered yet.
            if left.is_zero()
                || !matches!(
                    error.code(),
                    None | Some(ErrorCode::InvalidReplicationFactor)
                )
            {
                client.close();
                return Err(format!("cannot create {}: {error}", topic.name));
            }
            context.env.sleep(Duration::from_millis(200)).await;
        }
    }
    let led = wait_for_leaders(context, &client, topics, deadline).await;
    client.close();
    led
}

async fn create(admin: &Admin, topic: &TopicSpec, left: Duration) -> Result<(), AdminError> {
    let mut new = NewTopic::new(&topic.name, topic.partitions, topic.replication_factor);
    new.configs = topic.configs.clone();
    if !topic.assignment.is_empty() {
        (new.num_partitions, new.replication_factor) = (-1, -1);
        let replicas = topic.assignment.iter();
        let replicas = replicas.map(|ids| ids.iter().copied().map(NodeId).collect());
        new.assignments = (0..).zip(replicas).collect();
    }
    let results = admin.create_topics(&[new], false, left).await?;
    match results.into_values().next() {
        // Its own first attempt.
        Some(Err(error)) if error.code() == Some(ErrorCode::TopicAlreadyExists) => Ok(()),
        Some(result) => result.map(drop),
        None => Ok(()),
    }
}

async fn wait_for_leaders(
    context: &ClientContext,
    client: &Client,
    topics: &[TopicSpec],
    deadline: broker_env::Instant,
) -> Result<(), String> {
    let names = topics.iter().map(|topic| topic.name.clone()).collect();
    loop {
        let last = match client.refresh_metadata(&names).await {
            Ok(_) => match topics.iter().find(|topic| !is_led(client, topic)) {
                None => return Ok(()),
                Some(topic) => format!("{} has partitions without a leader", topic.name),
            },
            Err(error) => error.to_string(),
        };
        if context.env.now() >= deadline {
            return Err(last);
        }
        context.env.sleep(Duration::from_millis(100)).await;
    }
}

fn is_led(client: &Client, topic: &TopicSpec) -> bool {
    client.metadata(|metadata| {
        let known = metadata.topic(&topic.name);
        known.is_some_and(|known| {
            let led = known
                .partitions
                .values()
                .filter(|partition| partition.leader.is_some())
                .count();
            usize::try_from(topic.partitions).is_ok_and(|count| led >= count)
        })
    })
}
