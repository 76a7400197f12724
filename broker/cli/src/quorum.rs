//! `broker quorum`: the metadata quorum, as kafka-metadata-quorum shows it.

use std::io::Write;

use broker_client::Admin;
use broker_client::admin::{ClusterDescription, QuorumInfo, QuorumReplica};
use clap::{Args, Subcommand};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;

#[derive(Args)]
pub struct Quorum {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Leader, epoch and members, and how far each is behind; both views if none is chosen.
    Describe {
        #[command(flatten)]
        connect: Connect,
        /// The summary.
        #[arg(long)]
        status: bool,
        /// One line per member.
        #[arg(long)]
        replication: bool,
    },
}

impl Quorum {
    pub fn run(self) -> Result<(), Failure> {
        let Action::Describe {
            connect,
            status,
            replication,
        } = self.action;
        block_on(|env| async move {
            let admin = Admin::new(connect.client(&env));
            let quorum = admin
                .describe_quorum(connect.limit())
                .await
                .map_err(Failure::failed)?;
            let mut out = std::io::stdout().lock();
            if status || !replication {
                let cluster = admin
                    .describe_cluster(connect.limit())
                    .await
                    .map_err(Failure::failed)?;
                print_status(&mut out, &cluster, &quorum)?;
            }
            if replication || !status {
                print_replication(&mut out, &quorum)?;
            }
            Ok(())
        })
    }
}

fn print_status(
    out: &mut impl Write,
    cluster: &ClusterDescription,
    quorum: &QuorumInfo,
) -> std::io::Result<()> {
    let follower_end = |replica: &&QuorumReplica| replica.log_end_offset;
    let slowest = quorum.voters.iter().min_by_key(follower_end);
    writeln!(out, "ClusterId:              {}", cluster.cluster_id)?;
    writeln!(out, "LeaderId:               {}", quorum.leader)?;
    writeln!(out, "LeaderEpoch:            {}", quorum.leader_epoch)?;
    writeln!(out, "HighWatermark:          {}", quorum.high_watermark)?;
    writeln!(
        out,
        "MaxFollowerLag:         {}",
        slowest.map_or(0, |slowest| lag(quorum, slowest))
    )?;
    writeln!(out, "CurrentVoters:          [{}]", members(&quorum.voters))?;
    writeln!(
        out,
        "CurrentObservers:       [{}]",
        members(&quorum.observers)
    )
}

fn members(replicas: &[QuorumReplica]) -> String {
    let ids: Vec<String> = replicas
        .iter()
        .map(|replica| replica.id.to_string())
        .collect();
    ids.join(",")
}

/// Behind the leader's log end; what never fetched is behind by all of it.
fn lag(quorum: &QuorumInfo, replica: &QuorumReplica) -> i64 {
    let leader = quorum.voters.iter().find(|voter| voter.id == quorum.leader);
    let end = leader.map_or(quorum.high_watermark, |leader| leader.log_end_offset);
    end - replica.log_end_offset.max(0)
}

fn print_replication(out: &mut impl Write, quorum: &QuorumInfo) -> std::io::Result<()> {
    writeln!(
        out,
        "NodeId\tDirectoryId           \tLogEndOffset\tLag\tLastFetchTimestamp\tLastCaughtUpTimestamp\tStatus"
    )?;
    let voters = quorum.voters.iter().map(|voter| {
        let leads = voter.id == quorum.leader;
        (voter, if leads { "Leader" } else { "Follower" })
    });
    let observers = quorum
        .observers
        .iter()
        .map(|observer| (observer, "Observer"));
    for (replica, status) in voters.chain(observers) {
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{}\t{}\t{status}",
            replica.id,
            replica.directory_id,
            replica.log_end_offset,
            lag(quorum, replica),
            replica.last_fetch_timestamp,
            replica.last_caught_up_timestamp,
        )?;
    }
    Ok(())
}
