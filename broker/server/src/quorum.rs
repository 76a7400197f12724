//! This node's member of the metadata quorum: the shell around `core::raft` and, on controllers, around
//! `core::metadata`.
//!
//! One task owns both cores and the metadata log. Everything reaches it as an [`Event`]; it answers
//! through the channels that come with the events, publishes committed records to the broker, and tells
//! everybody else who leads through [`QuorumStatus`].
//!
//! Map: `raft` carries out the raft core's outputs · `controller` runs the metadata core while this node
//! leads · `handle` is how others reach the member · `log` is the metadata log, `batches` what is in it,
//! `snapshots` what replaces its beginning and `trim` when · `peers` sends to the other members, `addresses`
//! knows where they are, `configuration` and `voters` who votes · `describe` tells DescribeQuorum ·
//! `persistence` is the `quorum-state` file.

mod addresses;
mod batches;
mod configuration;
mod controller;
mod describe;
mod handle;
mod log;
mod peers;
pub mod persistence;
mod raft;
mod snapshots;
mod trim;
mod voters;

use std::collections::{BTreeMap, VecDeque};

use broker_core::metadata::{self, Record, Reply};
use broker_core::raft::{self as raft_core, Raft, Request, Response, Timer};
use broker_core::{PersistId, Ticket};
use broker_env::{DiskError, Env, select};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::observe::Observer;
use crate::timers::Timers;
pub use addresses::Addresses;
use controller::Controller;
use describe::FetchTimes;
pub use describe::{QuorumDescription, ReplicaDescription};
pub use handle::{Leadership, QuorumHandle, QuorumStatus};
pub use log::MetadataLog;
pub use peers::{Identity, Peers};
use snapshots::Finished;
pub use snapshots::{LoadedSnapshot, RetentionLimits, Snapshots, SnapshotsError};
pub use trim::SnapshotRequest;
pub use voters::to_record as voters_record;

/// Everything that happens to the quorum member.
pub enum Event {
    /// A peer's request; with its answer come the records of a fetch, or the chunk of a snapshot.
    Request {
        request: Request,
        reply: oneshot::Sender<(Response, Bytes)>,
    },
    /// A peer's answer to a request of ours.
    Response {
        from: NodeId,
        request: Request,
        response: Response,
        /// The records of a fetch, or the chunk of a snapshot.
        bytes: Bytes,
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
    /// The publisher has an image worth keeping.
    Snapshot(SnapshotRequest),
    SnapshotWritten(Result<Finished, DiskError>),
    SnapshotFetched(Result<Finished, DiskError>),
    /// Work beside the task failed.
    DiskFailed(DiskError),
    Describe(oneshot::Sender<QuorumDescription>),
    /// Hand leadership over and stop.
    Shutdown(oneshot::Sender<()>),
}

/// Makes a core input once its ticket and the offset of the next record are known.
pub type ControllerInput = Box<dyn FnOnce(Ticket, Offset) -> metadata::Input + Send>;

/// This node is not the active controller, or stopped being it before the answer was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotController;

/// What the quorum has committed, in log order without gaps.
#[derive(Clone, Debug)]
pub enum MetadataUpdate {
    Records(Committed),
    /// Replaces everything before: at the start, and where the log has become too old to follow.
    Snapshot {
        loaded: Box<LoadedSnapshot>,
        /// As in [`Committed`]; `Offset::MAX` at the start, when it is not known.
        high_watermark: Offset,
    },
}

/// Committed metadata records.
#[derive(Clone, Debug)]
pub struct Committed {
    pub records: Vec<Record>,
    /// Offset behind the last record.
    pub end: Offset,
    pub epoch: LeaderEpoch,
    /// Size of their batch.
    pub bytes: u64,
    /// Append time in ms.
    pub timestamp: i64,
    /// Everything that was committed when this was sent ends here.
    pub high_watermark: Offset,
}

/// The timers of both cores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TimerName {
    Raft(Timer),
    Session(NodeId),
    NoOp,
    LeaderBalance,
    UncleanElection,
    Retention,
}

/// What the member is made of.
pub struct QuorumParts {
    pub env: Env,
    pub node: NodeId,
    pub raft: Raft,
    pub log: MetadataLog,
    pub snapshots: Snapshots,
    pub retention: RetentionLimits,
    pub peers: Peers,
    pub observer: Observer,
    pub committed: mpsc::UnboundedSender<MetadataUpdate>,
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
    /// Longest chunk of a snapshot it takes.
    chunk_bytes_max: usize,
}

