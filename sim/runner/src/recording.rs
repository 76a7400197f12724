//! Records a run as it goes: [`reports::recording::Recording`] is what comes out.
//!
//! A [`Tape`] listens and draws nothing, so that a recorded run has the trace hash of any other. Without one,
//! nothing is built. What it keeps is bounded by [`Limits`]; around the first violation it keeps more than
//! elsewhere, and it counts what it had no room for.
//!
//! Map: `wire` Kafka messages out of byte streams · `replicas` logs and offices out of observations · `faults`
//! from strike to healing · `clients` rates and latencies out of the history · `window` what is kept of a
//! long list.

mod clients;
mod faults;
mod replicas;
mod window;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use broker_server::observe::Observation;
use reports::recording::{
    Dropped, FORMAT, Lane, LaneId, Moment, ProcessChange, ProcessState, Recording,
};
use sim_checkers::history::History;
use sim_faults::{Fault, Passage, ProcessFault, WireObserver};

use crate::engine::Recorder;
use crate::scenario::{NodeSpec, Scenario};
use faults::Faults;
use replicas::Replicas;
use wire::Wire;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub messages: usize,
    /// Changes of replicas' logs.
    pub logs: usize,
    /// Offsets of all replicas together.
    pub points: usize,
    /// Replicas with a series of their own.
    pub replicas: usize,
    /// Of each other list: processes, faults, leaderships, registrations.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            messages: 120_000,
            logs: 30_000,
            points: 12_000,
            replicas: 2_000,
            entries: 20_000,
        }
    }
}

/// Listens to one run.
pub struct Tape {
    /// By host id of the engine.
    lanes: Vec<Lane>,
    by_name: BTreeMap<String, LaneId>,
    wire: Mutex<Wire>,
    story: Mutex<Story>,
}

/// All but the messages.
struct Story {
    replicas: Replicas,
    faults: Faults,
    processes: Vec<ProcessChange>,
    dropped_processes: u64,
    is_up: Vec<bool>,
    entries: usize,
}

impl Tape {
    /// Hosts are numbered as the engine adds them: nodes, programs of others, clients.
    pub fn new(
        nodes: &[NodeSpec],
        scenario: &Scenario,
        clients: &[String],
        limits: Limits,
    ) -> Arc<Tape> {
        let other = |name: &String, role: &str| Lane {
            name: name.clone(),
            role: role.to_owned(),
            node: None,
        };
        let nodes = nodes.iter().map(|spec| Lane {
            name: spec.name.clone(),
            role: role(spec).to_owned(),
            node: Some(spec.id),
        });
        let programs = scenario.applications.iter();
        let programs = programs.map(|program| other(&program.name, "application"));
        let clients = clients.iter().map(|name| other(name, "client"));
        let lanes: Vec<Lane> = nodes.chain(programs).chain(clients).collect();
        let by_id = |lane: &Lane, index| Some((lane.node?, index));
        let indexed = || (0..).zip(&lanes).map(|(index, lane)| (lane, index));
        let story = Story {
            replicas: Replicas::new(
                indexed().filter_map(|(lane, index)| by_id(lane, index)),
                limits,
            ),
            faults: Faults::new(limits.entries),
            processes: Vec::new(),
            dropped_processes: 0,
            is_up: vec![false; lanes.len()],
            entries: limits.entries,
        };
        Arc::new(Tape {
            by_name: indexed()
                .map(|(lane, index)| (lane.name.clone(), index))
                .collect(),
            wire: Mutex::new(Wire::new(limits.messages)),
            story: Mutex::new(story),
            lanes,
        })
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().expect("no panic under this lock")
    }

