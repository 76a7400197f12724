//! Asks where partitions begin and end, as a client that neither writes nor reads.

use std::sync::Arc;
use std::time::Duration;

use broker_client::{AdminError, Client, IsolationLevel, OffsetSpec, TopicPartition};
use sim_checkers::history::{Action, Isolation, Partition};

use crate::{ClientContext, WorkloadSpec};

/// Runs until the stop.
pub async fn observe(context: ClientContext, spec: Arc<WorkloadSpec>) {
    let client = context.client(&spec);
    if let Some(partitions) = super::partitions(&context, &client, &spec).await {
        while !context.stop.is_stopped() {
            broker_env::select! {
                () = context.stop.stopped() => {}
                () = look(&context, &client, &spec, &partitions) => {}
            }
            context
                .pause(Duration::from_millis(spec.observe_interval_ms))
                .await;
        }
    }
    client.close();
}

async fn look(
    context: &ClientContext,
    client: &Client,
    spec: &WorkloadSpec,
    partitions: &[TopicPartition],
) {
    for partition in partitions {
        let invoked = context.recorder.now();
        match bounds(client, spec, partition, spec.isolation()).await {
            Ok((earliest, latest)) => {
                let named = Partition {
                    topic: partition.topic.clone(),
                    index: partition.partition,
                };
                context.recorder.took("list_offsets", invoked);
                let action = Action::ListOffsets {
                    partition: named,
                    earliest,
                    latest,
                    isolation: match spec.isolation() {
                        IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
                        IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
                    },
                };
                context.recorder.note(context.process, invoked, action);
            }
            Err(error) => {
                let name = error.code().map_or("timeout", |code| code.name());
                context.recorder.count_error("observer", name);
            }
        }
    }
}

/// The start is asked for first: it may only grow until the end is known.
pub(crate) async fn bounds(
    client: &Client,
    spec: &WorkloadSpec,
    partition: &TopicPartition,
    isolation: IsolationLevel,
) -> Result<(i64, i64), AdminError> {
    let one = std::slice::from_ref(partition);
    let limit = spec.request_timeout();
    let earliest = client
        .list_offsets(one, OffsetSpec::Earliest, limit)
        .await?;
    let end = match isolation {
        IsolationLevel::ReadUncommitted => OffsetSpec::Latest,
        IsolationLevel::ReadCommitted => OffsetSpec::LastStable,
    };
    let latest = client.list_offsets(one, end, limit).await?;
    Ok((earliest[partition].offset, latest[partition].offset))
}
