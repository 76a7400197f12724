//! Clocks: idle time is free, timers follow drift, wall clocks jump, pauses make timers late.

use std::time::Duration;

use broker_env::WallTime;
use sim_engine::{Engine, Handle, HostId, Options, Outcome};
use sim_faults::{ClockFault, Fault, World};

#[path = "support/log.rs"]
mod log;
use log::Log;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "measures the simulator itself"
)]
fn an_idle_day_takes_less_than_50_ms() {
    let start = std::time::Instant::now();
    let mut engine = Engine::new(Options::new(1));
    for name in ["node1", "node2", "node3"] {
        let host = engine.add_host(name);
        engine.spawn_on(host, "hourly", |env| {
            Box::pin(async move {
                loop {
                    env.sleep(Duration::from_secs(3_600)).await;
                }
            })
        });
    }
    assert_eq!(engine.run_until(DAY), Outcome::Deadline);
    assert_eq!(engine.handle().now(), DAY);
    assert!(
        start.elapsed() < Duration::from_millis(50),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn timeouts_that_never_strike_cost_no_memory_and_no_events() {
    let mut engine = Engine::new(Options::new(1));
    let host = engine.add_host("host");
    engine.spawn_on(host, "client", |env| {
        Box::pin(async move {
            for _ in 0..200_000 {
                let mut timeout = env.sleep(Duration::from_secs(30));
                broker_env::select! {
                    _ = &mut timeout => panic!("struck"),
                    _ = env.sleep(Duration::from_micros(10)) => {}
                }
            }
        })
    });
    assert_eq!(engine.run_until(DAY), Outcome::Idle);
    assert_eq!(
        engine.handle().events(),
        1 + 200_000 + 200_001 + 1,
        "start, timers, polls, end"
    );
}

/// Sleeps a second of its own clock over and over and notes the true time in ms.
fn ticking(engine: &mut Engine, name: &str) -> (HostId, Log) {
    let (host, log, handle) = (engine.add_host(name), Log::default(), engine.handle());
    let sink = log.clone();
    engine.spawn_on(host, "ticker", move |env| {
        Box::pin(async move {
            loop {
                env.sleep(Duration::from_secs(1)).await;
                sink.note((handle.now() / 1_000_000).to_string());
            }
        })
    });
    (host, log)
}

fn clock(handle: &Handle, node: &str, fault: ClockFault) {
    handle
        .clone()
        .apply(&Fault::clock(node, fault))
        .expect("clock faults are supported");
}

#[test]
fn a_drifting_clock_ends_sleeps_early_or_late_also_those_under_way() {
    let mut engine = Engine::new(Options::new(1));
    let (_, fast) = ticking(&mut engine, "fast");
    let (_, slow) = ticking(&mut engine, "slow");
    let (_, exact) = ticking(&mut engine, "exact");
    let handle = engine.handle();
    engine.run_until(SECOND / 2);
    clock(&handle, "fast", ClockFault::Drift { ppm: 250_000 });
    clock(&handle, "slow", ClockFault::Drift { ppm: -200_000 });
    engine.run_until(3 * SECOND);
    assert_eq!(
        fast.take(),
        ["900", "1700", "2500"],
        "half a second at rate 1, then at 1.25"
    );
    assert_eq!(
        slow.take(),
        ["1125", "2375"],
        "half a second at rate 1, then at 0.8"
    );
    assert_eq!(exact.take(), ["1000", "2000", "3000"]);
}

#[test]
fn a_jump_moves_the_wall_clock_only() {
    let mut engine = Engine::new(Options::new(1));
    let (host, log) = ticking(&mut engine, "node1");
    let other = engine.add_host("node2");
    let handle = engine.handle();
    engine.run_until(SECOND / 2);
    let (env, before) = (handle.env(host), handle.env(host).clock.wall());
    clock(&handle, "node1", ClockFault::Jump { by_ms: -3_600_000 });
    assert_eq!(env.clock.wall(), WallTime(before.0 - 3_600_000));
    assert_eq!(handle.env(other).clock.wall(), before);
    assert_eq!(env.now().0, SECOND / 2);
    clock(&handle, "node1", ClockFault::Freeze);
    let frozen = env.clock.wall();
    engine.run_until(2 * SECOND);
    assert_eq!(env.clock.wall(), frozen);
    assert_eq!(log.take(), ["1000", "2000"]);
    handle.clone().apply(&Fault::HealAll).expect("supported");
    assert_eq!(env.clock.wall(), handle.env(other).clock.wall());
}

#[test]
fn a_paused_node_wakes_late_and_finds_that_time_has_passed() {
    let mut engine = Engine::new(Options::new(1));
    let (host, log) = ticking(&mut engine, "node1");
    let handle = engine.handle();
    engine.run_until(SECOND / 2);
    handle.pause(host);
    engine.run_until(5 * SECOND);
    assert_eq!(log.take(), [""; 0]);
    assert_eq!(
        handle.env(host).now().0,
        5 * SECOND,
        "SIGSTOP does not stop the clock"
    );
    handle.resume(host);
    engine.run_until(7 * SECOND);
    assert_eq!(log.take(), ["5000", "6000", "7000"]);
}

#[test]
fn a_suspended_machine_finds_that_no_time_has_passed() {
    let mut engine = Engine::new(Options {
        pause_stops_clock: true,
        ..Options::new(1)
    });
    let (host, log) = ticking(&mut engine, "node1");
    let handle = engine.handle();
    engine.run_until(SECOND / 2);
    handle.pause(host);
    engine.run_until(5 * SECOND);
    assert_eq!(handle.env(host).now().0, SECOND / 2);
    handle.resume(host);
    engine.run_until(7 * SECOND);
    assert_eq!(log.take(), ["5500", "6500"]);
}

#[test]
fn a_stall_delays_all_tasks_of_its_node_only() {
    let mut engine = Engine::new(Options::new(1));
    let (host, log) = ticking(&mut engine, "node1");
    let (_, other) = ticking(&mut engine, "node2");
    let handle = engine.handle();
    engine.run_until(SECOND / 2);
    handle.stall(host, Duration::from_millis(700));
    engine.run_until(3 * SECOND);
    assert_eq!(log.take(), ["1200", "2200"]);
    assert_eq!(other.take(), ["1000", "2000", "3000"]);
}
