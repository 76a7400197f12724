//! Tasks: random order, panics, livelocks, aborts, stops, hooks, samples.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use sim_engine::{Engine, Options, Outcome, TraceOptions};

#[path = "support/log.rs"]
mod log;
use log::{Log, NoteOnDrop};

const SECOND: u64 = 1_000_000_000;

fn order_of_ten(seed: u64) -> Vec<String> {
    let mut engine = Engine::new(Options::new(seed));
    let (host, log) = (engine.add_host("host"), Log::default());
    for number in 0..10 {
        let log = log.clone();
        engine.spawn_on(host, "one of ten", move |_| {
            Box::pin(async move { log.note(number.to_string()) })
        });
    }
    assert_eq!(engine.run_until(SECOND), Outcome::Idle);
    log.take()
}

#[test]
fn ready_tasks_run_in_random_order() {
    let orders: BTreeSet<Vec<String>> = (0..100).map(order_of_ten).collect();
    assert!(
        orders.len() > 95,
        "only {} different orders of 10! in 100 runs",
        orders.len()
    );
    let firsts: BTreeSet<&String> = orders.iter().map(|order| &order[0]).collect();
    assert_eq!(firsts.len(), 10, "each task comes first in some run");
}

#[test]
fn a_panic_ends_the_run_and_names_node_task_and_place() {
    let mut engine = Engine::new(Options::new(1));
    let host = engine.add_host("node7");
    engine.spawn_on(host, "appender", |env| {
        Box::pin(async move {
            env.sleep(Duration::from_millis(3)).await;
            let end_offset = 41;
            assert_eq!(end_offset, 42, "log end offset of t-0");
        })
    });
    let Outcome::Crashed(crash) = engine.run_until(SECOND) else {
        panic!("no crash")
    };
    assert_eq!(
        (crash.node.as_str(), crash.task.as_str(), crash.at),
        ("node7", "appender", 3_000_000)
    );
    assert!(
        crash.message.contains("log end offset of t-0") && crash.message.contains("41"),
        "{}",
        crash.message
    );
    assert!(
        crash.location.contains("executor.rs:"),
        "{}",
        crash.location
    );
    assert!(
        crash
            .to_string()
            .starts_with("node7: task `appender` panicked at "),
        "{crash}"
    );
    assert_eq!(
        engine.run_until(2 * SECOND),
        Outcome::Crashed(crash),
        "a crashed run stays crashed"
    );
}

#[test]
fn a_panic_while_dropping_is_a_crash_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let mut engine = Engine::new(Options::new(1));
    let host = engine.add_host("host");
    engine.spawn_on(host, "parent", |env| {
        Box::pin(async move {
            let child = env.spawn("child", async {
                let _bomb = Bomb;
                std::future::pending::<()>().await;
            });
            env.sleep(Duration::from_millis(1)).await;
            child.abort();
        })
    });
    let Outcome::Crashed(crash) = engine.run_until(SECOND) else {
        panic!("no crash")
    };
    assert_eq!(
        (crash.task.as_str(), crash.message.as_str()),
        ("child", "dropped")
    );
}

#[test]
fn tasks_that_never_let_time_pass_are_named() {
    let mut options = Options::new(1);
    options.polls_per_instant = 10_000;
    let mut engine = Engine::new(options);
    let host = engine.add_host("host");
    engine.spawn_on(host, "innocent", |env| {
        Box::pin(async move { env.sleep(Duration::from_millis(1)).await })
    });
    engine.spawn_on(host, "spinner", |env| {
        Box::pin(async move {
            env.sleep(Duration::from_millis(1)).await;
            loop {
                env.sleep(Duration::ZERO).await;
            }
        })
    });
    let expected = Outcome::Livelock {
        node: "host".into(),
        task: "spinner".into(),
    };
    assert_eq!(engine.run_until(SECOND), expected);
}

#[test]
fn an_abort_drops_the_future() {
    let mut engine = Engine::new(Options::new(1));
    let (host, log) = (engine.add_host("host"), Log::default());
    let (held, handle) = (log.clone(), engine.handle());
    engine.spawn_on(host, "parent", move |env| {
        Box::pin(async move {
            let child = env.spawn("child", async move {
                let _held = NoteOnDrop(held, "dropped");
                std::future::pending::<()>().await;
            });
            env.sleep(Duration::from_millis(1)).await;
            child.abort();
        })
    });
    assert_eq!(engine.run_until(SECOND), Outcome::Idle);
    assert_eq!(log.take(), ["dropped"]);
    assert_eq!(handle.live_tasks(), 0);
}

