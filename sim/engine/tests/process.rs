//! What happens to processes and machines, and what their peers and disks see of it.

use std::path::Path;
use std::time::Duration;

use broker_env::{Env, OpenMode};
use sim_engine::{Death, Engine, NodeStatus, Options, Outcome};

#[path = "support/log.rs"]
mod log;
#[path = "support/talk.rs"]
mod talk;
use log::{Log, NoteOnDrop};
use talk::{MILLI, talk};

#[test]
fn a_kill_resets_connections_and_frees_the_port_for_the_restart() {
    let mut talk = talk(Options::new(1));
    talk.say(1);
    talk.run(20);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
    let handle = talk.engine.handle();
    handle.kill(talk.node, Death::Reset);
    assert_eq!(handle.status(talk.node), NodeStatus::Down);
    talk.say(1);
    talk.run(20);
    let mut seen = talk.seen.take();
    seen.sort();
    assert_eq!(
        seen,
        [
            "cannot connect to node1:9092: connection refused",
            "read ConnectionReset"
        ]
    );
    assert_eq!(
        talk.heard.take(),
        ["started", "accepted", "1"],
        "a dead process notes nothing"
    );
    handle.restart(talk.node);
    talk.say(1);
    talk.run(20);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
    assert_eq!(
        (handle.incarnation(talk.node), handle.status(talk.node)),
        (2, NodeStatus::Running)
    );
}

#[test]
fn a_silent_death_shows_only_when_the_machine_is_back_and_spoken_to() {
    let mut talk = talk(Options::new(1));
    talk.say(300);
    talk.run(20);
    let handle = talk.engine.handle();
    handle.power_loss(talk.node);
    talk.seen.take();
    talk.run(1_000);
    assert_eq!(talk.seen.take(), [""; 0], "silence");
    assert_eq!(handle.status(talk.node), NodeStatus::PoweredOff);
    talk.say(1);
    talk.run(500);
    assert_eq!(talk.seen.take(), [""; 0], "a connect gets no answer either");
    handle.restart(talk.node);
    talk.run(3_000);
    let mut seen = talk.seen.take();
    seen.sort();
    assert_eq!(
        seen,
        [
            "connected",
            "echo 1",
            "read ConnectionReset",
            "write ConnectionReset"
        ]
    );
}

async fn write_and_wait(env: Env, log: Log) {
    let file = env
        .disk
        .open(Path::new("/file"), OpenMode::Create)
        .expect("a file");
    log.note(format!("found {} bytes", file.length().expect("open")));
    file.write_at(&[1; 100], 0).expect("room");
    file.sync_data().await.expect("a healthy disk");
    env.disk
        .sync_directory(Path::new("/"))
        .await
        .expect("a healthy disk");
    file.write_at(&[2; 100_000], 100).expect("room");
    std::future::pending::<()>().await;
}

fn written(seed: u64) -> (Engine, sim_engine::HostId, Log) {
    let (mut engine, log) = (Engine::new(Options::new(seed)), Log::default());
    let sink = log.clone();
    let node = engine.add_node(
        "node1",
        Box::new(move |env| Box::pin(write_and_wait(env, sink.clone()))),
    );
    engine.run_until(100 * MILLI);
    assert_eq!(log.take(), ["found 0 bytes"]);
    (engine, node, log)
}

#[test]
fn a_kill_keeps_the_page_cache() {
    let (mut engine, node, log) = written(1);
    engine.handle().kill(node, Death::Reset);
    engine.handle().restart(node);
    engine.run_until(200 * MILLI);
    assert_eq!(log.take(), ["found 100100 bytes"]);
}

#[test]
fn a_power_loss_keeps_what_was_synced_and_in_some_runs_no_more() {
    let lengths: Vec<String> = (0..20)
        .flat_map(|seed| {
            let (mut engine, node, log) = written(seed);
            engine.handle().power_loss(node);
            engine.handle().restart(node);
            engine.run_until(200 * MILLI);
            log.take()
        })
        .collect();
    let length = |line: &String| {
        line.split(' ')
            .nth(1)
            .and_then(|word| word.parse::<u32>().ok())
            .expect("a number")
    };
    assert!(
        lengths.iter().all(|line| length(line) >= 100),
        "{lengths:?}"
    );
    assert!(
        lengths.iter().any(|line| length(line) < 100_100),
        "{lengths:?}"
    );
}

#[test]
fn a_kill_drops_all_tasks_of_the_process_and_no_other() {
    let (mut engine, log) = (Engine::new(Options::new(1)), Log::default());
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
    let (other, survivor) = (engine.add_host("client1"), log.clone());
    engine.spawn_on(other, "other", move |env| {
        Box::pin(async move {
            env.sleep(Duration::from_millis(5)).await;
            survivor.note("survived");
        })
    });
    engine.run_until(MILLI);
    engine.handle().kill(node, Death::Reset);
    let mut dropped = log.take();
    dropped.sort();
    assert_eq!(dropped, ["child", "main"]);
    engine.run_until(10 * MILLI);
    assert_eq!(log.take(), ["survived"]);
}

