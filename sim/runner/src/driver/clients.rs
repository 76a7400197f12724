//! The clients of a run: one host each, one shared history.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use broker_env::Address;
use broker_server::internal_topics::is_internal;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sim_workloads::{
    ClientContext, FinalRead, HistoryClock, Recorder, Role, StopSignal, TopicSpec, WorkloadSpec,
};

use crate::engine::{self, Control};
use crate::scenario::{BROKER_PORT, Scenario};

/// The host from which topics are created and the final reads are made.
pub const OPERATOR: &str = "client0";

/// The clients that run, and what they wrote down.
pub struct Clients {
    pub recorder: Recorder,
    stop: StopSignal,
    bootstrap: Vec<Address>,
    running: Arc<AtomicUsize>,
    seed: [u8; 32],
    streams: u64,
}

/// Workloads with what each of their clients is.
fn roles(scenario: &Scenario) -> Vec<(Arc<WorkloadSpec>, Role)> {
    let workloads = scenario.workloads.iter().cloned().map(Arc::new);
    workloads
        .flat_map(|spec| {
            let roles = spec.roles();
            roles.into_iter().map(move |role| (spec.clone(), role))
        })
        .collect()
}

/// The hosts that clients need.
pub fn hosts(scenario: &Scenario) -> Vec<String> {
    let clients = (1..=roles(scenario).len()).map(|number| format!("client{number}"));
    std::iter::once(OPERATOR.to_owned())
        .chain(clients)
        .collect()
}

impl Clients {
    pub fn new(scenario: &Scenario, seed: u64, recorder: Arc<dyn engine::Recorder>) -> Clients {
        let brokers = scenario.cluster.brokers();
        let bootstrap = brokers
            .iter()
            .map(|spec| Address::new(&spec.name, BROKER_PORT))
            .collect();
        Clients::on(seed, recorder, bootstrap)
    }

    /// Of a cluster that listens there.
    pub fn on(seed: u64, recorder: Arc<dyn engine::Recorder>, bootstrap: Vec<Address>) -> Clients {
        let clock: HistoryClock = Arc::new(move || (recorder.now_ns(), recorder.event()));
        Clients {
            recorder: Recorder::new(clock),
            stop: StopSignal::default(),
            bootstrap,
            running: Arc::default(),
            seed: sim_engine::salted(seed, "workload", "").get_seed(),
            streams: 0,
        }
    }

    fn context(&mut self, control: &dyn Control, host: &str) -> ClientContext {
        let mut rng = ChaCha8Rng::from_seed(self.seed);
        rng.set_stream(self.streams);
        self.streams += 1;
        ClientContext::new(
            control.env(host),
            self.bootstrap.clone(),
            &self.recorder,
            &self.stop,
            Box::new(move || rng.next_u64()),
            host,
        )
    }

    /// Creates the topics and waits until they are led.
    ///
    /// # Errors
    /// What was missing when the scenario's bound on the quiet phase was over.
    pub async fn set_up(
        &mut self,
        control: &dyn Control,
        scenario: &Scenario,
    ) -> Result<(), String> {
        let topics = scenario.topics.iter().map(|topic| TopicSpec {
            name: topic.name.clone(),
            partitions: topic.partitions,
            replication_factor: topic.replicas,
            assignment: topic.assignment.clone(),
            configs: topic.config.clone(),
        });
        let topics: Vec<TopicSpec> = topics.collect();
        let context = self.context(control, OPERATOR);
        sim_workloads::setup(&context, &topics, scenario.quiet).await
    }

    pub fn start(&mut self, control: &dyn Control, scenario: &Scenario) {
        for (index, (spec, role)) in roles(scenario).into_iter().enumerate() {
            let host = format!("client{}", index + 1);
            let context = self.context(control, &host);
            let running = self.running.clone();
            running.fetch_add(1, Ordering::Relaxed);
            control.env(&host).spawn("client", async move {
                sim_workloads::run(context, spec, role).await;
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Clients that have not come to their end.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Reads every partition of the workloads' topics to its end.
    pub async fn final_reads(&mut self, control: &dyn Control, scenario: &Scenario) -> FinalRead {
        let mut all = FinalRead::default();
        for spec in &scenario.workloads {
            let context = self.context(control, OPERATOR);
            let mut spec = spec.clone();
            // What is in those nobody has sent.
            spec.topics.retain(|topic| !is_internal(topic));
            let read = sim_workloads::finish(context, Arc::new(spec)).await;
            all.stuck.extend(read.stuck);
            all.complete += read.complete;
        }
        all
    }
}
