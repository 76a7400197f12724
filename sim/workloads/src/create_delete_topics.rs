//! Topics come and go, at a rate, while others are in use.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use broker_client::admin::NewTopic;
use broker_client::{Admin, AdminError, ErrorCode};

use crate::{ClientContext, WorkloadSpec};

/// Topics of one churner that exist at a time.
const ALIVE_MAX: usize = 4;
const PARTITIONS_MAX: usize = 3;
/// Names of one churner: a name comes back soon after its topic went, to another topic (KIP-516).
const NAMES: u64 = 6;

/// Runs until the stop; then deletes what it created.
pub async fn churn(context: ClientContext, spec: Arc<WorkloadSpec>) {
    let client = context.client(&spec);
    let admin = Admin::new(client.clone());
    let interval = Duration::from_secs(1) / spec.rate;
    let prefix = spec
        .topics
        .first()
        .map_or("churn", String::as_str)
        .to_string();
    let mut alive = VecDeque::new();
    let mut number = 0_u64;
    while !context.stop.is_stopped() && !spec.is_done_after(number) {
        if alive.len() < ALIVE_MAX && context.below(2) == 0 {
            number += 1;
            let name = format!("{prefix}-{}-{}", context.process, number % NAMES);
            let partitions = i32::try_from(1 + context.below(PARTITIONS_MAX)).expect("a few");
            alive.push_back(name.clone());
            create(&context, &admin, &spec, &name, partitions).await;
        } else if let Some(name) = alive.pop_front() {
            delete(&context, &admin, &spec, &name).await;
        }
        context.pause(interval).await;
    }
    while let Some(name) = alive.pop_front() {
        delete(&context, &admin, &spec, &name).await;
    }
    client.close();
}

async fn create(
    context: &ClientContext,
    admin: &Admin,
    spec: &WorkloadSpec,
    name: &str,
    partitions: i32,
) {
    let begun = context.recorder.now();
    let topic = NewTopic::new(name, partitions, -1);
    let results = admin
        .create_topics(&[topic], false, spec.request_timeout())
        .await;
    match results.and_then(|mut results| results.remove(name).unwrap_or(Err(AdminError::Closed))) {
        Ok(_) => {
            context.recorder.took("create_topic", begun);
            context.recorder.count(|stats| stats.topics_created += 1);
        }
        Err(error) => context
            .recorder
            .count_error("create topic", kind_of(&error)),
    }
}

async fn delete(context: &ClientContext, admin: &Admin, spec: &WorkloadSpec, name: &str) {
    let begun = context.recorder.now();
    let results = admin
        .delete_topics(&[name.to_string()], spec.request_timeout())
        .await;
    match results.and_then(|mut results| results.remove(name).unwrap_or(Err(AdminError::Closed))) {
        Ok(()) => {
            context.recorder.took("delete_topic", begun);
            context.recorder.count(|stats| stats.topics_deleted += 1);
        }
        Err(error) => context
            .recorder
            .count_error("delete topic", kind_of(&error)),
    }
}

fn kind_of(error: &AdminError) -> &'static str {
    error.code().map_or("timeout", ErrorCode::name)
}
