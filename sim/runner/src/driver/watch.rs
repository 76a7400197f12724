//! What the nodes tell of themselves, in one total order: into the trace's hash and to the checker.

use std::sync::{Arc, Mutex, MutexGuard};

use broker_server::observe::{Observation, Observer};
use reports::recording::ProcessState;
use sim_checkers::anomaly::Report;
use sim_checkers::cluster::event::Event;
use sim_checkers::cluster::{Budget, Cluster};
use sim_faults::{Durability, Fault};

use super::cluster::Nodes;
use super::steps::{Moment, Steps};
use super::translate;
use super::words::words;
use crate::engine::Recorder;
use crate::recording::Tape;
use crate::scenario::{NodeSpec, Scenario};

/// What the runner did to a node, as far as the checker has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Killed,
    /// `lossy`: the budget counts its logs as incomplete from now on.
    PowerLost {
        lossy: bool,
    },
    DiskWiped,
    DiskDamaged,
    DiskFailing,
}

/// The white-box side of a run.
pub struct Watch {
    checker: Mutex<Cluster>,
    /// With `--check-steps`.
    steps: Option<Mutex<Steps>>,
    /// If the run is recorded.
    tape: Option<Arc<Tape>>,
}

impl Watch {
    pub fn new(scenario: &Scenario, check_steps: bool, tape: Option<Arc<Tape>>) -> Watch {
        let budget = Budget {
            durable: scenario.durability != Durability::Unlimited,
            flushed: scenario.durability == Durability::Flushed,
            metadata_durable: scenario.durability != Durability::Unlimited,
            unclean_elections: scenario.allows_unclean_elections(),
            ..Budget::default()
        };
        Watch {
            checker: Mutex::new(Cluster::new(budget)),
            steps: check_steps.then(Mutex::default),
            tape,
        }
    }

    /// The checker; do not wait while holding it.
    pub fn checker(&self) -> MutexGuard<'_, Cluster> {
        self.checker.lock().expect("no panic under this lock")
    }

    /// The observer of one node's next process.
    pub fn observer(self: &Arc<Self>, spec: &NodeSpec, recorder: Arc<dyn Recorder>) -> Observer {
        let (watch, seen, of) = (self.clone(), recorder.clone(), spec.clone());
        let observer = Observer::new(move |observation| watch.observe(&of, &*seen, observation));
        if self.steps.is_none() {
            return observer;
        }
        let (watch, node) = (self.clone(), spec.id);
        observer.with_steps(move |step| {
            let at = Moment {
                event: recorder.event(),
                ms: recorder.now_ns() / 1_000_000,
                node,
            };
            watch.with_steps(|steps| steps.take(&at, step));
        })
    }

    fn with_steps(&self, tell: impl FnOnce(&mut Steps)) {
        if let Some(steps) = &self.steps {
            tell(&mut steps.lock().expect("no panic under this lock"));
        }
    }

    /// What was found by taking the cores' steps again, if they were.
    pub fn steps_report(&self) -> Report {
        let mut report = Report::default();
        self.with_steps(|steps| report = steps.report());
        report
    }

    fn observe(&self, spec: &NodeSpec, recorder: &dyn Recorder, observation: Observation) {
        recorder.record(&spec.name, &words(&observation), &|| {
            format!("{observation:?}")
        });
        self.with_steps(|steps| steps.observe(spec.id, &observation));
        if let Some(tape) = &self.tape {
            tape.observe(&spec.name, recorder, &observation);
        }
        self.judge(spec.id, recorder, &translate::event(observation));
    }

    /// Tells the checker what is about to be done to a node.
    pub fn deed(&self, nodes: &Nodes, node: &str, deed: Deed, recorder: &dyn Recorder) {
        let Some(spec) = nodes.specs.iter().find(|spec| spec.name == node) else {
            return;
        };
        self.with_steps(|steps| match deed {
            Deed::Killed | Deed::PowerLost { .. } => steps.stopped(spec.id),
            Deed::DiskWiped => steps.wiped(spec.id),
            Deed::DiskDamaged | Deed::DiskFailing => {}
        });
        match deed {
            Deed::Killed => self.process(node, ProcessState::Killed, recorder),
            Deed::PowerLost { .. } => self.process(node, ProcessState::PowerLost, recorder),
            Deed::DiskWiped | Deed::DiskDamaged | Deed::DiskFailing => {}
        }
        let event = match deed {
            Deed::Killed => Event::NodeKilled,
            Deed::PowerLost { lossy } => Event::PowerLost { lost: lossy },
            Deed::DiskWiped => Event::DiskWiped,
            Deed::DiskDamaged => Event::DiskDamaged,
            Deed::DiskFailing => Event::DiskFailing,
        };
        self.judge(spec.id, recorder, &event);
    }

    fn judge(&self, node: i32, recorder: &dyn Recorder, event: &Event) {
        let (number, ms) = (recorder.event(), recorder.now_ns() / 1_000_000);
        let mut checker = self.checker();
        let before = checker.violations().len();
        checker.observe(number, ms, node, event);
        if let Some(tape) = &self.tape
            && checker.violations().len() > before
        {
            tape.violated(recorder);
        }
    }

    /// For the recording: what became of a node's process.
    pub fn process(&self, node: &str, what: ProcessState, recorder: &dyn Recorder) {
        if let Some(tape) = &self.tape {
            tape.process(node, recorder, what);
        }
    }

    /// For the recording: a fault was done, or taken back.
    pub fn fault(&self, fault: &Fault, recorder: &dyn Recorder) {
        if let Some(tape) = &self.tape {
            tape.fault(fault, recorder);
        }
    }

    pub fn name_topic(&self, topic: u128, name: &str) {
        self.checker().name_topic(topic, name);
        self.name_topic_in_recording(topic, name);
    }

    pub fn name_topic_in_recording(&self, topic: u128, name: &str) {
        if let Some(tape) = &self.tape {
            tape.name_topic(topic, name);
        }
    }
}
