//! What operators do through the admin client, beside the run: it takes as long as it takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_client::admin::{FeatureUpdate, UpgradeType};
use broker_client::{Admin, AdminError, Client, ClientConfig, ErrorCode};
use broker_env::{Address, Env};

use super::clients::OPERATOR;
use super::faults::Struck;
use crate::engine::{Control, Recorder};
use crate::scenario::{BROKER_PORT, Scenario};

/// Work for the admin client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// The broker has stopped for good.
    Unregister { node: String, id: i32 },
    /// Level by feature.
    Features {
        features: BTreeMap<String, i16>,
        upgrade_type: UpgradeType,
    },
}

/// Carries orders out, each in a task of its own.
pub struct Operator {
    bootstrap: Vec<Address>,
    recorder: Arc<dyn Recorder>,
    running: Arc<AtomicUsize>,
    /// How they ended, for the timeline.
    ended: Arc<Mutex<Vec<Struck>>>,
}

/// One attempt, and the pause before the next.
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// An operator gives up: it was asked for what cannot be.
const PATIENCE: Duration = Duration::from_secs(60);

impl Operator {
    pub fn new(scenario: &Scenario, recorder: Arc<dyn Recorder>) -> Operator {
        let brokers = scenario.cluster.brokers();
        let address = |name: &String| Address::new(name, BROKER_PORT);
        Operator {
            bootstrap: brokers.iter().map(|spec| address(&spec.name)).collect(),
            recorder,
            running: Arc::default(),
            ended: Arc::default(),
        }
    }

    pub fn carry_out(&self, control: &dyn Control, order: Order) {
        let env = control.env(OPERATOR);
        let client = Client::new(env.clone(), ClientConfig::new(self.bootstrap.clone()));
        let (running, ended) = (self.running.clone(), self.ended.clone());
        let recorder = self.recorder.clone();
        running.fetch_add(1, Ordering::Relaxed);
        env.clone().spawn("operator", async move {
            let how = persist(&env, &Admin::new(client.clone()), &order).await;
            client.close();
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

    pub fn take_ended(&self) -> Vec<Struck> {
        std::mem::take(&mut *self.ended.lock().expect("no panic under this lock"))
    }
}

/// Tries until it is done or patience is over: a node that is down may support the level once it is back.
async fn persist(env: &Env, admin: &Admin, order: &Order) -> String {
    let deadline = env.now() + PATIENCE;
    loop {
        let error = match order.attempt(admin).await {
            Ok(()) => return "done".to_owned(),
            Err(error) => error,
        };
        if env.now() >= deadline {
            return format!("given up: {error}");
        }
        env.sleep(PAUSE).await;
    }
}

impl Order {
    async fn attempt(&self, admin: &Admin) -> Result<(), AdminError> {
        match self {
            Order::Unregister { id, .. } => match admin.unregister_broker(*id, ATTEMPT).await {
                // An earlier attempt, whose answer was lost, did it.
                Err(error) if error.code() == Some(ErrorCode::BrokerIdNotRegistered) => Ok(()),
                done => done,
            },
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
        }
    }

    fn name(&self) -> String {
        match self {
            Order::Unregister { node, .. } => format!("unregister {node}"),
            Order::Features { features, .. } => {
                let levels = features
                    .iter()
                    .map(|(name, level)| format!("{name}={level}"));
                format!("features {}", levels.collect::<Vec<String>>().join(", "))
            }
        }
    }
}
