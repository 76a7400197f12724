//! What a scenario asks for at fixed times: an action, on a target, once or again and again.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::ClockFault;
use crate::fault::{Fault, ProcessFault};
use crate::link::{Latency, LinkSelector};
use crate::network::NetworkFault;
use crate::operation::{Operation, RollingRestart};
use crate::target::Target;
use crate::{Chance, DiskFault};

/// A planned fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpec {
    /// Since the start of the run.
    pub at: Duration,
    /// Again after this time; the target is resolved anew. None is once.
    pub every: Option<Duration>,
    /// How often in all if periodic; none is until the quiet phase.
    pub times: Option<u32>,
    /// Until it is healed; none is until the quiet phase.
    pub lasts: Option<Duration>,
    pub planned: Planned,
}

impl FaultSpec {
    pub fn once(at: Duration, planned: Planned) -> FaultSpec {
        FaultSpec {
            at,
            every: None,
            times: None,
            lasts: None,
            planned,
        }
    }

    pub fn lasting(self, lasts: Duration) -> FaultSpec {
        FaultSpec {
            lasts: Some(lasts),
            ..self
        }
    }

    pub fn every(self, every: Duration) -> FaultSpec {
        FaultSpec {
            every: Some(every),
            ..self
        }
    }
}

/// What a planned fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planned {
    /// Exactly this.
    Fault(Fault),
    /// This, to whoever the target is then; several nodes are struck together.
    On(Target, Action),
}

impl fmt::Display for Planned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Planned::Fault(fault) => write!(formatter, "{fault}"),
            Planned::On(target, action) => write!(formatter, "{}: {target}", action.kind()),
        }
    }
}

/// A fault whose node is still open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Process(ProcessFault),
    Disk(DiskFault),
    Clock(ClockFault),
    /// The nodes are cut off from all other nodes; clients reach everybody. Together they see each other.
    Isolate,
    /// They hear nobody, all hear them.
    IsolateInbound,
    /// All hear nothing of them, they hear all.
    IsolateOutbound,
    /// All they send and receive queues up.
    Hold,
    Slow(Latency),
    Loss(Chance),
    /// Their connections reset.
    Reset,
    /// Their connections fall silent.
    HalfOpen,
    /// One after the other is stopped and started, perhaps as another release.
    RollingRestart(RollingRestart),
    AddBroker,
    RemoveBroker,
    AddVoter,
    RemoveVoter,
}

impl Action {
    /// Name for timelines; counters go by the faults made of it.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Process(fault) => fault.kind(),
            Action::Disk(fault) => fault.kind(),
            Action::Clock(fault) => fault.kind(),
            Action::Isolate => "network-isolate",
            Action::IsolateInbound => "network-isolate-inbound",
            Action::IsolateOutbound => "network-isolate-outbound",
            Action::Hold => "network-hold",
            Action::Slow(_) => "network-slow",
            Action::Loss(_) => "network-loss",
            Action::Reset => "network-reset",
            Action::HalfOpen => "network-half-open",
            Action::RollingRestart(_) => "rolling-restart",
            Action::AddBroker => "add-broker",
            Action::RemoveBroker => "remove-broker",
            Action::AddVoter => "add-voter",
            Action::RemoveVoter => "remove-voter",
        }
    }

    /// Whether it waits, while the budget refuses it, for a better moment, as an operator does.
    pub(crate) fn is_patient(&self) -> bool {
        matches!(
            self,
            Action::AddBroker | Action::RemoveBroker | Action::AddVoter | Action::RemoveVoter
        )
    }

    fn operation(&self, node: &str) -> Fault {
        let node = node.to_owned();
        Fault::Operation(match self {
            Action::AddBroker => Operation::AddBroker { node },
            Action::AddVoter => Operation::AddVoter { node },
            Action::RemoveVoter => Operation::RemoveVoter { node },
            _ => Operation::RemoveBroker {
                node,
                grace: RollingRestart::default().grace,
            },
        })
    }

    /// The faults that do it to these nodes of all nodes.
    pub fn on(&self, struck: &[String], all: &[String]) -> Vec<Fault> {
        let others = || all.iter().filter(|node| !struck.contains(node));
        let network = |fault: &dyn Fn(LinkSelector) -> NetworkFault| {
            struck
                .iter()
                .map(|node| Fault::Network(fault(LinkSelector::of(node))))
                .collect()
        };
        let pairs = |outbound: bool| {
            let pair = |node: &String, other: &String| {
                let (from, to) = if outbound {
                    (node, other)
                } else {
                    (other, node)
                };
                Fault::Network(NetworkFault::OneWay {
                    from: from.clone(),
                    to: to.clone(),
                })
            };
            struck
                .iter()
                .flat_map(|node| others().map(move |other| pair(node, other)))
                .collect()
        };
        match self {
            Action::Process(fault) => struck
                .iter()
                .map(|node| Fault::process(node, *fault))
                .collect(),
            Action::Disk(fault) => struck
                .iter()
                .flat_map(|node| on_disk(node, fault))
                .collect(),
            Action::Clock(fault) => struck
                .iter()
                .map(|node| Fault::clock(node, *fault))
                .collect(),
            Action::Isolate => {
                let sides = vec![struck.to_vec(), others().cloned().collect()];
                vec![Fault::Network(NetworkFault::Partition { sides })]
            }
            Action::IsolateInbound => pairs(false),
            Action::IsolateOutbound => pairs(true),
            Action::Hold => network(&|link| NetworkFault::Hold { link }),
            Action::Slow(latency) => network(&|link| NetworkFault::Slow {
                link,
                latency: *latency,
            }),
            Action::Loss(chance) => network(&|link| NetworkFault::Loss {
                link,
                chance: *chance,
                retransmit: Duration::from_millis(200),
            }),
            Action::Reset => network(&|link| NetworkFault::Reset { link }),
            Action::HalfOpen => network(&|link| NetworkFault::HalfOpen { link }),
            Action::AddBroker | Action::RemoveBroker | Action::AddVoter | Action::RemoveVoter => {
                struck.iter().map(|node| self.operation(node)).collect()
            }
            // The schedule takes one node after the other.
            Action::RollingRestart(_) => Vec::new(),
        }
    }
}

/// A disk is replaced while nothing runs on it.
fn on_disk(node: &str, fault: &DiskFault) -> Vec<Fault> {
    let mut faults = vec![Fault::disk(node, fault.clone())];
    if *fault == DiskFault::Wiped {
        faults.insert(0, Fault::process(node, ProcessFault::Kill));
    }
    faults
}

/// What ends a fault, restarts included: a process that met a failing disk has given it up for good.
pub fn healing(fault: &Fault) -> Vec<Fault> {
    let mut healing: Vec<Fault> = fault.healing().into_iter().collect();
    if let Fault::Disk { node, fault } = fault {
        if fault.fails_calls() {
            healing.push(Fault::process(node, ProcessFault::Kill));
        }
        if fault.fails_calls() || *fault == DiskFault::Wiped {
            healing.push(Fault::process(node, ProcessFault::Start));
        }
    }
    healing
}
