//! One partition's groups: `core::group` as the runtime of coordinators drives it.

use std::convert::Infallible;
use std::sync::Arc;

use broker_core::Ticket;
use broker_core::group::{
    Config, Entry, GroupCoordinator, Now, Output, Record, Reply, Request, Timer, Topic, Topics,
};
use broker_core::metadata::MetadataImage;
use broker_core::producer_state::Proof;
use broker_protocol::group_record::GroupRecord;
use broker_protocol::ids::Uuid;
use bytes::Bytes;

use super::records;
use crate::coordinator::{Coordinator, Effect, Producer};
use crate::internal_topics::CONSUMER_OFFSETS;
use crate::metadata_cache::MetadataCache;

/// A core, and the topics that its consumer groups ask for.
pub struct GroupShard {
    core: GroupCoordinator,
    metadata: Arc<MetadataCache>,
}

/// A request, and what shows that the producer's transaction is known to its coordinator, if it is part of one.
#[derive(Clone, Debug)]
pub struct Asked {
    pub request: Request,
    pub proof: Proof,
}

impl From<Request> for Asked {
    fn from(request: Request) -> Asked {
        Asked {
            request,
            proof: Proof::NotNeeded,
        }
    }
}

struct KnownTopics<'a> {
    image: &'a MetadataImage,
    version: u64,
}

impl Topics for KnownTopics<'_> {
    fn version(&self) -> u64 {
        self.version
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        let topic = self.image.topic(name)?;
        Some(Topic {
            id: topic.id,
            partitions: i32::try_from(topic.partitions.len()).ok()?,
        })
    }

    fn name(&self, id: Uuid) -> Option<String> {
        self.image.topic_name(id).map(str::to_string)
    }
}

impl GroupShard {
    pub fn new(config: Config, metadata: Arc<MetadataCache>) -> GroupShard {
        GroupShard {
            core: GroupCoordinator::new(config),
            metadata,
        }
    }

    fn step(
        &mut self,
        now_ms: i64,
        step: impl FnOnce(&mut GroupCoordinator, Now<'_>, &mut Vec<Output>),
    ) -> Vec<Output> {
        let mut outputs = Vec::new();
        // Before the image, so that a change in between is seen the next time.
        let version = self.metadata.last_offset().cast_unsigned();
        self.metadata.read(|image| {
            let topics = KnownTopics { image, version };
            let now = Now {
                wall_ms: now_ms,
                topics: &topics,
            };
            step(&mut self.core, now, &mut outputs);
        });
        outputs
    }
}

impl Coordinator for GroupShard {
    type Request = Asked;
    type Reply = Reply;
    type Timer = Timer;
    type Job = Infallible;
    type Report = Infallible;

    fn replay(&mut self, key: Bytes, value: Option<Bytes>) {
        if let Some(record) = decoded(key, value) {
            self.core.replay(&Entry::Record(record));
        }
    }

    fn replay_transactional(&mut self, producer_id: i64, key: Bytes, value: Option<Bytes>) {
        if let Some(record) = decoded(key, value) {
            self.core.replay(&Entry::Transactional {
                producer_id,
                record,
            });
        }
    }

    fn replay_marker(&mut self, producer_id: i64, committed: bool) {
        self.core.replay(&Entry::Marker {
            producer_id,
            committed,
        });
    }

    fn loaded(&mut self, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let outputs = self.step(now_ms, |core, now, outputs| core.loaded(now, outputs));
        out.extend(outputs.into_iter().map(effect));
    }

    fn handle(&mut self, ticket: Ticket, asked: Asked, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let Asked { request, proof } = asked;
        let outputs = self.step(now_ms, |core, now, outputs| {
            core.handle(ticket, request, now, outputs);
        });
        out.extend(outputs.into_iter().map(|output| match output {
            Output::TransactionalRecords(producer, records) => {
                let producer = Producer {
                    id: producer.id,
                    epoch: producer.epoch,
                };
                let records = records.into_iter().map(records::bytes).collect();
                Effect::AppendTransactional(ticket, producer, proof, records)
            }
            other => effect(other),
        }));
    }

    fn timer(&mut self, timer: Timer, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let outputs = self.step(now_ms, |core, now, outputs| core.timer(timer, now, outputs));
        out.extend(outputs.into_iter().map(effect));
    }

    fn report(&mut self, report: Infallible, _: i64, _: &mut Vec<Effect<Self>>) {
        match report {}
    }

    fn is_read(asked: &Asked) -> bool {
        matches!(
            asked.request,
            Request::Heartbeat { .. }
                | Request::FetchOffsets(_)
                | Request::Describe { .. }
                | Request::DescribeConsumers { .. }
                | Request::List
        )
    }
}

fn decoded(key: Bytes, value: Option<Bytes>) -> Option<Record> {
    match GroupRecord::decode(key, value) {
        Ok(record) => Some(records::from_wire(record)),
        Err(error) => {
            tracing::warn!(%error, "a record of {CONSUMER_OFFSETS} was skipped");
            None
        }
    }
}

fn effect(output: Output) -> Effect<GroupShard> {
    match output {
        Output::Records(records) => {
            Effect::Append(records.into_iter().map(records::bytes).collect())
        }
        Output::TransactionalRecords(producer, _) => {
            panic!("no timer commits offsets for producer {}", producer.id)
        }
        Output::Reply(ticket, reply) => Effect::Reply(ticket, reply),
        Output::ReplyNow(ticket, reply) => Effect::ReplyNow(ticket, reply),
        Output::Arm(timer, after_ms) => Effect::Arm(timer, after_ms),
        Output::Disarm(timer) => Effect::Disarm(timer),
    }
}
