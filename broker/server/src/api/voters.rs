//! AddRaftVoter, RemoveRaftVoter and UpdateRaftVoter (KIP-853): what the wire can be wrong about; the rest is
//! the quorum's to decide.

use std::sync::Arc;

use broker_core::raft::{Endpoint, EpochResponse, Error, Request, Response};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::ReplicaKey;

use super::quorum::is_foreign;
use super::{Api, raft_wire};

/// Why a change was refused.
type Refusal = (ErrorCode, String);

pub async fn add(api: Arc<Api>, request: wire::AddRaftVoterRequest) -> wire::AddRaftVoterResponse {
    let answer = |code: ErrorCode, message: Option<String>| wire::AddRaftVoterResponse {
        error_code: code.code(),
        error_message: message,
        ..Default::default()
    };
    let cluster_id = request.cluster_id.clone();
    let core = raft_wire::add_voter_from_wire(request);
    let checked = check(&api, cluster_id.as_ref(), core.voter)
        .and_then(|()| check_endpoints(&api, &core.endpoints));
    if let Err((code, message)) = checked {
        return answer(code, Some(message));
    }
    let voter = core.voter;
    let result = changed(api.quorum.request(Request::AddVoter(core)).await, voter);
    let (code, message) = outcome(result);
    answer(code, message)
}

pub async fn remove(
    api: Arc<Api>,
    request: wire::RemoveRaftVoterRequest,
) -> wire::RemoveRaftVoterResponse {
    let answer = |code: ErrorCode, message: Option<String>| wire::RemoveRaftVoterResponse {
        error_code: code.code(),
        error_message: message,
        ..Default::default()
    };
    let core = raft_wire::remove_voter_from_wire(&request);
    if let Err((code, message)) = check(&api, request.cluster_id.as_ref(), core.voter) {
        return answer(code, Some(message));
    }
    let removed = api.quorum.request(Request::RemoveVoter(core)).await;
    let (code, message) = outcome(changed(removed, core.voter));
    answer(code, message)
}

pub async fn update(
    api: Arc<Api>,
    request: wire::UpdateRaftVoterRequest,
) -> wire::UpdateRaftVoterResponse {
    let failed = |code: ErrorCode| wire::UpdateRaftVoterResponse {
        error_code: code.code(),
        ..Default::default()
    };
    let cluster_id = request.cluster_id.clone();
    let core = raft_wire::update_voter_from_wire(request);
    let checked = check(&api, cluster_id.as_ref(), core.voter)
        .and_then(|()| check_endpoints(&api, &core.endpoints));
    if let Err((code, _)) = checked {
        return failed(code);
    }
    match api.quorum.request(Request::UpdateVoter(core)).await {
        Some((Response::UpdateVoter(response), _)) => {
            let leader = response.leader.and_then(|leader| {
                let address = api.quorum.addresses.of(leader)?;
                Some((leader, address))
            });
            raft_wire::update_voter_to_wire(&response, leader)
        }
        _ => failed(ErrorCode::BrokerNotAvailable),
    }
}

fn check(api: &Api, cluster_id: Option<&String>, voter: ReplicaKey) -> Result<(), Refusal> {
    if is_foreign(api, cluster_id) {
        let message = format!("this is cluster {}", api.cluster_id);
        return Err((ErrorCode::InconsistentClusterId, message));
    }
    if voter.id.0 < 0 || voter.directory_id.is_zero() {
        let message = "a voter has an id and a directory id".to_string();
        return Err((ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

fn check_endpoints(api: &Api, endpoints: &[Endpoint]) -> Result<(), Refusal> {
    let addresses = &api.quorum.addresses;
    match addresses.of_endpoints(endpoints) {
        Some(address) if !address.host.is_empty() && address.port > 0 => Ok(()),
        _ => {
            let listener = addresses.listener();
            let message =
                format!("no endpoint of the listener {listener} among those of the voter");
            Err((ErrorCode::InvalidRequest, message))
        }
    }
}

fn changed(answer: Option<(Response, bytes::Bytes)>, voter: ReplicaKey) -> Result<(), Refusal> {
    match answer {
        Some((Response::AddVoter(response) | Response::RemoveVoter(response), _)) => {
            let EpochResponse { error, .. } = response;
            match error {
                Error::None => Ok(()),
                error => Err((raft_wire::error_code(error), reason(error, voter))),
            }
        }
        _ => {
            let message = "this node has stopped taking part in the quorum".to_string();
            Err((ErrorCode::BrokerNotAvailable, message))
        }
    }
}

fn reason(error: Error, voter: ReplicaKey) -> String {
    let ReplicaKey { id, directory_id } = voter;
    match error {
        Error::NotLeaderOrFollower => "this node does not lead the quorum".into(),
        Error::UnsupportedVersion => {
            "kraft.version is 0: the voters are those of controller.quorum.voters".into()
        }
        Error::DuplicateVoter => format!("a voter has the id {id} already"),
        Error::VoterNotFound => format!("{id} with directory {directory_id} is no voter"),
        Error::InvalidRequest => format!(
            "{id} cannot be changed: it does not support this kraft.version, or it is the only voter"
        ),
        Error::RequestTimedOut => {
            "another change is under way, the quorum has just elected its leader, or the change was not committed in time"
                .into()
        }
        other => format!("refused: {other:?}"),
    }
}

fn outcome(result: Result<(), Refusal>) -> (ErrorCode, Option<String>) {
    match result {
        Ok(()) => (ErrorCode::None, None),
        Err((code, message)) => (code, Some(message)),
    }
}
