//! AddRaftVoter, RemoveRaftVoter, UpdateRaftVoter, and the ApiVersions by which a leader learns what a new
//! voter supports (KIP-853).

use broker_core::raft::{
    AddVoterRequest, ApiVersionsResponse, Endpoint, EpochResponse, RemoveVoterRequest, Response,
    UpdateVoterRequest, VersionRange,
};
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey};

use super::*;

/// Name of the feature whose level says whether voters are in the log.
pub const KRAFT_VERSION: &str = "kraft.version";

pub fn add_voter_request(
    request: &AddVoterRequest,
    cluster_id: &str,
    timeout_ms: i32,
) -> wire::AddRaftVoterRequest {
    let listener = |endpoint: &Endpoint| wire::AddRaftVoterListener {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        ..Default::default()
    };
    wire::AddRaftVoterRequest {
        cluster_id: Some(cluster_id.to_string()),
        timeout_ms,
        voter_id: request.voter.id.0,
        voter_directory_id: request.voter.directory_id,
        listeners: request.endpoints.iter().map(listener).collect(),
        ..Default::default()
    }
}

pub fn add_voter_from_wire(request: wire::AddRaftVoterRequest) -> AddVoterRequest {
    let listener = |listener: wire::AddRaftVoterListener| Endpoint {
        name: listener.name.to_ascii_uppercase(),
        host: listener.host,
        port: listener.port,
    };
    AddVoterRequest {
        voter: ReplicaKey {
            id: NodeId(request.voter_id),
            directory_id: request.voter_directory_id,
        },
        endpoints: request.listeners.into_iter().map(listener).collect(),
        ack_when_committed: true,
    }
}

pub fn add_voter_response(response: &wire::AddRaftVoterResponse) -> Answer {
    Answer::of(Response::AddVoter(without_leader(response.error_code)))
}

pub fn remove_voter_request(
    request: &RemoveVoterRequest,
    cluster_id: &str,
) -> wire::RemoveRaftVoterRequest {
    wire::RemoveRaftVoterRequest {
        cluster_id: Some(cluster_id.to_string()),
        voter_id: request.voter.id.0,
        voter_directory_id: request.voter.directory_id,
        ..Default::default()
    }
}

pub fn remove_voter_from_wire(request: &wire::RemoveRaftVoterRequest) -> RemoveVoterRequest {
    RemoveVoterRequest {
        voter: ReplicaKey {
            id: NodeId(request.voter_id),
            directory_id: request.voter_directory_id,
        },
    }
}

pub fn remove_voter_response(response: &wire::RemoveRaftVoterResponse) -> Answer {
    Answer::of(Response::RemoveVoter(without_leader(response.error_code)))
}

pub fn update_voter_request(
    request: &UpdateVoterRequest,
    cluster_id: &str,
) -> wire::UpdateRaftVoterRequest {
    let listener = |endpoint: &Endpoint| wire::UpdateRaftVoterListener {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        ..Default::default()
    };
    wire::UpdateRaftVoterRequest {
        cluster_id: Some(cluster_id.to_string()),
        current_leader_epoch: request.current_leader_epoch.0,
        voter_id: request.voter.id.0,
        voter_directory_id: request.voter.directory_id,
        listeners: request.endpoints.iter().map(listener).collect(),
        k_raft_version_feature: wire::UpdateRaftVoterKRaftVersionFeature {
            min_supported_version: request.kraft_versions.min,
            max_supported_version: request.kraft_versions.max,
            ..Default::default()
        },
        ..Default::default()
    }
}

pub fn update_voter_from_wire(request: wire::UpdateRaftVoterRequest) -> UpdateVoterRequest {
    let listener = |listener: wire::UpdateRaftVoterListener| Endpoint {
        name: listener.name.to_ascii_uppercase(),
        host: listener.host,
        port: listener.port,
    };
    UpdateVoterRequest {
        current_leader_epoch: LeaderEpoch(request.current_leader_epoch),
        voter: ReplicaKey {
            id: NodeId(request.voter_id),
            directory_id: request.voter_directory_id,
        },
        endpoints: request.listeners.into_iter().map(listener).collect(),
        kraft_versions: VersionRange {
            min: request.k_raft_version_feature.min_supported_version,
            max: request.k_raft_version_feature.max_supported_version,
        },
    }
}

pub fn update_voter_to_wire(
    response: &EpochResponse,
    leader: LeaderEndpoint,
) -> wire::UpdateRaftVoterResponse {
    let (host, port) = match leader {
        Some((_, address)) => (address.host, i32::from(address.port)),
        None => (String::new(), 0),
    };
    wire::UpdateRaftVoterResponse {
        error_code: error_code(response.error).code(),
        current_leader: wire::UpdateRaftVoterCurrentLeader {
            leader_id: id_of(response.leader),
            leader_epoch: response.leader_epoch.0,
            host,
            port,
            ..Default::default()
        },
        ..Default::default()
    }
}

pub fn update_voter_response(response: &wire::UpdateRaftVoterResponse) -> Answer {
    let leader = &response.current_leader;
    let port = u16::try_from(leader.port).ok().filter(|port| *port > 0);
    let endpoint = port.map(|port| endpoint(leader.leader_id, &leader.host, port));
    let answer = EpochResponse {
        error: core_error(response.error_code),
        leader: node_or_none(leader.leader_id),
        leader_epoch: LeaderEpoch(leader.leader_epoch),
    };
    Answer {
        endpoints: endpoint.into_iter().collect(),
        ..Answer::of(Response::UpdateVoter(answer))
    }
}

/// These two answers tell no leader.
fn without_leader(code: i16) -> EpochResponse {
    EpochResponse {
        error: core_error(code),
        leader: None,
        leader_epoch: LeaderEpoch(-1),
    }
}

pub fn api_versions_request() -> wire::ApiVersionsRequest {
    wire::ApiVersionsRequest {
        client_software_name: "trial-broker".into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
        ..Default::default()
    }
}

pub fn api_versions_response(response: &wire::ApiVersionsResponse) -> Answer {
    let features = response.supported_features.iter();
    let range = |feature: &wire::SupportedFeatureKey| VersionRange {
        min: feature.min_version,
        max: feature.max_version,
    };
    let answer = ApiVersionsResponse {
        error: core_error(response.error_code),
        kraft_versions: features
            .filter(|feature| feature.name == KRAFT_VERSION)
            .map(range)
            .next(),
    };
    Answer::of(Response::ApiVersions(answer))
}
