//! Two hosts that talk: a server that notes what it hears and echoes it, a client that writes on demand.

use std::time::Duration;

use broker_env::{Address, BoxConnection, Env};
use sim_engine::{HostId, Outcome};
use sim_faults::{Fault, NetworkFault, World};
use sim_hosted::{Control, Simulation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::log::Log;

pub const MILLI: u64 = 1_000_000;
pub const PORT: u16 = 9092;

/// Notes every start, every connection and what comes over it, with an echo for each read.
async fn server(env: Env, log: Log) {
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
                        let _reset = connection.flush().await;
                    }
                    Err(error) => return log.note(format!("{:?}", error.kind())),
                }
            }
        });
    }
}

/// A world with "node1" serving and the host "client1".
pub struct Talk<S> {
    pub engine: S,
    pub node: HostId,
    pub client: HostId,
    /// What the server heard.
    pub heard: Log,
    /// What the client saw.
    pub seen: Log,
}

pub fn talk<S: Simulation>(mut engine: S) -> Talk<S> {
    let (heard, seen) = (Log::default(), Log::default());
    let log = heard.clone();
    let node = engine.add_node(
        "node1",
        Box::new(move |env| Box::pin(server(env, log.clone()))),
    );
    let client = engine.add_host("client1");
    let mut talk = Talk {
        engine,
        node,
        client,
        heard,
        seen,
    };
    // Time to listen; madsim's bind takes a millisecond.
    talk.run(20);
    talk
}

impl<S: Simulation> Talk<S> {
    /// Starts a client that writes `1`, `2` … `count` every twenty milliseconds over one connection and
    /// notes each echo, the end of the stream or the error.
    pub fn say(&self, count: u32) {
        let (seen, handle) = (self.seen.clone(), self.engine.handle());
        let env = handle.env(self.client);
        let speak = async move {
            match env.network.connect(&Address::new("node1", PORT)).await {
                Ok(connection) => say(env, connection, count, seen).await,
                Err(error) => seen.note(error.to_string()),
            }
        };
        handle.spawn_on(self.client, "say", Box::pin(speak));
    }

    /// Runs this much longer, in milliseconds.
    pub fn run(&mut self, millis: u64) {
        let until = Control::now(&self.engine.handle()) + millis * MILLI;
        let outcome = self.engine.run_until(until);
        assert!(!matches!(outcome, Outcome::Crashed(_)), "{outcome:?}");
    }

    pub fn set(&self, fault: &NetworkFault) {
        let fault = Fault::Network(fault.clone());
        let mut handle = self.engine.handle();
        handle.apply(&fault).expect("network faults are supported");
    }

    pub fn heal(&self, fault: &NetworkFault) {
        let healing = Fault::Heal(Box::new(Fault::Network(fault.clone())));
        let mut handle = self.engine.handle();
        handle
            .apply(&healing)
            .expect("network faults are supported");
    }

    /// What the client saw, sorted.
    pub fn seen_sorted(&self) -> Vec<String> {
        let mut seen = self.seen.take();
        seen.sort();
        seen
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
                Ok(count) => {
                    let text = String::from_utf8_lossy(&buffer[..count]);
                    echoes.note(format!("echo {text}"));
                }
                Err(error) => return echoes.note(format!("read {:?}", error.kind())),
            }
        }
    });
    for number in 1..=count {
        let written = writer.write_all(number.to_string().as_bytes()).await;
        if let Err(error) = written.and(writer.flush().await) {
            return seen.note(format!("write {:?}", error.kind()));
        }
        env.sleep(Duration::from_millis(20)).await;
    }
    std::future::pending::<()>().await;
}
