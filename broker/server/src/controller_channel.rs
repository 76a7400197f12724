//! Requests to the active controller, wherever it is.

use std::sync::Arc;
use std::time::Duration;

use broker_env::{Env, select, time};
use broker_protocol::Request;
use broker_protocol::ids::NodeId;

use crate::peer::{CallError, Peer};
use crate::quorum::{Addresses, QuorumStatus};
use crate::waiters::Waiter;

/// Why the controller gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    #[error("no active controller is known")]
    Unknown,
    #[error("controller {controller}: {error}")]
    Call {
        controller: NodeId,
        error: CallError,
    },
    #[error("controller {controller} was replaced before it answered")]
    Moved { controller: NodeId },
}

/// Completes when somebody else is the controller: waiting on for the old one's answer could take a whole
/// request timeout.
async fn controller_moved(status: Arc<QuorumStatus>, controller: NodeId) {
    loop {
        let waiter = Waiter::new();
        status.wait(&waiter);
        if status
            .get()
            .leader
            .is_some_and(|leader| leader != controller)
        {
            return;
        }
        waiter.woken().await;
    }
}

/// One line to the controller; follows it when it moves.
pub struct ControllerChannel {
    env: Env,
    status: Arc<QuorumStatus>,
    addresses: Arc<Addresses>,
    client_id: String,
    peer: Option<(NodeId, Peer)>,
}

impl ControllerChannel {
    pub fn new(
        env: Env,
        status: Arc<QuorumStatus>,
        addresses: Arc<Addresses>,
        client_id: String,
    ) -> ControllerChannel {
        ControllerChannel {
            env,
            status,
            addresses,
            client_id,
            peer: None,
        }
    }

    /// Sends once to the controller known now.
    ///
    /// # Errors
    /// See [`ControllerError`]; NOT_CONTROLLER is an answer and the caller's to see.
    pub async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> Result<R::Response, ControllerError> {
        let controller = self.status.get().leader.ok_or(ControllerError::Unknown)?;
        let moved = controller_moved(self.status.clone(), controller);
        let peer = self.peer(controller)?;
        let answer = select! {
            answer = peer.call(request, version, limit) => Some(answer),
            () = moved => None,
        };
        match answer {
            Some(answer) => answer.map_err(|error| ControllerError::Call { controller, error }),
            None => {
                // What was sent may still be carried out; its answer belongs to nobody.
                peer.disconnect();
                Err(ControllerError::Moved { controller })
            }
        }
    }

    /// For who asks seldom: the next call connects again.
    pub fn disconnect(&mut self) {
        self.peer = None;
    }

    /// Waits until leadership changes, at most `limit`.
    pub async fn leadership_changed(&mut self, limit: Duration) {
        let waiter = Waiter::new();
        self.status.wait(&waiter);
        let _either_way = time::timeout(&self.env, limit, waiter.woken()).await;
    }

    fn peer(&mut self, controller: NodeId) -> Result<&mut Peer, ControllerError> {
        let address = self.addresses.of(controller);
        let address = address.ok_or(ControllerError::Unknown)?;
        let known = self.peer.as_ref();
        if known.is_none_or(|(node, peer)| *node != controller || *peer.address() != address) {
            let peer = Peer::new(self.env.clone(), address, self.client_id.clone());
            self.peer = Some((controller, peer));
        }
        Ok(&mut self.peer.as_mut().expect("set above").1)
    }
}