/// What is due once a step's outputs are done.
enum FollowUp {
    Persisted(PersistId),
    /// The high watermark moved.
    Committed,
    SnapshotDamaged(raft_core::OffsetAndEpoch),
}

/// The member's task.
pub struct Quorum {
    env: Env,
    node: NodeId,
    raft: Raft,
    log: MetadataLog,
    snapshots: Snapshots,
    retention: RetentionLimits,
    /// The image that the core is being asked to keep.
    offered: Option<SnapshotRequest>,
    peers: Peers,
    observer: Observer,
    committed: mpsc::UnboundedSender<MetadataUpdate>,
    handle: QuorumHandle,
    timers: Timers<TimerName>,
    next_ticket: u64,
    /// Peers' requests that wait for the raft core's answer.
    requests: BTreeMap<Ticket, PeerRequest>,
    follow_ups: VecDeque<FollowUp>,
    /// When who fetched, while this node leads.
    fetches: BTreeMap<ReplicaKey, FetchTimes>,
    /// The core's answer to the last `kraft.version` asked for, until it is looked at.
    kraft_decision: Option<(Ticket, Result<(), raft_core::Error>)>,
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
            snapshots: parts.snapshots,
            retention: parts.retention,
            offered: None,
            fetches: BTreeMap::new(),
            kraft_decision: None,
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
        start: Vec<raft_core::Output>,
    ) -> Result<(), DiskError> {
        self.configuration_known();
        self.load_latest_snapshot()?;
        self.arm_retention();
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
            Event::Request { request, reply } => self.peer_request(request, reply).await,
            Event::Response {
                from,
                request,
                response,
                bytes,
            } => self.receive(from, request, response, bytes).await,
            Event::RequestFailed { to, request } => {
                self.step(raft_core::Input::RequestFailed { to, request })
                    .await
            }
            Event::Controller { input, reply } => self.controller_request(input, reply).await,
            Event::Flushed(id, done) => {
                let end = self.log.finish_flush(done?);
                self.observer
                    .observe(|| crate::observe::Observation::MetadataFlushed { end });
                self.step(raft_core::Input::Persisted(id)).await
            }
            Event::Snapshot(request) => self.offer_snapshot(request).await,
            Event::SnapshotWritten(written) => self.snapshot_written(written?).await,
            Event::SnapshotFetched(fetched) => self.snapshot_fetched(fetched?).await,
            Event::DiskFailed(error) => Err(error),
            Event::Describe(reply) => {
                let _nobody_waits = reply.send(self.describe());
                Ok(())
            }
            Event::Shutdown(done) => {
                self.shutdown = Some(done);
                self.step(raft_core::Input::Shutdown).await
            }
        }
    }

    async fn peer_request(
        &mut self,
        request: Request,
        reply: oneshot::Sender<(Response, Bytes)>,
    ) -> Result<(), DiskError> {
        let ticket = self.ticket();
        let mut asked = PeerRequest {
            reply,
            vote: None,
            chunk_bytes_max: 0,
        };
        match &request {
            Request::Vote(vote) if !vote.pre_vote => {
                asked.vote = Some((vote.candidate_epoch, vote.candidate.id));
            }
            Request::FetchSnapshot(fetch) => {
                asked.chunk_bytes_max = usize::try_from(fetch.max_bytes).unwrap_or(0);
            }
            Request::Fetch(fetch) => self.note_fetch(fetch),
            _ => {}
        }
        self.requests.insert(ticket, asked);
        self.step(raft_core::Input::Request { ticket, request })
            .await
    }

    async fn fire(&mut self, timer: TimerName) -> Result<(), DiskError> {
        match timer {
            TimerName::Raft(timer) => self.step(raft_core::Input::Timer(timer)).await,
            TimerName::Session(broker) => {
                self.decide(metadata::Input::SessionsExpired(vec![broker]))
                    .await
            }
            TimerName::NoOp => self.no_op().await,
            TimerName::LeaderBalance => self.decide(metadata::Input::LeaderBalanceTimer).await,
            TimerName::UncleanElection => self.decide(metadata::Input::UncleanElectionTimer).await,
            TimerName::Retention => self.retain().await,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }
}
