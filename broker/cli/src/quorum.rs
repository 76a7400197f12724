//! `broker quorum`: the metadata quorum, as kafka-metadata-quorum shows and changes it.

use std::io::Write;
use std::path::Path;

use broker_client::Admin;
use broker_client::admin::{ClusterDescription, QuorumInfo, QuorumReplica, VoterEndpoint};
use broker_env::{Address, Env};
use broker_protocol::ids::{NodeId, ReplicaKey, Uuid};
use broker_server::config::BrokerConfig;
use broker_storage::LogDirectory;
use clap::{Args, Subcommand};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;
use crate::start::Configuration;

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
    /// Makes the controller with this configuration and its data folder a voter; it runs already.
    AddVoter {
        #[command(flatten)]
        connect: Connect,
        #[command(flatten)]
        configuration: Configuration,
        /// Only says what would be added.
        #[arg(long)]
        dry_run: bool,
    },
    /// Makes a voter an observer.
    RemoveVoter {
        #[command(flatten)]
        connect: Connect,
        /// Node id of the voter.
        #[arg(long, value_name = "ID")]
        controller_id: i32,
        /// Directory id of the voter, as `describe` shows it.
        #[arg(long, value_name = "DIRECTORY-ID", value_parser = directory_id)]
        controller_directory_id: Uuid,
        /// Only says what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Quorum {
    pub fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Describe {
                connect,
                status,
                replication,
            } => block_on(|env| async move { describe(&env, &connect, status, replication).await }),
            Action::AddVoter {
                connect,
                configuration,
                dry_run,
            } => {
                let config = configuration.read()?;
                block_on(|env| async move { add_voter(&env, &connect, &config, dry_run).await })
            }
            Action::RemoveVoter {
                connect,
                controller_id,
                controller_directory_id,
                dry_run,
            } => {
                let voter = ReplicaKey {
                    id: NodeId(controller_id),
                    directory_id: controller_directory_id,
                };
                block_on(|env| async move { remove_voter(&env, &connect, voter, dry_run).await })
            }
        }
    }
}

fn directory_id(text: &str) -> Result<Uuid, String> {
    Uuid::parse(text).ok_or_else(|| "not a directory id".into())
}

async fn describe(
    env: &Env,
    connect: &Connect,
    status: bool,
    replication: bool,
) -> Result<(), Failure> {
    let admin = Admin::new(connect.client(env));
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
}

async fn add_voter(
    env: &Env,
    connect: &Connect,
    config: &BrokerConfig,
    dry_run: bool,
) -> Result<(), Failure> {
    let listener = config
        .advertised_controller()
        .ok_or_else(|| Failure::usage("process.roles does not contain controller"))?;
    let path = Path::new(config.data_directory());
    let properties = LogDirectory::read_properties(env.disk.as_ref(), path);
    let properties = properties
        .map_err(Failure::failed)?
        .ok_or_else(|| Failure::file(path, "not formatted: it has no meta.properties"))?;
    let voter = ReplicaKey {
        id: properties.node_id,
        directory_id: properties.directory_id,
    };
    let endpoint = VoterEndpoint {
        name: listener.name,
        address: Address::new(listener.host, listener.port),
    };
    let what = format!(
        "{} with directory {} at {}",
        voter.id,
        voter.directory_id,
        shown(&endpoint)
    );
    if dry_run {
        println!("would add controller {what}");
        return Ok(());
    }
    let admin = Admin::new(connect.client(env));
    let added = admin.add_voter(voter, &[endpoint], connect.limit()).await;
    added.map_err(Failure::failed)?;
    println!("added controller {what}");
    Ok(())
}

async fn remove_voter(
    env: &Env,
    connect: &Connect,
    voter: ReplicaKey,
    dry_run: bool,
) -> Result<(), Failure> {
    let what = format!("{} with directory {}", voter.id, voter.directory_id);
    if dry_run {
        println!("would remove controller {what}");
        return Ok(());
    }
    let admin = Admin::new(connect.client(env));
    let removed = admin.remove_voter(voter, connect.limit()).await;
    removed.map_err(Failure::failed)?;
    println!("removed controller {what}");
    Ok(())
}

/// `NAME://host:port`.
fn shown(endpoint: &VoterEndpoint) -> String {
    format!("{}://{}", endpoint.name, endpoint.address)
}

fn print_status(
    out: &mut impl Write,
    cluster: &ClusterDescription,
    quorum: &QuorumInfo,
) -> std::io::Result<()> {
    let follower_end = |replica: &&QuorumReplica| replica.log_end_offset;
    let slowest = quorum.voters.iter().min_by_key(follower_end);
    let lag = slowest.map_or(0, |slowest| lag(quorum, slowest));
    writeln!(out, "ClusterId:              {}", cluster.cluster_id)?;
    writeln!(out, "LeaderId:               {}", quorum.leader)?;
    writeln!(out, "LeaderEpoch:            {}", quorum.leader_epoch)?;
    writeln!(out, "HighWatermark:          {}", quorum.high_watermark)?;
    writeln!(out, "MaxFollowerLag:         {lag}")?;
    writeln!(out, "MaxFollowerLagTimeMs:   {}", lag_time_ms(quorum))?;
    writeln!(
        out,
        "CurrentVoters:          [{}]",
        members(quorum, &quorum.voters)
    )?;
    writeln!(
        out,
        "CurrentObservers:       [{}]",
        members(quorum, &quorum.observers)
    )
}

/// As kafka-metadata-quorum prints them: what is not known is left out.
fn members(quorum: &QuorumInfo, replicas: &[QuorumReplica]) -> String {
    let member = |replica: &QuorumReplica| {
        let mut fields = vec![format!("\"id\": {}", replica.id)];
        if !replica.directory_id.is_zero() {
            fields.push(format!("\"directoryId\": \"{}\"", replica.directory_id));
        }
        if let Some(endpoints) = quorum.endpoints.get(&replica.id) {
            let endpoints: Vec<String> = endpoints
                .iter()
                .map(|endpoint| format!("\"{}\"", shown(endpoint)))
                .collect();
            fields.push(format!("\"endpoints\": [{}]", endpoints.join(", ")));
        }
        format!("{{{}}}", fields.join(", "))
    };
    let members: Vec<String> = replicas.iter().map(member).collect();
    members.join(", ")
}

/// How long ago the voter furthest behind had all that the leader had; -1 if that is not known.
fn lag_time_ms(quorum: &QuorumInfo) -> i64 {
    let caught_up = |replica: &QuorumReplica| replica.last_caught_up_timestamp;
    let leader = quorum.voters.iter().find(|voter| voter.id == quorum.leader);
    let slowest = quorum.voters.iter().map(caught_up).min();
    match (leader.map(caught_up), slowest) {
        (Some(leader), Some(slowest)) if leader >= 0 && slowest >= 0 => leader - slowest,
        _ => -1,
    }
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
