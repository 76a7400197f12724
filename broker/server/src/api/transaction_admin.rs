//! DescribeTransactions and ListTransactions (KIP-664, KIP-994, KIP-1152).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker_core::transaction::{DescribedTransaction, ListRequest, Reply, Request, State};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::TopicPartition;

use super::Api;

pub async fn describe(
    api: Arc<Api>,
    request: wire::DescribeTransactionsRequest,
) -> wire::DescribeTransactionsResponse {
    let mut states = Vec::with_capacity(request.transactional_ids.len());
    for transactional_id in request.transactional_ids {
        let described = match describe_one(&api, &transactional_id).await {
            Ok(described) => described_to_wire(described),
            Err(error) => wire::DescribedTransaction {
                error_code: error.code(),
                ..Default::default()
            },
        };
        states.push(wire::DescribedTransaction {
            transactional_id,
            ..described
        });
    }
    wire::DescribeTransactionsResponse {
        transaction_states: states,
        ..Default::default()
    }
}

async fn describe_one(api: &Api, id: &str) -> Result<DescribedTransaction, ErrorCode> {
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let transactions = api.transactions.as_ref();
    let transactions = transactions.ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let request = Request::Describe {
        transactional_id: id.to_string(),
    };
    match transactions.call(id, request).await? {
        Reply::Describe(described) => described.ok_or(ErrorCode::TransactionalIdNotFound),
        other => panic!("DescribeTransactions was answered with {other:?}"),
    }
}

fn described_to_wire(described: DescribedTransaction) -> wire::DescribedTransaction {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in described.partitions {
        topics.entry(topic).or_default().push(partition);
    }
    let topics = topics
        .into_iter()
        .map(|(topic, partitions)| wire::DescribedTransactionTopic {
            topic,
            partitions,
            ..Default::default()
        });
    wire::DescribedTransaction {
        transaction_state: described.state.name().into(),
        transaction_timeout_ms: described.timeout_ms,
        transaction_start_time_ms: described.start_ms.unwrap_or(-1),
        producer_id: described.producer.id,
        producer_epoch: described.producer.epoch,
        topics: topics.collect(),
        ..Default::default()
    }
}

pub async fn list(
    api: Arc<Api>,
    request: wire::ListTransactionsRequest,
) -> wire::ListTransactionsResponse {
    let refused = |error: ErrorCode| wire::ListTransactionsResponse {
        error_code: error.code(),
        ..Default::default()
    };
    let pattern = request.transactional_id_pattern.as_deref().unwrap_or("");
    let Ok(pattern) = regex::Regex::new(&format!("^(?:{pattern})$")) else {
        return refused(ErrorCode::InvalidRegularExpression);
    };
    let has_pattern = request
        .transactional_id_pattern
        .is_some_and(|pattern| !pattern.is_empty());
    let (states, unknown_state_filters) = states(request.state_filters);
    if states.is_empty() && !unknown_state_filters.is_empty() {
        return wire::ListTransactionsResponse {
            unknown_state_filters,
            ..Default::default()
        };
    }
    let asked = Request::List(ListRequest {
        states,
        producer_ids: request.producer_id_filters.into_iter().collect(),
        duration_ms: Some(request.duration_filter).filter(|ms| *ms >= 0),
    });
    let replies = match &api.transactions {
        Some(transactions) => transactions.call_all(&asked).await,
        None => Err(ErrorCode::CoordinatorNotAvailable),
    };
    let replies = match replies {
        Ok(replies) => replies,
        Err(error) => return refused(error),
    };
    let listed = replies.into_iter().flat_map(|reply| match reply {
        Reply::List(listed) => listed,
        other => panic!("ListTransactions was answered with {other:?}"),
    });
    let listed = listed.filter(|it| !has_pattern || pattern.is_match(&it.transactional_id));
    wire::ListTransactionsResponse {
        unknown_state_filters,
        transaction_states: listed
            .map(|it| wire::ListedTransaction {
                transactional_id: it.transactional_id,
                producer_id: it.producer_id,
                transaction_state: it.state.name().into(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

/// Those that are known, and the names of those that are not.
fn states(filters: Vec<String>) -> (BTreeSet<State>, Vec<String>) {
    let mut known = BTreeSet::new();
    let mut unknown = Vec::new();
    for name in filters {
        match State::from_name(&name) {
            Some(state) => drop(known.insert(state)),
            None => unknown.push(name),
        }
    }
    (known, unknown)
}
