//! This node's member of the metadata quorum: the shell around `core::raft` and, on controllers, around
//! `core::metadata`.
//!
//! One task owns both cores and the metadata log. Everything reaches it as an [`Event`]; it answers
//! through the channels that come with the events, publishes committed records to the broker, and tells
//! everybody else who leads through [`QuorumStatus`].
//!
//! Map: `raft` carries out the raft core's outputs · `controller` runs the metadata core while this node
//! leads · `log` is the metadata log · `peers` sends to the other members · `persistence` is the
//! `quorum-state` file.

mod controller;
mod describe;
mod log;
mod peers;
pub mod persistence;
mod raft;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use broker_core::metadata::{self, Record, Reply};
use broker_core::raft::{Raft, Request, Response, Timer};
use broker_core::{PersistId, Ticket};
use broker_env::{DiskError, Env, select};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::observe::Observer;
use crate::timers::Timers;
use crate::waiters::{Waiter, Waiters};
use controller::Controller;
pub use describe::{QuorumDescription, ReplicaDescription};
pub use log::MetadataLog;
pub use peers::Peers;

/// Everything that happens to the quorum member.
pub enum Event {
    /// A peer's request; the bytes of a fetch answer come with it.
    Request {
        request: Request,
        reply: oneshot::Sender<(Response, Bytes)>,
    },
    /// A peer's answer to a request of ours.
    Response {
        from: NodeId,
        request: Request,
        response: Response,
        records: Bytes,
    },
    RequestFailed {
        to: NodeId,
        request: Request,
    },
    /// Work for the active controller.
    Controller {
        input: ControllerInput,
        reply: oneshot::Sender<Result<Reply, NotController>>,
    },
    Flushed(PersistId, Result<broker_storage::FlushDone, DiskError>),
    Describe(oneshot::Sender<QuorumDescription>),
    /// Hand leadership over and stop.
    Shutdown(oneshot::Sender<()>),
}

/// Makes a core input once its ticket and the offset of the next record are known.
pub type ControllerInput = Box<dyn FnOnce(Ticket, Offset) -> metadata::Input + Send>;

/// This node is not the active controller, or stopped being it before the answer was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotController;

/// Committed metadata records, in log order without gaps.
#[derive(Clone, Debug)]
pub struct Committed {
    pub records: Vec<Record>,
    /// Offset behind the last record.
    pub end: Offset,
    pub epoch: LeaderEpoch,
    /// Everything that was committed when this was sent ends here.
    pub high_watermark: Offset,
}

/// Who leads the quorum, as this node knows it.
#[derive(Debug, Default)]
pub struct QuorumStatus {
    inner: Mutex<(Leadership, Waiters)>,
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

    fn set(&self, leadership: Leadership) {
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

/// The timers of both cores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TimerName {
    Raft(Timer),
    Session(NodeId),
    NoOp,
    LeaderBalance,
    UncleanElection,
}

/// What the member is made of.
pub struct QuorumParts {
    pub env: Env,
    pub node: NodeId,
    pub raft: Raft,
    pub log: MetadataLog,
    pub peers: Peers,
    pub observer: Observer,
    pub committed: mpsc::UnboundedSender<Committed>,
    pub handle: QuorumHandle,
    pub events: mpsc::UnboundedReceiver<Event>,
    /// Present on controllers.
    pub controller: Option<metadata::ControllerConfig>,
    /// Written by the first active controller of a cluster.
    pub bootstrap: Vec<Record>,
    /// `metadata.max.idle.interval.ms`; 0 never.
    pub no_op_interval_ms: u64,
}

/// A peer's request that waits for its answer.
struct PeerRequest {
    reply: oneshot::Sender<(Response, Bytes)>,
    /// The standard vote it asks for, to observe the grant.
    vote: Option<(LeaderEpoch, NodeId)>,
}

/// What is due once a step's outputs are done.
enum FollowUp {
    Persisted(PersistId),
    /// The high watermark moved.
    Committed,
}

/// The member's task.
pub struct Quorum {
    env: Env,
    node: NodeId,
    raft: Raft,
    log: MetadataLog,
    peers: Peers,
    observer: Observer,
    committed: mpsc::UnboundedSender<Committed>,
    handle: QuorumHandle,
    timers: Timers<TimerName>,
    next_ticket: u64,
    /// Peers' requests that wait for the raft core's answer.
    requests: BTreeMap<Ticket, PeerRequest>,
    follow_ups: VecDeque<FollowUp>,
    controller: Option<Controller>,
    high_watermark: Offset,
    /// Where this node's epoch as leader starts.
    leader_epoch_start: Option<Offset>,
    /// Where the next committed record to publish is.
    published_end: Offset,
    shutdown: Option<oneshot::Sender<()>>,
    stopped: bool,
}

impl Quorum {
    pub fn new(parts: QuorumParts) -> (Quorum, mpsc::UnboundedReceiver<Event>) {
        let quorum = Quorum {
            timers: Timers::new(parts.env.clone()),
            published_end: parts.log.start(),
            controller: parts
                .controller
                .map(|config| Controller::new(config, parts.bootstrap, parts.no_op_interval_ms)),
            env: parts.env,
            node: parts.node,
            raft: parts.raft,
            log: parts.log,
            peers: parts.peers,
            observer: parts.observer,
            committed: parts.committed,
            handle: parts.handle,
            next_ticket: 0,
            requests: BTreeMap::new(),
            follow_ups: VecDeque::new(),
            high_watermark: 0,
            leader_epoch_start: None,
            shutdown: None,
            stopped: false,
        };
        (quorum, parts.events)
    }

