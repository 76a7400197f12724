//! A cluster of real nodes in the native world, with clients on hosts of their own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_env::{Address, BoxFuture, Env};
use broker_server::config::BrokerConfig;
use broker_server::node::{Node, NodeOptions};
use broker_server::observe::Observer;
use sim_engine::{Engine, HostId, Options, Outcome};
use sim_workloads::{ClientContext, Recorder, StopSignal, WorkloadSpec};

pub const SECOND: u64 = 1_000_000_000;
const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

pub struct Cluster {
    pub engine: Engine,
    pub nodes: Vec<HostId>,
    pub recorder: Recorder,
    pub stop: StopSignal,
    bootstrap: Vec<Address>,
}

fn config(id: usize, count: usize, properties: &[(&str, &str)]) -> BrokerConfig {
    let voters: Vec<String> = (1..=count)
        .map(|id| format!("{id}@node{id}:9093"))
        .collect();
    let listeners = format!("PLAINTEXT://node{id}:9092,CONTROLLER://node{id}:9093");
    let (id, voters) = (id.to_string(), voters.join(","));
    let fixed = [
        ("node.id", id.as_str()),
        ("listeners", &listeners),
        ("controller.quorum.voters", &voters),
        ("log.dir", "/data"),
        ("auto.create.topics.enable", "false"),
    ];
    BrokerConfig::from_pairs(fixed.into_iter().chain(properties.iter().copied()))
        .expect("a valid configuration")
}

async fn node(env: Env, config: BrokerConfig) {
    let options = NodeOptions {
        config,
        observer: Observer::none(),
        cluster_id: Some(CLUSTER_ID.to_string()),
    };
    let node = Node::start(env, options).await.expect("the node starts");
    node.run(std::future::pending())
        .await
        .expect("the node works");
}

impl Cluster {
    pub fn new(options: Options, count: usize, properties: &[(&str, &str)]) -> Cluster {
        let mut engine = Engine::new(options);
        let nodes = (1..=count)
            .map(|id| {
                let config = config(id, count, properties);
                engine.add_node(
                    &format!("node{id}"),
                    Box::new(move |env| Box::pin(node(env, config.clone()))),
                )
            })
            .collect();
        let handle = engine.handle();
        let clock = Arc::new(move || (handle.now(), handle.events()));
        let bootstrap = (1..=count)
            .map(|id| Address::new(format!("node{id}"), 9092))
            .collect();
        Cluster {
            engine,
            nodes,
            recorder: Recorder::new(clock),
            stop: StopSignal::default(),
            bootstrap,
        }
    }

    pub fn context(&mut self, name: &str) -> ClientContext {
        let host = self.engine.add_host(name);
        let handle = self.engine.handle();
        let mut draws = handle.stream(name);
        let draw = Box::new(move || rand_core::RngCore::next_u64(&mut draws));
        ClientContext::new(
            handle.env(host),
            self.bootstrap.clone(),
            &self.recorder,
            &self.stop,
            draw,
            name,
        )
    }

    /// Runs a client's future on its host.
    pub fn start(&self, env: &Env, future: BoxFuture<'static, ()>) {
        let _detached = env.spawn.spawn("workload", future);
    }

    /// Runs the world until the future ends, at most `seconds` simulated; `None` if it did not.
    pub fn finish<T: Send + 'static>(
        &mut self,
        env: &Env,
        future: BoxFuture<'static, T>,
        seconds: u64,
    ) -> Option<T> {
        let result = Arc::new(Mutex::new(None));
        let slot = result.clone();
        self.start(
            env,
            Box::pin(async move { *slot.lock().expect("one thread") = Some(future.await) }),
        );
        let until = self.engine.handle().now() + seconds * SECOND;
        let outcome = self
            .engine
            .run_while(until, |_| result.lock().expect("one thread").is_none());
        assert!(
            matches!(outcome, Outcome::Condition | Outcome::Deadline),
            "{outcome:?}"
        );
        result.lock().expect("one thread").take()
    }

    pub fn run(&mut self, duration: Duration) {
        let until = self.engine.handle().now() + u64::try_from(duration.as_nanos()).expect("short");
        let outcome = self.engine.run_until(until);
        assert_eq!(outcome, Outcome::Deadline);
    }

    /// Starts every client of a workload.
    pub fn start_workload(&mut self, spec: &Arc<WorkloadSpec>) {
        spec.check().expect("a valid workload");
        for (number, role) in spec.roles().into_iter().enumerate() {
            let context = self.context(&format!("client{number}"));
            let env = context.env.clone();
            let future = sim_workloads::run(context, spec.clone(), role);
            self.start(&env, future);
        }
    }
}
