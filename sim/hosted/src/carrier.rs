//! What a world needs of the engine under it.

use std::io;
use std::time::Duration;

use broker_env::{BoxConnection, BoxFuture};

/// The engine under a world. All but [`Carrier::now`] is called from a task of the machine concerned.
pub trait Carrier: Send + Sync {
    /// Name for messages.
    fn name(&self) -> &'static str;
    /// True time since the start, ns; never goes back, also between runs.
    fn now(&self) -> u64;
    /// Completes after this much true time, or a little later.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// Opens a stream to the carrier listener of a machine.
    fn connect(&self, machine: &str) -> BoxFuture<'static, io::Result<BoxConnection>>;
    /// Starts listening on this machine's [`crate::CARRIER_PORT`].
    fn listen(&self) -> BoxFuture<'static, io::Result<Box<dyn CarrierListener>>>;
    /// Whether time stands still while tasks run, so that too many polls in one instant are a livelock.
    fn has_instants(&self) -> bool;
}

/// Accepts streams from other machines.
pub trait CarrierListener: Send {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxConnection>>;
}
