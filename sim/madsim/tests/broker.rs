//! Real brokers under madsim's eyes: what asks libc for time, randomness or threads is made
//! deterministic or refused.

#![cfg(madsim)]

use sim_madsim::{Engine, Options, fresh_thread};

#[path = "../../hosted/tests/shared/broker.rs"]
mod broker;

fn hash(seed: u64, nodes: usize, kill: bool) -> u64 {
    fresh_thread(|| {
        let engine = Engine::new(Options::new(seed)).expect("a fresh thread, and the cfg");
        broker::run(engine, nodes, kill)
    })
}

#[test]
fn one_broker_keeps_a_hundred_records() {
    hash(1, 1, false);
}

#[test]
fn three_brokers_keep_a_hundred_records_while_one_dies_and_every_run_is_the_same() {
    assert_eq!(hash(2, 3, true), hash(2, 3, true));
}
