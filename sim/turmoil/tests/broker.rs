//! Real brokers in virtual time on tokio's own scheduler.

#![cfg(tokio_unstable)]

use sim_turmoil::{Engine, Options};

#[path = "../../hosted/tests/shared/broker.rs"]
mod broker;

fn hash(seed: u64, nodes: usize, kill: bool) -> u64 {
    let engine = Engine::new(Options::new(seed)).expect("tests are built with the cfg");
    broker::run(engine, nodes, kill)
}

#[test]
fn one_broker_keeps_a_hundred_records() {
    hash(1, 1, false);
}

#[test]
fn three_brokers_keep_a_hundred_records_while_one_dies_and_every_run_is_the_same() {
    assert_eq!(hash(2, 3, true), hash(2, 3, true));
}
