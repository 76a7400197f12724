//! Every fault, as one closed enum with a line for timelines and a name for counters.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sim_disk::DiskFault;
use sim_disk::units::{self, show};

use crate::clock::ClockFault;
use crate::frames::FrameRule;
use crate::network::NetworkFault;
use crate::operation::Operation;

/// Something to be done to the simulated world. Nodes are "node1", "node2" …, clients "client1" ….
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    Network(NetworkFault),
    /// By Kafka request or response.
    Frames(FrameRule),
    Disk {
        node: String,
        fault: DiskFault,
    },
    Clock {
        node: String,
        fault: ClockFault,
    },
    Process {
        node: String,
        fault: ProcessFault,
    },
    /// What an operator does. The runner does it; an engine only notes and counts it.
    Operation(Operation),
    /// Takes back a fault of this very value.
    Heal(Box<Fault>),
    /// Takes back all network, frame, disk and clock faults and resumes what is paused; starts nothing.
    HealAll,
}

/// What happens to a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProcessFault {
    /// SIGKILL, out of memory, abort: the page cache stays, the kernel resets the connections.
    Kill,
    /// The machine loses power: unsynced data are at chance, connections fall silent until it is back.
    PowerLoss,
    /// No task runs and the monotonic clock stands still: garbage collection, SIGSTOP, VM migration.
    Pause,
    /// Goes on after a pause.
    Resume,
    /// Starts a process on a node that is down: a supervisor.
    Start,
    /// Controlled shutdown as by SIGTERM; killed if it is not done in time: a deployment.
    Stop {
        #[serde(with = "units::duration")]
        grace: Duration,
    },
}

impl ProcessFault {
    pub fn kind(self) -> &'static str {
        match self {
            ProcessFault::Kill => "process-kill",
            ProcessFault::PowerLoss => "process-power-loss",
            ProcessFault::Pause => "process-pause",
            ProcessFault::Resume => "process-resume",
            ProcessFault::Start => "process-start",
            ProcessFault::Stop { .. } => "process-stop",
        }
    }
}

impl Fault {
    pub fn disk(node: &str, fault: DiskFault) -> Fault {
        Fault::Disk {
            node: node.into(),
            fault,
        }
    }

    pub fn clock(node: &str, fault: ClockFault) -> Fault {
        Fault::Clock {
            node: node.into(),
            fault,
        }
    }

    pub fn process(node: &str, fault: ProcessFault) -> Fault {
        Fault::Process {
            node: node.into(),
            fault,
        }
    }

    /// Stable name for counters and scenario weights.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Network(fault) => fault.kind(),
            Fault::Frames(rule) => rule.kind(),
            Fault::Disk { fault, .. } => fault.kind(),
            Fault::Clock { fault, .. } => fault.kind(),
            Fault::Process { fault, .. } => fault.kind(),
            Fault::Operation(operation) => operation.kind(),
            Fault::Heal(_) => "heal",
            Fault::HealAll => "heal-all",
        }
    }

    /// The node it strikes, if it strikes one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Fault::Disk { node, .. } | Fault::Clock { node, .. } | Fault::Process { node, .. } => {
                Some(node)
            }
            Fault::Operation(operation) => operation.node(),
            Fault::Heal(fault) => fault.node(),
            Fault::Network(_) | Fault::Frames(_) | Fault::HealAll => None,
        }
    }

    /// What ends it; none if it ends by itself or is an end.
    pub fn healing(&self) -> Option<Fault> {
        match self {
            Fault::Network(fault) if fault.is_instant() => None,
            Fault::Disk { fault, .. } if fault.is_instant() => None,
            Fault::Network(_) | Fault::Frames(_) | Fault::Disk { .. } | Fault::Clock { .. } => {
                Some(Fault::Heal(Box::new(self.clone())))
            }
            Fault::Process { node, fault } => match fault {
                ProcessFault::Kill | ProcessFault::PowerLoss | ProcessFault::Stop { .. } => {
                    Some(Fault::process(node, ProcessFault::Start))
                }
                ProcessFault::Pause => Some(Fault::process(node, ProcessFault::Resume)),
                ProcessFault::Resume | ProcessFault::Start => None,
            },
            Fault::Operation(Operation::RemoveBroker { node, .. }) => {
                Some(Fault::Operation(Operation::AddBroker {
                    node: node.clone(),
                }))
            }
            Fault::Operation(Operation::RemoveVoter { node }) => {
                Some(Fault::Operation(Operation::AddVoter { node: node.clone() }))
            }
            Fault::Operation(_) | Fault::Heal(_) | Fault::HealAll => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Network(fault) => write!(formatter, "network: {fault}"),
            Fault::Frames(rule) => write!(formatter, "frames: {rule}"),
            Fault::Disk { node, fault } => write!(formatter, "{node} disk: {fault}"),
            Fault::Clock { node, fault } => write!(formatter, "{node} clock: {fault}"),
            Fault::Process { node, fault } => write!(formatter, "{node}: {fault}"),
            Fault::Operation(operation) => write!(formatter, "{operation}"),
            Fault::Heal(fault) => write!(formatter, "heal {fault}"),
            Fault::HealAll => write!(formatter, "heal all"),
        }
    }
}

impl fmt::Display for ProcessFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessFault::Kill => write!(formatter, "kill"),
            ProcessFault::PowerLoss => write!(formatter, "power loss"),
            ProcessFault::Pause => write!(formatter, "pause"),
            ProcessFault::Resume => write!(formatter, "resume"),
            ProcessFault::Start => write!(formatter, "start"),
            ProcessFault::Stop { grace } => {
                write!(formatter, "controlled stop within {}", show(*grace))
            }
        }
    }
}
