//! Any engine that is a [`Simulation`], driven by the same code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_env::{BoxFuture, Env};
use sim_disk::SimDisk;
use sim_disk::units::nanos;
use sim_engine::{Options, Outcome, TraceOptions};
use sim_faults::{Fault, Unsupported, World};
use sim_hosted::{Control as _, Simulation};

use super::{Boot, Control, Crash, End, Main, Recorder, Start, WorldReport, WorldSpec};

/// Runs the control task; nothing strikes it and nothing connects to it.
const CONTROL: &str = "control";

/// Larger than any answer to a fetch with the limits that clients have.
const FRAME_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Builds the world and runs it to its end.
pub(super) fn run<S: Simulation>(mut engine: S, spec: WorldSpec, main: Main) -> WorldReport {
    let handle = engine.handle();
    for (name, boot) in &spec.nodes {
        engine.add_node(name, node_boot(name.clone(), handle.clone(), boot.clone()));
    }
    for client in &spec.clients {
        engine.add_host(client);
    }
    let control = engine.add_host(CONTROL);
    let (world, end) = (Governed(handle.clone()), handle.clone());
    handle.spawn_on(
        control,
        "control",
        Box::pin(async move {
            main(Box::new(world)).await;
            end.stop("finished".to_owned());
        }),
    );
    let limit = nanos(spec.limit);
    let outcome = match spec.trace.until {
        None => engine.run_until(limit),
        Some(until) => engine.run_while(limit, &mut |info| info.event < until),
    };
    let mut report = report(&engine, &handle, outcome);
    if spec.trace.disks {
        let nodes = spec.nodes.iter();
        let disks = nodes.filter_map(|(name, _)| {
            let disk = World::disk(&handle, name)?;
            Some((name.clone(), disk.snapshot()))
        });
        report.disks = disks.collect();
    }
    report
}

/// What the engines are made with.
pub(super) fn options(spec: &WorldSpec) -> Options {
    let standard = Options::new(spec.seed);
    // A typed fault is decided when the whole frame is there: no frame may be larger than the buffer.
    let connection_buffer = match spec.classifier {
        Some(_) => FRAME_BYTES_MAX,
        None => standard.connection_buffer,
    };
    Options {
        connection_buffer,
        network: spec.network,
        disk: spec.disk,
        classifier: spec.classifier.clone(),
        wire_observer: spec.wire_observer.clone(),
        trace: TraceOptions {
            sample_every: spec.trace.sample_every,
            lines: spec.trace.lines,
        },
        ..standard
    }
}

fn node_boot<H: sim_hosted::Control>(name: String, handle: H, boot: Boot) -> sim_engine::Boot {
    Box::new(move |env| {
        let host = handle.host(&name).expect("the node that boots was added");
        boot(Start {
            env,
            stop: handle.terminated(host),
            recorder: Arc::new(Traced(handle.clone())),
        })
    })
}

fn report<S: Simulation>(engine: &S, handle: &S::Handle, outcome: Outcome) -> WorldReport {
    let end = match outcome {
        Outcome::Stopped { .. } => End::Finished,
        Outcome::Crashed(crash) => End::Crashed(Crash {
            message: format!("{} at {}", crash.message, crash.location),
            node: crash.node,
            task: crash.task,
            at_ns: crash.at,
            event: crash.event,
        }),
        Outcome::Livelock { node, task } => End::Livelock { node, task },
        Outcome::Condition => End::Until,
        Outcome::Deadline | Outcome::Idle => End::OutOfTime,
    };
    let tasks = match end {
        End::OutOfTime => handle.tasks(),
        _ => BTreeMap::new(),
    };
    WorldReport {
        trace_hash: handle.trace_hash(),
        events: handle.events(),
        sim_ns: handle.now(),
        lines: engine
            .take_trace()
            .iter()
            .map(ToString::to_string)
            .collect(),
        samples: engine.hash_samples(),
        tasks: tasks
            .into_iter()
            .map(|((host, task), count)| (host, task.to_owned(), count))
            .collect(),
        end,
        disks: BTreeMap::new(),
    }
}

struct Traced<H>(H);

impl<H: sim_hosted::Control> Recorder for Traced<H> {
    fn record(&self, host: &str, words: &[u64], what: &dyn Fn() -> String) {
        self.0.record(self.0.host(host), words, what);
    }

    fn event(&self) -> u64 {
        self.0.events()
    }

    fn now_ns(&self) -> u64 {
        self.0.now()
    }
}

struct Governed<H>(H);

impl<H: sim_hosted::Control> Control for Governed<H> {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn env(&self, host: &str) -> Env {
        self.0
            .env(self.0.host(host).expect("client hosts were added"))
    }

    fn recorder(&self) -> Arc<dyn Recorder> {
        Arc::new(Traced(self.0.clone()))
    }
}

impl<H: sim_hosted::Control> World for Governed<H> {
    fn now_ns(&self) -> u64 {
        self.0.now_ns()
    }

    fn hosts(&self) -> Vec<String> {
        World::hosts(&self.0)
    }

    fn is_up(&self, host: &str) -> bool {
        self.0.is_up(host)
    }

    fn is_paused(&self, host: &str) -> bool {
        self.0.is_paused(host)
    }

    fn apply(&mut self, fault: &Fault) -> Result<(), Unsupported> {
        self.0.apply(fault)
    }

    fn disk(&self, host: &str) -> Option<SimDisk> {
        World::disk(&self.0, host)
    }

    fn fault_counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.fault_counts()
    }
}
