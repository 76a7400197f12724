//! Members of one group: each joins, reads what it is assigned and commits, and now and then leaves, falls silent
//! as if it had crashed, or stops polling for longer than its session.

use std::sync::Arc;
use std::time::Duration;

use broker_client::{
    CommitError, ConsumerConfig, ErrorCode, GroupConfig, GroupConsumer, GroupError, GroupProtocol,
    IsolationLevel, OffsetReset, TopicPartition,
};
use sim_checkers::history::{Action, GroupAction, Outcome, Partition};

use crate::produce_consume::{Reading, name_of};
use crate::spec::CONSUMER_PROTOCOL;
use crate::{ClientContext, Moment, WorkloadSpec};

/// Of the only group of a run.
pub(crate) const GROUP: &str = "members";
const POLL: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(500);
pub(crate) const SESSION: Duration = Duration::from_secs(6);
const REBALANCE: Duration = Duration::from_secs(10);
/// One poll in so many is followed by a commit.
const COMMIT_EACH: usize = 3;
/// One poll in so many is a member's last, or followed by a long silence.
const LIFE: usize = 60;

/// How a member's life ends.
enum End {
    Leaves,
    Crashes,
    /// It is itself not aware of any end.
    Sleeps,
}

pub(crate) fn group_config(spec: &WorkloadSpec) -> GroupConfig {
    GroupConfig {
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        heartbeat_interval: Duration::from_secs(1),
        protocol: match spec.group_protocol.as_str() {
            CONSUMER_PROTOCOL => GroupProtocol::Consumer,
            _ => GroupProtocol::Classic,
        },
        ..GroupConfig::new(GROUP)
    }
}

/// Runs until the stop.
pub async fn take_part(context: ClientContext, spec: Arc<WorkloadSpec>) {
    let client = context.client(&spec);
    let config = ConsumerConfig {
        auto_offset_reset: Some(OffsetReset::Earliest),
        ..spec.consumer_config()
    };
    while !context.stop.is_stopped() {
        let member = GroupConsumer::new(
            client.clone(),
            config.clone(),
            group_config(&spec),
            &spec.topics,
        );
        live(&context, member).await;
        context.pause(RETRY).await;
    }
    client.close();
}

/// One member, from its first poll to its end.
async fn live(context: &ClientContext, mut member: GroupConsumer) {
    let mut reading = Reading::new(context, IsolationLevel::ReadUncommitted);
    let mut rebalances = 0;
    while !context.stop.is_stopped() {
        let invoked = context.recorder.now();
        let polled = broker_env::select! {
            () = context.stop.stopped() => break,
            polled = member.poll(POLL) => polled,
        };
        // Noted before the records of the new assignment.
        if member.rebalances() != rebalances {
            rebalances = member.rebalances();
            reading.begin(member.added());
            note_assignment(context, GROUP, &member, invoked);
        }
        match polled {
            Ok(records) => reading.record(invoked, records),
            Err(error) => {
                context.recorder.count_error("member", name(&error));
                context.pause(RETRY).await;
            }
        }
        if context.below(COMMIT_EACH) == 0 {
            commit(context, &mut member).await;
        }
        match end(context) {
            None => {}
            Some(End::Sleeps) => context.pause(SESSION + RETRY).await,
            Some(End::Leaves) => {
                commit(context, &mut member).await;
                break;
            }
            Some(End::Crashes) => return,
        }
    }
    member.close().await;
}

fn end(context: &ClientContext) -> Option<End> {
    match context.below(LIFE) {
        0 => Some(End::Leaves),
        1 => Some(End::Crashes),
        2 => Some(End::Sleeps),
        _ => None,
    }
}

/// `invoked`: a moment before the committed offsets were asked for.
pub(crate) fn note_assignment(
    context: &ClientContext,
    group: &str,
    member: &GroupConsumer,
    invoked: Moment,
) {
    let Some((generation, _)) = member.membership() else {
        return;
    };
    let begins = member.begins_at();
    let partitions = member.added().iter().map(|partition| {
        let committed = begins.get(partition).copied();
        (named(partition), committed)
    });
    let action = GroupAction::Assigned {
        group: group.to_string(),
        generation,
        partitions: partitions.collect(),
    };
    context
        .recorder
        .note(context.process, invoked, Action::Group(action));
}

pub(crate) fn named(partition: &TopicPartition) -> Partition {
    Partition {
        topic: partition.topic.clone(),
        index: partition.partition,
    }
}

async fn commit(context: &ClientContext, member: &mut GroupConsumer) {
    commit_as(context, GROUP, member).await;
}

pub(crate) async fn commit_as(context: &ClientContext, group: &str, member: &mut GroupConsumer) {
    let Some((generation, _)) = member.membership() else {
        return;
    };
    let positions = member.positions();
    if positions.is_empty() {
        return;
    }
    let offsets = positions
        .iter()
        .map(|(partition, offset)| (named(partition), *offset));
    let action = GroupAction::Commit {
        group: group.to_string(),
        generation,
        offsets: offsets.collect(),
    };
    let begun = context
        .recorder
        .begin(context.process, Action::Group(action));
    let outcome = match member.commit().await {
        Ok(_) => Outcome::Ok,
        Err(CommitError::Refused(error)) => {
            context.recorder.count_error("commit", error.name());
            Outcome::Fail(error.name().to_string())
        }
        Err(CommitError::Unknown(reason)) => {
            context.recorder.count_error("commit", "unknown");
            Outcome::Info(reason)
        }
    };
    context.recorder.complete(begun, "commit", outcome, |_| {});
}

pub(crate) fn name(error: &GroupError) -> &'static str {
    match error {
        GroupError::Group(error) => ErrorCode::name(*error),
        GroupError::Consumer(error) => name_of(error),
        GroupError::Timeout { .. } => "timeout",
        GroupError::Closed => "closed",
    }
}