    /// Runs until shut down, or until the metadata log's disk fails.
    ///
    /// # Errors
    /// The disk error: without its log a quorum member cannot go on (KAFKA-14644: it must not linger).
    pub async fn run(
        mut self,
        mut events: mpsc::UnboundedReceiver<Event>,
        start: Vec<broker_core::raft::Output>,
    ) -> Result<(), DiskError> {
        self.carry_out(start, None).await?;
        while !self.stopped {
            select! {
                event = events.recv() => match event {
                    Some(event) => self.handle_event(event).await?,
                    None => return Ok(()),
                },
                timer = self.timers.next() => self.fire(timer).await?,
            }
        }
        if let Some(done) = self.shutdown.take() {
            let _nobody_waits = done.send(());
        }
        Ok(())
    }

    async fn handle_event(&mut self, event: Event) -> Result<(), DiskError> {
        match event {
            Event::Request { request, reply } => {
                let ticket = self.ticket();
                let vote = match &request {
                    Request::Vote(vote) if !vote.pre_vote => {
                        Some((vote.candidate_epoch, vote.candidate.id))
                    }
                    _ => None,
                };
                self.requests.insert(ticket, PeerRequest { reply, vote });
                self.step(broker_core::raft::Input::Request { ticket, request })
                    .await
            }
            Event::Response {
                from,
                request,
                response,
                records,
            } => self.receive(from, request, response, records).await,
            Event::RequestFailed { to, request } => {
                self.step(broker_core::raft::Input::RequestFailed { to, request })
                    .await
            }
            Event::Controller { input, reply } => self.controller_request(input, reply).await,
            Event::Flushed(id, done) => {
                let end = self.log.finish_flush(done?);
                self.observer
                    .observe(|| crate::observe::Observation::MetadataFlushed { end });
                self.step(broker_core::raft::Input::Persisted(id)).await
            }
            Event::Describe(reply) => {
                let _nobody_waits = reply.send(self.describe());
                Ok(())
            }
            Event::Shutdown(done) => {
                self.shutdown = Some(done);
                self.step(broker_core::raft::Input::Shutdown).await
            }
        }
    }

    async fn fire(&mut self, timer: TimerName) -> Result<(), DiskError> {
        match timer {
            TimerName::Raft(timer) => self.step(broker_core::raft::Input::Timer(timer)).await,
            TimerName::Session(broker) => {
                self.decide(metadata::Input::SessionsExpired(vec![broker]))
                    .await
            }
            TimerName::NoOp => self.no_op().await,
            TimerName::LeaderBalance => self.decide(metadata::Input::LeaderBalanceTimer).await,
            TimerName::UncleanElection => self.decide(metadata::Input::UncleanElectionTimer).await,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }
}
