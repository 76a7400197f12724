//! A simulated world that lives on somebody else's executor and TCP: what madsim and turmoil share.
//!
//! The other engine gives order (which task runs next), time and a byte stream between two machines:
//! a [`Carrier`]. Everything a scenario can break is ours and the same as in the native engine: clocks,
//! disks, processes, and the network's rules. A segment leaves when the rules let it, travels over the
//! carrier's TCP, and what arrives there is judged again. So both ends see the native semantics, with
//! another scheduler, another TCP and other timing underneath.
//!
//! Each machine has one carrier listener for all its ports; the process's ports are state of this
//! crate. So a machine stays up when its process dies, as a kernel does, and engine quirks with bind,
//! refusal, backlog, half-close and crash never reach a process.
//!
//! Map: [`Core`] builds a world and judges how a run ended · [`Handle`] acts on it · [`simulation`] one
//! trait over this and the native engine · `task` processes' tasks on foreign executors · `clock`, `env`
//! what a node sees · `network` connections · `world` faults · `state` all data behind one lock.

mod carrier;
mod clock;
mod core;
mod env;
mod handle;
mod network;
mod node;
pub mod simulation;
mod state;
mod task;
mod world;

pub use carrier::{Carrier, CarrierListener};
pub use core::{Core, Unavailable};
pub use handle::Handle;
pub use simulation::{Control, Simulation};
pub use task::machine;

/// The port of each machine's one listener at the carrier.
pub const CARRIER_PORT: u16 = 60_000;

/// Ids are 32 bits wide, indexes as wide as the machine.
#[inline]
fn index(id: u32) -> usize {
    usize::try_from(id).expect("usize has at least 32 bits")
}
