//! `broker topics`.

mod elect_leaders;

use std::collections::BTreeMap;
use std::io::Write;

use broker_client::admin::{
    AlterConfigOp, AlterOperation, ConfigResource, NewTopic, Results, TopicDescription,
};
use broker_client::{Admin, AdminError};
use clap::{Args, Subcommand};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;

/// Kafka's ConfigSource of a value that was set on the topic.
const SOURCE_TOPIC: i8 = 1;

#[derive(Args)]
pub struct Topics {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Names of all topics, one a line.
    List {
        #[command(flatten)]
        connect: Connect,
    },
    /// Creates a topic.
    Create(Create),
    /// Partitions, leaders, replicas and configuration of topics; of all without --topic.
    Describe {
        #[command(flatten)]
        connect: Connect,
        /// May be given several times.
        #[arg(long)]
        topic: Vec<String>,
    },
    /// Deletes topics with all their records.
    Delete {
        #[command(flatten)]
        connect: Connect,
        /// May be given several times.
        #[arg(long, required = true)]
        topic: Vec<String>,
    },
    /// Gives preferred replicas their leadership back, or elects at the price of records.
    ElectLeaders(elect_leaders::ElectLeaders),
    /// Raises the partition count or changes the configuration of a topic.
    Alter(Alter),
}

#[derive(Args)]
struct Create {
    #[command(flatten)]
    connect: Connect,
    #[arg(long)]
    topic: String,
    /// The broker's num.partitions if not given.
    #[arg(long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true)]
    partitions: i32,
    /// The broker's default.replication.factor if not given.
    #[arg(long, default_value_t = -1, hide_default_value = true, allow_negative_numbers = true)]
    replication_factor: i16,
    /// A topic property; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    config: Vec<(String, String)>,
    /// A topic of that name is no error.
    #[arg(long)]
    if_not_exists: bool,
}

#[derive(Args)]
#[group(id = "change", required = true, multiple = true, args = ["partitions", "config", "delete_config"])]
struct Alter {
    #[command(flatten)]
    connect: Connect,
    #[arg(long)]
    topic: String,
    /// The new number of partitions.
    #[arg(long)]
    partitions: Option<i32>,
    /// Sets a property; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    config: Vec<(String, String)>,
    /// Back to the broker's default; may be given several times.
    #[arg(long, value_name = "NAME")]
    delete_config: Vec<String>,
}

pub fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        return Err("expected NAME=VALUE".into());
    }
    Ok((name.to_string(), value.to_string()))
}

impl Topics {
    pub fn run(self) -> Result<(), Failure> {
        block_on(|env| async move {
            let admin = |connect: &Connect| Admin::new(connect.client(&env));
            match self.action {
                Action::List { connect } => list(&admin(&connect), &connect).await,
                Action::Create(create) => create.run(&admin(&create.connect)).await,
                Action::Describe { connect, topic } => {
                    describe(&admin(&connect), &connect, &topic).await
                }
                Action::Delete { connect, topic } => {
                    delete(&admin(&connect), &connect, &topic).await
                }
                Action::ElectLeaders(elect) => elect.run(&env).await,
                Action::Alter(alter) => alter.run(&admin(&alter.connect)).await,
            }
        })
    }
}

async fn list(admin: &Admin, connect: &Connect) -> Result<(), Failure> {
    let topics = admin
        .list_topics(connect.limit())
        .await
        .map_err(Failure::failed)?;
    let mut out = std::io::stdout().lock();
    for name in topics.keys() {
        writeln!(out, "{name}")?;
    }
    Ok(())
}

impl Create {
    async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let mut topic = NewTopic::new(&self.topic, self.partitions, self.replication_factor);
        topic.configs = self.config.iter().cloned().collect();
        let results = admin
            .create_topics(&[topic], false, self.connect.limit())
            .await
            .map_err(Failure::failed)?;
        for (name, result) in results {
            match result {
                Ok(created) => writeln!(std::io::stdout(), "created {name}, id {}", created.id)?,
                Err(error) if self.if_not_exists && is_existing(&error) => {}
                Err(error) => return Err(Failure::failed(format!("topic {name}: {error}"))),
            }
        }
        Ok(())
    }
}

fn is_existing(error: &AdminError) -> bool {
    error.code() == Some(broker_client::ErrorCode::TopicAlreadyExists)
}

async fn delete(admin: &Admin, connect: &Connect, topics: &[String]) -> Result<(), Failure> {
    let results = admin
        .delete_topics(topics, connect.limit())
        .await
        .map_err(Failure::failed)?;
    each(results, |name, ()| {
        Ok(writeln!(std::io::stdout(), "deleted {name}")?)
    })
}

