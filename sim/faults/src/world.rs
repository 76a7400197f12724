//! What the runner needs of an engine.

use std::collections::BTreeMap;

use sim_disk::SimDisk;

use crate::fault::Fault;

/// A fault that an engine cannot express. It says so; nothing is silently skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{engine} cannot do \"{fault}\": {reason}")]
pub struct Unsupported {
    pub engine: &'static str,
    /// The fault's line.
    pub fault: String,
    pub reason: String,
}

impl Unsupported {
    pub fn new(engine: &'static str, fault: &Fault, reason: impl Into<String>) -> Unsupported {
        Unsupported {
            engine,
            fault: fault.to_string(),
            reason: reason.into(),
        }
    }
}

/// A simulated world, as far as faults go.
pub trait World {
    /// True time in nanoseconds since the run began; no node's clock.
    fn now_ns(&self) -> u64;
    /// All hosts, nodes and clients, sorted.
    fn hosts(&self) -> Vec<String>;
    /// Whether a process runs there, paused or not. False for an unknown host.
    fn is_up(&self, host: &str) -> bool;
    /// Whether its process is paused.
    fn is_paused(&self, host: &str) -> bool;
    /// Does what the fault says, now. A fault without object (killing a dead node, healing what is not
    /// set, starting what runs) does nothing and is no error. A power loss always has one: the disk of a
    /// node that is down still has a page cache to lose.
    fn apply(&mut self, fault: &Fault) -> Result<(), Unsupported>;
    /// A host's disk, for checkers and budgets.
    fn disk(&self, host: &str) -> Option<SimDisk>;
    /// How often each kind of fault was set or has struck, network and disks together.
    fn fault_counts(&self) -> BTreeMap<&'static str, u64>;
}
