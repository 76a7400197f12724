//! The admin client: topics, partitions, configurations, cluster and quorum.
//!
//! - `topics`: create, delete, add partitions, describe, list. `configs`: read and change. `cluster`: nodes
//!   and quorum. `features`: feature levels, and brokers that leave for good. `partitions`: elections and moves
//!   of replicas. `groups`: members and offsets of groups, asked of their coordinators. `transactions`: likewise, and
//!   what partitions know of them.
//!
//! Any broker is asked; it forwards to the controller. Connection failures and retriable errors are retried
//! until `limit`. A change that was retried may meet its own first attempt, e.g. TOPIC_ALREADY_EXISTS.

mod cluster;
mod configs;
mod features;
mod groups;
mod partitions;
mod topics;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_protocol::{ErrorCode, Request};

pub use cluster::{ClusterDescription, ClusterNode, QuorumInfo, QuorumReplica, VoterEndpoint};
pub use configs::{AlterConfigOp, AlterOperation, ConfigEntry, ConfigResource};
pub use features::{FeatureMetadata, FeatureUpdate, UpgradeType};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use partitions::{ElectionType, Reassignment};
pub use topics::{CreatedTopic, NewTopic, TopicDescription};
pub use transactions::{
    AbortTransaction, ProducerState, TransactionDescription, TransactionFilter, TransactionListing,
};

use crate::client::Client;
use crate::error::{AdminError, CallError};

/// Administers a cluster; holds nothing of its own.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

/// By name of the topic, or whatever was asked for.
pub type Results<K, T> = BTreeMap<K, Result<T, AdminError>>;

/// What a broker says about one thing that was asked for.
type Verdict<T> = Result<T, (ErrorCode, Option<String>)>;

impl Admin {
    pub fn new(client: Client) -> Admin {
        Admin { client }
    }

    /// What it shares with others.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks about `wanted` until each has a final verdict or `limit` is over; then the rest time out.
    async fn each<R: Request, K: Ord + Clone, T>(
        &self,
        mut wanted: BTreeSet<K>,
        limit: Duration,
        request: impl Fn(&BTreeSet<K>, Duration) -> R,
        verdicts: impl Fn(R::Response) -> Vec<(K, Verdict<T>)>,
    ) -> Result<Results<K, T>, AdminError> {
        let deadline = self.client.env().now() + limit;
        let mut results = BTreeMap::new();
        let mut attempt = 0;
        while !wanted.is_empty() {
            let left = deadline.saturating_since(self.client.env().now());
            let mut last = "left out of the answer".to_string();
            match self.client.call_any(&request(&wanted, left), left).await {
                Ok(response) => {
                    for (name, verdict) in verdicts(response) {
                        settle(&mut wanted, &mut results, name, verdict, &mut last);
                    }
                }
                Err(CallError::Closed) => return Err(AdminError::Closed),
                Err(error) => last = error.to_string(),
            }
            if wanted.is_empty() {
                break;
            }
            if !self.client.pause_before_retry(attempt, deadline).await {
                let over = |name| {
                    (
                        name,
                        Err(AdminError::Timeout {
                            limit,
                            last: last.clone(),
                        }),
                    )
                };
                results.extend(std::mem::take(&mut wanted).into_iter().map(over));
            }
            attempt += 1;
        }
        Ok(results)
    }

    /// As `each`, for a request that is answered as a whole.
    async fn one<R: Request, T>(
        &self,
        limit: Duration,
        request: impl Fn() -> R,
        verdict: impl Fn(R::Response) -> Verdict<T>,
    ) -> Result<T, AdminError> {
        let verdicts = |response| vec![((), verdict(response))];
        let results = self
            .each(BTreeSet::from([()]), limit, |_, _| request(), verdicts)
            .await?;
        results
            .into_values()
            .next()
            .unwrap_or(Err(AdminError::Closed))
    }
}

fn settle<K: Ord, T>(
    wanted: &mut BTreeSet<K>,
    results: &mut Results<K, T>,
    name: K,
    verdict: Verdict<T>,
    last: &mut String,
) {
    match verdict {
        Err((error, message)) if is_transient(error) => {
            *last = AdminError::api(error, message).to_string();
        }
        _ if !wanted.remove(&name) => {}
        Ok(value) => drop(results.insert(name, Ok(value))),
        Err((error, message)) => drop(results.insert(name, Err(AdminError::api(error, message)))),
    }
}

/// A missing topic is an answer here, though a producer would wait for it; and so is a leader that needs no
/// election.
fn is_transient(error: ErrorCode) -> bool {
    error.is_retriable()
        && !matches!(
            error,
            ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::ElectionNotNeeded
        )
}

fn verdict<T>(code: i16, message: Option<String>, value: impl FnOnce() -> T) -> Verdict<T> {
    match ErrorCode::from_code_or_unknown(code) {
        ErrorCode::None => Ok(value()),
        error => Err((error, message)),
    }
}
