//! Sends the core's requests to the other members, each kind over a line of its own: fetches wait long at the
//! leader, and so do voter changes, and neither may hold back votes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_core::raft::{Endpoint, Request};
use broker_env::{Address, Env};
use broker_protocol::ids::NodeId;
use tokio::sync::mpsc;

use super::{Addresses, Event};
use crate::api::raft_wire;
use crate::peer::{CallError, Peer};

/// The other members and their lines.
pub struct Peers {
    env: Env,
    me: NodeId,
    identity: Arc<Identity>,
    addresses: Arc<Addresses>,
    events: mpsc::UnboundedSender<Event>,
    lines: BTreeMap<(NodeId, Line), (Address, mpsc::UnboundedSender<Request>)>,
}

/// What this node says of itself.
pub struct Identity {
    pub cluster_id: String,
    /// Where it listens as a controller.
    pub endpoints: Vec<Endpoint>,
    pub request_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Control,
    Fetch,
    VoterChange,
}

impl Line {
    fn of(request: &Request) -> Line {
        match request {
            Request::Fetch(_) | Request::FetchSnapshot(_) => Line::Fetch,
            Request::AddVoter(_) | Request::RemoveVoter(_) | Request::UpdateVoter(_) => {
                Line::VoterChange
            }
            _ => Line::Control,
        }
    }
}

impl Peers {
    pub fn new(
        env: Env,
        me: NodeId,
        identity: Identity,
        addresses: Arc<Addresses>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Peers {
        Peers {
            env,
            me,
            identity: Arc::new(identity),
            addresses,
            events,
            lines: BTreeMap::new(),
        }
    }

    pub fn addresses(&self) -> &Arc<Addresses> {
        &self.addresses
    }

    /// Sends; the outcome comes back as an [`Event`].
    pub fn send(&mut self, to: NodeId, request: Request) {
        // A new voter is not known yet; the request about it says where it listens.
        let address = match &request {
            Request::ApiVersions(asked) => self.addresses.of_endpoints(&asked.endpoints),
            _ => self.addresses.of(to),
        };
        let Some(address) = address else {
            let _member_has_stopped = self.events.send(Event::RequestFailed { to, request });
            return;
        };
        let key = (to, Line::of(&request));
        if !matches!(self.lines.get(&key), Some((known, _)) if *known == address) {
            let line = self.open(to, address.clone());
            self.lines.insert(key, (address, line));
        }
        let (_, line) = &self.lines[&key];
        let _line_ends_with_us = line.send(request);
    }

    fn open(&self, to: NodeId, address: Address) -> mpsc::UnboundedSender<Request> {
        let (sender, requests) = mpsc::unbounded_channel();
        let line = LineTask {
            me: self.me,
            to,
            identity: self.identity.clone(),
            addresses: self.addresses.clone(),
            events: self.events.clone(),
            peer: Peer::new(self.env.clone(), address, format!("raft-{}", self.me)),
        };
        self.env.spawn("raft line", line.run(requests));
        sender
    }
}

struct LineTask {
    me: NodeId,
    to: NodeId,
    identity: Arc<Identity>,
    addresses: Arc<Addresses>,
    events: mpsc::UnboundedSender<Event>,
    peer: Peer,
}

impl LineTask {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        while let Some(request) = requests.recv().await {
            let event = match self.call(&request).await {
                Ok(answer) => self.answered(request, answer),
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

    fn answered(&self, request: Request, answer: raft_wire::Answer) -> Event {
        for (node, address) in answer.endpoints {
            self.addresses.told(node, address);
        }
        let mut response = answer.response;
        let reachable = |leader| leader == self.me || self.addresses.of(leader).is_some();
        raft_wire::keep_leader(&mut response, reachable);
        Event::Response {
            from: self.to,
            request,
            response,
            bytes: answer.bytes,
        }
    }

    async fn call(&mut self, request: &Request) -> Result<raft_wire::Answer, CallError> {
        let cluster_id = self.identity.cluster_id.as_str();
        let (peer, limit) = (&mut self.peer, self.identity.request_timeout);
        match request {
            Request::Vote(vote) => {
                let wire = raft_wire::vote_request(vote, cluster_id);
                let answer = peer.call(&wire, raft_wire::VOTE_VERSION, limit).await?;
                Ok(raft_wire::vote_response(&answer))
            }
            Request::BeginQuorumEpoch(begin) => {
                let endpoints = &self.identity.endpoints;
                let wire = raft_wire::begin_quorum_epoch_request(begin, cluster_id, endpoints);
                let version = raft_wire::BEGIN_QUORUM_EPOCH_VERSION;
                let answer = peer.call(&wire, version, limit).await?;
                Ok(raft_wire::begin_quorum_epoch_response(&answer))
            }
            Request::EndQuorumEpoch(end) => {
                let endpoints = &self.identity.endpoints;
                let wire = raft_wire::end_quorum_epoch_request(end, cluster_id, endpoints);
                let version = raft_wire::END_QUORUM_EPOCH_VERSION;
                let answer = peer.call(&wire, version, limit).await?;
                Ok(raft_wire::end_quorum_epoch_response(&answer))
            }
            Request::Fetch(fetch) => {
                let limit = limit + Duration::from_millis(fetch.max_wait_ms);
                let wire = raft_wire::fetch_request(fetch, cluster_id);
                let answer = peer.call(&wire, raft_wire::FETCH_VERSION, limit).await?;
                Ok(raft_wire::fetch_response(answer))
            }
            Request::FetchSnapshot(fetch) => {
                let wire = raft_wire::fetch_snapshot_request(fetch, cluster_id);
                let version = raft_wire::FETCH_SNAPSHOT_VERSION;
                let answer = peer.call(&wire, version, limit).await?;
                Ok(raft_wire::fetch_snapshot_response(answer))
            }
            change => self.call_for_voters(change).await,
        }
    }

    async fn call_for_voters(&mut self, request: &Request) -> Result<raft_wire::Answer, CallError> {
        let cluster_id = self.identity.cluster_id.as_str();
        let (peer, limit) = (&mut self.peer, self.identity.request_timeout);
        let version = raft_wire::VOTER_CHANGE_VERSION;
        match request {
            Request::AddVoter(add) => {
                let timeout_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
                let wire = raft_wire::add_voter_request(add, cluster_id, timeout_ms);
                let answer = peer.call(&wire, version, limit).await?;
                Ok(raft_wire::add_voter_response(&answer))
            }
            Request::RemoveVoter(remove) => {
                let wire = raft_wire::remove_voter_request(remove, cluster_id);
                let answer = peer.call(&wire, version, limit).await?;
                Ok(raft_wire::remove_voter_response(&answer))
            }
            Request::UpdateVoter(update) => {
                let wire = raft_wire::update_voter_request(update, cluster_id);
                let answer = peer.call(&wire, version, limit).await?;
                Ok(raft_wire::update_voter_response(&answer))
            }
            Request::ApiVersions(_) => {
                let wire = raft_wire::api_versions_request();
                let version = raft_wire::API_VERSIONS_VERSION;
                let answer = peer.call(&wire, version, limit).await?;
                Ok(raft_wire::api_versions_response(&answer))
            }
            other => panic!("no voter change: {other:?}"),
        }
    }
}
