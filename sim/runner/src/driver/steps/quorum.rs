//! The quorum's second cores, and its invariants over all nodes.

use std::collections::BTreeMap;

use broker_core::Ticket;
use broker_core::raft::invariants::{self, Ghost, NodeView};
use broker_core::raft::{Input, Output, QuorumState, Raft, Request, Role};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};
use broker_server::core_steps::CoreStep;
use broker_server::observe::Observation;
use sim_checkers::anomaly::Report;

use super::metadata_log::{MetadataLog, Prefixes};
use super::{Broken, compared, deviation};

#[derive(Debug, Default)]
pub struct Quorum {
    members: BTreeMap<i32, Member>,
    prefixes: Prefixes,
    ghost: Ghost,
}

/// A node's part. The log outlives the process.
#[derive(Debug, Default)]
struct Member {
    /// None while it is down.
    core: Option<Raft>,
    key: Option<ReplicaKey>,
    log: MetadataLog,
    durable_end: Offset,
    /// Outputs of its last step are not carried out yet.
    busy: bool,
    /// What it has not answered.
    asked: BTreeMap<Ticket, Request>,
    /// What was judged last: while nothing of it changes, nothing can break.
    judged: Option<Summary>,
}

/// What the invariants depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Summary {
    epoch: LeaderEpoch,
    leads: bool,
    high_watermark: Option<Offset>,
    log_end: Offset,
    saved: QuorumState,
    voters: usize,
}

impl Member {
    fn summary(&self) -> Option<Summary> {
        let core = self.core.as_ref()?;
        Some(Summary {
            epoch: core.epoch(),
            leads: matches!(core.role(), Role::Leader(_)),
            high_watermark: core.high_watermark(),
            log_end: core.log().end(),
            saved: core.saved_quorum_state(),
            voters: core.configurations().count(),
        })
    }
}

impl Quorum {
    pub fn stopped(&mut self, node: i32) {
        if let Some(member) = self.members.get_mut(&node) {
            member.core = None;
            member.busy = false;
            member.asked.clear();
        }
        self.ghost.process_ended(NodeId(node));
    }

    pub fn wiped(&mut self, node: i32) {
        self.members.remove(&node);
    }

    pub fn observe(&mut self, node: i32, observation: &Observation) {
        let prefixes = &mut self.prefixes;
        let member = self.members.entry(node).or_default();
        match observation {
            Observation::MetadataLogLoaded {
                log_start,
                log_end,
                batches,
                ..
            } => {
                member.log = MetadataLog::loaded(*log_start, batches, prefixes);
                member.durable_end = *log_end;
            }
            Observation::MetadataAppended { batch } => member.log.append(batch, prefixes),
            Observation::MetadataTruncated { log_end } => {
                member.log.truncate(*log_end);
                member.durable_end = member.durable_end.min(*log_end);
            }
            Observation::MetadataFlushed { end } => member.durable_end = *end,
            Observation::MetadataLogReplaced { end, epoch } => {
                member.log = MetadataLog::replaced(*end, *epoch, prefixes);
                member.durable_end = *end;
            }
            Observation::MetadataLogStartAdvanced { log_start } => {
                member.log.raise_start(*log_start);
            }
            _ => {}
        }
    }

    /// A step of the quorum's core; not one of a replica's.
    pub fn take(&mut self, node: i32, step: CoreStep<'_>, report: &mut Report) -> Vec<Broken> {
        let member = self.members.entry(node).or_default();
        match step {
            CoreStep::QuorumStarted {
                config,
                recovered,
                outputs,
                core,
            } => {
                let mut expected = Vec::new();
                let own = Raft::start(config.clone(), recovered, &mut expected);
                member.busy = true;
                member.key = Some(config.me);
                let same = own == *core && expected == outputs;
                member.core = Some(core.clone());
                compared(same, report, || {
                    deviation(&"quorum", &"its start", (&expected, outputs), (&own, core))
                })
            }
            CoreStep::Quorum {
                input,
                outputs,
                core,
            } => member.again(input, outputs, core, report),
            CoreStep::QuorumSettled => {
                member.busy = false;
                self.judge(report)
            }
            CoreStep::ReplicaOpened { .. } | CoreStep::Replica { .. } => Vec::new(),
        }
    }

    /// The invariants over all nodes, once nobody is in the middle of a step.
    fn judge(&mut self, report: &mut Report) -> Vec<Broken> {
        let mut changed = false;
        for member in self.members.values_mut() {
            if member.busy {
                return Vec::new();
            }
            let now = member.summary();
            changed |= now != member.judged;
            member.judged = now;
        }
        if !changed {
            return Vec::new();
        }
        let views: Vec<NodeView<'_>> = self.members.values().filter_map(Member::view).collect();
        let ghost = &mut self.ghost;
        let checks = [
            ("RAFT-1", invariants::election_safety(&views, ghost)),
            ("RAFT-2", invariants::log_matching(&views)),
            ("RAFT-3", invariants::high_watermarks(&views, ghost)),
            ("RAFT-4", invariants::commit(&views, ghost)),
            ("RAFT-3", invariants::leader_completeness(&views, ghost)),
            ("RAFT-5", invariants::voter_changes(&views)),
        ];
        let judged = checks.into_iter().filter_map(|(invariant, checked)| {
            report.count(invariant, 1);
            checked.err().map(Broken::from)
        });
        judged.collect()
    }
}

impl Member {
    fn view(&self) -> Option<NodeView<'_>> {
        Some(NodeView {
            key: self.key?,
            raft: self.core.as_ref(),
            log: &self.log,
            durable_end: self.durable_end,
        })
    }

    fn again(
        &mut self,
        input: &Input,
        outputs: &[Output],
        core: &Raft,
        report: &mut Report,
    ) -> Vec<Broken> {
        self.busy = true;
        if let Input::Request { ticket, request } = input {
            self.asked.insert(*ticket, request.clone());
        }
        let Some(own) = &mut self.core else {
            return compared(false, report, || {
                format!("quorum: takes {input:?} and was never started")
            });
        };
        let mut expected = Vec::new();
        own.step(input.clone(), &mut expected);
        let same = expected == outputs && own == core;
        let mut broken = compared(same, report, || {
            deviation(&"quorum", input, (&expected, outputs), (&*own, core))
        });
        if !same {
            own.clone_from(core);
        }
        broken.extend(self.released(outputs, core, report));
        broken
    }

    /// Nothing may leave that the disk does not hold.
    fn released(&mut self, outputs: &[Output], core: &Raft, report: &mut Report) -> Vec<Broken> {
        let key = core.config().me;
        let (saved, mut durable_end) = (core.saved_quorum_state(), self.durable_end);
        let mut broken = Vec::new();
        for output in outputs {
            let asked = match output {
                Output::Reply { ticket, .. } => self.asked.remove(ticket),
                Output::Send { .. } => None,
                // Carried out before what follows, and durable then.
                Output::StartLogAt { snapshot } => {
                    durable_end = snapshot.offset;
                    continue;
                }
                Output::Truncate { end } => {
                    durable_end = durable_end.min(*end);
                    continue;
                }
                _ => continue,
            };
            report.count("RAFT-4", 1);
            let checked =
                invariants::check_released(key, saved, durable_end, output, asked.as_ref());
            broken.extend(checked.err().map(Broken::from));
        }
        broken
    }
}

impl From<invariants::Violation> for Broken {
    fn from(violation: invariants::Violation) -> Broken {
        Broken {
            invariant: violation.invariant,
            detail: violation.detail,
        }
    }
}
