//! Tells the controller which log directory hosts which replica (KIP-858), until it knows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{NodeId, TopicIdPartition, Uuid};
use tokio::sync::mpsc;

use crate::config::BrokerConfig;
use crate::controller_channel::ControllerChannel;
use crate::metadata_cache::MetadataCache;

const VERSION: i16 = 0;
/// As many as fit into one request, in Kafka.
const ASSIGNMENTS_MAX: usize = 2_250;
const RETRY: Duration = Duration::from_millis(200);

/// A replica and the directory that hosts it.
pub type Assignment = (TopicIdPartition, Uuid);

pub struct DirectoryAssignments {
    pub config: Arc<BrokerConfig>,
    pub metadata: Arc<MetadataCache>,
    pub controller: ControllerChannel,
}

impl DirectoryAssignments {
    /// Runs until the broker stops. A later assignment of a replica replaces an earlier one.
    pub async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Assignment>) {
        let mut pending: BTreeMap<TopicIdPartition, Uuid> = BTreeMap::new();
        loop {
            if pending.is_empty() {
                let Some((partition, directory)) = queue.recv().await else {
                    return;
                };
                pending.insert(partition, directory);
            }
            while let Ok((partition, directory)) = queue.try_recv() {
                pending.insert(partition, directory);
            }
            let sent: Vec<Assignment> = pending
                .iter()
                .take(ASSIGNMENTS_MAX)
                .map(|(partition, directory)| (*partition, *directory))
                .collect();
            let settled = self.send(&sent).await;
            if settled.is_empty() {
                self.controller.leadership_changed(RETRY).await;
            }
            for partition in settled {
                pending.remove(&partition);
            }
        }
    }

    /// Which of them need not be sent again.
    async fn send(&mut self, assignments: &[Assignment]) -> Vec<TopicIdPartition> {
        let request = self.request(assignments);
        let limit =
            Duration::from_millis(u64::try_from(self.config.request_timeout_ms).unwrap_or(0));
        match self.controller.call(&request, VERSION, limit).await {
            Ok(response) if response.error_code == 0 => settled(&response),
            Ok(response) => {
                let code = ErrorCode::from_code(response.error_code);
                tracing::debug!(node = self.config.node_id, ?code, "assignments refused");
                Vec::new()
            }
            Err(error) => {
                tracing::debug!(node = self.config.node_id, %error, "assignments failed");
                Vec::new()
            }
        }
    }

    fn request(&self, assignments: &[Assignment]) -> wire::AssignReplicasToDirsRequest {
        let mut directories: BTreeMap<Uuid, BTreeMap<Uuid, Vec<i32>>> = BTreeMap::new();
        for (partition, directory) in assignments {
            let topics = directories.entry(*directory).or_default();
            let partitions = topics.entry(partition.topic_id).or_default();
            partitions.push(partition.partition);
        }
        let partition = |partition_index| wire::AssignReplicasToDirsRequestPartition {
            partition_index,
            ..Default::default()
        };
        let topic =
            |(topic_id, partitions): (Uuid, Vec<i32>)| wire::AssignReplicasToDirsRequestTopic {
                topic_id,
                partitions: partitions.into_iter().map(partition).collect(),
                ..Default::default()
            };
        let directory = |(id, topics): (Uuid, BTreeMap<Uuid, Vec<i32>>)| {
            wire::AssignReplicasToDirsRequestDirectory {
                id,
                topics: topics.into_iter().map(topic).collect(),
                ..Default::default()
            }
        };
        let me = NodeId(self.config.node_id);
        wire::AssignReplicasToDirsRequest {
            broker_id: me.0,
            broker_epoch: self
                .metadata
                .read(|image| image.broker(me).map_or(-1, |broker| broker.epoch.0)),
            directories: directories.into_iter().map(directory).collect(),
            ..Default::default()
        }
    }
}

/// Those that are known now, and those that are no longer this broker's to assign.
fn settled(response: &wire::AssignReplicasToDirsResponse) -> Vec<TopicIdPartition> {
    let mut settled = Vec::new();
    for topic in response.directories.iter().flat_map(|it| &it.topics) {
        for partition in &topic.partitions {
            let done = matches!(
                ErrorCode::from_code(partition.error_code),
                Some(
                    ErrorCode::None
                        | ErrorCode::UnknownTopicId
                        | ErrorCode::UnknownTopicOrPartition
                        | ErrorCode::NotLeaderOrFollower
                )
            );
            if done {
                settled.push(TopicIdPartition {
                    topic_id: topic.topic_id,
                    partition: partition.partition_index,
                });
            }
        }
    }
    settled
}
