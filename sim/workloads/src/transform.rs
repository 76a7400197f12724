//! Consume, transform, produce, exactly once (KIP-447): members of a group read the first topic and write what
//! they make of it to the last one, with their offsets in the same transaction. Some fall silent in the middle of a
//! transaction, lose their partitions, and go on as zombies.

use std::sync::Arc;
use std::time::Duration;

use broker_client::{
    ConsumerConfig, ConsumerRecords, GroupConfig, GroupConsumer, OffsetReset, TopicPartition,
};
use sim_checkers::history::Consumed;

use crate::consumer_group::{SESSION, name, named, note_assignment};
use crate::produce_consume::{RETRY, Reading, make_record, partitions};
use crate::transactional::{Ended, Transactor, id_of};
use crate::{ClientContext, WorkloadSpec};

/// Of the only chain of a run.
pub(crate) const GROUP: &str = "chain";
const POLL: Duration = Duration::from_millis(500);
/// One transaction in so many is followed by a crash, or held open until its member is taken for dead.
const CRASH_EACH: usize = 40;
const ZOMBIE_EACH: usize = 40;
const ABORT_EACH: usize = 10;

/// Runs until the stop.
pub async fn transform(context: ClientContext, spec: Arc<WorkloadSpec>) {
    let mut made = 0;
    let mut transactions = 0;
    while !context.stop.is_stopped() {
        let client = context.client(&spec);
        live(&context, &client, &spec, &mut made, &mut transactions).await;
        client.close();
        context.pause(RETRY).await;
    }
}

pub(crate) fn group_config() -> GroupConfig {
    GroupConfig {
        session_timeout: SESSION,
        rebalance_timeout: Duration::from_secs(10),
        heartbeat_interval: Duration::from_secs(1),
        ..GroupConfig::new(GROUP)
    }
}

pub(crate) fn consumer_config(spec: &WorkloadSpec) -> ConsumerConfig {
    ConsumerConfig {
        auto_offset_reset: Some(OffsetReset::Earliest),
        ..spec.consumer_config()
    }
}

/// One incarnation: its transactional id is the client's, so it fences the one before.
async fn live(
    context: &ClientContext,
    client: &broker_client::Client,
    spec: &WorkloadSpec,
    made: &mut u64,
    transactions: &mut u64,
) {
    let Some(all) = partitions(context, client, spec).await else {
        return;
    };
    let (Some(input), Some(output)) = (spec.topics.first(), spec.topics.last()) else {
        return;
    };
    let outputs: Vec<TopicPartition> = all
        .into_iter()
        .filter(|partition| partition.topic == *output)
        .collect();
    let id = id_of(&context.name);
    let Some(mut transactor) = Transactor::start(context, client, spec, id).await else {
        return;
    };
    let topics = std::slice::from_ref(input);
    let mut member = GroupConsumer::new(
        client.clone(),
        consumer_config(spec),
        group_config(),
        topics,
    );
    let mut reading = Reading::new(context, spec.isolation());
    let mut rebalances = 0;
    while !context.stop.is_stopped() {
        let invoked = context.recorder.now();
        let polled = broker_env::select! {
            () = context.stop.stopped() => break,
            polled = member.poll(POLL) => polled,
        };
        if member.rebalances() != rebalances {
            rebalances = member.rebalances();
            reading.begin(member.assignment());
            note_assignment(context, GROUP, &member, invoked);
        }
        let records = match polled {
            Ok(records) => records,
            Err(error) => {
                context.recorder.count_error("member", name(&error));
                context.pause(RETRY).await;
                continue;
            }
        };
        let consumed = consumed(&records);
        let count = records.count();
        reading.record(invoked, records);
        if count == 0 {
            continue;
        }
        *transactions += 1;
        let number = (u64::from(context.process) << 32) | *transactions;
        if transactor.begin(number).await.is_none() {
            return;
        }
        for _ in 0..count {
            let partition = &outputs[context.below(outputs.len())];
            let record = make_record(context, spec, partition, *made);
            transactor.send(record, *made).await;
            *made += 1;
        }
        if context.below(ZOMBIE_EACH) == 0 {
            context.pause(SESSION + RETRY).await;
        }
        if context.below(CRASH_EACH) == 0 {
            return;
        }
        if !end(context, &mut transactor, &mut member, &consumed).await {
            return;
        }
    }
    member.close().await;
    transactor.close().await;
}

/// False if this incarnation is over.
async fn end(
    context: &ClientContext,
    transactor: &mut Transactor<'_>,
    member: &mut GroupConsumer,
    consumed: &[Consumed],
) -> bool {
    let mut commit = context.below(ABORT_EACH) != 0;
    if commit {
        transactor.note_offsets(consumed);
        let offsets = consumed.iter().map(|one| {
            let partition = TopicPartition::new(one.partition.topic.as_str(), one.partition.index);
            (partition, one.next)
        });
        let (offsets, metadata) = (offsets.collect(), member.group_metadata());
        let sent = transactor
            .producer()
            .send_offsets_to_transaction(&offsets, &metadata);
        commit = sent.await.is_ok();
    }
    match transactor.end(commit).await {
        Ended::Committed => true,
        // What it read is to be read again, from where the group is.
        Ended::Aborted => {
            member.rejoin();
            true
        }
        Ended::Dead => false,
    }
}

fn consumed(records: &ConsumerRecords) -> Vec<Consumed> {
    let stretches = records.partitions.iter();
    let moved = stretches.filter(|stretch| stretch.from < stretch.next);
    let mut all: Vec<Consumed> = Vec::new();
    for stretch in moved {
        let partition = named(&stretch.partition);
        match all.iter_mut().find(|one| one.partition == partition) {
            Some(one) => one.next = stretch.next,
            None => all.push(Consumed {
                group: GROUP.to_string(),
                partition,
                from: stretch.from,
                next: stretch.next,
            }),
        }
    }
    all
}
