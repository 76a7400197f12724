//! `broker groups`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use broker_client::admin::GroupDescription;
use broker_client::{Admin, Client, OffsetSpec, TopicPartition};
use clap::{Args, Subcommand};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;

#[derive(Args)]
pub struct Groups {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// All groups with their state, one a line.
    List {
        #[command(flatten)]
        connect: Connect,
    },
    /// A group's members, and each partition's committed offset and lag.
    Describe {
        #[command(flatten)]
        connect: Connect,
        #[arg(long)]
        group: String,
    },
    /// Moves a group without members; says where to, and does it only with --execute.
    ResetOffsets(Reset),
    /// Deletes groups without members, with their offsets.
    Delete {
        #[command(flatten)]
        connect: Connect,
        /// May be given several times.
        #[arg(long, required = true)]
        group: Vec<String>,
    },
}

#[derive(Args)]
#[group(id = "where", required = true, args = ["to_earliest", "to_latest", "to_offset", "shift_by", "to_timestamp"])]
struct Reset {
    #[command(flatten)]
    connect: Connect,
    #[arg(long)]
    group: String,
    /// A topic, or one of its partitions as TOPIC:PARTITION; all that the group has committed without.
    #[arg(long)]
    topic: Vec<String>,
    #[arg(long)]
    to_earliest: bool,
    #[arg(long)]
    to_latest: bool,
    #[arg(long)]
    to_offset: Option<i64>,
    /// From where the group is.
    #[arg(long, allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// The first record that is not older, in milliseconds since 1970.
    #[arg(long, value_name = "MS")]
    to_timestamp: Option<i64>,
    #[arg(long)]
    execute: bool,
}

impl Groups {
    pub fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::List { connect } => block_on(|env| async move {
                let admin = Admin::new(connect.client(&env));
                let groups = admin.list_groups(connect.limit()).await;
                let mut out = std::io::stdout().lock();
                for group in groups.map_err(Failure::failed)? {
                    writeln!(
                        out,
                        "{}\t{}\t{}",
                        group.group_id, group.state, group.protocol_type
                    )?;
                }
                Ok(())
            }),
            Action::Describe { connect, group } => {
                block_on(
                    |env| async move { describe(&connect, &connect.client(&env), &group).await },
                )
            }
            Action::ResetOffsets(reset) => {
                block_on(|env| async move { reset.run(reset.connect.client(&env)).await })
            }
            Action::Delete { connect, group } => block_on(|env| async move {
                let admin = Admin::new(connect.client(&env));
                for group in group {
                    let deleted = admin.delete_group(&group, connect.limit()).await;
                    deleted.map_err(|error| Failure::failed(format!("{group}: {error}")))?;
                }
                Ok(())
            }),
        }
    }
}

async fn describe(connect: &Connect, client: &Client, group: &str) -> Result<(), Failure> {
    let admin = Admin::new(client.clone());
    let limit = connect.limit();
    let described = admin
        .describe_group(group, limit)
        .await
        .map_err(Failure::failed)?;
    let offsets = admin
        .group_offsets(group, limit)
        .await
        .map_err(Failure::failed)?;
    let owners = owners(&described);
    let known: BTreeSet<TopicPartition> = offsets.keys().chain(owners.keys()).cloned().collect();
    let ends = ends(client, &known, OffsetSpec::Latest).await?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "group {group}: {}, {} members, protocol {}",
        described.state,
        described.members.len(),
        if described.protocol.is_empty() {
            "-"
        } else {
            &described.protocol
        }
    )?;
    writeln!(out, "PARTITION\tCOMMITTED\tEND\tLAG\tMEMBER\tHOST")?;
    for partition in known {
        let show = |value: Option<i64>| value.map_or_else(|| "-".to_string(), |it| it.to_string());
        let committed = offsets.get(&partition).copied();
        let end = ends.get(&partition).copied();
        let lag = committed.zip(end).map(|(committed, end)| end - committed);
        let (member, host) = owners.get(&partition).copied().unwrap_or(("-", "-"));
        let (committed, end, lag) = (show(committed), show(end), show(lag));
        writeln!(
            out,
            "{partition}\t{committed}\t{end}\t{lag}\t{member}\t{host}"
        )?;
    }
    Ok(())
}

