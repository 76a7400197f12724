//! Commits of one partition's offset, and what the coordinator says to them.

use broker_core::group::{
    CommitRequest, CommittedPartition, GroupCoordinator, MemberContext, Producer, Reply, Request,
    TransactionalCommitRequest,
};
use broker_protocol::ErrorCode;

use super::broker::{GROUP, TOPIC, TOPIC_ID, Told};

pub fn commit(member_id: &str, generation: i32, offset: i64, transactional: bool) -> Request {
    let group = GROUP.to_string();
    let member = MemberContext {
        member_id: member_id.into(),
        instance_id: None,
        generation,
    };
    let partitions = vec![CommittedPartition {
        topic: TOPIC.into(),
        topic_id: TOPIC_ID,
        partition: 0,
        offset,
        leader_epoch: None,
        metadata: String::new(),
    }];
    if transactional {
        return Request::CommitTransactional(TransactionalCommitRequest {
            group,
            member,
            producer: Producer { id: 1, epoch: 0 },
            partitions,
        });
    }
    Request::Commit(CommitRequest {
        group,
        member,
        retention_ms: -1,
        knows_consumer_groups: true,
        partitions,
    })
}

/// Whether a commit counts, or would if its transaction did.
pub fn accepted(told: &Told) -> bool {
    let is_taken = |errors: &Vec<ErrorCode>| errors.iter().all(|it| *it == ErrorCode::None);
    told.replies.iter().any(|(_, reply)| match reply {
        Reply::Commit(Ok(errors)) | Reply::CommitTransactional(Ok(errors)) => is_taken(errors),
        _ => false,
    })
}

/// The offset that counts now.
pub fn committed(core: &GroupCoordinator) -> Option<i64> {
    let stored = core.hard().group(GROUP)?;
    let offset = stored.offsets.get(&(TOPIC.into(), 0))?;
    Some(offset.offset)
}
