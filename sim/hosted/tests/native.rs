//! The suite for every engine, on the native one.

use sim_engine::{Engine, Options};

#[path = "shared/suite.rs"]
#[macro_use]
mod suite;

fn make(options: Options) -> Engine {
    Engine::new(options)
}

tests_of_every_engine!(make);
