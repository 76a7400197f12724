//! DescribeConfigs: topic and broker properties with where each value comes from.

use broker_core::metadata::ConfigResource;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;

use super::Api;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Kafka's ConfigSource numbers.
const SOURCE_TOPIC: i8 = 1;
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
    let effective = api.metadata.topic_config(name, api.config.topic_defaults());
    let described = effective.entries().into_iter().map(|(name, value)| {
        let source = if overrides.contains_key(name) {
            SOURCE_TOPIC
        } else {
            SOURCE_DEFAULT
        };
        config(name, value, source, None)
    });
    Ok(described.collect())
}

fn broker(api: &Api, name: &str, documented: bool) -> Described {
    if name != api.config.node_id.to_string() {
        let message = format!("broker '{name}' is not this one ({})", api.config.node_id);
        return Err((ErrorCode::InvalidRequest, message));
    }
    let described = api.config.entries().into_iter().map(|entry| {
        let source = if entry.is_default {
            SOURCE_DEFAULT
        } else {
            SOURCE_STATIC_BROKER
        };
        let documentation = documented.then(|| entry.documentation.trim().to_string());
        wire::DescribeConfigsResourceResult {
            read_only: true,
            ..config(entry.name, entry.value, source, documentation)
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
