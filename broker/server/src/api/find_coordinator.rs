//! FindCoordinator: which broker coordinates a group or a transactional id.

use std::sync::Arc;

use broker_protocol::ErrorCode;
use broker_protocol::api::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

use super::{Api, live_brokers};
use crate::internal_topics::{self, CONSUMER_OFFSETS, TRANSACTION_STATE, partition_for};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub async fn handle(
    api: Arc<Api>,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    if version >= 4 {
        let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
        for key in &request.coordinator_keys {
            coordinators.push(find(&api, request.key_type, key).await);
        }
        return FindCoordinatorResponse {
            coordinators,
            ..Default::default()
        };
    }
    let found = find(&api, request.key_type, &request.key).await;
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..Default::default()
    }
}

/// The topic a kind of key belongs to.
fn topic_of(key_type: i8, key: &str) -> Result<&'static str, (ErrorCode, String)> {
    match key_type {
        GROUP if key.is_empty() => Err((ErrorCode::InvalidGroupId, "the group id is empty".into())),
        GROUP => Ok(CONSUMER_OFFSETS),
        TRANSACTION if key.is_empty() => Err((
            ErrorCode::InvalidRequest,
            "the transactional id is empty".into(),
        )),
        TRANSACTION => Ok(TRANSACTION_STATE),
        _ => Err((
            ErrorCode::InvalidRequest,
            format!("key type {key_type} is unknown"),
        )),
    }
}

async fn find(api: &Arc<Api>, key_type: i8, key: &str) -> Coordinator {
    let refused = |(error, message): (ErrorCode, String)| Coordinator {
        key: key.to_string(),
        node_id: -1,
        port: -1,
        error_code: error.code(),
        error_message: Some(message),
        ..Default::default()
    };
    let topic = match topic_of(key_type, key) {
        Ok(topic) => topic,
        Err(reason) => return refused(reason),
    };
    let not_available = |reason: String| refused((ErrorCode::CoordinatorNotAvailable, reason));
    let Some(partition) = api.metadata.read(|image| partition_for(image, topic, key)) else {
        return match internal_topics::create(&api.config, &api.forwarder, topic).await {
            Ok(()) => not_available(format!("{topic} is being created")),
            Err(reason) => {
                tracing::warn!(topic, reason, "not created");
                not_available(format!("{topic}: {reason}"))
            }
        };
    };
    let leader = api.metadata.read(|image| {
        let registration = image.partition_by_name(topic, partition)?;
        registration.leader
    });
    let listener = api.config.inter_broker_listener();
    let brokers = live_brokers(api, &listener);
    let found = brokers
        .into_iter()
        .find(|broker| leader.is_some_and(|leader| leader.0 == broker.node_id));
    match found {
        Some(broker) => Coordinator {
            key: key.to_string(),
            node_id: broker.node_id,
            host: broker.host,
            port: broker.port,
            error_message: None,
            ..Default::default()
        },
        None => not_available(format!("{topic}-{partition} has no leader")),
    }
}
