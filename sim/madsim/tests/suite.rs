//! The suite for every engine, on madsim.

#![cfg(madsim)]

use sim_madsim::{Engine, Options};

#[path = "../../hosted/tests/shared/suite.rs"]
#[macro_use]
mod suite;

fn make(options: Options) -> Engine {
    Engine::new(options).expect("tests are built with the cfg")
}

tests_of_every_engine!(make);
