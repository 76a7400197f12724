//! ListGroups, DescribeGroups, DeleteGroups.

use std::sync::Arc;

use broker_core::group::{DescribedGroup, ListedGroup, Reply, Request};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;

use super::Api;
use super::groups::ask;

pub async fn list(api: Arc<Api>, request: wire::ListGroupsRequest) -> wire::ListGroupsResponse {
    let replies = match &api.groups {
        Some(groups) => groups.call_all(&Request::List).await,
        None => Ok(Vec::new()),
    };
    let replies = match replies {
        Ok(replies) => replies,
        Err(error) => {
            return wire::ListGroupsResponse {
                error_code: error.code(),
                ..Default::default()
            };
        }
    };
    let listed = replies.into_iter().flat_map(|reply| match reply {
        Reply::List(listed) => listed,
        other => panic!("ListGroups was answered with {other:?}"),
    });
    let wanted = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|name| name.eq_ignore_ascii_case(value))
    };
    let groups = listed.filter(|group: &ListedGroup| {
        wanted(&request.states_filter, group.state)
            && wanted(&request.types_filter, group.kind.name())
    });
    wire::ListGroupsResponse {
        groups: groups
            .map(|group| wire::ListedGroup {
                group_id: group.group,
                protocol_type: group.protocol_type,
                group_state: group.state.into(),
                group_type: group.kind.name().into(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

pub async fn describe(
    api: Arc<Api>,
    request: wire::DescribeGroupsRequest,
    version: i16,
) -> wire::DescribeGroupsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        groups.push(describe_one(&api, group, version).await);
    }
    wire::DescribeGroupsResponse {
        groups,
        ..Default::default()
    }
}

async fn describe_one(api: &Api, group_id: String, version: i16) -> wire::DescribedGroup {
    let request = Request::Describe {
        group: group_id.clone(),
    };
    match ask(api, &group_id, request).await {
        Ok(Reply::Describe(Some(group))) => described(group_id, group),
        Ok(Reply::Describe(None)) => wire::DescribedGroup {
            error_code: match version {
                6.. => ErrorCode::GroupIdNotFound.code(),
                _ => 0,
            },
            error_message: (version >= 6).then(|| format!("Group {group_id} not found.")),
            group_id,
            group_state: "Dead".into(),
            ..Default::default()
        },
        Ok(other) => panic!("{group_id}: DescribeGroups was answered with {other:?}"),
        Err(error) => wire::DescribedGroup {
            error_code: error.code(),
            group_id,
            ..Default::default()
        },
    }
}

fn described(group_id: String, group: DescribedGroup) -> wire::DescribedGroup {
    let members = group.members.into_iter();
    let members = members.map(|member| wire::DescribedGroupMember {
        member_id: member.member_id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
        ..Default::default()
    });
    wire::DescribedGroup {
        group_id,
        group_state: group.state.into(),
        protocol_type: group.protocol_type,
        protocol_data: group.protocol,
        members: members.collect(),
        ..Default::default()
    }
}

pub async fn delete(
    api: Arc<Api>,
    request: wire::DeleteGroupsRequest,
) -> wire::DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let delete = Request::DeleteGroup {
            group: group_id.clone(),
        };
        let error = match ask(&api, &group_id, delete).await {
            Ok(Reply::DeleteGroup(error)) | Err(error) => error,
            Ok(other) => panic!("{group_id}: DeleteGroups was answered with {other:?}"),
        };
        results.push(wire::DeletableGroupResult {
            group_id,
            error_code: error.code(),
            ..Default::default()
        });
    }
    wire::DeleteGroupsResponse {
        results,
        ..Default::default()
    }
}
