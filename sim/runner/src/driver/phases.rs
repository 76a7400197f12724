//! The control task of a run: topics, clients and faults, then quiet, rest, and the last look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker_core::metadata::TopicImage;
use sim_checkers::anomaly::Report;
use sim_checkers::client::{self, Promise, Quiet};
use sim_checkers::history::History;
use sim_checkers::reference;
use sim_checkers::spared::spared;
use sim_faults::{Durability, Schedule, World};
use sim_workloads::{ClientStats, WorkloadSpec};

use super::applications::Applications;
use super::clients::Clients;
use super::cluster::Nodes;
use super::faults::{Applied, Striker, Struck, Unfit};
use super::final_state;
use super::operator::Operator;
use super::settle::unsettled;
use super::watch::Watch;
use crate::engine::{Control, Recorder};
use crate::scenario::Scenario;

/// What the control task needs.
pub struct Plan {
    pub scenario: Scenario,
    pub seed: u64,
    pub nodes: Arc<Nodes>,
    pub watch: Arc<Watch>,
    pub schedule: Schedule,
    pub applications: Applications,
    /// Simulated ms, for a progress line.
    pub progress: Arc<AtomicU64>,
}

/// What the control task saw.
#[derive(Debug, Default)]
pub struct Account {
    pub report: Report,
    pub stats: ClientStats,
    pub history: History,
    /// By process number, from 1.
    pub client_names: Vec<String>,
    pub timeline: Vec<Struck>,
    /// What the schedule did in the fault phase, and when that began.
    pub applied: Vec<Applied>,
    pub faults_from_ms: u64,
    /// Replicas of each partition before the clients started.
    pub placed: std::collections::BTreeMap<String, Vec<Vec<i32>>>,
    /// Processes that ended by themselves.
    pub exits: Vec<Struck>,
    pub fault_counts: std::collections::BTreeMap<&'static str, u64>,
    pub refused: u64,
    pub untargeted: u64,
    /// What the operator could not do.
    pub given_up: Vec<String>,
    /// The scenario asks for what its budget or the engine does not bear.
    pub unfit: Option<Unfit>,
    /// What did not come to rest, if the bound on the quiet phase was reached.
    pub unsettled: Vec<String>,
    /// Simulated ms of the quiet phase until rest.
    pub settled_after_ms: Option<u64>,
}

/// Replicas of each partition, the preferred leader first.
fn placement(topic: &TopicImage) -> Vec<Vec<i32>> {
    let partitions = topic.partitions.values();
    let replicas = partitions.map(|partition| partition.replicas.iter().map(|id| id.0).collect());
    replicas.collect()
}

/// How often nodes are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Runs the phases; the account is complete whenever it returns.
pub async fn run(mut control: Box<dyn Control>, plan: Plan) -> Account {
    let recorder = control.recorder();
    let mut run = Run {
        operator: Operator::new(&plan.scenario, plan.nodes.clone(), recorder.clone()),
        clients: Clients::new(&plan.scenario, plan.seed, recorder.clone()),
        striker: Striker::new(
            plan.schedule,
            &plan.scenario,
            plan.nodes.clone(),
            plan.watch.clone(),
            recorder.clone(),
        ),
        applications: plan.applications,
        scenario: plan.scenario,
        nodes: plan.nodes,
        watch: plan.watch,
        progress: plan.progress,
        recorder,
        account: Account::default(),
    };
    if let Err(unfit) = run.phases(&mut *control).await {
        run.account.unfit = Some(unfit);
    }
    run.account_for(&*control)
}

struct Run {
    scenario: Scenario,
    nodes: Arc<Nodes>,
    watch: Arc<Watch>,
    clients: Clients,
    striker: Striker,
    applications: Applications,
    operator: Operator,
    progress: Arc<AtomicU64>,
    recorder: Arc<dyn Recorder>,
    account: Account,
}

impl Run {
    async fn phases(&mut self, control: &mut dyn Control) -> Result<(), Unfit> {
        if let Err(missing) = self.clients.set_up(control, &self.scenario).await {
            self.account.unsettled.push(format!("set-up: {missing}"));
            self.account.unsettled.extend(self.unsettled(control));
            return Ok(());
        }
        self.name_topics(control, |watch, id, name| watch.name_topic(id, name));
        self.clients.start(control, &self.scenario);
        self.applications.begin(control)?;
        self.fault_phase(control).await?;
        self.quiet_phase(control).await
    }

    async fn fault_phase(&mut self, control: &mut dyn Control) -> Result<(), Unfit> {
        self.striker.begin();
        let end = self.now() + self.scenario.duration;
        while self.now() < end {
            self.striker.tend(control)?;
            self.applications.tend(control)?;
            self.carry_out_orders(control);
            let left = end.saturating_sub(self.now());
            control.sleep(self.striker.idle(TICK.min(left))).await;
            self.show_progress();
        }
        Ok(())
    }

