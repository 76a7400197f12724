//! Sends the core's requests to the other members, two lines to each: fetches wait long at the leader and
//! must not hold back votes.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_core::raft::Request;
use broker_env::{Address, Env};
use broker_protocol::ids::NodeId;
use tokio::sync::mpsc;

use super::Event;
use crate::api::raft_wire;
use crate::peer::{CallError, Peer};

/// The other members and their lines.
pub struct Peers {
    env: Env,
    me: NodeId,
    cluster_id: String,
    addresses: BTreeMap<NodeId, Address>,
    request_timeout: Duration,
    events: mpsc::UnboundedSender<Event>,
    lines: BTreeMap<(NodeId, Line), mpsc::UnboundedSender<Request>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Control,
    Fetch,
}

impl Peers {
    pub fn new(
        env: Env,
        me: NodeId,
        cluster_id: String,
        addresses: BTreeMap<NodeId, Address>,
        request_timeout: Duration,
        events: mpsc::UnboundedSender<Event>,
    ) -> Peers {
        Peers {
            env,
            me,
            cluster_id,
            addresses,
            request_timeout,
            events,
            lines: BTreeMap::new(),
        }
    }

    /// Sends; the outcome comes back as an [`Event`].
    pub fn send(&mut self, to: NodeId, request: Request) {
        let line = if matches!(request, Request::Fetch(_)) {
            Line::Fetch
        } else {
            Line::Control
        };
        let Some(address) = self.addresses.get(&to) else {
            let _member_has_stopped = self.events.send(Event::RequestFailed { to, request });
            return;
        };
        let sender = self.lines.entry((to, line)).or_insert_with(|| {
            let (sender, requests) = mpsc::unbounded_channel();
            let peer = Peer::new(
                self.env.clone(),
                address.clone(),
                format!("raft-{}", self.me),
            );
            let wire = LineTask {
                to,
                cluster_id: self.cluster_id.clone(),
                timeout: self.request_timeout,
                events: self.events.clone(),
                peer,
            };
            self.env.spawn("raft line", wire.run(requests));
            sender
        });
        let _line_ends_with_us = sender.send(request);
    }
}

struct LineTask {
    to: NodeId,
    cluster_id: String,
    timeout: Duration,
    events: mpsc::UnboundedSender<Event>,
    peer: Peer,
}

impl LineTask {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        while let Some(request) = requests.recv().await {
            let event = match self.call(&request).await {
                Ok((response, records)) => Event::Response {
                    from: self.to,
                    request,
                    response,
                    records,
                },
                Err(error) => {
                    tracing::debug!(to = %self.to, %error, "quorum request failed");
                    Event::RequestFailed {
                        to: self.to,
                        request,
                    }
                }
            };
            if self.events.send(event).is_err() {
                return;
            }
        }
    }

    async fn call(&mut self, request: &Request) -> Result<raft_wire::Answer, CallError> {
        let (peer, cluster_id, limit) = (&mut self.peer, self.cluster_id.as_str(), self.timeout);
        match request {
            Request::Vote(vote) => {
                let answer = peer
                    .call(
                        &raft_wire::vote_request(vote, cluster_id),
                        raft_wire::VOTE_VERSION,
                        limit,
                    )
                    .await?;
                Ok(raft_wire::vote_response(&answer))
            }
            Request::BeginQuorumEpoch(begin) => {
                let wire = raft_wire::begin_quorum_epoch_request(begin, cluster_id);
                let answer = peer
                    .call(&wire, raft_wire::BEGIN_QUORUM_EPOCH_VERSION, limit)
                    .await?;
                Ok(raft_wire::begin_quorum_epoch_response(&answer))
            }
            Request::EndQuorumEpoch(end) => {
                let wire = raft_wire::end_quorum_epoch_request(end, cluster_id);
                let answer = peer
                    .call(&wire, raft_wire::END_QUORUM_EPOCH_VERSION, limit)
                    .await?;
                Ok(raft_wire::end_quorum_epoch_response(&answer))
            }
            Request::Fetch(fetch) => {
                let limit = limit + Duration::from_millis(fetch.max_wait_ms);
                let wire = raft_wire::fetch_request(fetch, cluster_id);
                let answer = peer.call(&wire, raft_wire::FETCH_VERSION, limit).await?;
                Ok(raft_wire::fetch_response(answer))
            }
            Request::FetchSnapshot(_)
            | Request::AddVoter(_)
            | Request::RemoveVoter(_)
            | Request::UpdateVoter(_)
            | Request::ApiVersions(_) => {
                unreachable!("snapshots and voter changes begin with inputs that are never given")
            }
        }
    }
}
