//! What operators do through the admin client, beside the run: it takes as long as it takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_client::admin::{
    AlterConfigOp, AlterOperation, ConfigResource, ElectionType, FeatureUpdate, QuorumReplica,
    UpgradeType, VoterEndpoint,
};
use broker_client::{Admin, AdminError, Client, ClientConfig, ErrorCode};
use broker_env::{Address, Env};
use broker_protocol::ids::{NodeId, ReplicaKey, TopicPartition};

use super::clients::OPERATOR;
use super::cluster::Nodes;
use super::faults::Struck;
use crate::engine::{Control, Recorder};
use crate::scenario::{BROKER_PORT, CONTROLLER_PORT, Scenario};

/// Work for the admin client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The broker has stopped for good.
    Unregister {
        node: String,
        id: i32,
    },
    /// The controller becomes a voter, or ceases to be one (KIP-853).
    Voter {
        node: String,
        id: i32,
        votes: bool,
    },
    /// A voter lost its disk and comes back as another.
    ReplaceVoter {
        node: String,
        id: i32,
    },
    /// Level by feature.
    Features {
        features: BTreeMap<String, i16>,
        upgrade_type: UpgradeType,
    },
    ElectPreferred(TopicPartition),
    Configure {
        topic: String,
        config: BTreeMap<String, String>,
    },
}

/// Carries orders out, each in a task of its own.
pub struct Operator {
    nodes: Arc<Nodes>,
    bootstrap: Vec<Address>,
    recorder: Arc<dyn Recorder>,
    running: Arc<AtomicUsize>,
    /// How they ended, for the timeline.
    ended: Arc<Mutex<Vec<Struck>>>,
    /// What could not be done.
    given_up: Arc<Mutex<Vec<String>>>,
}

/// One attempt, and the pause before the next.
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// An operator gives up: it was asked for what cannot be.
const PATIENCE: Duration = Duration::from_secs(60);

impl Operator {
    pub fn new(scenario: &Scenario, nodes: Arc<Nodes>, recorder: Arc<dyn Recorder>) -> Operator {
        let brokers = scenario.cluster.brokers();
        let address = |name: &String| Address::new(name, BROKER_PORT);
        Operator {
            nodes,
            bootstrap: brokers.iter().map(|spec| address(&spec.name)).collect(),
            recorder,
            running: Arc::default(),
            ended: Arc::default(),
            given_up: Arc::default(),
        }
    }

