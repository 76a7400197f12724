//! Finding the coordinator of a group and asking it.

use std::collections::BTreeSet;

use broker_env::Instant;
use broker_protocol::api as wire;
use broker_protocol::ids::NodeId;
use broker_protocol::{ErrorCode, Request};

use crate::client::Client;
use crate::error::{CallError, GroupError};

/// A group's coordinator, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupCoordinator {
    node: Option<NodeId>,
}

/// Whether another broker, or the same one a little later, may say something else.
pub(crate) fn moved(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::CoordinatorLoadInProgress
    )
}

impl GroupCoordinator {
    /// Asks again who it is.
    pub fn forget(&mut self) {
        self.node = None;
    }

    /// The coordinator, asked for until the deadline.
    ///
    /// # Errors
    /// `Timeout` with the last error, or a final verdict.
    pub async fn find(
        &mut self,
        client: &Client,
        group: &str,
        deadline: Instant,
    ) -> Result<NodeId, GroupError> {
        let mut attempt = 0;
        loop {
            if let Some(node) = self.node {
                return Ok(node);
            }
            let last = match ask(client, group).await {
                Ok(Ok(node)) => {
                    self.node = Some(node);
                    continue;
                }
                Ok(Err(error)) if !error.is_retriable() => return Err(GroupError::Group(error)),
                Ok(Err(error)) => error.to_string(),
                Err(CallError::Closed) => return Err(GroupError::Closed),
                Err(error) => error.to_string(),
            };
            if !client.pause_before_retry(attempt, deadline).await {
                return Err(GroupError::Timeout { last });
            }
            attempt += 1;
        }
    }

    /// Sends a request to it once.
    ///
    /// # Errors
    /// As `find`, and whatever befell the request; then the coordinator is asked for anew.
    pub async fn call<R: Request>(
        &mut self,
        client: &Client,
        group: &str,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response, (GroupError, bool)> {
        let node = self.find(client, group, deadline).await;
        let node = node.map_err(|error| (error, false))?;
        let left = deadline.saturating_since(client.env().now());
        client.call(node, request, left).await.map_err(|error| {
            self.forget();
            let may_have_arrived = error.may_have_arrived();
            match error {
                CallError::Closed => (GroupError::Closed, may_have_arrived),
                error => (
                    GroupError::Timeout {
                        last: error.to_string(),
                    },
                    may_have_arrived,
                ),
            }
        })
    }
}

async fn ask(client: &Client, group: &str) -> Result<Result<NodeId, ErrorCode>, CallError> {
    let request = wire::FindCoordinatorRequest {
        coordinator_keys: vec![group.to_string()],
        ..Default::default()
    };
    let limit = client.config().request_timeout;
    let response = client.call_any(&request, limit).await?;
    let Some(found) = response.coordinators.into_iter().next() else {
        return Ok(Err(ErrorCode::CoordinatorNotAvailable));
    };
    match ErrorCode::from_code_or_unknown(found.error_code) {
        ErrorCode::None => {
            let node = NodeId(found.node_id);
            if client.metadata(|metadata| !metadata.brokers.contains_key(&node)) {
                client.refresh_metadata(&BTreeSet::new()).await?;
            }
            Ok(Ok(node))
        }
        error => Ok(Err(error)),
    }
}
