//! The real world: tokio sockets, files through the page cache, the operating system's clocks.
//!
//! Make one [`env`] per process, inside the tokio runtime that shall run it. The only place in the
//! project that asks the operating system for time, randomness, files or sockets.
//!
//! Map: `network` · `disk` · `clock` · `random` · `spawn`.

mod clock;
mod disk;
mod network;
mod random;
mod spawn;

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::Env;

/// The environment of this process on the current tokio runtime. Panics outside of one.
pub fn env() -> Env {
    env_on(&Handle::current())
}

/// The environment of this process; its tasks and blocking calls run on `runtime`.
pub fn env_on(runtime: &Handle) -> Env {
    Env {
        network: Arc::new(network::TcpNetwork),
        disk: Arc::new(disk::RealDisk::new(runtime.clone())),
        clock: Arc::new(clock::SystemClock::new()),
        random: Arc::new(random::SystemRandom::new()),
        spawn: Arc::new(spawn::TokioSpawn::new(runtime.clone())),
    }
}
