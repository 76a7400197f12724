//! What happens to processes and machines, and what their peers and disks see of it.

use std::path::Path;
use std::time::Duration;

use broker_env::{Env, OpenMode};
use sim_engine::{Death, HostId, NodeStatus, Options, Outcome};
use sim_faults::{Fault, ProcessFault, World};
use sim_hosted::{Control, Simulation};

use super::log::{Log, NoteOnDrop};
use super::talk::{MILLI, talk};

type Make<S> = fn(Options) -> S;

pub fn a_kill_resets_connections_and_frees_the_port_for_the_restart<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.say(1);
    talk.run(50);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
    let handle = talk.engine.handle();
    handle.kill(talk.node, Death::Reset);
    assert_eq!(handle.status(talk.node), NodeStatus::Down);
    talk.say(1);
    talk.run(50);
    let refused = "cannot connect to node1:9092: connection refused";
    assert_eq!(talk.seen_sorted(), [refused, "read ConnectionReset"]);
    let heard = talk.heard.take();
    assert_eq!(heard, ["started", "accepted", "1"], "the dead note nothing");
    handle.restart(talk.node);
    talk.run(20);
    talk.say(1);
    talk.run(50);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
    let now = (handle.incarnation(talk.node), handle.status(talk.node));
    assert_eq!(now, (2, NodeStatus::Running));
}

pub fn a_silent_death_shows_only_when_the_machine_is_back_and_spoken_to<S: Simulation>(
    make: Make<S>,
) {
    let mut talk = talk(make(Options::new(1)));
    talk.say(300);
    talk.run(50);
    let handle = talk.engine.handle();
    handle.power_loss(talk.node);
    talk.run(20);
    talk.seen.take();
    talk.run(1_000);
    assert_eq!(talk.seen.take(), [""; 0], "silence");
    assert_eq!(handle.status(talk.node), NodeStatus::PoweredOff);
    talk.say(1);
    talk.run(500);
    assert_eq!(talk.seen.take(), [""; 0], "a connect gets no answer either");
    handle.restart(talk.node);
    talk.run(4_000);
    let wanted = ["read ConnectionReset", "write ConnectionReset"];
    let seen = talk.seen_sorted();
    assert!(
        wanted.iter().all(|line| seen.contains(&(*line).to_owned())),
        "{seen:?}"
    );
    // The waiting connect is answered: accepted, or refused if nobody listened yet.
    assert!(
        seen[0].starts_with("cannot connect") || seen[0] == "connected",
        "{seen:?}"
    );
}

async fn write_and_wait(env: Env, log: Log) {
    let path = Path::new("/file");
    let file = env.disk.open(path, OpenMode::Create).expect("a file");
    log.note(format!("{}", file.length().expect("open")));
    file.write_at(&[1; 100], 0).expect("room");
    file.sync_data().await.expect("a healthy disk");
    let synced = env.disk.sync_directory(Path::new("/")).await;
    synced.expect("a healthy disk");
    file.write_at(&[2; 100_000], 100).expect("room");
    std::future::pending::<()>().await;
}

fn written<S: Simulation>(make: Make<S>, seed: u64) -> (S, HostId, Log) {
    let (mut engine, log) = (make(Options::new(seed)), Log::default());
    let sink = log.clone();
    let boot = move |env| write_and_wait(env, sink.clone());
    let node = engine.add_node("node1", Box::new(move |env| Box::pin(boot(env))));
    engine.run_until(100 * MILLI);
    assert_eq!(log.take(), ["0"]);
    (engine, node, log)
}

pub fn a_kill_keeps_the_page_cache<S: Simulation>(make: Make<S>) {
    let (mut engine, node, log) = written(make, 1);
    engine.handle().kill(node, Death::Reset);
    engine.handle().restart(node);
    engine.run_until(200 * MILLI);
    assert_eq!(log.take(), ["100100"]);
}

/// A seed under which it does; the disk draws the same on every engine.
const LOSING: u64 = 2;

