//! `broker reassign`: moves replicas from broker to broker (KIP-455).

use std::collections::BTreeMap;
use std::io::Write;

use broker_client::Admin;
use broker_client::admin::Reassignment;
use broker_protocol::ids::{NodeId, TopicPartition};
use clap::{Args, Subcommand};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;

#[derive(Args)]
pub struct Reassign {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Begins to move partitions; `list` shows what is still on its way.
    Start {
        #[command(flatten)]
        connect: Connect,
        /// A partition with its new brokers, the first preferred as leader; may be given several times.
        #[arg(long = "to", value_name = "TOPIC-PARTITION=BROKER,..", required = true, value_parser = target)]
        targets: Vec<(TopicPartition, Vec<NodeId>)>,
    },
    /// Moves partitions back to where they were.
    Cancel {
        #[command(flatten)]
        connect: Connect,
        /// May be given several times.
        #[arg(long = "partition", value_name = "TOPIC-PARTITION", required = true, value_parser = partition)]
        partitions: Vec<TopicPartition>,
    },
    /// The partitions that are being moved, one a line.
    List {
        #[command(flatten)]
        connect: Connect,
    },
}

/// TOPIC-PARTITION.
pub fn partition(text: &str) -> Result<TopicPartition, String> {
    let wanted = "expected TOPIC-PARTITION";
    let (topic, index) = text.rsplit_once('-').ok_or(wanted)?;
    let index = index.parse().map_err(|_| wanted)?;
    Ok(TopicPartition::new(topic, index))
}

fn target(text: &str) -> Result<(TopicPartition, Vec<NodeId>), String> {
    let (id, brokers) = text
        .split_once('=')
        .ok_or("expected TOPIC-PARTITION=BROKER,..")?;
    let broker = |text: &str| match text.trim().parse() {
        Ok(id) => Ok(NodeId(id)),
        Err(_) => Err(format!("'{text}' is no broker's id")),
    };
    let brokers = brokers.split(',').map(broker).collect::<Result<_, _>>()?;
    Ok((partition(id)?, brokers))
}

impl Reassign {
    pub fn run(self) -> Result<(), Failure> {
        block_on(|env| async move {
            match self.action {
                Action::Start { connect, targets } => {
                    let some = |(partition, brokers)| (partition, Some(brokers));
                    let targets = targets.into_iter().map(some).collect();
                    let admin = Admin::new(connect.client(&env));
                    alter(&admin, &connect, &targets, "moving").await
                }
                Action::Cancel {
                    connect,
                    partitions,
                } => {
                    let none = |partition| (partition, None);
                    let targets = partitions.into_iter().map(none).collect();
                    let admin = Admin::new(connect.client(&env));
                    alter(&admin, &connect, &targets, "cancelled").await
                }
                Action::List { connect } => list(&Admin::new(connect.client(&env)), &connect).await,
            }
        })
    }
}

async fn alter(
    admin: &Admin,
    connect: &Connect,
    targets: &BTreeMap<TopicPartition, Option<Vec<NodeId>>>,
    done: &str,
) -> Result<(), Failure> {
    let results = admin
        .alter_partition_reassignments(targets, connect.limit())
        .await
        .map_err(Failure::failed)?;
    let mut failed = false;
    for (partition, result) in results {
        match result {
            Ok(()) => writeln!(std::io::stdout(), "{done} {partition}")?,
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

async fn list(admin: &Admin, connect: &Connect) -> Result<(), Failure> {
    let ongoing = admin
        .list_partition_reassignments(connect.limit())
        .await
        .map_err(Failure::failed)?;
    let mut out = std::io::stdout().lock();
    for (partition, reassignment) in &ongoing {
        writeln!(out, "{}", line(partition, reassignment))?;
    }
    Ok(())
}

fn line(partition: &TopicPartition, reassignment: &Reassignment) -> String {
    let ids = |nodes: &[NodeId]| {
        let texts: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        texts.join(",")
    };
    format!(
        "Partition: {partition}\tReplicas: {}\tAdding: {}\tRemoving: {}",
        ids(&reassignment.replicas),
        ids(&reassignment.adding),
        ids(&reassignment.removing)
    )
}