    async fn quiet_phase(&mut self, control: &mut dyn Control) -> Result<(), Unfit> {
        let replicas = self.scenario.replication_factor();
        self.striker.quiet(control, self.scenario.heal, replicas)?;
        self.clients.stop();
        self.applications.quiet(control)?;
        let began = self.now();
        let bound = began + self.scenario.quiet;
        if !self.rest(control, bound).await? {
            self.account.unsettled = self.unsettled(control);
        }
        let verdicts = self.applications.judge(control, self.scenario.quiet).await;
        let reads = self.clients.final_reads(control, &self.scenario).await;
        self.show_progress();
        if self.account.unsettled.is_empty() {
            if !self.rest(control, self.now() + self.scenario.quiet).await? {
                self.account.unsettled = self.unsettled(control);
            }
            let took = self.now().saturating_sub(began).as_millis();
            self.account.settled_after_ms = Some(u64::try_from(took).unwrap_or(u64::MAX));
        }
        // Topics that came later have a name in the recording, too.
        self.name_topics(control, Watch::name_topic_in_recording);
        let running = self.clients.running();
        let state = final_state::read(
            &self.nodes,
            &*control as &dyn World,
            &*self.recorder,
            &self.striker.away,
            running,
            &reads,
        );
        self.watch.checker().finish(&state);
        self.account.report.violations.extend(verdicts);
        if self.applications.checks() > 0 {
            self.account.report.count("APP", self.applications.checks());
        }
        let history = self.clients.recorder.finish();
        let promise = promise(&self.scenario, reads.is_complete(), began);
        let losses = self.watch.checker().losses();
        let spared = match self.scenario.allows_unclean_elections() && promise.durable {
            true => Some(spared(&history, &losses)),
            false => None,
        };
        let judged = spared.as_ref().unwrap_or(&history);
        self.account.report.merge(client::check(judged, promise));
        let refined = reference::check(judged, promise);
        self.account.report.merge(refined);
        self.account.history = history;
        Ok(())
    }

    /// Waits until the clients have ended and the cluster is at rest.
    async fn rest(&mut self, control: &mut dyn Control, bound: Duration) -> Result<bool, Unfit> {
        const LOOK: Duration = Duration::from_millis(20);
        while self.now() < bound {
            self.striker.supervise(control)?;
            self.carry_out_orders(control);
            if self.unsettled(control).is_empty() {
                return Ok(true);
            }
            control.sleep(LOOK).await;
            self.show_progress();
        }
        Ok(false)
    }

    fn carry_out_orders(&mut self, control: &dyn Control) {
        for order in std::mem::take(&mut self.striker.orders) {
            self.operator.carry_out(control, order);
        }
    }

    fn unsettled(&self, control: &dyn Control) -> Vec<String> {
        let world: &dyn World = control;
        let mut reasons = unsettled(&self.nodes, world, &self.striker.away);
        let running = self.clients.running();
        if running > 0 {
            reasons.push(format!("{running} clients wait for an answer"));
        }
        let programs = self.applications.running(control).into_iter();
        reasons.extend(programs.map(|name| format!("{name} does not end")));
        let orders = self.operator.running();
        if orders > 0 {
            reasons.push(format!("{orders} orders of the operator are not done"));
        }
        reasons.extend(self.striker.unfinished());
        reasons
    }

    fn name_topics(&mut self, control: &dyn Control, tell: impl Fn(&Watch, u128, &str)) {
        let offices = super::cluster::Offices {
            nodes: &self.nodes,
            world: control,
        };
        let topics = offices.newest(|image| {
            let topics = image.topics();
            let known = topics.map(|topic| {
                let id = u128::from_be_bytes(topic.id.0);
                (id, topic.name.clone(), placement(topic))
            });
            known.collect::<Vec<_>>()
        });
        for (id, name, placed) in topics.unwrap_or_default() {
            tell(&self.watch, id, &name);
            self.account.placed.entry(name).or_insert(placed);
        }
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.recorder.now_ns())
    }

    fn show_progress(&self) {
        let ms = self.recorder.now_ns() / 1_000_000;
        self.progress.store(ms, Ordering::Relaxed);
    }

    fn account_for(mut self, control: &dyn Control) -> Account {
        self.account.report.merge(self.watch.checker().report());
        self.account.stats = self.clients.recorder.stats();
        self.account.client_names = self.clients.recorder.names();
        self.account.fault_counts = control.fault_counts();
        self.account.applied = std::mem::take(&mut self.striker.applied);
        self.account.faults_from_ms = self.striker.began_ms();
        self.account.refused = self.striker.refused();
        self.account.untargeted = self.striker.untargeted;
        self.account.timeline = std::mem::take(&mut self.striker.timeline);
        let programs = std::mem::take(&mut self.applications.timeline);
        self.account.timeline.extend(programs);
        self.account.timeline.extend(self.operator.take_ended());
        self.account.given_up = self.operator.given_up();
        self.account
    }
}

/// What the clients of a scenario may rely on.
pub(crate) fn promise(
    scenario: &Scenario,
    complete_final_reads: bool,
    quiet_from: Duration,
) -> Promise {
    let mut workloads = scenario.workloads.iter();
    let durable = scenario.durability != Durability::Unlimited;
    Promise {
        durable,
        // What was lost and sent again is at two offsets for who saw both.
        idempotent: durable && workloads.clone().all(WorkloadSpec::is_idempotent),
        ordered_sends: workloads.all(|workload| workload.orders_sends()),
        complete_final_reads,
        create_time: true,
        retention: scenario.deletes_records(),
        quiet: Some(Quiet {
            from_ns: u64::try_from(quiet_from.as_nanos()).unwrap_or(u64::MAX),
            bound_ns: u64::try_from(scenario.quiet.as_nanos()).unwrap_or(u64::MAX),
        }),
    }
}
