//! An operator who moves replicas about (KIP-455), thinks better of it, and elects leaders (KIP-460).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_client::admin::ElectionType;
use broker_client::{Admin, AdminError, ErrorCode};
use broker_protocol::ids::{NodeId, TopicPartition};

use crate::{ClientContext, WorkloadSpec};

/// Replicas of a partition that every broker of a small cluster could hold, and that one may lack.
const REPLICAS_MIN: usize = 2;
const REPLICAS_MAX: usize = 3;

/// Runs until the stop; what is under way then goes on.
pub async fn operate(context: ClientContext, spec: Arc<WorkloadSpec>) {
    let client = context.client(&spec);
    let operator = Operator {
        admin: Admin::new(client.clone()),
        context,
        spec,
    };
    let interval = Duration::from_secs(1) / operator.spec.rate;
    while !operator.context.stop.is_stopped() {
        match operator.context.below(6) {
            0 | 1 => operator.start_one().await,
            2 => operator.cancel_one().await,
            3 => operator.elect_one().await,
            _ => {}
        }
        operator.context.pause(interval).await;
    }
    client.close();
}

struct Operator {
    admin: Admin,
    context: ClientContext,
    spec: Arc<WorkloadSpec>,
}

type Targets = BTreeMap<TopicPartition, Option<Vec<NodeId>>>;

impl Operator {
    async fn start_one(&self) {
        let Some(partition) = self.any_partition().await else {
            return;
        };
        let mut brokers: Vec<NodeId> = self.known_brokers();
        let span = REPLICAS_MAX - REPLICAS_MIN + 1;
        let count = (REPLICAS_MIN + self.context.below(span)).min(brokers.len());
        if count < REPLICAS_MIN {
            return;
        }
        let mut target = Vec::new();
        while target.len() < count {
            target.push(brokers.swap_remove(self.context.below(brokers.len())));
        }
        self.alter(Targets::from([(partition, Some(target))]), "reassign")
            .await;
    }

    async fn cancel_one(&self) {
        let ongoing = self
            .admin
            .list_partition_reassignments(self.spec.request_timeout())
            .await;
        let ongoing: Vec<TopicPartition> = match ongoing {
            Ok(ongoing) => ongoing.into_keys().collect(),
            Err(error) => return self.failed("list reassignments", &error),
        };
        if !ongoing.is_empty() {
            let partition = ongoing[self.context.below(ongoing.len())].clone();
            self.alter(Targets::from([(partition, None)]), "cancel")
                .await;
        }
    }

    async fn alter(&self, targets: Targets, what: &'static str) {
        let begun = self.context.recorder.now();
        let limit = self.spec.request_timeout();
        let results = self
            .admin
            .alter_partition_reassignments(&targets, limit)
            .await;
        match results.and_then(|results| results.into_values().collect::<Result<Vec<()>, _>>()) {
            Ok(_) => {
                self.context.recorder.took(what, begun);
                self.context
                    .recorder
                    .count(|stats| stats.reassignments += 1);
            }
            Err(error) => self.failed(what, &error),
        }
    }

    async fn elect_one(&self) {
        let Some(partition) = self.any_partition().await else {
            return;
        };
        let limit = self.spec.request_timeout();
        let results = self
            .admin
            .elect_leaders(ElectionType::Preferred, &[partition], limit)
            .await;
        match results.and_then(|results| results.into_values().collect::<Result<Vec<()>, _>>()) {
            Ok(_) => self.context.recorder.count(|stats| stats.elections += 1),
            Err(error) => self.failed("elect", &error),
        }
    }

    async fn any_partition(&self) -> Option<TopicPartition> {
        let topics = &self.spec.topics;
        let name = topics[self.context.below(topics.len())].clone();
        let described = self
            .admin
            .describe_topics(std::slice::from_ref(&name), self.spec.request_timeout())
            .await;
        let topic = match described.map(|mut described| described.remove(&name)) {
            Ok(topic) => topic?.ok()?,
            Err(error) => {
                self.failed("describe", &error);
                return None;
            }
        };
        let partitions: Vec<i32> = topic.partitions.keys().copied().collect();
        let index = partitions.get(self.context.below(partitions.len().max(1)))?;
        Some(TopicPartition::new(name, *index))
    }

    /// Those that live, as far as clients know.
    fn known_brokers(&self) -> Vec<NodeId> {
        let client = self.admin.client();
        client.metadata(|metadata| metadata.brokers.keys().copied().collect())
    }

    fn failed(&self, what: &str, error: &AdminError) {
        let kind = error.code().map_or("timeout", ErrorCode::name);
        self.context.recorder.count_error(what, kind);
    }
}
