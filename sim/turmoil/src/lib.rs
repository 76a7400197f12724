//! The world on turmoil: tokio's own scheduler, timers and sync primitives in virtual time.
//!
//! One turmoil host per machine; a tick is a millisecond, and true time stands still within one, so
//! delays are rounded up to whole milliseconds. turmoil's own faults (partition, hold, crash) are not
//! used: its partitions lose data for ever (turmoil issue 185) and its crash is a clean end of stream.
//! Faults are `sim-hosted`'s, as on every engine.
//!
//! Map: [`Engine`] · `carrier` what it runs on.

mod carrier;
mod engine;

pub use engine::Engine;
pub use sim_engine::Options;
pub use sim_hosted::{Control, Handle, Simulation, Unavailable};
/// Code points at which a test suspends, breaks or watches what runs; turmoil's own.
pub use turmoil::barriers;

/// Why this build cannot run worlds on turmoil, if so: without tokio's unstable seed for its random
/// choices, runs would not repeat.
pub fn availability() -> Result<(), Unavailable> {
    if cfg!(tokio_unstable) {
        return Ok(());
    }
    Err(Unavailable {
        engine: carrier::NAME,
        reason:
            "this build lacks `--cfg tokio_unstable`: a RUSTFLAGS variable replaced the flags in \
                 .cargo/config.toml; unset it and build again"
                .into(),
    })
}