/// Acts on what went well and reports the rest.
fn each<T>(
    results: Results<String, T>,
    mut act: impl FnMut(&str, T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut failed = false;
    for (name, result) in results {
        match result {
            Ok(value) => act(&name, value)?,
            Err(error) => {
                failed = true;
                eprintln!("broker: topic {name}: {error}");
            }
        }
    }
    if failed {
        Err(Failure::Reported)
    } else {
        Ok(())
    }
}

async fn describe(admin: &Admin, connect: &Connect, topics: &[String]) -> Result<(), Failure> {
    let described = if topics.is_empty() {
        let all = admin
            .list_topics(connect.limit())
            .await
            .map_err(Failure::failed)?;
        all.into_iter()
            .map(|(name, topic)| (name, Ok(topic)))
            .collect()
    } else {
        admin
            .describe_topics(topics, connect.limit())
            .await
            .map_err(Failure::failed)?
    };
    let configs = topic_configs(admin, connect, &described).await?;
    each(described, |name, topic| {
        Ok(print(
            &mut std::io::stdout().lock(),
            name,
            &topic,
            configs.get(name).map_or("", String::as_str),
        )?)
    })
}

/// What was set on each topic, as name=value,..
async fn topic_configs(
    admin: &Admin,
    connect: &Connect,
    topics: &Results<String, TopicDescription>,
) -> Result<BTreeMap<String, String>, Failure> {
    let found = topics.iter().filter(|(_, result)| result.is_ok());
    let resources: Vec<ConfigResource> = found
        .map(|(name, _)| ConfigResource::Topic(name.clone()))
        .collect();
    let described = admin
        .describe_configs(&resources, connect.limit())
        .await
        .map_err(Failure::failed)?;
    let mut configs = BTreeMap::new();
    for (resource, entries) in described {
        let (ConfigResource::Topic(name), Ok(entries)) = (resource, entries) else {
            continue;
        };
        let set = entries
            .into_iter()
            .filter(|entry| entry.source == SOURCE_TOPIC);
        let texts: Vec<String> = set
            .map(|entry| format!("{}={}", entry.name, entry.value.unwrap_or_default()))
            .collect();
        configs.insert(name, texts.join(","));
    }
    Ok(configs)
}

/// As kafka-topics prints it.
fn print(
    out: &mut impl Write,
    name: &str,
    topic: &TopicDescription,
    configs: &str,
) -> std::io::Result<()> {
    let count = topic.partitions.len();
    let factor = topic
        .partitions
        .values()
        .next()
        .map_or(0, |partition| partition.replicas.len());
    let id = topic.id;
    writeln!(
        out,
        "Topic: {name}\tTopicId: {id}\tPartitionCount: {count}\tReplicationFactor: {factor}\tConfigs: {configs}"
    )?;
    for (index, partition) in &topic.partitions {
        let leader = partition
            .leader
            .map_or("none".to_string(), |leader| leader.to_string());
        writeln!(
            out,
            "\tTopic: {name}\tPartition: {index}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
            ids(&partition.replicas),
            ids(&partition.isr),
        )?;
    }
    Ok(())
}

fn ids(nodes: &[broker_protocol::ids::NodeId]) -> String {
    let texts: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    texts.join(",")
}

impl Alter {
    async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let changes = self.changes();
        if !changes.is_empty() {
            let changes = BTreeMap::from([(ConfigResource::Topic(self.topic.clone()), changes)]);
            let altered = admin
                .incremental_alter_configs(&changes, self.connect.limit())
                .await;
            self.verdict(altered.map_err(Failure::failed)?)?;
        }
        if let Some(count) = self.partitions {
            let counts = BTreeMap::from([(self.topic.clone(), count)]);
            let raised = admin.create_partitions(&counts, self.connect.limit()).await;
            self.verdict(raised.map_err(Failure::failed)?)?;
        }
        Ok(writeln!(std::io::stdout(), "altered {}", self.topic)?)
    }

    fn changes(&self) -> Vec<AlterConfigOp> {
        let set = self.config.iter().map(|(name, value)| AlterConfigOp {
            name: name.clone(),
            operation: AlterOperation::Set,
            value: Some(value.clone()),
        });
        let deleted = self.delete_config.iter().map(|name| AlterConfigOp {
            name: name.clone(),
            operation: AlterOperation::Delete,
            value: None,
        });
        set.chain(deleted).collect()
    }

    fn verdict<K: Ord>(&self, results: Results<K, ()>) -> Result<(), Failure> {
        let failed = results.into_values().find_map(Result::err);
        failed.map_or(Ok(()), |error| {
            Err(Failure::failed(format!("topic {}: {error}", self.topic)))
        })
    }
}