pub fn a_power_loss_may_lose_what_was_not_synced<S: Simulation>(make: Make<S>) {
    let (mut engine, node, log) = written(make, LOSING);
    let before = engine.handle().disk_of(node).files();
    let report = engine.handle().power_loss(node);
    assert!(!report.is_nothing(), "of 100 000 bytes: {before:?}");
    engine.handle().restart(node);
    engine.run_until(200 * MILLI);
    let length: u32 = log.take()[0].parse().expect("a number");
    assert!((100..=100_100).contains(&length), "{length}");
}

pub fn a_kill_drops_all_tasks_of_the_process_at_once_and_no_other<S: Simulation>(make: Make<S>) {
    let (mut engine, log) = (make(Options::new(1)), Log::default());
    let sink = log.clone();
    let boot = move |env: Env| {
        let (main, child) = (
            NoteOnDrop(sink.clone(), "main"),
            NoteOnDrop(sink.clone(), "child"),
        );
        async move {
            env.spawn("child", async move {
                let _child = child;
                std::future::pending::<()>().await;
            });
            let _main = main;
            std::future::pending::<()>().await;
        }
    };
    let node = engine.add_node("node1", Box::new(move |env| Box::pin(boot(env))));
    let (other, survivor, handle) = (engine.add_host("client1"), log.clone(), engine.handle());
    let sleep = handle.env(other).sleep(Duration::from_millis(25));
    let survive = async move {
        sleep.await;
        survivor.note("survived");
    };
    handle.spawn_on(other, "other", Box::pin(survive));
    engine.run_until(10 * MILLI);
    handle.kill(node, Death::Reset);
    let mut dropped = log.take();
    dropped.sort();
    assert_eq!(dropped, ["child", "main"]);
    engine.run_until(50 * MILLI);
    assert_eq!(log.take(), ["survived"]);
}

pub fn a_paused_process_runs_nothing_and_finds_all_messages_after<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.say(3);
    talk.run(15);
    assert_eq!(talk.heard.take(), ["started", "accepted", "1"]);
    let handle = talk.engine.handle();
    handle.pause(talk.node);
    talk.say(0);
    talk.run(500);
    assert_eq!(
        (handle.status(talk.node), talk.heard.take()),
        (NodeStatus::Paused, vec![])
    );
    let seen = talk.seen_sorted();
    assert_eq!(
        seen,
        ["connected", "connected", "echo 1"],
        "its kernel accepts for it"
    );
    handle.resume(talk.node);
    talk.run(50);
    let mut heard = talk.heard.take();
    heard.sort();
    assert_eq!(heard, ["23", "accepted"]);
    assert_eq!(talk.seen.take(), ["echo 23"]);
}

