//! Producers at a rate to random partitions, consumers that follow all of them, observers of offsets.

mod consumer;
mod observer;
mod producer;

pub use consumer::consume;
pub(crate) use consumer::{Reading, name_of};
pub(crate) use observer::bounds;
pub use observer::observe;
pub use producer::produce;
pub(crate) use producer::{make_record, send};

use std::time::Duration;

use broker_client::{Client, TopicPartition};

use crate::{ClientContext, WorkloadSpec};

/// Pause after something that has to work was refused.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// All partitions of the workload's topics; `None` if the client was stopped before they were known.
pub(crate) async fn partitions(
    context: &ClientContext,
    client: &Client,
    spec: &WorkloadSpec,
) -> Option<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    for name in &spec.topics {
        loop {
            if context.stop.is_stopped() {
                return None;
            }
            match client.topic(name, spec.request_timeout()).await {
                Ok(topic) => {
                    partitions.extend(
                        topic
                            .partitions
                            .keys()
                            .map(|index| TopicPartition::new(name, *index)),
                    );
                    break;
                }
                Err((error, _)) => context.recorder.count_error("metadata", error.name()),
            }
            context.pause(RETRY).await;
        }
    }
    Some(partitions)
}
