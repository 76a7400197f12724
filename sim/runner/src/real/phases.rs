//! One run on a real cluster: topics, clients and faults, then quiet, the final reads, and the verdict.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_client::{Admin, Client, ClientConfig};
use broker_env::{Address, Env};
use reports::RunResult;
use sim_checkers::anomaly::Verdict;
use sim_checkers::{client, reference};
use sim_faults::schedule::Event;
use sim_faults::{Fault, Quiet, Schedule, World};

use super::Target;
use super::offices::{Asker, Offices};
use super::processes::Processes;
use super::world::{RealWorld, Struck as Strikes};
use crate::driver::clients::Clients;
use crate::driver::faults::Struck;
use crate::driver::phases::{Account, promise};
use crate::driver::{self, RunOutcome, verdict};
use crate::engine::{Control, End, WorldReport};
use crate::scenario::Scenario;

const TICK: Duration = Duration::from_millis(100);
/// How often the cluster is asked who leads.
const LOOK: Duration = Duration::from_millis(500);

pub fn run(
    scenario: &Scenario,
    name: &str,
    seed: u64,
    target: &Target,
) -> Result<RunOutcome, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let env = broker_env::production::env_on(runtime.handle());
    let (bootstrap, strikes, nodes) = prepare(scenario, target)?;
    let mut world = RealWorld::new(env.clone(), strikes);
    if let Strikes::Processes(processes) = &mut world.struck {
        processes.start_all().map_err(|error| error.to_string())?;
    }
    let recorder = world.recorder();
    let mut run = Run {
        clients: Clients::on(seed, recorder, bootstrap.clone()),
        asker: Asker::new(&env, &bootstrap, nodes),
        schedule: driver::schedule(scenario, seed),
        takes_faults: target.takes_faults(),
        bootstrap: bootstrap.clone(),
        world,
        account: Account::default(),
        deaths: Vec::new(),
        scenario: scenario.clone(),
    };
    let began = env.now();
    runtime.block_on(async {
        if matches!(target, Target::Kafka { .. }) {
            refuse_existing_topics(&env, &bootstrap, scenario).await?;
        }
        run.phases().await
    })?;
    let wall = env.now().saturating_since(began);
    let outcome = run.outcome(name, seed, target, wall);
    runtime.shutdown_timeout(Duration::from_secs(5));
    Ok(outcome)
}

/// Where clients begin, what can be struck, and the names of the nodes as far as they are known.
fn prepare(
    scenario: &Scenario,
    target: &Target,
) -> Result<(Vec<Address>, Strikes, Vec<String>), String> {
    match target {
        Target::Process { broker, folder } => {
            let processes = Processes::prepare(scenario, broker, folder)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
            let (bootstrap, names) = (processes.bootstrap(), processes.names());
            Ok((bootstrap, Strikes::Processes(processes), names))
        }
        Target::Kafka { bootstrap, hook } => {
            let strikes = hook.clone().map_or(Strikes::Nothing, Strikes::Hook);
            Ok((bootstrap.clone(), strikes, Vec::new()))
        }
    }
}

/// Records that were there before would be nobody's.
async fn refuse_existing_topics(
    env: &Env,
    bootstrap: &[Address],
    scenario: &Scenario,
) -> Result<(), String> {
    const LIMIT: Duration = Duration::from_secs(10);
    let client = Client::new(env.clone(), ClientConfig::new(bootstrap.to_vec()));
    let listed = Admin::new(client.clone()).list_topics(LIMIT).await;
    client.close();
    let there = listed.map_err(|error| format!("the cluster does not answer: {error}"))?;
    let mut topics = scenario.topics.iter().map(|topic| &topic.name);
    match topics.find(|topic| there.contains_key(*topic)) {
        None => Ok(()),
        Some(topic) => Err(format!(
            "topic {topic} is there already: what it holds is not this run's; delete it, or take another cluster"
        )),
    }
}

struct Run {
    scenario: Scenario,
    world: RealWorld,
    clients: Clients,
    asker: Asker,
    schedule: Schedule,
    takes_faults: bool,
    bootstrap: Vec<Address>,
    account: Account,
    /// What processes said that ended by themselves.
    deaths: Vec<String>,
}

impl Run {
    async fn phases(&mut self) -> Result<(), String> {
        self.somebody_answers().await?;
        let set_up = self.clients.set_up(&self.world, &self.scenario).await;
        set_up.map_err(|missing| format!("set-up: {missing}"))?;
        self.clients.start(&self.world, &self.scenario);
        self.fault_phase().await?;
        if self.is_crashed()? {
            return Ok(());
        }
        self.quiet_phase().await
    }

    /// Waits until a broker takes a connection; one that ends instead will not get better.
    async fn somebody_answers(&mut self) -> Result<(), String> {
        let bound = self
            .world
            .now_ns()
            .saturating_add(nanos(self.scenario.quiet));
        let network = self.world.env("").network;
        loop {
            if let Some(death) = self
                .world
                .reap()
                .map_err(|error| error.to_string())?
                .first()
            {
                return Err(format!("{} ended at its start: {}", death.node, death.said));
            }
            for address in &self.bootstrap {
                if network.connect(address).await.is_ok() {
                    return Ok(());
                }
            }
            if self.world.now_ns() >= bound {
                return Err("no broker takes a connection".to_owned());
            }
            self.world.sleep(TICK).await;
        }
    }