fn owners(group: &GroupDescription) -> BTreeMap<TopicPartition, (&str, &str)> {
    let members = group.members.iter().flat_map(|member| {
        let partitions = member.partitions.iter();
        let owner = (member.member_id.as_str(), member.host.as_str());
        partitions.map(move |partition| (partition.clone(), owner))
    });
    members.collect()
}

async fn ends(
    client: &Client,
    partitions: &BTreeSet<TopicPartition>,
    spec: OffsetSpec,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let wanted: Vec<TopicPartition> = partitions.iter().cloned().collect();
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let limit = client.config().default_api_timeout;
    let listed = client.list_offsets(&wanted, spec, limit).await;
    for (partition, offset) in listed.map_err(Failure::failed)? {
        found.insert(partition, offset.offset);
    }
    Ok(found)
}

impl Reset {
    async fn run(&self, client: Client) -> Result<(), Failure> {
        let admin = Admin::new(client.clone());
        let limit = self.connect.limit();
        let committed = admin
            .group_offsets(&self.group, limit)
            .await
            .map_err(Failure::failed)?;
        let partitions = self.partitions(&client, &committed).await?;
        let earliest = ends(&client, &partitions, OffsetSpec::Earliest).await?;
        let latest = ends(&client, &partitions, OffsetSpec::Latest).await?;
        let at_time = match self.to_timestamp {
            Some(at) => ends(&client, &partitions, OffsetSpec::Timestamp(at)).await?,
            None => BTreeMap::new(),
        };
        let mut targets = BTreeMap::new();
        for partition in &partitions {
            let start = earliest.get(partition).copied().unwrap_or(0);
            let end = latest.get(partition).copied().unwrap_or(start);
            let now = committed.get(partition).copied().unwrap_or(start);
            let target = match (self.to_offset, self.shift_by, self.to_timestamp) {
                (Some(offset), ..) => offset,
                (None, Some(shift), _) => now.saturating_add(shift),
                (None, None, Some(_)) => at_time
                    .get(partition)
                    .copied()
                    .filter(|it| *it >= 0)
                    .unwrap_or(end),
                (None, None, None) if self.to_earliest => start,
                (None, None, None) => end,
            };
            targets.insert(partition.clone(), target.clamp(start, end));
        }
        let mut out = std::io::stdout().lock();
        for (partition, target) in &targets {
            writeln!(out, "{partition}\t{target}")?;
        }
        if !self.execute {
            eprintln!("nothing was changed: --execute does it");
            return Ok(());
        }
        let altered = admin
            .alter_group_offsets(&self.group, &targets, limit)
            .await;
        altered.map_err(|error| Failure::failed(format!("{}: {error}", self.group)))
    }

    async fn partitions(
        &self,
        client: &Client,
        committed: &BTreeMap<TopicPartition, i64>,
    ) -> Result<BTreeSet<TopicPartition>, Failure> {
        if self.topic.is_empty() {
            return Ok(committed.keys().cloned().collect());
        }
        let mut partitions = BTreeSet::new();
        for text in &self.topic {
            let single = text.rsplit_once(':').and_then(|(topic, partition)| {
                Some(TopicPartition::new(topic, partition.parse().ok()?))
            });
            if let Some(single) = single {
                partitions.insert(single);
                continue;
            }
            let found = client.topic(text, self.connect.limit()).await;
            let topic = found.map_err(|(_, reason)| Failure::failed(reason))?;
            let indexes = topic.partitions.keys();
            partitions.extend(indexes.map(|index| TopicPartition::new(text.as_str(), *index)));
        }
        Ok(partitions)
    }
}
