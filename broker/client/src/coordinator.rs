//! Finding the coordinator of a group or a transactional id, and asking it.

use std::collections::BTreeSet;

use broker_env::Instant;
use broker_protocol::api as wire;
use broker_protocol::ids::NodeId;
use broker_protocol::{ErrorCode, Request};

use crate::client::Client;
use crate::error::{CallError, GroupError};

/// What is coordinated: FindCoordinator's key type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coordinated {
    #[default]
    Group,
    Transaction,
}

impl Coordinated {
    fn key_type(self) -> i8 {
        match self {
            Coordinated::Group => 0,
            Coordinated::Transaction => 1,
        }
    }
}

/// A coordinator, as far as it is known; of a group unless made by [`Coordinator::of_transactions`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Coordinator {
    of: Coordinated,
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

impl Coordinator {
    pub fn of_transactions() -> Coordinator {
        Coordinator {
            of: Coordinated::Transaction,
            node: None,
        }
    }

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
            let last = match ask(client, self.of, group).await {
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
        self.call_up_to(client, group, request, i16::MAX, deadline)
            .await
    }

    /// As `call`, in no version of the request above `max`.
    pub async fn call_up_to<R: Request>(
        &mut self,
        client: &Client,
        group: &str,
        request: &R,
        max: i16,
        deadline: Instant,
    ) -> Result<R::Response, (GroupError, bool)> {
        let node = self.find(client, group, deadline).await;
        let node = node.map_err(|error| (error, false))?;
        let left = deadline.saturating_since(client.env().now());
        let called = client.call_up_to(node, request, max, left).await;
        called.map_err(|error| {
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

async fn ask(
    client: &Client,
    of: Coordinated,
    key: &str,
) -> Result<Result<NodeId, ErrorCode>, CallError> {
    let request = wire::FindCoordinatorRequest {
        key_type: of.key_type(),
        coordinator_keys: vec![key.to_string()],
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
