//! The suite for every engine, on turmoil.

#![cfg(tokio_unstable)]

use sim_turmoil::{Engine, Options};

#[path = "../../hosted/tests/shared/suite.rs"]
#[macro_use]
mod suite;

fn make(options: Options) -> Engine {
    Engine::new(options).expect("tests are built with the cfg")
}

tests_of_every_engine!(make);
