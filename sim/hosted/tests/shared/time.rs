//! Clocks, disks that take time, and the run loop.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use broker_env::OpenMode;
use sim_engine::{HostId, Options, Outcome};
use sim_faults::{ClockFault, DiskFault, Fault, World};
use sim_hosted::{Control, Simulation};

use super::log::Log;
use super::talk::{MILLI, talk};

type Make<S> = fn(Options) -> S;

const SECOND: u64 = 1_000 * MILLI;

/// Sleeps a second of its own clock over and over and notes the true time in hundredths of a second.
fn ticking<S: Simulation>(engine: &mut S, name: &str) -> (HostId, Log) {
    let (host, log, handle) = (engine.add_host(name), Log::default(), engine.handle());
    let (sink, env, clock) = (log.clone(), handle.env(host), handle.clone());
    let tick = async move {
        loop {
            env.sleep(Duration::from_secs(1)).await;
            sink.note(format!("{}", Control::now(&clock) / (10 * MILLI)));
        }
    };
    handle.spawn_on(host, "ticker", Box::pin(tick));
    (host, log)
}

fn clock<S: Simulation>(engine: &S, node: &str, fault: ClockFault) {
    let applied = engine.handle().apply(&Fault::clock(node, fault));
    applied.expect("clock faults are supported");
}

pub fn a_drifting_clock_ends_sleeps_early_or_late<S: Simulation>(make: Make<S>) {
    let mut engine = make(Options::new(1));
    let (_, fast) = ticking(&mut engine, "fast");
    let (_, slow) = ticking(&mut engine, "slow");
    let (_, exact) = ticking(&mut engine, "exact");
    engine.run_until(SECOND / 2);
    clock(&engine, "fast", ClockFault::Drift { ppm: 250_000 });
    clock(&engine, "slow", ClockFault::Drift { ppm: -200_000 });
    engine.run_until(3 * SECOND + 50 * MILLI);
    assert_eq!(
        fast.take(),
        ["90", "170", "250"],
        "half a second at 1, then at 1.25"
    );
    assert_eq!(
        slow.take(),
        ["112", "237"],
        "half a second at 1, then at 0.8"
    );
    assert_eq!(exact.take(), ["100", "200", "300"]);
}

pub fn a_jump_moves_the_wall_clock_only<S: Simulation>(make: Make<S>) {
    let mut engine = make(Options::new(1));
    let (host, log) = ticking(&mut engine, "node1");
    engine.run_until(SECOND / 2);
    let env = engine.handle().env(host);
    let before = (env.now(), env.clock.wall().0);
    clock(&engine, "node1", ClockFault::Jump { by_ms: -3_600_000 });
    let after = (env.now(), env.clock.wall().0);
    assert_eq!(after, (before.0, before.1 - 3_600_000));
    engine.run_until(SECOND + 100 * MILLI);
    assert_eq!(log.take(), ["100"]);
}

/// A file written and synced again and again; notes each end in tenths of a second of true time.
fn syncing<S: Simulation>(engine: &mut S) -> Log {
    let (host, log, handle) = (engine.add_host("node1"), Log::default(), engine.handle());
    let (sink, env, clock) = (log.clone(), handle.env(host), handle.clone());
    let sync = async move {
        let file = env.disk.open(Path::new("/file"), OpenMode::Create);
        let file = file.expect("a healthy disk");
        loop {
            env.sleep(Duration::from_millis(250)).await;
            file.write_at(b"x", 0).expect("room");
            file.sync_data().await.expect("a healthy disk");
            sink.note(format!("{}", Control::now(&clock) / (100 * MILLI)));
        }
    };
    handle.spawn_on(host, "sync", Box::pin(sync));
    log
}

pub fn a_stalled_disk_lets_syncs_wait<S: Simulation>(make: Make<S>) {
    let mut engine = make(Options::new(1));
    let log = syncing(&mut engine);
    let stall = Fault::disk("node1", DiskFault::Stalled);
    engine.handle().apply(&stall).expect("supported");
    engine.run_until(SECOND);
    assert_eq!(log.take(), [""; 0]);
    let heal = Fault::Heal(Box::new(stall));
    engine.handle().apply(&heal).expect("supported");
    engine.run_until(SECOND + 50 * MILLI);
    assert_eq!(log.take(), ["10"]);
}

pub fn a_slow_disk_blocks_the_process<S: Simulation>(make: Make<S>) {
    let mut engine = make(Options::new(1));
    let log = syncing(&mut engine);
    let (handle, host) = (
        engine.handle(),
        engine.handle().host("node1").expect("added"),
    );
    let (sink, env, clock) = (log.clone(), handle.env(host), handle.clone());
    let other = async move {
        env.sleep(Duration::from_millis(300)).await;
        sink.note(format!("other at {}", Control::now(&clock) / (100 * MILLI)));
    };
    handle.spawn_on(host, "other", Box::pin(other));
    let slow = DiskFault::Slow {
        operation: Duration::from_secs(1),
        sync: Duration::ZERO,
    };
    // After the open: from 0.25 s the write blocks the thread.
    engine.run_until(100 * MILLI);
    let applied = engine.handle().apply(&Fault::disk("node1", slow));
    applied.expect("supported");
    engine.run_until(1_400 * MILLI);
    let mut lines = log.take();
    lines.sort();
    assert_eq!(lines, ["12", "other at 12"]);
}

pub fn every_step_is_shown_to_the_hook<S: Simulation>(make: Make<S>) {
    let mut engine = make(Options::new(1));
    let (_, log) = ticking(&mut engine, "node1");
    let (steps, last) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (counted, seen) = (steps.clone(), last.clone());
    engine.on_step(Box::new(move |info| {
        counted.set(counted.get() + 1);
        assert!(info.at >= seen.replace(info.at), "time goes on");
    }));
    engine.run_until(3 * SECOND + 50 * MILLI);
    assert!(steps.get() >= 4, "{} for {:?}", steps.get(), log.take());
    assert!(last.get() >= 3 * SECOND);
}

pub fn a_condition_ends_a_run<S: Simulation>(make: Make<S>) {
    let mut engine = make(Options::new(1));
    let (_, log) = ticking(&mut engine, "node1");
    let mut noted = 0;
    let outcome = engine.run_while(100 * SECOND, &mut |_| {
        noted += log.take().len();
        noted < 2
    });
    assert_eq!(outcome, Outcome::Condition);
    let now = Control::now(&engine.handle());
    assert!(
        (2 * SECOND..2 * SECOND + 10 * MILLI).contains(&now),
        "{now}"
    );
}

pub fn runs_go_on<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.say(40);
    for step in 1..100 {
        let until = (20 + 10 * step) * MILLI;
        assert!(matches!(
            talk.engine.run_until(until),
            Outcome::Deadline | Outcome::Idle
        ));
        let now = Control::now(&talk.engine.handle());
        assert!(
            (until..until + 2 * MILLI).contains(&now),
            "{now} of {until}"
        );
    }
    assert_eq!(
        talk.seen
            .take()
            .concat()
            .replace("echo ", "")
            .matches("40")
            .count(),
        1
    );
}