    pub fn carry_out(&self, control: &dyn Control, order: Order) {
        let env = control.env(OPERATOR);
        let client = Client::new(env.clone(), ClientConfig::new(self.bootstrap.clone()));
        let (running, ended) = (self.running.clone(), self.ended.clone());
        let (recorder, given_up) = (self.recorder.clone(), self.given_up.clone());
        let nodes = self.nodes.clone();
        running.fetch_add(1, Ordering::Relaxed);
        env.clone().spawn("operator", async move {
            let how = persist(&env, &Admin::new(client.clone()), &nodes, &order).await;
            client.close();
            let how = match how {
                Ok(()) => "done".to_owned(),
                Err(error) => {
                    let mut given_up = given_up.lock().expect("no panic under this lock");
                    given_up.push(order.name());
                    format!("given up: {error}")
                }
            };
            let struck = Struck {
                at_ms: recorder.now_ns() / 1_000_000,
                event: recorder.event(),
                what: format!("{}: {how}", order.name()),
            };
            ended.lock().expect("no panic under this lock").push(struck);
            running.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Orders that have not ended.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub fn given_up(&self) -> Vec<String> {
        self.given_up
            .lock()
            .expect("no panic under this lock")
            .clone()
    }

    pub fn take_ended(&self) -> Vec<Struck> {
        std::mem::take(&mut *self.ended.lock().expect("no panic under this lock"))
    }
}

/// Tries until it is done or patience is over: a node that is down may support the level once it is back.
async fn persist(env: &Env, admin: &Admin, nodes: &Nodes, order: &Order) -> Result<(), AdminError> {
    let deadline = env.now() + PATIENCE;
    loop {
        let error = match order.attempt(admin, nodes).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if env.now() >= deadline {
            return Err(error);
        }
        env.sleep(PAUSE).await;
    }
}

/// Under the directory id that the quorum knows. What is so already was done by an earlier attempt.
async fn set_voter(admin: &Admin, node: &str, id: NodeId, votes: bool) -> Result<(), AdminError> {
    let quorum = admin.describe_quorum(ATTEMPT).await?;
    let of = |replicas: &[QuorumReplica]| {
        let found = replicas.iter().find(|replica| replica.id == id)?;
        let directory_id = found.directory_id;
        Some(ReplicaKey { id, directory_id })
    };
    match (of(&quorum.voters), of(&quorum.observers), votes) {
        (Some(voter), _, false) => admin.remove_voter(voter, ATTEMPT).await,
        (None, Some(observer), true) => {
            let endpoint = VoterEndpoint {
                name: "CONTROLLER".into(),
                address: Address::new(node, CONTROLLER_PORT),
            };
            admin.add_voter(observer, &[endpoint], ATTEMPT).await
        }
        (Some(_), _, true) | (None, _, false) => Ok(()),
        (None, None, true) => Err(AdminError::Timeout {
            limit: ATTEMPT,
            last: format!("{node} does not fetch from the quorum"),
        }),
    }
}

/// Removes the voter that the node was, once it is back as another, and adds what it is.
async fn replace_voter(
    admin: &Admin,
    nodes: &Nodes,
    node: &str,
    id: NodeId,
) -> Result<(), AdminError> {
    // As its own disk says. Done by an earlier attempt whose answer was lost, or by another operator.
    if nodes
        .view(node)
        .is_some_and(|view| view.quorum.status.is_voter())
    {
        return Ok(());
    }
    let quorum = admin.describe_quorum(ATTEMPT).await?;
    let back = quorum.observers.iter().any(|replica| replica.id == id);
    if back && quorum.voters.iter().any(|replica| replica.id == id) {
        set_voter(admin, node, id, false).await?;
    }
    if back {
        set_voter(admin, node, id, true).await?;
    }
    Err(AdminError::Timeout {
        limit: ATTEMPT,
        last: format!("{node} has yet to become a voter with its new disk"),
    })
}

async fn elect_preferred(admin: &Admin, partition: &TopicPartition) -> Result<(), AdminError> {
    let partitions = [partition.clone()];
    let elected = admin.elect_leaders(ElectionType::Preferred, &partitions, ATTEMPT);
    match elected.await?.into_values().next() {
        // It leads already.
        Some(Err(error)) if error.code() == Some(ErrorCode::ElectionNotNeeded) => Ok(()),
        Some(result) => result,
        None => Ok(()),
    }
}

async fn configure(
    admin: &Admin,
    topic: &str,
    config: &BTreeMap<String, String>,
) -> Result<(), AdminError> {
    let set = |(name, value): (&String, &String)| AlterConfigOp {
        name: name.clone(),
        operation: AlterOperation::Set,
        value: Some(value.clone()),
    };
    let resource = ConfigResource::Topic(topic.to_owned());
    let changes = [(resource, config.iter().map(set).collect())].into();
    let changed = admin.incremental_alter_configs(&changes, ATTEMPT).await?;
    changed.into_values().next().unwrap_or(Ok(()))
}

impl Order {
    async fn attempt(&self, admin: &Admin, nodes: &Nodes) -> Result<(), AdminError> {
        match self {
            Order::ReplaceVoter { node, id } => {
                replace_voter(admin, nodes, node, NodeId(*id)).await
            }
            Order::Unregister { id, .. } => match admin.unregister_broker(*id, ATTEMPT).await {
                // An earlier attempt, whose answer was lost, did it.
                Err(error) if error.code() == Some(ErrorCode::BrokerIdNotRegistered) => Ok(()),
                done => done,
            },
            Order::Voter { node, id, votes } => set_voter(admin, node, NodeId(*id), *votes).await,
            Order::Features {
                features,
                upgrade_type,
            } => {
                let update = |(feature, level): (&String, &i16)| FeatureUpdate {
                    feature: feature.clone(),
                    level: *level,
                    upgrade_type: *upgrade_type,
                };
                let updates: Vec<FeatureUpdate> = features.iter().map(update).collect();
                admin.update_features(&updates, false, ATTEMPT).await
            }
            Order::ElectPreferred(partition) => elect_preferred(admin, partition).await,
            Order::Configure { topic, config } => configure(admin, topic, config).await,
        }
    }

    fn name(&self) -> String {
        match self {
            Order::Unregister { node, .. } => format!("unregister {node}"),
            Order::Voter { node, votes, .. } => {
                format!("{} voter {node}", if *votes { "add" } else { "remove" })
            }
            Order::ReplaceVoter { node, .. } => format!("replace voter {node}"),
            Order::Features { features, .. } => {
                let levels = features
                    .iter()
                    .map(|(name, level)| format!("{name}={level}"));
                format!("features {}", levels.collect::<Vec<String>>().join(", "))
            }
            Order::ElectPreferred(partition) => {
                format!("elect the preferred leader of {partition}")
            }
            Order::Configure { topic, config } => {
                let set = config.iter().map(|(name, value)| format!("{name}={value}"));
                format!(
                    "configure {topic}: {}",
                    set.collect::<Vec<String>>().join(", ")
                )
            }
        }
    }
}
