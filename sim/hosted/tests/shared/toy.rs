//! Three nodes: the first sends each request to the other two and answers once both have echoed it.
//! Clients try again until it is answered. With faults, or without.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker_env::time::timeout;
use broker_env::{Address, BoxConnection, Env};
use sim_engine::{Options, Outcome};
use sim_faults::{Fault, NetworkFault, ProcessFault, World};
use sim_hosted::{Control, Simulation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PORT: u16 = 9092;
const PATIENCE: Duration = Duration::from_millis(500);
const SECOND: u64 = 1_000_000_000;

async fn exchange(connection: &mut BoxConnection, number: u64) -> std::io::Result<u64> {
    connection.write_u64(number).await?;
    connection.flush().await?;
    connection.read_u64().await
}

async fn ask(env: &Env, host: &str, number: u64) -> Option<u64> {
    let answer = async {
        let connected = env.network.connect(&Address::new(host, PORT)).await;
        exchange(&mut connected.ok()?, number).await.ok()
    };
    timeout(env, PATIENCE, answer).await.ok().flatten()
}

async fn serve(env: Env, followers: Vec<String>) {
    let listening = env.network.listen(&Address::new("0.0.0.0", PORT)).await;
    let mut listener = listening.expect("the port is free");
    while let Ok((mut connection, _)) = listener.accept().await {
        let (task, followers) = (env.clone(), followers.clone());
        env.spawn("serve", async move {
            while let Ok(number) = connection.read_u64().await {
                for follower in &followers {
                    while ask(&task, follower, number).await != Some(number) {
                        task.sleep(Duration::from_millis(10)).await;
                    }
                }
                let answered = connection.write_u64(number).await;
                if answered.and(connection.flush().await).is_err() {
                    return;
                }
            }
        });
    }
}

/// Runs the toy to its end; gives the trace hash.
pub fn run<S: Simulation>(mut engine: S, clients: u64, requests: u64, faults: bool) -> u64 {
    for (name, followers) in [
        ("node1", vec!["node2", "node3"]),
        ("node2", vec![]),
        ("node3", vec![]),
    ] {
        let followers: Vec<String> = followers.into_iter().map(str::to_owned).collect();
        let boot = move |env| serve(env, followers.clone());
        engine.add_node(name, Box::new(move |env| Box::pin(boot(env))));
    }
    let (answered, handle) = (Arc::new(AtomicU64::new(0)), engine.handle());
    for client in 0..clients {
        let host = engine.add_host(&format!("client{client}"));
        let (env, answered, handle) = (handle.env(host), answered.clone(), handle.clone());
        let requesting = handle.clone();
        let task = async move {
            for number in 0..requests {
                while ask(&env, "node1", number).await != Some(number) {
                    env.sleep(Duration::from_millis(20)).await;
                }
                requesting.record(Some(host), &[client, number], || format!("answer {number}"));
                if answered.fetch_add(1, Ordering::Relaxed) + 1 == clients * requests {
                    requesting.stop("all answered".into());
                }
            }
        };
        handle.spawn_on(host, "client", Box::pin(task));
    }
    if faults {
        strike(&mut engine);
    }
    let outcome = engine.run_until(600 * SECOND);
    assert!(
        matches!(outcome, Outcome::Stopped { .. }),
        "{outcome:?}, {:?}",
        handle.tasks()
    );
    assert_eq!(answered.load(Ordering::Relaxed), clients * requests);
    Control::trace_hash(&handle)
}

fn strike<S: Simulation>(engine: &mut S) {
    let host = engine.add_host("control");
    let (mut handle, control) = (engine.handle(), engine.handle());
    let partition = Fault::Network(NetworkFault::Partition {
        sides: vec![vec!["node1".into()], vec!["node2".into()]],
    });
    let node3 = |fault| Fault::process("node3", fault);
    let faults = vec![
        node3(ProcessFault::Kill),
        partition.clone(),
        node3(ProcessFault::Start),
        Fault::Heal(Box::new(partition)),
        Fault::process("node1", ProcessFault::Pause),
        node3(ProcessFault::PowerLoss),
        Fault::process("node1", ProcessFault::Resume),
        node3(ProcessFault::Start),
    ];
    let task = async move {
        for fault in faults {
            handle.sleep(Duration::from_millis(40)).await;
            handle.apply(&fault).expect("every engine can do these");
        }
    };
    control.spawn_on(host, "control", Box::pin(task));
}

#[allow(dead_code, reason = "tests of determinism run it themselves")]
pub fn produces_reach_both_followers<S: Simulation>(make: fn(Options) -> S) {
    run(make(Options::new(3)), 4, 20, true);
}
