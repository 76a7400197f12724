//! The engine is in this build, or says why not.

use sim_turmoil::{Engine, Options};

/// A RUSTFLAGS variable would make the other tests vanish; this one then fails.
#[test]
fn this_build_has_the_engine() {
    sim_turmoil::availability().expect("the flags of .cargo/config.toml");
    Engine::new(Options::new(1))
        .map(drop)
        .expect("the flags of .cargo/config.toml");
}