    async fn fault_phase(&mut self) -> Result<(), String> {
        let began = self.world.now_ns();
        let end = began.saturating_add(nanos(self.scenario.duration));
        let mut offices = self.asker.ask().await;
        let mut asked = began;
        while self.world.now_ns() < end {
            if self.is_crashed()? {
                return Ok(());
            }
            let now = self.world.now_ns();
            if self.takes_faults {
                if now >= asked.saturating_add(nanos(LOOK)) {
                    offices = self.asker.ask().await;
                    asked = self.world.now_ns();
                }
                self.strike_due(self.world.now_ns().saturating_sub(began), &offices)?;
            }
            let left = end.saturating_sub(self.world.now_ns());
            self.world.sleep(TICK.min(Duration::from_nanos(left))).await;
        }
        Ok(())
    }

    fn strike_due(&mut self, now: u64, offices: &Offices) -> Result<(), String> {
        for event in self.schedule.due(now, offices) {
            match event {
                Event::Apply(fault) => self.strike(&fault)?,
                Event::Refused(refusal) => return Err(refusal.to_string()),
                Event::NoTarget(_) => self.account.untargeted += 1,
            }
        }
        Ok(())
    }

    fn strike(&mut self, fault: &Fault) -> Result<(), String> {
        self.world.strike(fault)?;
        self.account.timeline.push(Struck {
            at_ms: self.world.now_ns() / 1_000_000,
            event: self.world.recorder().event(),
            what: fault.to_string(),
        });
        Ok(())
    }

    /// Whether a process has ended by itself: then the run is over, as it is when a simulated one panics.
    fn is_crashed(&mut self) -> Result<bool, String> {
        for death in self.world.reap().map_err(|error| error.to_string())? {
            let what = format!("{} ended by itself", death.node);
            self.account.exits.push(Struck {
                at_ms: self.world.now_ns() / 1_000_000,
                event: self.world.recorder().event(),
                what: what.clone(),
            });
            self.deaths.push(format!("{what}: {}", death.said));
        }
        Ok(!self.deaths.is_empty())
    }

    async fn quiet_phase(&mut self) -> Result<(), String> {
        if self.takes_faults {
            let offices = self.asker.ask().await;
            for fault in self.schedule.quiet(Quiet::HealAll, &offices) {
                self.strike(&fault)?;
            }
        }
        self.clients.stop();
        let began = Duration::from_nanos(self.world.now_ns());
        let bound = began + self.scenario.quiet;
        while self.clients.running() > 0 && Duration::from_nanos(self.world.now_ns()) < bound {
            if self.is_crashed()? {
                return Ok(());
            }
            self.world.sleep(TICK).await;
        }
        let running = self.clients.running();
        if running > 0 {
            let reason = format!("{running} clients wait for an answer");
            self.account.unsettled.push(reason);
        }
        let reads = self.clients.final_reads(&self.world, &self.scenario).await;
        for stuck in &reads.stuck {
            self.account.unsettled.push(format!(
                "{}-{} cannot be read to its end: {}",
                stuck.topic, stuck.partition, stuck.detail
            ));
        }
        let history = self.clients.recorder.finish();
        let promise = promise(&self.scenario, reads.is_complete(), began);
        self.account.report.merge(client::check(&history, promise));
        self.account
            .report
            .merge(reference::check(&history, promise));
        self.account.history = history;
        Ok(())
    }

    fn outcome(mut self, name: &str, seed: u64, target: &Target, wall: Duration) -> RunOutcome {
        self.account.stats = self.clients.recorder.stats();
        self.account.client_names = self.clients.recorder.names();
        self.account.fault_counts = self.world.fault_counts();
        let world = WorldReport {
            end: End::Finished,
            trace_hash: 0,
            events: self.world.recorder().event(),
            sim_ns: self.world.now_ns(),
            lines: Vec::new(),
            samples: Vec::new(),
            tasks: Vec::new(),
            disks: BTreeMap::new(),
        };
        let mut result = RunResult::new(name, seed, target.name(), &again(name, seed, target));
        let history = verdict::fill(&mut result, &world, self.account);
        // What is real does not repeat.
        result.trace_hash = String::new();
        result.wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        if let Some(death) = self.deaths.first() {
            (result.verdict, result.crash) = (Verdict::Crashed, Some(death.clone()));
        }
        RunOutcome {
            struck: Vec::new(),
            faults_from_ms: 0,
            placed: BTreeMap::new(),
            disks: BTreeMap::new(),
            result,
            history,
            recording: None,
            probes: BTreeMap::new(),
            unmet: Vec::new(),
            settled_after_ms: None,
            lines: Vec::new(),
            samples: Vec::new(),
        }
    }
}

/// The command for another such run.
fn again(name: &str, seed: u64, target: &Target) -> String {
    let to = match target {
        Target::Process { .. } => String::new(),
        Target::Kafka { bootstrap, .. } => {
            let addresses: Vec<String> = bootstrap.iter().map(ToString::to_string).collect();
            format!(" --bootstrap {}", addresses.join(","))
        }
    };
    format!(
        "cargo run --release -- run {name} --seed {seed} --target {}{to}",
        target.name()
    )
}

fn nanos(duration: Duration) -> u64 {
    sim_disk::units::nanos(duration)
}
