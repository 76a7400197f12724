//! A replicated log of length-prefixed frames: a leader with two followers, acks from all, clients with
//! one request in flight each. Six frames are received per produce.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_env::{Address, BoxConnection, Env};
use sim_engine::{Engine, Options, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc, oneshot};

const BODY: usize = 100;
const PORT: u16 = 9092;

/// What a finished run gives.
#[allow(
    dead_code,
    reason = "tests look at the hash, the benchmark at the rest"
)]
pub struct Report {
    pub hash: u64,
    pub events: u64,
    pub sim_ns: u64,
    pub frames: u64,
}

type Frames = Arc<AtomicU64>;

async fn read_frame(
    connection: &mut (impl AsyncReadExt + Unpin),
    body: &mut Vec<u8>,
    frames: &Frames,
) -> bool {
    let mut length = [0; 4];
    if connection.read_exact(&mut length).await.is_err() {
        return false;
    }
    body.resize(
        usize::try_from(u32::from_be_bytes(length)).expect("small"),
        0,
    );
    frames.fetch_add(1, Ordering::Relaxed);
    connection.read_exact(body).await.is_ok()
}

async fn write_frame(connection: &mut (impl AsyncWriteExt + Unpin), body: &[u8]) -> bool {
    let mut frame = [0; BODY + 4];
    frame[..4].copy_from_slice(&u32::try_from(body.len()).expect("small").to_be_bytes());
    frame[4..4 + body.len()].copy_from_slice(body);
    connection.write_all(&frame[..4 + body.len()]).await.is_ok() && connection.flush().await.is_ok()
}

/// Answers every frame with its first eight bytes.
async fn follower(env: Env, frames: Frames) {
    let mut listener = env
        .network
        .listen(&Address::new("0.0.0.0", PORT))
        .await
        .expect("the port is free");
    while let Ok((mut connection, _)) = listener.accept().await {
        let frames = frames.clone();
        env.spawn("serve", async move {
            let mut body = Vec::new();
            while read_frame(&mut connection, &mut body, &frames).await {
                write_frame(&mut connection, &body[..8]).await;
            }
        });
    }
}

type Append = (Vec<u8>, oneshot::Sender<()>);

/// One link to a follower: appends go out in order, acknowledgements come back in order.
async fn replicate(
    env: Env,
    connection: BoxConnection,
    mut appends: mpsc::UnboundedReceiver<Append>,
    frames: Frames,
) {
    let (mut reader, mut writer) = tokio::io::split(connection);
    let (waiting, mut answers) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
    env.spawn("acknowledgements", async move {
        let mut body = Vec::new();
        while read_frame(&mut reader, &mut body, &frames).await {
            let Some(done) = answers.recv().await else {
                return;
            };
            let _gone = done.send(());
        }
    });
    while let Some((body, done)) = appends.recv().await {
        let _gone = waiting.send(done);
        write_frame(&mut writer, &body).await;
    }
}

async fn leader(env: Env, followers: Vec<String>, frames: Frames) {
    let mut links = Vec::new();
    for host in followers {
        let connection = connect(&env, &host).await;
        let (sender, receiver) = mpsc::unbounded_channel();
        env.spawn(
            "replicate",
            replicate(env.clone(), connection, receiver, frames.clone()),
        );
        links.push(sender);
    }
    let log = Arc::new(Mutex::new(Vec::<u8>::new()));
    let mut listener = env
        .network
        .listen(&Address::new("0.0.0.0", PORT))
        .await
        .expect("the port is free");
    while let Ok((mut connection, _)) = listener.accept().await {
        let (links, log, frames) = (links.clone(), log.clone(), frames.clone());
        env.spawn("produce", async move {
            let mut body = Vec::new();
            while read_frame(&mut connection, &mut body, &frames).await {
                log.lock().await.extend_from_slice(&body);
                let mut answers = Vec::with_capacity(links.len());
                for link in &links {
                    let (done, answer) = oneshot::channel();
                    link.send((body.clone(), done))
                        .expect("the link task lives as long as the node");
                    answers.push(answer);
                }
                for answer in answers {
                    let _acknowledged = answer.await;
                }
                write_frame(&mut connection, &body[..8]).await;
            }
        });
    }
}

async fn connect(env: &Env, host: &str) -> BoxConnection {
    loop {
        if let Ok(connection) = env.network.connect(&Address::new(host, PORT)).await {
            return connection;
        }
        env.sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn client(env: Env, produces: u64, frames: Frames) {
    let mut connection = connect(&env, "node1").await;
    let mut body = Vec::new();
    for number in 0..produces {
        let mut record = [7; BODY];
        record[..8].copy_from_slice(&number.to_be_bytes());
        assert!(write_frame(&mut connection, &record).await);
        assert!(read_frame(&mut connection, &mut body, &frames).await);
        assert_eq!(body, number.to_be_bytes());
    }
}

/// Runs the toy to its end.
pub fn run(options: Options, clients: u64, produces_per_client: u64) -> Report {
    let mut engine = Engine::new(options);
    let frames = Frames::default();
    for name in ["node2", "node3"] {
        let frames = frames.clone();
        engine.add_node(
            name,
            Box::new(move |env| Box::pin(follower(env, frames.clone()))),
        );
    }
    let counter = frames.clone();
    let boot = move |env| {
        let followers = vec!["node2".to_owned(), "node3".to_owned()];
        leader(env, followers, counter.clone())
    };
    engine.add_node("node1", Box::new(move |env| Box::pin(boot(env))));
    for number in 0..clients {
        let host = engine.add_host(&format!("client{number}"));
        let frames = frames.clone();
        engine.spawn_on(host, "client", |env| {
            Box::pin(client(env, produces_per_client, frames))
        });
    }
    assert_eq!(engine.run_until(u64::MAX), Outcome::Idle);
    let handle = engine.handle();
    let frames = frames.load(Ordering::Relaxed);
    assert_eq!(
        frames,
        clients * produces_per_client * 6,
        "every produce is received six times"
    );
    Report {
        hash: handle.trace_hash(),
        events: handle.events(),
        sim_ns: handle.now(),
        frames,
    }
}
