//! OffsetCommit, OffsetFetch, OffsetDelete, and topics that are deleted.

use broker_protocol::ErrorCode;
use broker_protocol::ids::Uuid;

use super::classic::State;
use super::message::{
    CommitRequest, CommittedPartition, DeleteOffsetsRequest, FetchOffsetsRequest, FetchedOffset,
    Timer,
};
use super::record::{OffsetAndMetadata, Record};
use super::{GroupCoordinator, Step};

const NO_OFFSET: i64 = -1;

impl GroupCoordinator {
    pub(super) fn commit(
        &mut self,
        request: CommitRequest,
        step: &mut Step<'_>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.check_commit(&request)?;
        self.keep_session(&request, step);
        let now_ms = step.now_ms;
        let expire_timestamp_ms =
            (request.retention_ms >= 0).then(|| now_ms.saturating_add(request.retention_ms));
        let mut records = Vec::with_capacity(request.partitions.len());
        let mut errors = Vec::with_capacity(request.partitions.len());
        for partition in request.partitions {
            if partition.metadata.encode_utf16().count() > self.config.offset_metadata_max_bytes {
                errors.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            errors.push(ErrorCode::None);
            records.push(record(
                &request.group,
                partition,
                now_ms,
                expire_timestamp_ms,
            ));
        }
        self.write(records, step);
        Ok(errors)
    }

    /// Members of the current generation may commit, and anybody while there are no members (GRP-2).
    fn check_commit(&self, request: &CommitRequest) -> Result<(), ErrorCode> {
        let member = &request.member;
        let is_member =
            member.generation >= 0 || !member.member_id.is_empty() || member.instance_id.is_some();
        let Some(group) = self.groups.get(&request.group) else {
            return match (member.generation < 0, request.knows_group_id_not_found) {
                (true, _) => Ok(()),
                (false, true) => Err(ErrorCode::GroupIdNotFound),
                (false, false) => Err(ErrorCode::IllegalGeneration),
            };
        };
        if member.generation < 0 && group.state == State::Empty {
            return Ok(());
        }
        if !is_member {
            return Err(ErrorCode::UnknownMemberId);
        }
        group.check_current(member)?;
        match group.state {
            // It has joined, so it will not mind to hear that the others have not.
            State::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn keep_session(&self, request: &CommitRequest, step: &mut Step<'_>) {
        let id = &request.member.member_id;
        let group = self.groups.get(&request.group);
        if let Some(member) = group.and_then(|group| group.members.get(id)) {
            let session = Timer::Session(request.group.clone(), id.clone());
            step.arm(session, member.session_ms());
        }
    }

    pub(super) fn fetch_offsets(&self, request: &FetchOffsetsRequest) -> Vec<FetchedOffset> {
        let group = self.hard.group(&request.group);
        let find = |topic: &str, partition: i32| {
            let key = (topic.to_string(), partition);
            group.and_then(|group| group.offsets.get(&key))
        };
        match &request.partitions {
            Some(partitions) => partitions
                .iter()
                .map(|(topic, partition)| fetched(topic, *partition, find(topic, *partition)))
                .collect(),
            None => group
                .into_iter()
                .flat_map(|group| &group.offsets)
                .map(|((topic, partition), value)| fetched(topic, *partition, Some(value)))
                .collect(),
        }
    }

    pub(super) fn delete_offsets(
        &mut self,
        request: &DeleteOffsetsRequest,
        step: &mut Step<'_>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let Some(stored) = self.hard.group(&request.group) else {
            return Err(ErrorCode::GroupIdNotFound);
        };
        let live = self.groups.get(&request.group);
        let active = live.filter(|group| group.state != State::Empty);
        if active.is_some_and(|group| !group.is_consumers()) {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let subscribed = active.and_then(|group| group.subscribed_topics());
        let is_in_use = |topic: &String| match &subscribed {
            Some(topics) => topics.contains(topic),
            None => active.is_some(),
        };
        let mut records = Vec::new();
        let mut errors = Vec::with_capacity(request.partitions.len());
        for key in &request.partitions {
            if is_in_use(&key.0) {
                errors.push(ErrorCode::GroupSubscribedToTopic);
                continue;
            }
            errors.push(ErrorCode::None);
            if stored.offsets.contains_key(key) {
                records.push(tombstone(&request.group, key));
            }
        }
        self.write(records, step);
        Ok(errors)
    }

    /// G-16: a topic of the same name is another one.
    pub(super) fn topic_deleted(&mut self, topic: &str, step: &mut Step<'_>) {
        let mut records = Vec::new();
        for (id, group) in self.hard.groups() {
            let of_topic = group.offsets.keys().filter(|(name, _)| name == topic);
            records.extend(of_topic.map(|key| tombstone(id, key)));
        }
        self.write(records, step);
    }
}

fn record(
    group: &str,
    committed: CommittedPartition,
    now_ms: i64,
    expire_timestamp_ms: Option<i64>,
) -> Record {
    Record::Offset {
        group: group.to_string(),
        topic: committed.topic,
        partition: committed.partition,
        value: Some(OffsetAndMetadata {
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata,
            commit_timestamp_ms: now_ms,
            expire_timestamp_ms,
            topic_id: committed.topic_id,
        }),
    }
}

pub(super) fn tombstone(group: &str, key: &(String, i32)) -> Record {
    Record::Offset {
        group: group.to_string(),
        topic: key.0.clone(),
        partition: key.1,
        value: None,
    }
}

fn fetched(topic: &str, partition: i32, value: Option<&OffsetAndMetadata>) -> FetchedOffset {
    FetchedOffset {
        topic: topic.to_string(),
        topic_id: value.map_or(Uuid::ZERO, |value| value.topic_id),
        partition,
        offset: value.map_or(NO_OFFSET, |value| value.offset),
        leader_epoch: value.and_then(|value| value.leader_epoch),
        metadata: value.map_or_else(String::new, |value| value.metadata.clone()),
    }
}
