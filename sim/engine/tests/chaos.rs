//! All faults at once on a small world: it stays deterministic, keeps TCP's promises and its own asserts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use broker_env::time::timeout;
use broker_env::{Address, BoxConnection, Env, OpenMode, Stream, random::in_range};
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;
use sim_engine::{Engine, Handle, Options, Outcome};
use sim_faults::{
    Chance, ClockFault, DiskFault, Fault, LinkSelector, NetworkFault, ProcessFault, World,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SECOND: u64 = 1_000_000_000;
const NODES: [&str; 3] = ["node1", "node2", "node3"];

/// Appends what comes to a file, and answers with the number of bytes so far.
async fn serve(env: Env, mut connection: BoxConnection) {
    let mut total = 0_u64;
    let mut buffer = [0; 1_000];
    let file = env.disk.open(Path::new("/log"), OpenMode::Create);
    while let Ok(count @ 1..) = connection.read(&mut buffer).await {
        for (position, byte) in (total..).zip(&buffer[..count]) {
            assert_eq!(
                u64::from(*byte),
                position % 251,
                "a hole, or bytes in another order"
            );
        }
        total += u64::try_from(count).expect("64 bits");
        if let Ok(file) = &file {
            let _full_or_failing = file.write_at(&buffer[..count], total);
            let _failing = file.sync_data().await;
        }
        if connection.write_all(&total.to_be_bytes()).await.is_err() {
            return;
        }
        env.sleep(Duration::from_millis(in_range(
            env.random.as_ref(),
            Stream::Timer,
            0,
            20,
        )))
        .await;
    }
}

async fn node(env: Env, handle: Handle, name: &'static str) {
    let host = handle.host(name).expect("itself");
    let mut listener = env
        .network
        .listen(&Address::new("0.0.0.0", 9092))
        .await
        .expect("the port is free");
    let mut terminated = handle.terminated(host);
    loop {
        broker_env::select! {
            () = &mut terminated => return,
            accepted = listener.accept() => {
                let (connection, _) = accepted.expect("a healthy listener");
                env.spawn("serve", serve(env.clone(), connection));
            }
        }
    }
}

/// Conversations finished, by node.
type Progress = Arc<[AtomicU32; 3]>;

async fn client(env: Env, progress: Progress) {
    let draw = move |env: &Env, most| in_range(env.random.as_ref(), Stream::Client, 0, most);
    loop {
        let chosen = usize::try_from(draw(&env, 2)).expect("small");
        let connect = env.network.connect(&Address::new(NODES[chosen], 9092));
        if let Ok(Ok(connection)) = timeout(&env, Duration::from_millis(500), connect).await {
            let rounds = draw(&env, 30);
            if let Ok(Ok(())) =
                timeout(&env, Duration::from_secs(3), talk(&env, connection, rounds)).await
            {
                progress[chosen].fetch_add(1, Ordering::Relaxed);
            }
        }
        env.sleep(Duration::from_millis(1 + draw(&env, 50))).await;
    }
}

async fn talk(env: &Env, mut connection: BoxConnection, rounds: u64) -> std::io::Result<()> {
    let (mut sent, mut acknowledged) = (0_u64, 0);
    for _ in 0..rounds {
        let length = in_range(env.random.as_ref(), Stream::Client, 1, 5_000);
        let bytes: Vec<u8> = (sent..sent + length)
            .map(|position| u8::try_from(position % 251).expect("small"))
            .collect();
        connection.write_all(&bytes).await?;
        sent += length;
        while acknowledged < sent {
            let answer = connection.read_u64().await?;
            assert!(
                answer > acknowledged && answer <= sent,
                "{acknowledged} < {answer} <= {sent}"
            );
            acknowledged = answer;
        }
    }
    connection.shutdown().await
}

fn random_fault(random: &mut ChaCha8Rng) -> Fault {
    let mut draw = |bound: u32| random.next_u32() % bound;
    let name = |number: u32| NODES[usize::try_from(number).expect("small")].to_owned();
    let node = name(draw(3));
    let link = LinkSelector::between(&node, &name(draw(3)));
    let process = |fault| Fault::process(&node, fault);
    let network = Fault::Network;
    match draw(22) {
        0 => process(ProcessFault::Kill),
        1 => process(ProcessFault::PowerLoss),
        2 => process(ProcessFault::Pause),
        3 => process(ProcessFault::Resume),
        4..=6 => process(ProcessFault::Start),
        7 => process(ProcessFault::Stop {
            grace: Duration::from_millis(u64::from(draw(50))),
        }),
        8 => network(NetworkFault::Partition {
            sides: vec![vec![node], vec!["client1".into(), "client2".into()]],
        }),
        9 => network(NetworkFault::OneWay {
            from: node,
            to: "client1".into(),
        }),
        10 => network(NetworkFault::Hold {
            link: LinkSelector::of(&node),
        }),
        11 => network(NetworkFault::Resets {
            link: LinkSelector::all(),
            chance: Chance::percent(1),
        }),
        12 => network(NetworkFault::Reset {
            link: LinkSelector::of(&node),
        }),
        13 => network(NetworkFault::HalfOpen {
            link: LinkSelector::of(&node),
        }),
        14 => network(NetworkFault::Fragment {
            link,
            max: 1 + draw(100),
        }),
        15 => network(NetworkFault::Bandwidth {
            link: LinkSelector::of(&node),
            bytes_per_second: 100_000,
        }),
        16 => network(NetworkFault::Refuse {
            link: LinkSelector::of(&node),
        }),
        17 => Fault::clock(
            &node,
            ClockFault::Drift {
                ppm: i32::try_from(draw(200_000)).expect("small") - 100_000,
            },
        ),
        18 => Fault::clock(
            &node,
            ClockFault::Jump {
                by_ms: i64::from(draw(100_000)) - 50_000,
            },
        ),
        19 => Fault::disk(
            &node,
            DiskFault::Slow {
                operation: Duration::from_micros(50),
                sync: Duration::from_millis(30),
            },
        ),
        20 => Fault::disk(&node, DiskFault::Wiped),
        _ => Fault::HealAll,
    }
}

struct Result {
    hash: u64,
    now: u64,
    /// Conversations finished while faults struck.
    in_chaos: u32,
    counts: BTreeMap<&'static str, u64>,
}

fn run(seed: u64, pause_stops_clock: bool) -> Result {
    let mut engine = Engine::new(Options {
        pause_stops_clock,
        connection_buffer: 4_096,
        ..Options::new(seed)
    });
    let handle = engine.handle();
    for name in NODES {
        let handle = handle.clone();
        engine.add_node(
            name,
            Box::new(move |env| Box::pin(node(env, handle.clone(), name))),
        );
    }
    let progress = Progress::default();
    for name in ["client1", "client2"] {
        let host = engine.add_host(name);
        for _ in 0..3 {
            let progress = progress.clone();
            engine.spawn_on(host, "client", |env| Box::pin(client(env, progress)));
        }
    }
    let control = engine.add_host("control");
    let mut world = handle.clone();
    engine.spawn_on(control, "chaos", move |env| {
        Box::pin(async move {
            let mut random = world.stream("faults");
            while world.now() < 20 * SECOND {
                env.sleep(Duration::from_millis(u64::from(random.next_u32() % 200)))
                    .await;
                world
                    .apply(&random_fault(&mut random))
                    .expect("all of them are supported");
            }
            world.apply(&Fault::HealAll).expect("supported");
            // Longer than any process takes that was asked to stop.
            env.sleep(Duration::from_millis(100)).await;
            for name in NODES {
                world
                    .apply(&Fault::process(name, ProcessFault::Start))
                    .expect("supported");
            }
        })
    });
    assert_eq!(
        engine.run_until(21 * SECOND),
        Outcome::Deadline,
        "seed {seed}"
    );
    let done = || [0, 1, 2].map(|node| progress[node].swap(0, Ordering::Relaxed));
    let in_chaos = done().iter().sum();
    assert_eq!(
        engine.run_until(41 * SECOND),
        Outcome::Deadline,
        "seed {seed}"
    );
    let quiet = done();
    assert!(
        quiet.iter().all(|count| *count > 5),
        "seed {seed}: {quiet:?} conversations after the heal"
    );
    Result {
        hash: handle.trace_hash(),
        now: handle.now(),
        in_chaos,
        counts: handle.fault_counts(),
    }
}

#[test]
fn chaos_is_deterministic_and_breaks_no_promise() {
    let (mut kinds, mut in_chaos) = (BTreeMap::new(), 0);
    for seed in 0..20 {
        let stops_clock = seed % 2 == 1;
        let (one, other) = (run(seed, stops_clock), run(seed, stops_clock));
        assert_eq!((one.hash, one.now), (other.hash, other.now), "seed {seed}");
        in_chaos += one.in_chaos;
        for (kind, count) in one.counts {
            *kinds.entry(kind).or_insert(0) += count;
        }
    }
    assert!(kinds.len() >= 17, "{kinds:?}");
    assert!(in_chaos > 500, "only {in_chaos} conversations got through");
}
