//! The only door to the world: what production, native simulation, madsim and turmoil each implement.
//!
//! One cheap-to-clone [`Env`] value of five capabilities as trait objects. Everything above this crate
//! reaches time, randomness, files, sockets and tasks only through it; that is what makes one code run
//! in production and in three simulators.
//!
//! Map: [`network`] · [`disk`] · [`clock`] · [`random`] · [`spawn`] · [`time`] (timeout and our biased
//! [`select!`]) · [`conformance`] (one suite every implementation runs) · `production/` (tokio).

pub mod clock;
pub mod conformance;
pub mod disk;
pub mod network;
pub mod random;
pub mod spawn;
pub mod time;

#[cfg(feature = "production")]
pub mod production;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use clock::{Clock, Instant, WallTime};
pub use disk::{Disk, DiskError, DiskErrorKind, File, OpenMode};
pub use network::{Address, BoxConnection, Connection, Listener, Network, NetworkError};
pub use random::{Random, Stream};
pub use spawn::{Spawn, TaskHandle};

/// A boxed future; the shape of every asynchronous call that crosses a crate boundary, so that an
/// implementation's body is compiled where it is written, not where it is polled.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The world as one node sees it.
#[derive(Clone)]
pub struct Env {
    pub network: Arc<dyn Network>,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub spawn: Arc<dyn Spawn>,
}

impl Env {
    /// Monotonic time of this node.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Sleeps on this node's monotonic clock.
    pub fn sleep(&self, duration: std::time::Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    /// Starts a task that dies with the node. The name appears in traces and panics.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> TaskHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn.spawn(name, Box::pin(future))
    }
}
