//! Configurations of topics and brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_protocol::api as wire;
use broker_protocol::ids::NodeId;

use super::{Admin, Results, Verdict, verdict};
use crate::error::AdminError;

/// What has a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResource {
    Topic(String),
    Broker(NodeId),
    /// The dynamic default of all brokers.
    BrokerDefault,
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

impl ConfigResource {
    fn kind(&self) -> i8 {
        match self {
            ConfigResource::Topic(_) => TOPIC,
            ConfigResource::Broker(_) | ConfigResource::BrokerDefault => BROKER,
        }
    }

    fn name(&self) -> String {
        match self {
            ConfigResource::Topic(name) => name.clone(),
            ConfigResource::Broker(node) => node.to_string(),
            ConfigResource::BrokerDefault => String::new(),
        }
    }

    fn from_wire(kind: i8, name: String) -> Option<ConfigResource> {
        match kind {
            TOPIC => Some(ConfigResource::Topic(name)),
            BROKER if name.is_empty() => Some(ConfigResource::BrokerDefault),
            BROKER => name
                .parse()
                .ok()
                .map(|node| ConfigResource::Broker(NodeId(node))),
            _ => None,
        }
    }
}

/// One value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` if sensitive or not set.
    pub value: Option<String>,
    pub read_only: bool,
    pub is_sensitive: bool,
    /// Kafka's ConfigSource: 1 topic, 2 broker, 3 default of all brokers, 4 static, 5 default.
    pub source: i8,
}

/// How an entry is changed (KIP-339).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlterOperation {
    Set,
    Delete,
    /// To a list.
    Append,
    /// From a list.
    Subtract,
}

impl AlterOperation {
    fn code(self) -> i8 {
        match self {
            AlterOperation::Set => 0,
            AlterOperation::Delete => 1,
            AlterOperation::Append => 2,
            AlterOperation::Subtract => 3,
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterConfigOp {
    pub name: String,
    pub operation: AlterOperation,
    /// `None` with `Delete`.
    pub value: Option<String>,
}

impl Admin {
    /// All entries of these resources. What a broker is configured with is asked of that broker.
    ///
    /// # Errors
    /// Per resource, e.g. UNKNOWN_TOPIC_OR_PARTITION.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
        limit: Duration,
    ) -> Result<Results<ConfigResource, Vec<ConfigEntry>>, AdminError> {
        let (brokers, others): (Vec<_>, Vec<_>) = resources
            .iter()
            .cloned()
            .partition(|resource| matches!(resource, ConfigResource::Broker(_)));
        let request = |wanted: &BTreeSet<ConfigResource>, _| describe_request(wanted.iter());
        let mut results = self
            .each(others.into_iter().collect(), limit, request, described)
            .await?;
        for resource in brokers {
            let result = self.describe_broker(&resource, limit).await;
            results.insert(resource, result);
        }
        Ok(results)
    }

    async fn describe_broker(
        &self,
        resource: &ConfigResource,
        limit: Duration,
    ) -> Result<Vec<ConfigEntry>, AdminError> {
        let ConfigResource::Broker(node) = resource else {
            return Ok(Vec::new());
        };
        let request = describe_request(std::iter::once(resource));
        let timed_out = |last: String| AdminError::Timeout { limit, last };
        if self
            .client
            .metadata(|metadata| !metadata.brokers.contains_key(node))
        {
            let refreshed = self.client.refresh_metadata(&BTreeSet::new()).await;
            refreshed.map_err(|error| timed_out(error.to_string()))?;
        }
        let response = self
            .client
            .call(*node, &request, limit)
            .await
            .map_err(|error| timed_out(error.to_string()))?;
        let entries = described(response)
            .into_iter()
            .find(|(told, _)| told == resource);
        match entries {
            Some((_, Ok(entries))) => Ok(entries),
            Some((_, Err((error, message)))) => Err(AdminError::api(error, message)),
            None => Err(timed_out("left out of the answer".to_string())),
        }
    }

    /// Changes some entries and leaves the others.
    ///
    /// # Errors
    /// Per resource, e.g. INVALID_CONFIG; then none of its entries is changed.
    pub async fn incremental_alter_configs(
        &self,
        changes: &BTreeMap<ConfigResource, Vec<AlterConfigOp>>,
        limit: Duration,
    ) -> Result<Results<ConfigResource, ()>, AdminError> {
        let request = |wanted: &BTreeSet<ConfigResource>, _| wire::IncrementalAlterConfigsRequest {
            resources: changes
                .iter()
                .filter(|(resource, _)| wanted.contains(resource))
                .map(alteration)
                .collect(),
            ..Default::default()
        };
        let verdicts = |response: wire::IncrementalAlterConfigsResponse| {
            let one = |resource: wire::AlterConfigsResourceResponse| {
                let name =
                    ConfigResource::from_wire(resource.resource_type, resource.resource_name)?;
                Some((
                    name,
                    verdict(resource.error_code, resource.error_message, || ()),
                ))
            };
            response.responses.into_iter().filter_map(one).collect()
        };
        self.each(changes.keys().cloned().collect(), limit, request, verdicts)
            .await
    }
}

fn alteration(
    (resource, changes): (&ConfigResource, &Vec<AlterConfigOp>),
) -> wire::AlterConfigsResource {
    let entry = |change: &AlterConfigOp| wire::AlterableConfig {
        name: change.name.clone(),
        config_operation: change.operation.code(),
        value: change.value.clone(),
        ..Default::default()
    };
    wire::AlterConfigsResource {
        resource_type: resource.kind(),
        resource_name: resource.name(),
        configs: changes.iter().map(entry).collect(),
        ..Default::default()
    }
}

fn describe_request<'a>(
    resources: impl Iterator<Item = &'a ConfigResource>,
) -> wire::DescribeConfigsRequest {
    let one = |resource: &ConfigResource| wire::DescribeConfigsResource {
        resource_type: resource.kind(),
        resource_name: resource.name(),
        configuration_keys: None,
        ..Default::default()
    };
    wire::DescribeConfigsRequest {
        resources: resources.map(one).collect(),
        ..Default::default()
    }
}

fn described(
    response: wire::DescribeConfigsResponse,
) -> Vec<(ConfigResource, Verdict<Vec<ConfigEntry>>)> {
    let entry = |config: wire::DescribeConfigsResourceResult| ConfigEntry {
        name: config.name,
        value: config.value,
        read_only: config.read_only,
        is_sensitive: config.is_sensitive,
        source: config.config_source,
    };
    let one = |result: wire::DescribeConfigsResult| {
        let resource = ConfigResource::from_wire(result.resource_type, result.resource_name)?;
        let entries = || result.configs.into_iter().map(entry).collect();
        Some((
            resource,
            verdict(result.error_code, result.error_message, entries),
        ))
    };
    response.results.into_iter().filter_map(one).collect()
}
