//! `--check-steps`: every step that a node's cores take in a run is taken again by a core of our own, which has had
//! the same inputs since the node started and nothing else, and is never given a known bug. What comes out and what it
//! is afterwards must be the same (STEP-1). And the functions of the cores' `invariants.rs`, which the models check in
//! every state, must hold after every step of the quorum (`quorum`) and of a replica.

mod metadata_log;
mod quorum;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use broker_core::replica::{self, Replica};
use broker_probe::aside;
use broker_protocol::ids::{NodeId, TopicIdPartition};
use broker_server::core_steps::CoreStep;
use broker_server::observe::Observation;
use sim_checkers::anomaly::{Report, Violation};

use quorum::Quorum;

const SAME_STEP: &str = "STEP-1";

/// When and where something is judged.
#[derive(Clone, Debug)]
pub struct Moment {
    pub event: u64,
    pub ms: u64,
    pub node: i32,
}

/// A broken invariant of a core, in whichever words.
struct Broken {
    invariant: &'static str,
    detail: String,
}

struct ReplicaStep<'a> {
    input: &'a replica::Input,
    outputs: &'a [replica::Output],
    core: &'a Replica,
}

/// The second cores of a run.
#[derive(Debug, Default)]
pub struct Steps {
    quorum: Quorum,
    /// By node and instance.
    replicas: BTreeMap<(i32, u64), Replica>,
    /// Once per invariant and node: what follows from a deviation deviates, too.
    told: BTreeSet<(&'static str, i32)>,
    report: Report,
}

impl Steps {
    pub fn report(&self) -> Report {
        self.report.clone()
    }

    /// The process is gone, its disk is not.
    pub fn stopped(&mut self, node: i32) {
        self.quorum.stopped(node);
        self.replicas.retain(|(of, _), _| *of != node);
    }

    pub fn wiped(&mut self, node: i32) {
        self.quorum.wiped(node);
    }

    /// What tells how the disks are.
    pub fn observe(&mut self, node: i32, observation: &Observation) {
        match observation {
            Observation::Started => self.stopped(node),
            other => self.quorum.observe(node, other),
        }
    }

    pub fn take(&mut self, at: &Moment, step: CoreStep<'_>) {
        let broken = aside(|| self.take_aside(at.node, step));
        for Broken { invariant, detail } in broken {
            if self.told.insert((invariant, at.node)) {
                self.report
                    .violations
                    .push(violation(at, invariant, detail));
            }
        }
    }

    fn take_aside(&mut self, node: i32, step: CoreStep<'_>) -> Vec<Broken> {
        match step {
            CoreStep::ReplicaOpened {
                partition,
                instance,
                config,
                log,
                core,
            } => {
                let own = Replica::new(NodeId(node), config, log.clone());
                self.replicas.insert((node, instance), core.clone());
                compared(own == *core, &mut self.report, || {
                    format!("{partition:?} is opened as {core:?}, it should be {own:?}")
                })
            }
            CoreStep::Replica {
                partition,
                instance,
                input,
                outputs,
                core,
            } => {
                let step = ReplicaStep {
                    input,
                    outputs,
                    core,
                };
                self.replica((node, instance), partition, step)
            }
            quorum => {
                let counted = &mut self.report;
                self.quorum.take(node, quorum, counted)
            }
        }
    }

    fn replica(
        &mut self,
        which: (i32, u64),
        partition: TopicIdPartition,
        step: ReplicaStep<'_>,
    ) -> Vec<Broken> {
        let ReplicaStep {
            input,
            outputs,
            core,
        } = step;
        let Some(own) = self.replicas.get_mut(&which) else {
            return compared(false, &mut self.report, || {
                format!("{partition:?} takes {input:?} and was never opened")
            });
        };
        let before = own.clone();
        let mut expected = Vec::new();
        own.step(input.clone(), &mut expected);
        let same = expected == outputs && own == core;
        let mut broken = compared(same, &mut self.report, || {
            deviation(&partition, input, (&expected, outputs), (&*own, core))
        });
        if !same {
            own.clone_from(core);
        }
        let progress = replica::invariants::progress(&before, core);
        self.report.count("REP-5", 1);
        broken.extend(progress.err().map(|violation| Broken {
            invariant: violation.invariant,
            detail: format!("{partition:?}: {}", violation.detail),
        }));
        broken
    }
}

fn compared(same: bool, report: &mut Report, detail: impl FnOnce() -> String) -> Vec<Broken> {
    report.count(SAME_STEP, 1);
    let broken = (!same).then(|| Broken {
        invariant: SAME_STEP,
        detail: detail(),
    });
    broken.into_iter().collect()
}

/// What the node's core did and what the second one did.
fn deviation<I, O, C>(
    who: &impl std::fmt::Debug,
    input: &I,
    (expected, outputs): (&[O], &[O]),
    (own, core): (&C, &C),
) -> String
where
    I: std::fmt::Debug,
    O: std::fmt::Debug + PartialEq,
    C: std::fmt::Debug,
{
    if expected == outputs {
        let (is, should) = difference(&format!("{core:?}"), &format!("{own:?}"));
        return format!("{who:?}: after {input:?} the core is {is}, it should be {should}");
    }
    let same = expected.iter().zip(outputs);
    let same = same.take_while(|(one, other)| one == other).count();
    format!(
        "{who:?}: to {input:?} the core says {:?}, it should say {:?} (after {same} that are as they should be)",
        outputs.get(same),
        expected.get(same)
    )
}

/// Where two long texts part, with a little around it.
fn difference(one: &str, other: &str) -> (String, String) {
    const BEFORE: usize = 60;
    const SHOWN: usize = 160;
    let mut same = one.chars().zip(other.chars());
    let same = same.position(|(one, other)| one != other).unwrap_or(0);
    let part = |text: &str| -> String {
        let part = text.chars().skip(same.saturating_sub(BEFORE)).take(SHOWN);
        part.collect()
    };
    (format!("… {} …", part(one)), format!("… {} …", part(other)))
}

fn violation(at: &Moment, invariant: &str, detail: String) -> Violation {
    let anomaly = match invariant {
        SAME_STEP => "unlike-the-core",
        _ => "after-a-step",
    };
    Violation {
        invariant: invariant.to_owned(),
        anomaly: anomaly.to_owned(),
        event: at.event,
        sim_ms: at.ms,
        node: format!("node{}", at.node),
        detail,
    }
}
