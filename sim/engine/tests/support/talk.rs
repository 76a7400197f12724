//! Two hosts that talk: a server that notes what it hears and echoes it, a client that writes on demand.

use std::time::Duration;

use broker_env::{Address, BoxConnection, Env};
use sim_engine::{Engine, HostId, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::log::Log;

pub const MILLI: u64 = 1_000_000;
pub const PORT: u16 = 9092;

/// Notes every start, every connection and what comes over it, with an echo for each read.
pub async fn server(env: Env, log: Log) {
    log.note("started");
    let mut listener = env
        .network
        .listen(&Address::new("0.0.0.0", PORT))
        .await
        .expect("the port is free");
    while let Ok((mut connection, _)) = listener.accept().await {
        let log = log.clone();
        log.note("accepted");
        env.spawn("serve", async move {
            let mut buffer = [0; 64];
            loop {
                match connection.read(&mut buffer).await {
                    Ok(0) => return log.note("end"),
                    Ok(count) => {
                        log.note(String::from_utf8_lossy(&buffer[..count]));
                        let _reset = connection.write_all(&buffer[..count]).await;
                    }
                    Err(error) => return log.note(format!("{:?}", error.kind())),
                }
            }
        });
    }
}

/// A world with "node1" serving and the host "client1".
pub struct Talk {
    pub engine: Engine,
    #[allow(dead_code, reason = "network tests name it by text")]
    pub node: HostId,
    pub client: HostId,
    /// What the server heard.
    pub heard: Log,
    /// What the client saw.
    pub seen: Log,
}

pub fn talk(options: Options) -> Talk {
    let mut engine = Engine::new(options);
    let (heard, seen) = (Log::default(), Log::default());
    let log = heard.clone();
    let node = engine.add_node(
        "node1",
        Box::new(move |env| Box::pin(server(env, log.clone()))),
    );
    let client = engine.add_host("client1");
    Talk {
        engine,
        node,
        client,
        heard,
        seen,
    }
}

impl Talk {
    /// Starts a client that writes `1`, `2` … `count` every ten milliseconds over one connection and notes
    /// each echo, the end of the stream or the error.
    pub fn say(&self, count: u32) {
        let seen = self.seen.clone();
        self.engine.spawn_on(self.client, "say", move |env| {
            Box::pin(async move {
                match env.network.connect(&Address::new("node1", PORT)).await {
                    Ok(connection) => say(env, connection, count, seen).await,
                    Err(error) => seen.note(error.to_string()),
                }
            })
        });
    }

    /// Runs this much longer, in milliseconds.
    pub fn run(&mut self, millis: u64) {
        let until = self.engine.handle().now() + millis * MILLI;
        let outcome = self.engine.run_until(until);
        assert!(
            !matches!(outcome, sim_engine::Outcome::Crashed(_)),
            "{outcome:?}"
        );
    }
}

async fn say(env: Env, connection: BoxConnection, count: u32, seen: Log) {
    let (mut reader, mut writer) = tokio::io::split(connection);
    seen.note("connected");
    let echoes = seen.clone();
    env.spawn("echoes", async move {
        let mut buffer = [0; 64];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return echoes.note("end"),
                Ok(count) => echoes.note(format!(
                    "echo {}",
                    String::from_utf8_lossy(&buffer[..count])
                )),
                Err(error) => return echoes.note(format!("read {:?}", error.kind())),
            }
        }
    });
    for number in 1..=count {
        if let Err(error) = writer.write_all(number.to_string().as_bytes()).await {
            return seen.note(format!("write {:?}", error.kind()));
        }
        env.sleep(Duration::from_millis(10)).await;
    }
    std::future::pending::<()>().await;
}
