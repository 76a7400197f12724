//! DescribeTransactions and ListTransactions (KIP-664).

use super::TransactionCoordinator;
use super::message::{DescribedTransaction, ListRequest, ListedTransaction};
use super::record::TransactionMetadata;

impl TransactionCoordinator {
    pub(super) fn describe(&self, id: &str) -> Option<DescribedTransaction> {
        let current = self.hard.get(id)?;
        let left = self.completing.get(id).map(|completing| &completing.left);
        Some(DescribedTransaction {
            state: current.state,
            timeout_ms: current.timeout_ms,
            start_ms: current.start_ms,
            producer: current.producer(),
            partitions: left.unwrap_or(&current.partitions).clone(),
        })
    }

    pub(super) fn list(&self, request: &ListRequest, now_ms: i64) -> Vec<ListedTransaction> {
        let listed = self
            .hard
            .iter()
            .filter(|(_, current)| is_asked_for(request, current, now_ms));
        let listed = listed.map(|(id, current)| ListedTransaction {
            transactional_id: id.clone(),
            producer_id: current.producer_id,
            state: current.state,
        });
        listed.collect()
    }
}

/// As Kafka does it, an id without any transaction has one since for ever.
fn is_asked_for(request: &ListRequest, current: &TransactionMetadata, now_ms: i64) -> bool {
    let runs_for = now_ms.saturating_sub(current.start_ms.unwrap_or(-1));
    (request.states.is_empty() || request.states.contains(&current.state))
        && (request.producer_ids.is_empty() || request.producer_ids.contains(&current.producer_id))
        && request.duration_ms.is_none_or(|longer| runs_for > longer)
}
