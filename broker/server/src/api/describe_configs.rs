//! DescribeConfigs: topic and broker properties with where each value comes from.

use std::collections::BTreeMap;

use broker_core::metadata::ConfigResource;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::NodeId;

use super::Api;
use crate::config::{is_dynamic_config, topic_synonym};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Kafka's ConfigSource numbers.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_DYNAMIC_BROKER: i8 = 2;
const SOURCE_DYNAMIC_DEFAULT_BROKER: i8 = 3;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

pub fn handle(api: &Api, request: wire::DescribeConfigsRequest) -> wire::DescribeConfigsResponse {
    let documented = request.include_documentation;
    let results = request.resources.into_iter().map(|resource| {
        let described = match resource.resource_type {
            TOPIC => topic(api, &resource.resource_name),
            BROKER => broker(api, &resource.resource_name, documented),
            other => Err((
                ErrorCode::InvalidRequest,
                format!("resource type {other} is not supported"),
            )),
        };
        let wanted = resource.configuration_keys.filter(|keys| !keys.is_empty());
        let mut result = wire::DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name,
            error_message: None,
            ..Default::default()
        };
        match described {
            Ok(mut configs) => {
                configs.retain(|config| {
                    wanted
                        .as_ref()
                        .is_none_or(|keys| keys.contains(&config.name))
                });
                result.configs = configs;
            }
            Err((code, message)) => {
                result.error_code = code.code();
                result.error_message = Some(message);
            }
        }
        result
    });
    wire::DescribeConfigsResponse {
        results: results.collect(),
        ..Default::default()
    }
}

type Described = Result<Vec<wire::DescribeConfigsResourceResult>, (ErrorCode, String)>;

fn topic(api: &Api, name: &str) -> Described {
    if api.metadata.read(|image| image.topic(name).is_none()) {
        return Err((
            ErrorCode::UnknownTopicOrPartition,
            format!("no topic '{name}'"),
        ));
    }
    let overrides = api.metadata.read(|image| {
        image
            .configs()
            .get(&ConfigResource::topic(name))
            .cloned()
            .unwrap_or_default()
    });
    let effective = api.metadata.topic_config(name, &api.config);
    let inherited = inherited_sources(api);
    let described = effective.entries().into_iter().map(|(name, value)| {
        let source = if overrides.contains_key(name) {
            SOURCE_TOPIC
        } else {
            inherited.get(name).copied().unwrap_or(SOURCE_DEFAULT)
        };
        config(name, value, source, None)
    });
    Ok(described.collect())
}

/// Where a topic's property comes from if it is not set on the topic.
fn inherited_sources(api: &Api) -> BTreeMap<&'static str, i8> {
    let topic_properties = |(name, _, source): (String, String, i8)| {
        topic_synonym(&name).map(|property| (property, source))
    };
    let fixed = api.config.entries().into_iter().filter(|it| !it.is_default);
    let mut sources: BTreeMap<&str, i8> = fixed
        .filter_map(|entry| Some((topic_synonym(entry.name)?, SOURCE_STATIC_BROKER)))
        .collect();
    sources.extend(dynamic_values(api).into_iter().filter_map(topic_properties));
    sources
}

/// Name, value and source of what was set at run time; what is set on the broker itself comes last.
fn dynamic_values(api: &Api) -> Vec<(String, String, i8)> {
    let me = ConfigResource::broker(NodeId(api.config.node_id));
    api.metadata.read(|image| {
        let resources = [
            (ConfigResource::cluster(), SOURCE_DYNAMIC_DEFAULT_BROKER),
            (me, SOURCE_DYNAMIC_BROKER),
        ];
        let set = resources.into_iter().flat_map(|(resource, source)| {
            let values = image.configs().get(&resource).cloned().unwrap_or_default();
            let told = move |(name, value)| (name, value, source);
            values.into_iter().map(told)
        });
        set.collect()
    })
}

/// The defaults of all brokers, if no broker is named: only what was set.
fn broker(api: &Api, name: &str, documented: bool) -> Described {
    let dynamic = dynamic_values(api);
    if name.is_empty() {
        let defaults = dynamic
            .into_iter()
            .filter(|(_, _, source)| *source == SOURCE_DYNAMIC_DEFAULT_BROKER);
        return Ok(defaults
            .map(|(name, value, source)| config(&name, value, source, None))
            .collect());
    }
    if name != api.config.node_id.to_string() {
        let message = format!("broker '{name}' is not this one ({})", api.config.node_id);
        return Err((ErrorCode::InvalidRequest, message));
    }
    let described = api.config.entries().into_iter().map(|entry| {
        let fixed = if entry.is_default {
            SOURCE_DEFAULT
        } else {
            SOURCE_STATIC_BROKER
        };
        let set = dynamic.iter().rfind(|(name, ..)| name == entry.name);
        let (value, source) = match set {
            Some((_, value, source)) => (value.clone(), *source),
            None => (entry.value, fixed),
        };
        let documentation = documented.then(|| entry.documentation.trim().to_string());
        wire::DescribeConfigsResourceResult {
            read_only: !is_dynamic_config(entry.name),
            ..config(entry.name, value, source, documentation)
        }
    });
    Ok(described.collect())
}

fn config(
    name: &str,
    value: String,
    source: i8,
    documentation: Option<String>,
) -> wire::DescribeConfigsResourceResult {
    wire::DescribeConfigsResourceResult {
        name: name.to_string(),
        value: Some(value),
        config_source: source,
        documentation,
        ..Default::default()
    }
}