#[test]
fn a_stop_ends_the_run_after_the_event_and_lets_it_go_on() {
    let mut engine = Engine::new(Options::new(1));
    let (host, handle) = (engine.add_host("host"), engine.handle());
    engine.spawn_on(host, "stopper", move |env| {
        Box::pin(async move {
            env.sleep(Duration::from_millis(7)).await;
            handle.stop("seen enough");
        })
    });
    assert_eq!(
        engine.run_until(SECOND),
        Outcome::Stopped {
            reason: "seen enough".into()
        }
    );
    assert_eq!(engine.handle().now(), 7_000_000);
    assert_eq!(engine.run_until(SECOND), Outcome::Idle);
}

#[test]
fn the_step_hook_sees_every_step_and_its_host() {
    let mut engine = Engine::new(Options::new(1));
    let hosts = [engine.add_host("one"), engine.add_host("two")];
    for host in hosts {
        engine.spawn_on(host, "sleeper", |env| {
            Box::pin(async move {
                for _ in 0..10 {
                    env.sleep(Duration::from_millis(1)).await;
                }
            })
        });
    }
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = seen.clone();
    engine.on_step(move |info| sink.borrow_mut().push(*info));
    assert_eq!(engine.run_until(SECOND), Outcome::Idle);
    let seen = seen.borrow();
    let polls = |host| seen.iter().filter(|info| info.host == Some(host)).count();
    assert_eq!((polls(hosts[0]), polls(hosts[1])), (11, 11));
    assert!(
        seen.windows(2)
            .all(|pair| pair[0].event < pair[1].event && pair[0].at <= pair[1].at)
    );
}

#[test]
fn a_run_can_pause_at_any_deadline_without_changing() {
    let events = |deadlines: &[u64]| {
        let mut engine = Engine::new(Options::new(5));
        let host = engine.add_host("host");
        for _ in 0..5 {
            engine.spawn_on(host, "sleeper", |env| {
                Box::pin(async move {
                    for round in 1..20 {
                        env.sleep(Duration::from_micros(700 * round)).await;
                    }
                })
            });
        }
        for deadline in deadlines {
            engine.run_until(*deadline);
        }
        (engine.handle().events(), engine.handle().trace_hash())
    };
    assert_eq!(
        events(&[SECOND]),
        events(&[1, 2_000_000, 2_000_001, 50_000_000, SECOND])
    );
}

fn traced(options: TraceOptions, text: &'static str) -> (Vec<(u64, u64)>, Vec<String>) {
    let mut engine = Engine::new(Options {
        trace: options,
        ..Options::new(3)
    });
    let (host, handle) = (engine.add_host("host"), engine.handle());
    engine.spawn_on(host, "recorder", move |env| {
        Box::pin(async move {
            for number in 0..100 {
                env.sleep(Duration::from_millis(1)).await;
                let words = [number, u64::from(number == 60 && text == "b")];
                handle.record(Some(host), &words, || format!("{text} {number}"));
            }
        })
    });
    assert_eq!(engine.run_until(SECOND), Outcome::Idle);
    (
        engine.hash_samples(),
        engine
            .take_trace()
            .iter()
            .map(ToString::to_string)
            .collect(),
    )
}

#[test]
fn samples_and_lines_find_the_first_divergence() {
    let samples = TraceOptions {
        sample_every: 10,
        lines: None,
    };
    let (one, lines) = traced(samples, "a");
    let (other, _) = traced(samples, "b");
    assert_eq!((one.len(), lines.len()), (other.len(), 0));
    let first = one
        .iter()
        .zip(&other)
        .position(|(one, other)| one != other)
        .expect("they diverge");
    let from = one[first].0 - 10;
    let (_, lines) = traced(
        TraceOptions {
            sample_every: 0,
            lines: Some((from, from + 11)),
        },
        "b",
    );
    assert!(
        lines.iter().any(|line| line.contains("host · b 60")),
        "{lines:#?}"
    );
    assert!(
        lines[0].starts_with("0.0") && lines.len() < 20,
        "{lines:#?}"
    );
}

#[test]
fn a_dropped_engine_drops_its_tasks() {
    let log = Log::default();
    let mut engine = Engine::new(Options::new(1));
    let (host, held) = (engine.add_host("host"), log.clone());
    engine.spawn_on(host, "holder", move |env| {
        Box::pin(async move {
            let _held = NoteOnDrop(held, "dropped");
            env.sleep(Duration::from_secs(3_600)).await;
        })
    });
    assert_eq!(
        engine.run_while(SECOND, |info| info.host.is_none()),
        Outcome::Condition
    );
    assert_eq!(engine.run_until(SECOND), Outcome::Deadline);
    let waiting = (("host".to_owned(), "holder"), 1);
    assert_eq!(engine.handle().tasks(), [waiting].into());
    drop(engine);
    assert_eq!(log.take(), ["dropped"]);
}
