//! Faults as data: what can go wrong, when, and how much of it a run may bear.
//!
//! Nothing here does I/O, knows an engine or reads a clock; randomness comes in as a ChaCha stream.
//!
//! Map: [`fault`] every fault as one enum · [`world`] what an engine implements · [`network`] rules that
//! decide the fate of each segment · [`link`] one link's latency, bandwidth and loss · [`frames`] faults
//! by Kafka request · [`operation`] what operators do · [`clock`] a node's clocks · [`plan`] faults at fixed times · [`chaos`] random ones ·
//! [`draw`] how each of these is made · [`target`] "the leader of t-0", resolved late · [`schedule`] all of
//! it with the healing · [`budget`] what may be lost · [`wire`] a look at what travels. Disk faults live in `sim-disk`, next to the disk
//! that obeys them.

pub mod budget;
pub mod chaos;
pub mod clock;
pub mod draw;
pub mod fault;
pub mod frames;
pub mod link;
pub mod network;
pub mod operation;
pub mod plan;
pub mod schedule;
pub mod target;
pub mod wire;
pub mod world;

pub use budget::{Budget, BudgetSpec, Durability, Refusal};
pub use chaos::{Aim, Chaos, Lasts};
pub use clock::{ClockFault, ClockModel};
pub use fault::{Fault, ProcessFault};
pub use frames::{
    Direction, FrameAction, FrameClassifier, FrameInfo, FrameRule, FrameRules, FrameTap,
};
pub use link::{Latency, LinkSelector};
pub use network::{
    ConnectVerdict, Effect, HostId, NetworkFault, NetworkOptions, NetworkRules, Verdict,
};
pub use operation::{Operation, RollingRestart};
pub use plan::{Action, FaultSpec, Planned};
pub use schedule::{Event, Quiet, Schedule};
pub use sim_disk::{Chance, DiskFault, Strikes};
pub use target::{Target, TargetResolver};
pub use wire::{Passage, WireObserver};
pub use world::{Unsupported, World};
