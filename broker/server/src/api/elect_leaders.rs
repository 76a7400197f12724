//! ElectLeaders at the active controller.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_core::metadata::{self as core, ApiError, Input, Reply};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;

use super::Api;
use super::admin::split;

pub async fn elect_leaders(
    api: Arc<Api>,
    request: wire::ElectLeadersRequest,
) -> wire::ElectLeadersResponse {
    let kind = match request.election_type {
        0 => core::ElectionType::Preferred,
        1 => core::ElectionType::Unclean,
        _ => return failed(ErrorCode::InvalidRequest),
    };
    let partitions = request.topic_partitions.map(|topics| {
        let flat = topics.into_iter().flat_map(|topic| {
            let name = topic.topic;
            let named = move |partition| (name.clone(), partition);
            topic.partitions.into_iter().map(named)
        });
        flat.collect()
    });
    let core_request = core::ElectLeadersRequest { kind, partitions };
    let reply = api
        .quorum
        .controller(move |ticket, _| Input::ElectLeaders(ticket, core_request))
        .await;
    match reply {
        Ok(Reply::ElectLeaders(results)) => wire::ElectLeadersResponse {
            replica_election_results: by_topic(results),
            ..Default::default()
        },
        Ok(other) => panic!("the controller answered ElectLeaders with {other:?}"),
        Err(_) => failed(ErrorCode::NotController),
    }
}

/// Version 0 has no place for the error of the whole: no result says it.
fn failed(code: ErrorCode) -> wire::ElectLeadersResponse {
    wire::ElectLeadersResponse {
        error_code: code.code(),
        ..Default::default()
    }
}

fn by_topic(
    results: Vec<((String, i32), Result<(), ApiError>)>,
) -> Vec<wire::ReplicaElectionResult> {
    let mut topics: BTreeMap<String, Vec<wire::ElectLeadersPartitionResult>> = BTreeMap::new();
    for ((topic, partition_id), result) in results {
        let (error_code, error_message) = split(result);
        let one = wire::ElectLeadersPartitionResult {
            partition_id,
            error_code,
            error_message,
            ..Default::default()
        };
        topics.entry(topic).or_default().push(one);
    }
    let topic = |(topic, partition_result)| wire::ReplicaElectionResult {
        topic,
        partition_result,
        ..Default::default()
    };
    topics.into_iter().map(topic).collect()
}
