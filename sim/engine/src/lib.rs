//! The native deterministic world: executor, per-node clocks, network, disks, behind `broker_env::Env`.
//!
//! One thread, no I/O, no real time. A run is a function of its seed: the ready task to poll is drawn
//! from the schedule stream, and every delay, fault and id from a stream of its own. Idle simulated time
//! costs nothing. The engine knows no Kafka.
//!
//! Map: [`Engine`] builds and runs a world · [`Handle`] acts on it from inside or outside · `step` one
//! step · `task` ready set and wakers · `events`, `timers` what is due when · `network` byte streams ·
//! `wires` what the rules make of them · `world` faults on it · `node` processes and machines · `clock`, `env`, `random` what a node
//! sees · `trace` the hash that names a run.

mod clock;
mod engine;
mod env;
mod events;
mod handle;
mod network;
mod node;
mod options;
mod outcome;
mod panics;
mod random;
mod state;
mod step;
mod task;
mod timers;
mod trace;
mod wires;
mod world;

pub use engine::Engine;
pub use handle::{Handle, HostId};
pub use node::{Boot, Death, NodeStatus};
pub use options::Options;
pub use outcome::{Crash, Outcome, StepInfo};
pub use random::salted;
pub use trace::{EventKind, TraceLine, TraceOptions};

/// What worlds on other executors are made of as well; see `sim-hosted`.
pub mod parts {
    pub mod panics {
        pub use crate::panics::{Panic, catch, install};
    }
    pub use crate::random::NodeRandom;
    pub use crate::trace::Trace;
    pub use crate::wires::{Wires, passage};
}

/// Ids are 32 bits wide, indexes as wide as the machine.
#[inline]
fn index(id: u32) -> usize {
    usize::try_from(id).expect("usize has at least 32 bits")
}
