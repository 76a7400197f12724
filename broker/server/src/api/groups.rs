//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: the classic group protocol.

use std::sync::Arc;

use broker_core::group::{
    JoinReply, JoinRequest, Leaver, MemberContext, Reply, Request, SyncReply, SyncRequest,
};
use broker_env::random;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::Uuid;

use super::Api;

/// The answer of the group's coordinator.
pub(super) async fn ask(api: &Api, group: &str, request: Request) -> Result<Reply, ErrorCode> {
    match &api.groups {
        Some(groups) => groups.call(group, request).await,
        None => Err(ErrorCode::NotCoordinator),
    }
}

/// Who sent a request, as group members are described.
pub struct Sender {
    pub client_id: String,
    pub host: String,
}

impl Sender {
    pub fn new(client_id: Option<&str>, peer: &str) -> Sender {
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        Sender {
            client_id: client_id.unwrap_or("").to_string(),
            host: format!("/{host}"),
        }
    }
}

pub async fn join(
    api: Arc<Api>,
    request: wire::JoinGroupRequest,
    version: i16,
    sender: Sender,
) -> wire::JoinGroupResponse {
    let group = request.group_id.clone();
    let member_id = request.member_id.clone();
    let request = join_request(&api, request, version, sender);
    let reply = match ask(&api, &group, Request::Join(request)).await {
        Ok(Reply::Join(reply)) => reply,
        Ok(other) => panic!("group {group}: JoinGroup was answered with {other:?}"),
        Err(error) => JoinReply::failed(error, &member_id),
    };
    let members = reply.members.into_iter();
    wire::JoinGroupResponse {
        error_code: reply.error.code(),
        generation_id: reply.generation,
        protocol_type: reply.protocol_type,
        // Not nullable before version 7.
        protocol_name: match version {
            7.. => reply.protocol_name,
            _ => Some(reply.protocol_name.unwrap_or_default()),
        },
        leader: reply.leader,
        skip_assignment: reply.skip_assignment,
        member_id: reply.member_id,
        members: members
            .map(|member| wire::JoinGroupResponseMember {
                member_id: member.member_id,
                group_instance_id: member.instance_id,
                metadata: member.metadata,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn join_request(
    api: &Api,
    request: wire::JoinGroupRequest,
    version: i16,
    sender: Sender,
) -> JoinRequest {
    let uuid = Uuid(random::uuid(api.env.random.as_ref()));
    let prefix = request
        .group_instance_id
        .as_ref()
        .unwrap_or(&sender.client_id);
    JoinRequest {
        fresh_member_id: format!("{prefix}-{}", hyphenated(uuid)),
        // One time for both before version 1.
        rebalance_timeout_ms: match version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        require_known_member_id: version >= 4 && request.group_instance_id.is_none(),
        knows_skip_assignment: version >= 9,
        group: request.group_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        client_id: sender.client_id,
        client_host: sender.host,
        session_timeout_ms: request.session_timeout_ms,
        protocol_type: request.protocol_type,
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| (protocol.name, protocol.metadata))
            .collect(),
    }
}

/// As Java prints it, which is how Kafka's member ids look.
fn hyphenated(uuid: Uuid) -> String {
    let hex: String = uuid.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

pub async fn sync(api: Arc<Api>, request: wire::SyncGroupRequest) -> wire::SyncGroupResponse {
    let group = request.group_id.clone();
    let request = SyncRequest {
        group: request.group_id,
        member: MemberContext {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type,
        protocol_name: request.protocol_name,
        assignments: request
            .assignments
            .into_iter()
            .map(|assigned| (assigned.member_id, assigned.assignment))
            .collect(),
    };
    let reply = match ask(&api, &group, Request::Sync(request)).await {
        Ok(Reply::Sync(reply)) => reply,
        Ok(other) => panic!("group {group}: SyncGroup was answered with {other:?}"),
        Err(error) => SyncReply::failed(error),
    };
    wire::SyncGroupResponse {
        error_code: reply.error.code(),
        protocol_type: reply.protocol_type,
        protocol_name: reply.protocol_name,
        assignment: reply.assignment,
        ..Default::default()
    }
}

pub async fn heartbeat(api: Arc<Api>, request: wire::HeartbeatRequest) -> wire::HeartbeatResponse {
    let group = request.group_id.clone();
    let member = MemberContext {
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id,
    };
    let request = Request::Heartbeat {
        group: request.group_id,
        member,
    };
    let error = match ask(&api, &group, request).await {
        Ok(Reply::Heartbeat(error)) => error,
        Ok(other) => panic!("group {group}: Heartbeat was answered with {other:?}"),
        // Sessions begin when the group is loaded; until then nobody needs to do anything, as in Kafka.
        Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
        Err(error) => error,
    };
    wire::HeartbeatResponse {
        error_code: error.code(),
        ..Default::default()
    }
}

pub async fn leave(
    api: Arc<Api>,
    request: wire::LeaveGroupRequest,
    version: i16,
) -> wire::LeaveGroupResponse {
    let group = request.group_id;
    let leavers: Vec<Leaver> = match version {
        3.. => request
            .members
            .into_iter()
            .map(|member| Leaver {
                member_id: member.member_id,
                instance_id: member.group_instance_id,
            })
            .collect(),
        _ => vec![Leaver {
            member_id: request.member_id,
            instance_id: None,
        }],
    };
    let request = Request::Leave {
        group: group.clone(),
        members: leavers.clone(),
    };
    let left = match ask(&api, &group, request).await {
        Ok(Reply::Leave(left)) => left,
        Ok(other) => panic!("group {group}: LeaveGroup was answered with {other:?}"),
        Err(error) => Err(error),
    };
    match left {
        Err(error) => wire::LeaveGroupResponse {
            error_code: error.code(),
            ..Default::default()
        },
        Ok(errors) if version < 3 => wire::LeaveGroupResponse {
            error_code: errors.first().map_or(0, |error| error.code()),
            ..Default::default()
        },
        Ok(errors) => {
            let members = leavers.into_iter().zip(errors);
            let members = members.map(|(leaver, error)| wire::MemberResponse {
                member_id: leaver.member_id,
                group_instance_id: leaver.instance_id,
                error_code: error.code(),
                ..Default::default()
            });
            wire::LeaveGroupResponse {
                members: members.collect(),
                ..Default::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_as_in_kafka() {
        let of = |peer| Sender::new(Some("c"), peer).host;
        assert_eq!(of("127.0.0.1:4711"), "/127.0.0.1");
        assert_eq!(of("[::1]:4711"), "/::1");
        let id = hyphenated(Uuid([0xab; 16]));
        assert_eq!(id, "abababab-abab-abab-abab-abababababab");
    }
}
