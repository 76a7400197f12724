//! Who holds which office, as the cluster's own metadata say it.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_client::admin::TopicDescription;
use broker_client::{Admin, Client, ClientConfig};
use broker_env::{Address, Env};
use broker_protocol::ids::NodeId;
use sim_faults::TargetResolver;

/// A look at the cluster; old as soon as it is there.
#[derive(Clone, Debug, Default)]
pub struct Offices {
    nodes: Vec<String>,
    controller: Option<NodeId>,
    topics: BTreeMap<String, TopicDescription>,
}

/// Asks the cluster, with a connection of its own.
pub struct Asker {
    admin: Admin,
    /// Processes of which the target consists; none: the brokers that answer.
    nodes: Vec<String>,
    last: Offices,
}

const LIMIT: Duration = Duration::from_secs(2);

impl Asker {
    pub fn new(env: &Env, bootstrap: &[Address], nodes: Vec<String>) -> Asker {
        let config = ClientConfig {
            client_id: "trial".to_owned(),
            request_timeout: LIMIT,
            connection_setup_timeout: LIMIT,
            ..ClientConfig::new(bootstrap.to_vec())
        };
        Asker {
            admin: Admin::new(Client::new(env.clone(), config)),
            last: Offices {
                nodes: nodes.clone(),
                ..Offices::default()
            },
            nodes,
        }
    }

    /// What the cluster says now; what it does not say is as it was.
    pub async fn ask(&mut self) -> Offices {
        if let Ok(topics) = self.admin.list_topics(LIMIT).await {
            self.last.topics = topics;
        }
        if let Ok(quorum) = self.admin.describe_quorum(LIMIT).await {
            self.last.controller = Some(quorum.leader);
        }
        if self.nodes.is_empty()
            && let Ok(cluster) = self.admin.describe_cluster(LIMIT).await
        {
            let mut known: Vec<String> = cluster.nodes.iter().map(|node| name(node.id)).collect();
            known.extend(std::mem::take(&mut self.last.nodes));
            known.sort();
            known.dedup();
            self.last.nodes = known;
        }
        self.last.clone()
    }
}

fn name(id: NodeId) -> String {
    format!("node{}", id.0)
}

impl TargetResolver for Offices {
    fn nodes(&self) -> Vec<String> {
        self.nodes.clone()
    }

    fn leader(&self, topic: &str, partition: i32) -> Option<String> {
        let partition = self.topics.get(topic)?.partitions.get(&partition)?;
        partition.leader.map(name)
    }

    fn followers(&self, topic: &str, partition: i32) -> Vec<String> {
        let known = self
            .topics
            .get(topic)
            .and_then(|topic| topic.partitions.get(&partition));
        let Some(known) = known else {
            return Vec::new();
        };
        let others = known
            .replicas
            .iter()
            .filter(|replica| Some(**replica) != known.leader);
        let mut names: Vec<String> = others.map(|replica| name(*replica)).collect();
        names.sort();
        names
    }

    fn controller(&self) -> Option<String> {
        self.controller.map(name)
    }

    fn group_coordinator(&self, _group: &str) -> Option<String> {
        None
    }

    fn transaction_coordinator(&self, _transactional_id: &str) -> Option<String> {
        None
    }

    fn partitions(&self) -> Vec<(String, i32)> {
        let numbered = |(name, topic): (&String, &TopicDescription)| {
            let numbers: Vec<i32> = topic.partitions.keys().copied().collect();
            numbers
                .into_iter()
                .map(|number| (name.clone(), number))
                .collect::<Vec<_>>()
        };
        self.topics.iter().flat_map(numbered).collect()
    }
}