pub fn a_process_whose_main_task_returns_has_exited<S: Simulation>(make: Make<S>) {
    let (mut engine, log) = (make(Options::new(1)), Log::default());
    let sink = log.clone();
    let boot = move |env: Env| {
        let held = NoteOnDrop(sink.clone(), "child dropped");
        async move {
            env.spawn("child", async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            env.sleep(Duration::from_millis(3)).await;
        }
    };
    let node = engine.add_node("node1", Box::new(move |env| Box::pin(boot(env))));
    engine.run_until(100 * MILLI);
    assert_eq!(log.take(), ["child dropped"]);
    assert_eq!(engine.handle().status(node), NodeStatus::Down);
}

pub fn a_controlled_stop_gives_time_and_then_kills<S: Simulation>(make: Make<S>) {
    let (mut engine, log) = (make(Options::new(1)), Log::default());
    for (name, shutdown) in [("quick", 20), ("late", 80)] {
        let (log, handle) = (log.clone(), engine.handle());
        let boot = move |env: Env| {
            let (log, handle) = (log.clone(), handle.clone());
            async move {
                handle.terminated(handle.host(name).expect("itself")).await;
                log.note(format!("{name} asked"));
                env.sleep(Duration::from_millis(shutdown)).await;
                log.note(format!("{name} clean"));
            }
        };
        engine.add_node(name, Box::new(move |env| Box::pin(boot(env))));
    }
    engine.run_until(10 * MILLI);
    let handle = engine.handle();
    for host in handle.host_ids() {
        handle.terminate(host, Duration::from_millis(50));
    }
    engine.run_until(200 * MILLI);
    let mut lines = log.take();
    lines.sort();
    assert_eq!(lines, ["late asked", "quick asked", "quick clean"]);
    let down = |host| handle.status(host) == NodeStatus::Down;
    assert!(handle.host_ids().into_iter().all(down));
}

pub fn a_process_that_does_not_listen_for_it_is_killed_by_a_stop<S: Simulation>(make: Make<S>) {
    let talk = talk(make(Options::new(1)));
    let handle = talk.engine.handle();
    handle.terminate(talk.node, Duration::from_secs(10));
    assert_eq!(handle.status(talk.node), NodeStatus::Down);
}

pub fn a_task_may_kill_its_own_process<S: Simulation>(make: Make<S>) {
    let (mut engine, log) = (make(Options::new(1)), Log::default());
    let (sink, handle) = (log.clone(), engine.handle());
    let boot = move |env: Env| {
        let (held, handle) = (NoteOnDrop(sink.clone(), "dropped"), handle.clone());
        async move {
            let _held = held;
            handle.kill(handle.host("node1").expect("itself"), Death::Reset);
            env.sleep(Duration::from_millis(1)).await;
            panic!("ran on");
        }
    };
    let node = engine.add_node("node1", Box::new(move |env| Box::pin(boot(env))));
    let outcome = engine.run_until(100 * MILLI);
    assert!(
        matches!(outcome, Outcome::Idle | Outcome::Deadline),
        "{outcome:?}"
    );
    let after = (log.take(), engine.handle().status(node));
    assert_eq!(after, (vec!["dropped".to_owned()], NodeStatus::Down));
}

pub fn a_panic_ends_the_run_and_tells_where<S: Simulation>(make: Make<S>) {
    let mut engine = make(Options::new(1));
    let boot = |env: Env| async move {
        env.spawn("fragile", async {
            panic!("broken {}", 7);
        });
        std::future::pending::<()>().await;
    };
    engine.add_node("node1", Box::new(move |env| Box::pin(boot(env))));
    let outcome = engine.run_until(100 * MILLI);
    let Outcome::Crashed(crash) = &outcome else {
        panic!("{outcome:?}")
    };
    let named = (
        crash.node.as_str(),
        crash.task.as_str(),
        crash.message.as_str(),
    );
    assert_eq!(named, ("node1", "fragile", "broken 7"));
    assert!(crash.location.contains("process.rs"), "{crash}");
    assert_eq!(engine.run_until(200 * MILLI), outcome, "it stays crashed");
}

pub fn a_stop_ends_the_run<S: Simulation>(make: Make<S>) {
    let mut engine = make(Options::new(1));
    let (host, handle) = (engine.add_host("client1"), engine.handle());
    let (sleep, stopper) = (
        handle.env(host).sleep(Duration::from_millis(5)),
        handle.clone(),
    );
    let stop = async move {
        sleep.await;
        stopper.stop("enough".into());
    };
    handle.spawn_on(host, "stop", Box::pin(stop));
    let reason = "enough".to_owned();
    assert_eq!(engine.run_until(1_000 * MILLI), Outcome::Stopped { reason });
    assert!(
        Control::now(&handle) < 10 * MILLI,
        "{}",
        Control::now(&handle)
    );
}

pub fn faults_come_through_the_world<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    let mut handle = talk.engine.handle();
    let kill = Fault::process("node1", ProcessFault::Kill);
    handle.apply(&kill).expect("supported");
    talk.run(5);
    assert_eq!(handle.fault_counts()["process-kill"], 1);
    assert_eq!(World::hosts(&handle), ["client1", "node1"]);
    assert!(!handle.is_up("node1") && handle.is_up("client1") && !handle.is_up("nobody"));
    let start = Fault::process("node1", ProcessFault::Start);
    handle.apply(&start).expect("supported");
    handle
        .apply(&Fault::process("node1", ProcessFault::Pause))
        .expect("supported");
    assert!(handle.is_up("node1") && handle.is_paused("node1"));
    handle.apply(&Fault::HealAll).expect("supported");
    assert!(!handle.is_paused("node1"));
    let nobody = Fault::process("nobody", ProcessFault::Kill);
    let refused = handle.apply(&nobody).expect_err("no such host");
    assert!(refused.to_string().contains("no such host"), "{refused}");
}
