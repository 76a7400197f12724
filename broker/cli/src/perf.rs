//! `broker perf`: how fast a running broker is, with what a client sees and what the broker spends.
//!
//! - `produce`, `fetch`: the two loads. `report`: latencies and the result as text or JSON. `process`: the
//!   broker's processor time and memory, if it runs here.

mod fetch;
mod process;
mod produce;
mod report;

use broker_client::Client;
use broker_protocol::ids::NodeId;
use clap::{Args, Subcommand};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;
use process::Process;

#[derive(Args)]
pub struct Perf {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Sends records; latency is from sending a record to its acknowledgement.
    Produce(produce::Produce),
    /// Reads records, from the beginning again where a log ends; latency is that of a fetch.
    Fetch(fetch::Fetch),
}

/// What both loads are told.
#[derive(Args, Clone, Debug)]
struct Common {
    #[command(flatten)]
    connect: Connect,
    /// Must exist.
    #[arg(long)]
    topic: String,
    /// How many in all.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Clients at once, each with connections of its own and one partition, in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// The broker's process, for its processor time; found by its port if the broker is on loopback.
    #[arg(long)]
    pid: Option<u32>,
    /// One JSON object on one line.
    #[arg(long)]
    json: bool,
}

/// A partition and who leads it.
#[derive(Clone, Debug)]
struct Target {
    topic_id: broker_protocol::ids::Uuid,
    partition: i32,
    leader: NodeId,
}

impl Perf {
    pub fn run(self) -> Result<(), Failure> {
        block_on(|env| async move {
            match self.load {
                Load::Produce(load) => load.run(env).await,
                Load::Fetch(load) => load.run(env).await,
            }
        })
    }
}

impl Common {
    fn process(&self) -> Option<Process> {
        let pid = self
            .pid
            .or_else(|| process::listening_on(self.connect.bootstrap_server.first()?));
        pid.and_then(Process::of)
    }

    /// The partition of each client.
    async fn targets(&self, client: &Client) -> Result<Vec<Target>, Failure> {
        let found = client.topic(&self.topic, self.connect.limit()).await;
        let topic = found.map_err(|(_, reason)| Failure::failed(reason))?;
        let partitions: Vec<Target> = topic
            .partitions
            .iter()
            .filter_map(|(index, partition)| {
                Some(Target {
                    topic_id: topic.id,
                    partition: *index,
                    leader: partition.leader?,
                })
            })
            .collect();
        if partitions.is_empty() {
            return Err(Failure::failed(format!(
                "no partition of {} has a leader",
                self.topic
            )));
        }
        Ok((0..self.concurrency)
            .zip(partitions.into_iter().cycle())
            .map(|(_, target)| target)
            .collect())
    }

    /// What each client has to do; together exactly all.
    fn shares(&self) -> Vec<u64> {
        let clients = u64::from(self.concurrency);
        (0..clients)
            .map(|client| self.records / clients + u64::from(client < self.records % clients))
            .collect()
    }
}
