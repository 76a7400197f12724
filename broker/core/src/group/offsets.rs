//! OffsetCommit, OffsetFetch, OffsetDelete, and topics that are deleted.

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::Uuid;

use super::classic::State;
use super::consumer_group::ConsumerGroup;
use super::hard::TopicPartition;
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
        let retention = Some(request.retention_ms).filter(|retention| *retention >= 0);
        let expire_timestamp_ms = retention.map(|retention| step.now_ms.saturating_add(retention));
        let (errors, records) = self.offset_records(
            &request.group,
            request.partitions,
            step.now_ms,
            expire_timestamp_ms,
        );
        self.write(records, step);
        Ok(errors)
    }

    /// An error for each partition, and the records of those that can be committed.
    pub(super) fn offset_records(
        &self,
        group: &str,
        partitions: Vec<CommittedPartition>,
        now_ms: i64,
        expire_timestamp_ms: Option<i64>,
    ) -> (Vec<ErrorCode>, Vec<Record>) {
        let mut records = Vec::with_capacity(partitions.len());
        let mut errors = Vec::with_capacity(partitions.len());
        for partition in partitions {
            if partition.metadata.encode_utf16().count() > self.config.offset_metadata_max_bytes {
                errors.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            errors.push(ErrorCode::None);
            records.push(record(group, partition, now_ms, expire_timestamp_ms));
        }
        (errors, records)
    }

    /// Members of the current generation may commit, and anybody while there are no members (GRP-2).
    fn check_commit(&self, request: &CommitRequest) -> Result<(), ErrorCode> {
        let member = &request.member;
        if let Some(consumers) = self.consumer_group(&request.group) {
            return consumers.check_commit(member, request.knows_consumer_groups);
        }
        let Some(group) = self.groups.get(&request.group) else {
            return match (member.generation < 0, request.knows_consumer_groups) {
                (true, _) => Ok(()),
                (false, true) => Err(ErrorCode::GroupIdNotFound),
                (false, false) => Err(ErrorCode::IllegalGeneration),
            };
        };
        if member.generation < 0 && group.state == State::Empty {
            return Ok(());
        }
        if !member.is_named() {
            return Err(ErrorCode::UnknownMemberId);
        }
        match group.check_current(member) {
            Err(ErrorCode::IllegalGeneration) if mutant!(C_08) => {}
            checked => checked?,
        }
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

    pub(super) fn consumer_group(&self, id: &str) -> Option<&ConsumerGroup> {
        let consumers = self.hard.consumers(id);
        Some(consumers).filter(|consumers| consumers.exists())
    }

    pub(super) fn fetch_offsets(
        &self,
        request: &FetchOffsetsRequest,
    ) -> Result<Vec<FetchedOffset>, ErrorCode> {
        if let Some(consumers) = self.consumer_group(&request.group) {
            consumers.check_fetch(request.member_id.as_deref(), request.member_epoch)?;
        }
        let Some(group) = self.hard.group(&request.group) else {
            let none = request.partitions.iter().flatten();
            return Ok(none.map(|key| fetched(key, None)).collect());
        };
        let fetch = |key: &TopicPartition| {
            let is_unstable = request.require_stable && group.pending.contains_key(key);
            if is_unstable && !mutant!(T_26) {
                probe!("group: an offset waits for its transaction");
                return FetchedOffset {
                    error: ErrorCode::UnstableOffsetCommit,
                    ..fetched(key, None)
                };
            }
            fetched(key, group.offsets.get(key))
        };
        Ok(match &request.partitions {
            Some(partitions) => partitions.iter().map(fetch).collect(),
            None => group.offsets.keys().map(fetch).collect(),
        })
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
        let consumed = stored.consumers.subscribed_topics();
        let is_in_use = |topic: &String| match &subscribed {
            Some(topics) => topics.contains(topic),
            None => active.is_some() || consumed.contains(topic),
        };
        let mut records = Vec::new();
        let mut errors = Vec::with_capacity(request.partitions.len());
        for key in &request.partitions {
            if is_in_use(&key.0) {
                errors.push(ErrorCode::GroupSubscribedToTopic);
                continue;
            }
            errors.push(ErrorCode::None);
            if stored.offsets.contains_key(key) || stored.pending.contains_key(key) {
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
            let partitions = group.partitions().into_iter();
            let of_topic = partitions.filter(|(name, _)| name == topic);
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

pub(super) fn tombstone(group: &str, key: &TopicPartition) -> Record {
    Record::Offset {
        group: group.to_string(),
        topic: key.0.clone(),
        partition: key.1,
        value: None,
    }
}

fn fetched(key: &TopicPartition, value: Option<&OffsetAndMetadata>) -> FetchedOffset {
    FetchedOffset {
        topic: key.0.clone(),
        topic_id: value.map_or(Uuid::ZERO, |value| value.topic_id),
        partition: key.1,
        offset: value.map_or(NO_OFFSET, |value| value.offset),
        leader_epoch: value.and_then(|value| value.leader_epoch),
        metadata: value.map_or_else(String::new, |value| value.metadata.clone()),
        error: ErrorCode::None,
    }
}
