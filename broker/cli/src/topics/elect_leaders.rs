//! `broker topics elect-leaders` (KIP-460).

use std::io::Write;

use broker_client::admin::ElectionType;
use broker_client::{Admin, ErrorCode};
use broker_env::Env;
use broker_protocol::ids::TopicPartition;
use clap::{Args, ValueEnum};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::reassign::partition;

#[derive(Args)]
#[group(id = "where", required = true, multiple = false, args = ["partition", "all"])]
pub struct ElectLeaders {
    #[command(flatten)]
    connect: Connect,
    #[arg(long, value_enum, default_value_t = Kind::Preferred)]
    election_type: Kind,
    /// May be given several times.
    #[arg(long, value_name = "TOPIC-PARTITION", value_parser = partition)]
    partition: Vec<TopicPartition>,
    /// Of all topics.
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any live replica where nobody leads: records may be lost.
    Unclean,
}

impl ElectLeaders {
    pub async fn run(&self, env: &Env) -> Result<(), Failure> {
        let admin = Admin::new(self.connect.client(env));
        let partitions = if self.all {
            every_partition(&admin, &self.connect).await?
        } else {
            self.partition.clone()
        };
        let kind = match self.election_type {
            Kind::Preferred => ElectionType::Preferred,
            Kind::Unclean => ElectionType::Unclean,
        };
        let results = admin
            .elect_leaders(kind, &partitions, self.connect.limit())
            .await
            .map_err(Failure::failed)?;
        let mut failed = false;
        for (partition, result) in results {
            match result {
                Ok(()) => writeln!(std::io::stdout(), "elected a leader of {partition}")?,
                Err(error) if error.code() == Some(ErrorCode::ElectionNotNeeded) => {}
                Err(error) => {
                    failed = true;
                    eprintln!("broker: partition {partition}: {error}");
                }
            }
        }
        if failed {
            Err(Failure::Reported)
        } else {
            Ok(())
        }
    }
}

async fn every_partition(admin: &Admin, connect: &Connect) -> Result<Vec<TopicPartition>, Failure> {
    let topics = admin
        .list_topics(connect.limit())
        .await
        .map_err(Failure::failed)?;
    let partitions = topics.iter().flat_map(|(name, topic)| {
        let indexes = topic.partitions.keys();
        indexes.map(move |index| TopicPartition::new(name, *index))
    });
    Ok(partitions.collect())
}
