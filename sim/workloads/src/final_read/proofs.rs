//! What has to work in the end: partitions without open transactions, producers that can start, groups that are
//! stable. All of it becomes a part of the history, which LIVE-3 and LIVE-4 judge.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_client::{
    Client, GroupConfig, GroupConsumer, IsolationLevel, OffsetSpec, Producer, TopicPartition,
};
use broker_env::Instant;
use sim_checkers::history::{Action, GroupAction, Isolation, Outcome};

use crate::consumer_group::{self, commit_as, named, note_assignment};
use crate::produce_consume::{RETRY, bounds};
use crate::transactional::{config, init};
use crate::{ClientContext, Moment, WorkloadKind, WorkloadSpec, transform};

/// Time that is left for other partitions if one's transactions do not end.
const SHARE: u32 = 4;

/// Waits until no open transaction hides anything below `ends`; where readers of committed records come to then.
pub async fn stable_ends(
    context: &ClientContext,
    client: &Client,
    spec: &WorkloadSpec,
    ends: &BTreeMap<TopicPartition, i64>,
    deadline: Instant,
) -> BTreeMap<TopicPartition, i64> {
    let partitions: Vec<TopicPartition> = ends.keys().cloned().collect();
    let wait = deadline.saturating_since(context.env.now()) * (SHARE - 1) / SHARE;
    let until = context.env.now() + wait;
    loop {
        let limit = spec.request_timeout();
        let listed = client
            .list_offsets(&partitions, OffsetSpec::LastStable, limit)
            .await;
        let stable: BTreeMap<TopicPartition, i64> = listed
            .unwrap_or_default()
            .into_iter()
            .map(|(partition, listed)| (partition, listed.offset))
            .collect();
        let is_whole = ends
            .iter()
            .all(|(partition, end)| stable.get(partition).is_some_and(|at| at >= end));
        if is_whole || context.env.now() >= until {
            return stable;
        }
        context.env.sleep(RETRY).await;
    }
}

/// Log start and end, for readers of both kinds.
pub async fn note_bounds(
    context: &ClientContext,
    client: &Client,
    spec: &WorkloadSpec,
    partitions: impl Iterator<Item = &TopicPartition>,
) {
    for partition in partitions {
        note(
            context,
            client,
            spec,
            partition,
            IsolationLevel::ReadUncommitted,
        )
        .await;
        if spec.isolation() == IsolationLevel::ReadCommitted {
            note(
                context,
                client,
                spec,
                partition,
                IsolationLevel::ReadCommitted,
            )
            .await;
        }
    }
}

async fn note(
    context: &ClientContext,
    client: &Client,
    spec: &WorkloadSpec,
    partition: &TopicPartition,
    level: IsolationLevel,
) {
    let invoked = context.recorder.now();
    if let Ok((earliest, latest)) = bounds(client, spec, partition, level).await {
        let isolation = match level {
            IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
            IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
        };
        let action = Action::ListOffsets {
            partition: named(partition),
            earliest,
            latest,
            isolation,
        };
        context.recorder.note(context.process, invoked, action);
    }
}

/// Each transactional id's next producer, and one more member of the workload's group.
pub async fn work_again(context: &ClientContext, client: &Client, spec: &WorkloadSpec) {
    for id in context.recorder.transactional_ids() {
        if spec.is_transactional() {
            let producer = Producer::new(client.clone(), config(spec, &id));
            let _identity = init(context, &producer, &id).await;
            producer.close(Duration::ZERO).await;
        }
    }
    match spec.kind {
        WorkloadKind::ConsumerGroup => {
            let group = consumer_group::group_config(spec);
            join(context, client, spec, group, &spec.topics).await;
        }
        WorkloadKind::ConsumeTransformProduce => {
            let input = spec.topics.first().map(std::slice::from_ref);
            let topics = input.unwrap_or_default();
            join(context, client, spec, transform::group_config(), topics).await;
        }
        _ => {}
    }
}

/// Joins, commits where it is, and leaves.
async fn join(
    context: &ClientContext,
    client: &Client,
    spec: &WorkloadSpec,
    group: GroupConfig,
    topics: &[String],
) {
    let name = group.group_id.clone();
    let consumer = transform::consumer_config(spec);
    let mut member = GroupConsumer::new(client.clone(), consumer, group, topics);
    let invoked = context.recorder.now();
    let deadline = context.env.now() + Duration::from_millis(spec.finish_timeout_ms);
    let mut last = "no assignment".to_owned();
    while member.membership().is_none() && context.env.now() < deadline {
        if let Err(error) = member.poll(RETRY).await {
            last = error.to_string();
            context.env.sleep(RETRY).await;
        }
    }
    if member.membership().is_some() {
        note_assignment(context, &name, &member, invoked);
        commit_as(context, &name, &mut member).await;
    } else {
        note_unstable(context, name, invoked, last);
    }
    member.close().await;
}

fn note_unstable(context: &ClientContext, group: String, invoked: Moment, last: String) {
    let action = Action::Group(GroupAction::Assigned {
        group,
        generation: -1,
        partitions: Vec::new(),
    });
    let outcome = Outcome::Info(last);
    context
        .recorder
        .note_as(context.process, invoked, action, outcome);
}