    /// The engine's lock may be taken under the wire's, so nothing under this one may ask the engine.
    fn story(&self) -> MutexGuard<'_, Story> {
        self.story.lock().expect("no panic under this lock")
    }

    pub fn observe(&self, node: &str, recorder: &dyn Recorder, observation: &Observation) {
        let Some(lane) = self.by_name.get(node) else {
            return;
        };
        let at = moment(recorder);
        let mut story = self.story();
        story.replicas.observe(*lane, at, observation);
        if *observation == Observation::StoppedCleanly {
            story.process(*lane, at, ProcessState::Stopped);
        }
    }

    /// What became of a process; said again, it is ignored.
    pub fn process(&self, node: &str, recorder: &dyn Recorder, what: ProcessState) {
        if let Some(lane) = self.by_name.get(node) {
            let at = moment(recorder);
            self.story().process(*lane, at, what);
        }
    }

    /// A fault was done, or taken back.
    pub fn fault(&self, fault: &Fault, recorder: &dyn Recorder) {
        let at = moment(recorder);
        let lanes = faults::hosts(fault);
        let lanes = lanes
            .iter()
            .filter_map(|host| self.by_name.get(*host).copied());
        let mut story = self.story();
        story.faults.done(fault, lanes.collect(), at);
        match fault {
            Fault::Process { node, fault } => {
                if let (Some(lane), Some(what)) = (self.by_name.get(node), pausing(*fault)) {
                    story.process(*lane, at, what);
                }
            }
            Fault::HealAll => story.resume_all(at),
            _ => {}
        }
    }

    /// The checker found something just now: what is around it is to be kept.
    pub fn violated(&self, recorder: &dyn Recorder) {
        let at = moment(recorder);
        self.wire().keep_around();
        let mut story = self.story();
        let Story {
            replicas, is_up, ..
        } = &mut *story;
        replicas.keep_around(at, is_up);
    }

    pub fn name_topic(&self, topic: u128, name: &str) {
        self.story().replicas.name_topic(topic, name);
    }

    /// What was recorded; the tape is empty then.
    pub fn finish(&self, end: Moment, history: &History) -> Recording {
        let wire = std::mem::replace(&mut *self.wire(), Wire::new(0));
        let (messages, messages_before, messages_after) = wire.finish();
        let mut story = self.story();
        let Story {
            replicas, is_up, ..
        } = &mut *story;
        let told = replicas.finish(end, is_up);
        let (faults, dropped_faults) = story.faults.finish();
        Recording {
            format: FORMAT,
            lanes: self.lanes.clone(),
            partitions: told.partitions,
            apis: wire::names(&messages),
            end,
            messages,
            processes: std::mem::take(&mut story.processes),
            faults,
            leaderships: told.leaderships,
            registrations: told.registrations,
            replicas: told.series,
            logs: told.logs,
            snapshots: told.snapshots,
            clients: clients::series(history, end.us),
            dropped: Dropped {
                messages_before,
                messages_after,
                processes: story.dropped_processes,
                faults: dropped_faults,
                ..told.dropped
            },
        }
    }
}

impl WireObserver for Tape {
    fn written(&self, passage: &Passage, bytes: &[u8]) {
        self.wire().written(passage, bytes);
    }

    fn arrived(&self, passage: &Passage, count: usize) {
        self.wire().arrived(passage, count);
    }

    fn closed(&self, connection: u64) {
        self.wire().closed(connection);
    }
}

impl Story {
    fn process(&mut self, lane: LaneId, at: Moment, what: ProcessState) {
        let is_up = &mut self.is_up[usize::from(lane)];
        let changes = match what {
            ProcessState::Started => !std::mem::replace(is_up, true),
            ProcessState::Paused | ProcessState::Resumed => *is_up,
            ProcessState::Stopped | ProcessState::Killed | ProcessState::Failed(_) => {
                std::mem::replace(is_up, false)
            }
            // Takes the page cache of what is down already, too.
            ProcessState::PowerLost => {
                *is_up = false;
                true
            }
        };
        if !changes {
            return;
        }
        if !self.is_up[usize::from(lane)] {
            self.replicas.ended(lane, at);
        }
        if self.processes.len() < self.entries {
            self.processes.push(ProcessChange { lane, at, what });
        } else {
            self.dropped_processes += 1;
        }
    }

    fn resume_all(&mut self, at: Moment) {
        let mut paused = vec![false; self.is_up.len()];
        for change in &self.processes {
            paused[usize::from(change.lane)] = change.what == ProcessState::Paused;
        }
        let lanes = (0..).zip(paused).filter(|(_, paused)| *paused);
        for lane in lanes.map(|(lane, _)| lane).collect::<Vec<LaneId>>() {
            self.process(lane, at, ProcessState::Resumed);
        }
    }
}

fn pausing(fault: ProcessFault) -> Option<ProcessState> {
    match fault {
        ProcessFault::Pause => Some(ProcessState::Paused),
        ProcessFault::Resume => Some(ProcessState::Resumed),
        _ => None,
    }
}

fn moment(recorder: &dyn Recorder) -> Moment {
    Moment {
        us: recorder.now_ns() / 1_000,
        event: recorder.event(),
    }
}

fn role(spec: &NodeSpec) -> &'static str {
    match (spec.is_broker, spec.is_controller) {
        (true, true) => "broker, controller",
        (true, false) => "broker",
        (false, _) => "controller",
    }
}
