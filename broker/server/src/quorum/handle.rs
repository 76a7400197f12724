//! How the rest of the node reaches its quorum member, and learns who leads.

use std::sync::atomic::{AtomicBool, AtomicI16, Ordering};
use std::sync::{Arc, Mutex};

use broker_core::Ticket;
use broker_core::metadata::{self, Reply};
use broker_core::raft::{Request, Response};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{Addresses, Event, NotController, QuorumDescription};
use crate::waiters::{Waiter, Waiters};

/// Who leads the quorum, as this node knows it.
#[derive(Debug, Default)]
pub struct QuorumStatus {
    inner: Mutex<(Leadership, Waiters)>,
    pub(super) kraft_version: AtomicI16,
    pub(super) is_voter: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub leader: Option<NodeId>,
    pub epoch: LeaderEpoch,
    /// The controller on this node acts.
    pub active_here: bool,
}

impl QuorumStatus {
    pub fn get(&self) -> Leadership {
        self.inner.lock().expect("no panic under this lock").0
    }

    /// Wakes the waiter when leadership differs from what it is now.
    pub fn wait(&self, waiter: &Arc<Waiter>) {
        self.inner
            .lock()
            .expect("no panic under this lock")
            .1
            .add(waiter);
    }

    /// `kraft.version` in force.
    pub fn kraft_version(&self) -> i16 {
        self.kraft_version.load(Ordering::Relaxed)
    }

    /// Whether this member, under its own directory id, is among the voters in force as it knows them.
    pub fn is_voter(&self) -> bool {
        self.is_voter.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, leadership: Leadership) {
        let mut inner = self.inner.lock().expect("no panic under this lock");
        if inner.0 != leadership {
            inner.0 = leadership;
            inner.1.wake_all();
        }
    }
}

/// How the rest of the node reaches its quorum member.
#[derive(Clone)]
pub struct QuorumHandle {
    pub events: mpsc::UnboundedSender<Event>,
    pub status: Arc<QuorumStatus>,
    pub addresses: Arc<Addresses>,
}

impl QuorumHandle {
    /// Gives a peer's request to the core; `None` if the member has stopped.
    pub async fn request(&self, request: Request) -> Option<(Response, Bytes)> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Request { request, reply }).ok()?;
        answer.await.ok()
    }

    /// Asks the controller on this node; answered once committed.
    pub async fn controller(
        &self,
        input: impl FnOnce(Ticket, Offset) -> metadata::Input + Send + 'static,
    ) -> Result<Reply, NotController> {
        let (reply, answer) = oneshot::channel();
        let event = Event::Controller {
            input: Box::new(input),
            reply,
        };
        self.events.send(event).map_err(|_| NotController)?;
        answer.await.map_err(|_| NotController)?
    }

    pub async fn describe(&self) -> Option<QuorumDescription> {
        let (reply, answer) = oneshot::channel();
        self.events.send(Event::Describe(reply)).ok()?;
        answer.await.ok()
    }

    /// Hands leadership over; completes when the member has stopped.
    pub async fn shutdown(&self) {
        let (reply, answer) = oneshot::channel();
        if self.events.send(Event::Shutdown(reply)).is_ok() {
            let _stopped_either_way = answer.await;
        }
    }
}
