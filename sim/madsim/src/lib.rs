//! The world on madsim: another scheduler, another TCP, and libc calls caught that no lint sees.
//!
//! madsim interposes libc's time, randomness and thread creation, so code that goes around `Env` is
//! either made deterministic (std's HashMap, Instant) or refused (threads): this engine is the leak
//! audit. Each world needs a fresh OS thread, because std seeds its HashMaps once per thread:
//! [`fresh_thread`] gives one. madsim's floor of one millisecond for each sleep and each message holds
//! for true time here. Its kill, clog and files are not used; faults are `sim-hosted`'s, as on every
//! engine.
//!
//! Map: [`Engine`] · `carrier` what it runs on · `absent` the same API where the cfg is missing.

#[cfg(not(madsim))]
mod absent;
#[cfg(madsim)]
mod carrier;
#[cfg(madsim)]
mod engine;

#[cfg(not(madsim))]
pub use absent::Engine;
#[cfg(madsim)]
pub use engine::Engine;
pub use sim_engine::Options;
pub use sim_hosted::{Control, Handle, Simulation, Unavailable};

const NAME: &str = "madsim";

/// Why this build cannot run worlds on madsim, if so.
pub fn availability() -> Result<(), Unavailable> {
    if cfg!(madsim) {
        return Ok(());
    }
    Err(Unavailable {
        engine: NAME,
        reason: "this build lacks `--cfg madsim`: a RUSTFLAGS variable replaced the flags in \
                 .cargo/config.toml; unset it and build again"
            .into(),
    })
}

/// Runs `body` on an OS thread that has had no world yet and gives what it returns; its panic goes on.
pub fn fresh_thread<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let joined = scope.spawn(body).join();
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
