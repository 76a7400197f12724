//! What turmoil does of its own, and how the world on it differs: when turmoil changes, this tells.

#![cfg(tokio_unstable)]

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sim_engine::Outcome;
use sim_turmoil::{Engine, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};

const PORT: u16 = 1;
const MILLI: u64 = 1_000_000;

type Seen = Arc<Mutex<Vec<String>>>;

fn note(seen: &Seen, line: impl Into<String>) {
    seen.lock().expect("one thread").push(line.into());
}

/// A server that notes what it reads, and a client with a connection to it that writes every 10 ms and
/// notes how its own reading ends.
fn raw(seen: &Seen) -> turmoil::Sim<'static> {
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .simulation_duration(Duration::from_secs(3_600))
        .build();
    let heard = seen.clone();
    sim.host("server", move || {
        let heard = heard.clone();
        async move {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
            let (mut stream, _) = listener.accept().await?;
            let mut byte = [0];
            while stream.read_exact(&mut byte).await.is_ok() {
                note(&heard, byte[0].to_string());
            }
            Ok(())
        }
    });
    let ended = seen.clone();
    sim.host("client", move || {
        let ended = ended.clone();
        async move {
            let stream = TcpStream::connect(("server", PORT)).await?;
            let (mut reader, mut writer) = stream.into_split();
            tokio::task::spawn_local(async move {
                let end = reader.read(&mut [0]).await.map_err(|error| error.kind());
                note(&ended, format!("{end:?}"));
            });
            for number in 0..250 {
                writer.write_all(&[number]).await?;
                turmoil_sleep(10).await;
            }
            std::future::pending().await
        }
    });
    sim
}

#[expect(clippy::disallowed_methods, reason = "turmoil's own time")]
async fn turmoil_sleep(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn steps(sim: &mut turmoil::Sim<'static>, millis: u32) {
    for _ in 0..millis {
        sim.step().expect("no host fails");
    }
}

/// So the world never uses turmoil's partitions.
#[test]
fn a_partition_of_turmoil_loses_data_for_ever() {
    let seen = Seen::default();
    let mut sim = raw(&seen);
    steps(&mut sim, 300);
    sim.partition("client", "server");
    steps(&mut sim, 300);
    sim.repair("client", "server");
    seen.lock().expect("one thread").clear();
    steps(&mut sim, 10_000);
    assert_eq!(
        *seen.lock().expect("one thread"),
        [""; 0],
        "a hole, and nothing after it"
    );
}

/// So the world never uses turmoil's crash: a kill shall be a reset, and a power loss silence.
#[test]
fn a_crash_of_turmoil_is_a_clean_end_of_stream() {
    let seen = Seen::default();
    let mut sim = raw(&seen);
    steps(&mut sim, 300);
    seen.lock().expect("one thread").clear();
    sim.crash("server");
    steps(&mut sim, 300);
    assert_eq!(*seen.lock().expect("one thread"), ["Ok(0)"]);
}

/// The capacity of streams is that of backlogs as well; the world sets it high.
#[test]
fn too_many_connects_at_once_panic() {
    let mut sim = turmoil::Builder::new().rng_seed(1).build();
    sim.host("server", || async {
        let _listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        std::future::pending().await
    });
    sim.client("client", async {
        turmoil_sleep(10).await;
        for _ in 0..65 {
            tokio::task::spawn_local(TcpStream::connect(("server", PORT)));
        }
        turmoil_sleep(1_000).await;
        Ok(())
    });
    catch_unwind(AssertUnwindSafe(|| sim.run())).expect_err("turmoil has a real backlog now");
}

/// A task beside `Env` that panics: without tokio_unstable turmoil would not notice.
#[test]
fn a_panic_outside_of_env_ends_the_run_too() {
    let mut engine = Engine::new(Options::new(1)).expect("tests are built with the cfg");
    let boot = || async {
        tokio::task::spawn_local(async { panic!("nobody guards this") });
        std::future::pending::<()>().await;
    };
    engine.add_node("node1", Box::new(move |_| Box::pin(boot())));
    let outcome = engine.run_until(100 * MILLI);
    assert!(matches!(outcome, Outcome::Crashed(_)), "{outcome:?}");
    assert_eq!(engine.run_until(200 * MILLI), outcome);
}

/// Delays are rounded up to whole ticks.
#[test]
fn nothing_takes_less_than_a_millisecond() {
    let mut engine = Engine::new(Options::new(1)).expect("tests are built with the cfg");
    let (host, handle) = (engine.add_host("client1"), engine.handle());
    engine.spawn_on(host, "sleep", move |env| {
        Box::pin(async move {
            env.sleep(Duration::from_micros(1)).await;
            handle.stop(handle.now().to_string());
        })
    });
    let reason = MILLI.to_string();
    assert_eq!(engine.run_until(100 * MILLI), Outcome::Stopped { reason });
}

/// Time stands still within a tick, so tasks that keep each other running are found out.
#[test]
fn a_livelock_is_found() {
    let mut options = Options::new(1);
    options.polls_per_instant = 10_000;
    let mut engine = Engine::new(options).expect("tests are built with the cfg");
    let host = engine.add_host("client1");
    engine.spawn_on(host, "busy", |env| {
        Box::pin(async move {
            loop {
                env.sleep(Duration::ZERO).await;
            }
        })
    });
    let found = Outcome::Livelock {
        node: "client1".into(),
        task: "busy".into(),
    };
    assert_eq!(engine.run_until(100 * MILLI), found);
}