#[test]
fn what_a_dead_process_does_while_it_is_dropped_has_no_effect() {
    struct LastWill(Env, Log);
    impl Drop for LastWill {
        fn drop(&mut self) {
            let log = self.1.clone();
            self.0.spawn("ghost", async move { log.note("ghost") });
            assert!(
                self.0
                    .disk
                    .open(Path::new("/ghost"), OpenMode::Create)
                    .is_err()
            );
        }
    }
    let (mut engine, log) = (Engine::new(Options::new(1)), Log::default());
    let sink = log.clone();
    let boot = move |env: Env| {
        let will = LastWill(env, sink.clone());
        async move {
            let _will = will;
            std::future::pending::<()>().await;
        }
    };
    let node = engine.add_node("node1", Box::new(move |env| Box::pin(boot(env))));
    engine.run_until(MILLI);
    let handle = engine.handle();
    handle.kill(node, Death::Reset);
    // Its disk is dead before its tasks are dropped, so the assertion above holds.
    engine.run_until(10 * MILLI);
    assert_eq!(log.take(), [""; 0]);
    assert_eq!(
        (handle.live_tasks(), handle.disk(node).files().len()),
        (0, 0)
    );
}

#[test]
fn a_paused_process_runs_nothing_and_finds_all_messages_after() {
    let mut talk = talk(Options::new(1));
    talk.say(5);
    talk.run(5);
    assert_eq!(talk.heard.take(), ["started", "accepted", "1"]);
    let handle = talk.engine.handle();
    handle.pause(talk.node);
    talk.say(0);
    talk.run(200);
    assert_eq!(talk.heard.take(), [""; 0]);
    assert_eq!(
        talk.seen.take(),
        ["connected", "echo 1", "connected"],
        "its kernel accepts for it"
    );
    handle.resume(talk.node);
    talk.run(5);
    let mut heard = talk.heard.take();
    heard.sort();
    assert_eq!(heard, ["2345", "accepted"]);
    assert_eq!(talk.seen.take(), ["echo 2345"]);
}

#[test]
fn a_process_whose_main_task_returns_has_exited() {
    let (mut engine, log) = (Engine::new(Options::new(1)), Log::default());
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
    assert_eq!(engine.run_until(100 * MILLI), Outcome::Idle);
    assert_eq!(log.take(), ["child dropped"]);
    assert_eq!(engine.handle().status(node), NodeStatus::Down);
}

fn stopping(shutdown_millis: u64) -> (Vec<String>, NodeStatus) {
    let (mut engine, log) = (Engine::new(Options::new(1)), Log::default());
    let (sink, handle) = (log.clone(), engine.handle());
    let boot = move |env: Env| {
        let (log, handle) = (sink.clone(), handle.clone());
        async move {
            let host = handle.host("node1").expect("itself");
            handle.terminated(host).await;
            log.note("asked");
            env.sleep(Duration::from_millis(shutdown_millis)).await;
            log.note("clean");
        }
    };
    let node = engine.add_node("node1", Box::new(move |env| Box::pin(boot(env))));
    engine.run_until(MILLI);
    engine.handle().terminate(node, Duration::from_millis(50));
    engine.run_until(200 * MILLI);
    (log.take(), engine.handle().status(node))
}

#[test]
fn a_controlled_stop_gives_time_and_then_kills() {
    assert_eq!(
        stopping(20),
        (
            vec!["asked".to_owned(), "clean".to_owned()],
            NodeStatus::Down
        )
    );
    assert_eq!(stopping(80), (vec!["asked".to_owned()], NodeStatus::Down));
}

#[test]
fn a_process_that_does_not_listen_for_it_is_killed_by_a_stop() {
    let talk = talk(Options::new(1));
    let handle = talk.engine.handle();
    handle.terminate(talk.node, Duration::from_secs(10));
    assert_eq!(handle.status(talk.node), NodeStatus::Down);
}

#[test]
fn a_task_may_kill_its_own_process() {
    let (mut engine, log) = (Engine::new(Options::new(1)), Log::default());
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
    assert_eq!(engine.run_until(100 * MILLI), Outcome::Idle);
    assert_eq!(
        (log.take(), engine.handle().status(node)),
        (vec!["dropped".to_owned()], NodeStatus::Down)
    );
}

#[test]
fn incarnations_draw_different_ids_and_nodes_too() {
    let (mut engine, log) = (Engine::new(Options::new(1)), Log::default());
    for name in ["node1", "node2"] {
        let log = log.clone();
        let boot = move |env: Env| {
            log.note(format!(
                "{:?}",
                broker_env::random::uuid(env.random.as_ref())
            ));
            std::future::pending::<()>()
        };
        let node = engine.add_node(name, Box::new(move |env| Box::pin(boot(env))));
        engine.run_until(MILLI);
        engine.handle().kill(node, Death::Reset);
        engine.handle().restart(node);
        engine.run_until(2 * MILLI);
    }
    let ids: std::collections::BTreeSet<String> = log.take().into_iter().collect();
    assert_eq!(ids.len(), 4);
}
