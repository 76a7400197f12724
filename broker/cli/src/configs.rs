//! `broker configs`: properties of topics and brokers, as kafka-configs shows and changes them.

use std::collections::BTreeMap;
use std::io::Write;

use broker_client::Admin;
use broker_client::admin::{AlterConfigOp, AlterOperation, ConfigResource};
use broker_protocol::ids::NodeId;
use clap::{Args, Subcommand};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;
use crate::topics::property;

#[derive(Args)]
pub struct Configs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Properties with their values and where these come from.
    Describe {
        #[command(flatten)]
        connect: Connect,
        #[command(flatten)]
        entity: Entity,
        /// Also what was not set.
        #[arg(long)]
        all: bool,
    },
    /// Changes properties; of a broker those that may change while it runs.
    Alter(Alter),
}

/// Whose properties.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Entity {
    #[arg(long)]
    topic: Option<String>,
    /// A broker's id.
    #[arg(long)]
    broker: Option<i32>,
    /// The defaults of all brokers.
    #[arg(long)]
    broker_defaults: bool,
}

#[derive(Args)]
#[group(id = "change", required = true, multiple = true, args = ["set", "delete", "append", "subtract"])]
struct Alter {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    entity: Entity,
    /// Sets a property; may be given several times, as the others.
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    set: Vec<(String, String)>,
    /// Back to the default.
    #[arg(long, value_name = "NAME")]
    delete: Vec<String>,
    /// Adds to a list.
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    append: Vec<(String, String)>,
    /// Takes from a list.
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    subtract: Vec<(String, String)>,
}

impl Entity {
    fn resource(&self) -> ConfigResource {
        match (&self.topic, self.broker) {
            (Some(topic), _) => ConfigResource::Topic(topic.clone()),
            (None, Some(broker)) => ConfigResource::Broker(NodeId(broker)),
            (None, None) => ConfigResource::BrokerDefault,
        }
    }
}

impl Configs {
    pub fn run(self) -> Result<(), Failure> {
        block_on(|env| async move {
            match self.action {
                Action::Describe {
                    connect,
                    entity,
                    all,
                } => {
                    let admin = Admin::new(connect.client(&env));
                    describe(&admin, &connect, entity.resource(), all).await
                }
                Action::Alter(alter) => {
                    let admin = Admin::new(alter.connect.client(&env));
                    alter.run(&admin).await
                }
            }
        })
    }
}

async fn describe(
    admin: &Admin,
    connect: &Connect,
    resource: ConfigResource,
    all: bool,
) -> Result<(), Failure> {
    let mut described = admin
        .describe_configs(std::slice::from_ref(&resource), connect.limit())
        .await
        .map_err(Failure::failed)?;
    let entries = described
        .remove(&resource)
        .ok_or_else(|| Failure::failed("the broker left it out of its answer"))?
        .map_err(Failure::failed)?;
    let own = own_source(&resource);
    let mut out = std::io::stdout().lock();
    for entry in entries.iter().filter(|entry| all || entry.source == own) {
        let value = entry.value.as_deref().unwrap_or("null");
        writeln!(out, "{}={value}\t{}", entry.name, source(entry.source))?;
    }
    Ok(())
}

/// Where a value comes from that was set on the resource itself.
fn own_source(resource: &ConfigResource) -> i8 {
    match resource {
        ConfigResource::Topic(_) => 1,
        ConfigResource::Broker(_) => 2,
        ConfigResource::BrokerDefault => 3,
    }
}

/// Kafka's ConfigSource names.
fn source(code: i8) -> &'static str {
    match code {
        1 => "DYNAMIC_TOPIC_CONFIG",
        2 => "DYNAMIC_BROKER_CONFIG",
        3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        4 => "STATIC_BROKER_CONFIG",
        5 => "DEFAULT_CONFIG",
        _ => "UNKNOWN",
    }
}

impl Alter {
    async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let changes = BTreeMap::from([(self.entity.resource(), self.changes())]);
        let results = admin
            .incremental_alter_configs(&changes, self.connect.limit())
            .await
            .map_err(Failure::failed)?;
        if let Some(error) = results.into_values().find_map(Result::err) {
            return Err(Failure::failed(error));
        }
        Ok(writeln!(std::io::stdout(), "altered")?)
    }

    fn changes(&self) -> Vec<AlterConfigOp> {
        let with_value = [
            (AlterOperation::Set, &self.set),
            (AlterOperation::Append, &self.append),
            (AlterOperation::Subtract, &self.subtract),
        ];
        let with_value = with_value.into_iter().flat_map(|(operation, pairs)| {
            pairs.iter().map(move |(name, value)| AlterConfigOp {
                name: name.clone(),
                operation,
                value: Some(value.clone()),
            })
        });
        let deleted = self.delete.iter().map(|name| AlterConfigOp {
            name: name.clone(),
            operation: AlterOperation::Delete,
            value: None,
        });
        with_value.chain(deleted).collect()
    }
}
