//! IncrementalAlterConfigs and AlterConfigs at the active controller.

use std::sync::Arc;

use broker_core::metadata::{self as core, ApiError, Input, Reply};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;

use super::Api;
use super::admin::split;
use crate::config::{validate_dynamic_config, validate_topic_config};

pub async fn incremental_alter_configs(
    api: Arc<Api>,
    request: wire::IncrementalAlterConfigsRequest,
) -> wire::IncrementalAlterConfigsResponse {
    let mut results = Results::default();
    let mut resources = Vec::new();
    for resource in request.resources {
        let altered = resource_of(resource.resource_type, &resource.resource_name)
            .and_then(|it| Ok((operations(&it, &resource.configs)?, it)));
        match altered {
            Ok((operations, resource)) => resources.push((resource, operations)),
            Err(error) => results.refuse(resource.resource_type, resource.resource_name, error),
        }
    }
    let asked = names(&resources);
    let core_request = core::IncrementalAlterConfigsRequest {
        resources,
        validate_only: request.validate_only,
    };
    let reply = api
        .quorum
        .controller(move |ticket, _| Input::IncrementalAlterConfigs(ticket, core_request))
        .await;
    match reply {
        Ok(Reply::IncrementalAlterConfigs(answers)) => results.extend(answers),
        Ok(other) => panic!("the controller answered IncrementalAlterConfigs with {other:?}"),
        Err(_) => results.not_controller(asked),
    }
    let response = |one: OneResult| wire::AlterConfigsResourceResponse {
        error_code: one.code,
        error_message: one.message,
        resource_type: one.kind,
        resource_name: one.name,
        ..Default::default()
    };
    wire::IncrementalAlterConfigsResponse {
        responses: results.0.into_iter().map(response).collect(),
        ..Default::default()
    }
}

pub async fn alter_configs(
    api: Arc<Api>,
    request: wire::AlterConfigsRequest,
) -> wire::AlterConfigsResponse {
    let mut results = Results::default();
    let mut resources = Vec::new();
    for resource in request.resources {
        let altered = resource_of(resource.resource_type, &resource.resource_name)
            .and_then(|it| Ok((values(&it, &resource.configs)?, it)));
        match altered {
            Ok((values, resource)) => resources.push((resource, values)),
            Err(error) => results.refuse(resource.resource_type, resource.resource_name, error),
        }
    }
    let asked = names(&resources);
    let core_request = core::AlterConfigsRequest {
        resources,
        validate_only: request.validate_only,
    };
    let reply = api
        .quorum
        .controller(move |ticket, _| Input::AlterConfigs(ticket, core_request))
        .await;
    match reply {
        Ok(Reply::AlterConfigs(answers)) => results.extend(answers),
        Ok(other) => panic!("the controller answered AlterConfigs with {other:?}"),
        Err(_) => results.not_controller(asked),
    }
    let response = |one: OneResult| wire::AlterConfigsResponseResource {
        error_code: one.code,
        error_message: one.message,
        resource_type: one.kind,
        resource_name: one.name,
        ..Default::default()
    };
    wire::AlterConfigsResponse {
        responses: results.0.into_iter().map(response).collect(),
        ..Default::default()
    }
}

/// What became of each resource.
#[derive(Default)]
struct Results(Vec<OneResult>);

struct OneResult {
    kind: i8,
    name: String,
    code: i16,
    message: Option<String>,
}

impl Results {
    fn refuse(&mut self, kind: i8, name: String, error: ApiError) {
        let (code, message) = split(Err(error));
        self.0.push(OneResult {
            kind,
            name,
            code,
            message,
        });
    }

    fn extend(&mut self, answers: Vec<(core::ConfigResource, Result<(), ApiError>)>) {
        for (resource, result) in answers {
            let (code, message) = split(result);
            self.0.push(OneResult {
                kind: resource.kind.code(),
                name: resource.name,
                code,
                message,
            });
        }
    }

    fn not_controller(&mut self, asked: Vec<core::ConfigResource>) {
        let refused = |resource| (resource, Err(ErrorCode::NotController.into()));
        self.extend(asked.into_iter().map(refused).collect());
    }
}

fn names<T>(resources: &[(core::ConfigResource, T)]) -> Vec<core::ConfigResource> {
    let names = resources.iter().map(|(resource, _)| resource.clone());
    names.collect()
}

fn resource_of(kind: i8, name: &str) -> Result<core::ConfigResource, ApiError> {
    let refused = || invalid(format!("unknown resource type {kind}"));
    Ok(core::ConfigResource {
        kind: core::ConfigResourceType::from_code(kind).ok_or_else(refused)?,
        name: name.to_string(),
    })
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

/// The core knows the names of topics' properties; what values this broker takes, and which of its own
/// properties may change while it runs, is known here. Kafka answers INVALID_REQUEST for the latter
/// (KAFKA-13609).
fn check(resource: &core::ConfigResource, name: &str, value: Option<&str>) -> Result<(), ApiError> {
    match (resource.kind, value) {
        (core::ConfigResourceType::Topic, Some(value)) => validate_topic_config(name, value)
            .map_err(|reason| ApiError::new(ErrorCode::InvalidConfig, reason)),
        (core::ConfigResourceType::Broker, value) => {
            validate_dynamic_config(name, value).map_err(invalid)
        }
        _ => Ok(()),
    }
}

fn operations(
    resource: &core::ConfigResource,
    configs: &[wire::AlterableConfig],
) -> Result<Vec<core::ConfigOperation>, ApiError> {
    let mut operations = Vec::new();
    for config in configs {
        let value = config.value.clone().unwrap_or_default();
        let set = config
            .value
            .as_deref()
            .filter(|_| config.config_operation == 0);
        check(resource, &config.name, set)?;
        let operation = match config.config_operation {
            0 => core::ConfigOperationType::Set(config.value.clone()),
            1 => core::ConfigOperationType::Delete,
            2 => core::ConfigOperationType::Append(value),
            3 => core::ConfigOperationType::Subtract(value),
            other => return Err(invalid(format!("unknown config operation {other}"))),
        };
        operations.push(core::ConfigOperation {
            name: config.name.clone(),
            operation,
        });
    }
    Ok(operations)
}

fn values(
    resource: &core::ConfigResource,
    configs: &[wire::AlterConfigsRequestConfig],
) -> Result<Vec<(String, Option<String>)>, ApiError> {
    let mut values = Vec::new();
    for config in configs {
        check(resource, &config.name, config.value.as_deref())?;
        values.push((config.name.clone(), config.value.clone()));
    }
    Ok(values)
}
