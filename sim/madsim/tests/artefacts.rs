//! What madsim does of its own, and what the world on it makes of that: when madsim changes, this tells.

#![cfg(madsim)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use madsim::net::{TcpListener, TcpStream};
use madsim::runtime::Runtime;
use madsim::time::{sleep, timeout};
use sim_engine::Outcome;
use sim_madsim::{Engine, Options, fresh_thread};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MILLI: u64 = 1_000_000;

fn address() -> SocketAddr {
    "10.0.0.1:1".parse().expect("an address")
}

/// Runs `client` with a connection whose other end is held open by a server that echoes.
fn raw<F: Future<Output = ()> + Send + 'static>(client: fn(TcpStream) -> F) {
    fresh_thread(|| {
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        let server = runtime.create_node().ip(address().ip()).build();
        let other = "10.0.0.2".parse().expect("an address");
        let node = runtime.create_node().ip(other).build();
        drop(server.spawn(async {
            let listener = TcpListener::bind(address()).await.expect("a free port");
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut all = Vec::new();
            while stream.read_buf(&mut all).await.is_ok_and(|count| count > 0) {
                stream.write_all(&all).await.expect("an open connection");
                stream.flush().await.expect("an open connection");
                all.clear();
            }
        }));
        let task = node.spawn(async move {
            sleep(Duration::from_millis(100)).await;
            client(TcpStream::connect(address()).await.expect("it listens")).await;
        });
        runtime.block_on(task).expect("the client's checks hold");
    });
}

/// So couriers flush each time.
#[test]
fn unflushed_bytes_never_leave() {
    raw(|mut stream| async move {
        stream.write_all(b"x").await.expect("an open connection");
        let mut byte = [0];
        let echo = timeout(Duration::from_secs(5), stream.read_exact(&mut byte)).await;
        assert!(echo.is_err(), "madsim sends without a flush now");
        stream.flush().await.expect("an open connection");
        let echo = timeout(Duration::from_secs(5), stream.read_exact(&mut byte)).await;
        assert!(echo.is_ok(), "the flush sends it");
    });
}

/// So the end of a stream travels as a frame of the world's own.
#[test]
fn a_shutdown_tells_the_peer_nothing() {
    raw(|mut stream| async move {
        stream.shutdown().await.expect("an open connection");
        let mut byte = [0];
        let end = timeout(Duration::from_secs(5), stream.read(&mut byte)).await;
        assert!(
            end.is_err(),
            "the server saw the end: madsim simulates half-close now"
        );
    });
}

/// So no check on this engine looks at latencies below.
#[test]
fn nothing_takes_less_than_a_millisecond() {
    fresh_thread(|| {
        let mut engine = Engine::new(Options::new(1)).expect("a fresh thread, and the cfg");
        let (host, handle) = (engine.add_host("client1"), engine.handle());
        engine.spawn_on(host, "sleep", move |env| {
            Box::pin(async move {
                let start = handle.now();
                env.sleep(Duration::from_micros(1)).await;
                handle.stop((handle.now() - start >= MILLI).to_string());
            })
        });
        let reason = true.to_string();
        assert_eq!(engine.run_until(100 * MILLI), Outcome::Stopped { reason });
    });
}

#[test]
fn a_second_world_on_a_thread_is_refused() {
    drop(Engine::new(Options::new(1)).expect("a fresh thread, and the cfg"));
    let refused = Engine::new(Options::new(1)).err().expect("a used thread");
    assert!(refused.to_string().contains("fresh_thread"), "{refused}");
    fresh_thread(|| drop(Engine::new(Options::new(1)).expect("a fresh thread")));
}

/// Runs `task` as a process; gives what it returned, or the panic.
fn process<F: Future<Output = String> + Send + 'static>(seed: u64, task: fn() -> F) -> String {
    fresh_thread(|| {
        let mut engine = Engine::new(Options::new(seed)).expect("a fresh thread, and the cfg");
        let (host, handle) = (engine.add_host("client1"), engine.handle());
        engine.spawn_on(host, "audited", move |_| {
            Box::pin(async move { handle.stop(task().await) })
        });
        match engine.run_until(100 * MILLI) {
            Outcome::Stopped { reason } => reason,
            Outcome::Crashed(crash) => crash.to_string(),
            outcome => panic!("{outcome:?}"),
        }
    })
}

/// The leak audit: what no lint sees in a third-party crate follows the seed here.
#[test]
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the leaks themselves"
)]
fn hash_maps_and_clocks_beside_env_follow_the_seed() {
    let order = || async {
        let numbers: std::collections::HashMap<u32, ()> =
            (0..50).map(|number| (number, ())).collect();
        format!("{:?}", numbers.keys().collect::<Vec<_>>())
    };
    assert_eq!(process(1, order), process(1, order));
    assert_ne!(process(1, order), process(2, order));
    let time = || async {
        let (instant, system) = (std::time::Instant::now(), std::time::SystemTime::now());
        format!("{instant:?} {system:?}")
    };
    assert_eq!(process(1, time), process(1, time));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the leak itself")]
fn a_thread_beside_env_is_refused() {
    let text = process(1, || async {
        std::thread::spawn(|| ()).join().expect("it would have run");
        "a thread ran".into()
    });
    assert!(text.contains("task `audited` panicked"), "{text}");
}

/// madsim frees tasks only when their node is killed; the engine does that when it is dropped.
#[test]
fn a_dropped_world_frees_its_tasks() {
    struct Held(Arc<Mutex<u32>>);
    impl Drop for Held {
        fn drop(&mut self) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
    }
    let freed = Arc::new(Mutex::new(0));
    fresh_thread(|| {
        let mut engine = Engine::new(Options::new(1)).expect("a fresh thread, and the cfg");
        for name in ["node1", "node2"] {
            let freed = freed.clone();
            let boot = move |env: broker_env::Env| {
                let (process, beside) = (Held(freed.clone()), Held(freed.clone()));
                async move {
                    let _process = process;
                    drop(madsim::task::spawn(async move {
                        let _beside = beside;
                        std::future::pending::<()>().await;
                    }));
                    env.sleep(Duration::from_secs(1_000)).await;
                }
            };
            engine.add_node(name, Box::new(move |env| Box::pin(boot(env))));
        }
        engine.run_until(10 * MILLI);
    });
    assert_eq!(*freed.lock().expect("no panic"), 4);
}
