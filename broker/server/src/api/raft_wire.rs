//! The metadata quorum's messages between wire and core, of `__cluster_metadata-0`. Both directions, because
//! every member both asks and answers.
//!
//! Map: `vote`, `epochs` (BeginQuorumEpoch, EndQuorumEpoch), `fetch`, `snapshot` (FetchSnapshot), `voters`
//! (AddRaftVoter, RemoveRaftVoter, UpdateRaftVoter). A `x_request` goes to the wire and its `x_response` comes
//! from there; a `x_from_wire` comes in and its `x_to_wire` goes out.

mod epochs;
mod fetch;
mod snapshot;
mod vote;
mod voters;

use broker_core::raft::{self, Endpoint, Error, Response};
use broker_env::Address;
use broker_protocol::ErrorCode;
use broker_protocol::ids::{NodeId, Uuid};
use bytes::Bytes;

pub use epochs::*;
pub use fetch::*;
pub use snapshot::*;
pub use vote::*;
pub use voters::*;

pub const VOTE_VERSION: i16 = 2;
pub const BEGIN_QUORUM_EPOCH_VERSION: i16 = 1;
pub const END_QUORUM_EPOCH_VERSION: i16 = 1;
pub const FETCH_VERSION: i16 = 18;
pub const FETCH_SNAPSHOT_VERSION: i16 = 1;
pub const VOTER_CHANGE_VERSION: i16 = 0;
/// The first that tells features from level 0 on (KAFKA-17492).
pub const API_VERSIONS_VERSION: i16 = 4;

pub const METADATA_TOPIC: &str = "__cluster_metadata";
/// Kafka's fixed id of that topic.
pub const METADATA_TOPIC_ID: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// A peer's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub response: Response,
    /// The records of a fetch, or the chunk of a snapshot.
    pub bytes: Bytes,
    /// Where the nodes that the answer names listen.
    pub endpoints: Vec<(NodeId, Address)>,
}

impl Answer {
    fn of(response: Response) -> Answer {
        Answer {
            response,
            bytes: Bytes::new(),
            endpoints: Vec::new(),
        }
    }
}

/// The leader that an answer names, and where it listens.
pub type LeaderEndpoint = Option<(NodeId, Address)>;

/// The request names no metadata partition, or more than it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMetadata;

fn node_or_none(id: i32) -> Option<NodeId> {
    (id >= 0).then_some(NodeId(id))
}

fn endpoint(node: i32, host: &str, port: u16) -> (NodeId, Address) {
    (NodeId(node), Address::new(host, port))
}

fn id_of(node: Option<NodeId>) -> i32 {
    node.map_or(-1, |node| node.0)
}

/// Leaves out a leader that nobody could reach: the core must not follow it.
pub fn keep_leader(response: &mut Response, reachable: impl Fn(NodeId) -> bool) {
    let leader = match response {
        Response::Vote(response) => &mut response.leader,
        Response::BeginQuorumEpoch(response)
        | Response::EndQuorumEpoch(response)
        | Response::AddVoter(response)
        | Response::RemoveVoter(response)
        | Response::UpdateVoter(response) => &mut response.leader,
        Response::Fetch(response) => &mut response.leader,
        Response::FetchSnapshot(response) => &mut response.leader,
        Response::ApiVersions(_) => return,
    };
    *leader = leader.filter(|leader| reachable(*leader));
}

fn check_name(topic: &str, partition: i32) -> Result<(), NotMetadata> {
    if topic == METADATA_TOPIC && partition == 0 {
        Ok(())
    } else {
        Err(NotMetadata)
    }
}

/// A response without its partition and without an error is no answer.
fn top_level(code: i16) -> i16 {
    if code == 0 {
        ErrorCode::UnknownServerError.code()
    } else {
        code
    }
}

pub fn error_code(error: raft::Error) -> ErrorCode {
    match error {
        Error::None => ErrorCode::None,
        Error::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        Error::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
        Error::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
        Error::InvalidRequest => ErrorCode::InvalidRequest,
        Error::InvalidVoterKey => ErrorCode::InvalidVoterKey,
        Error::BrokerNotAvailable => ErrorCode::BrokerNotAvailable,
        Error::SnapshotNotFound => ErrorCode::SnapshotNotFound,
        Error::PositionOutOfRange => ErrorCode::PositionOutOfRange,
        Error::DuplicateVoter => ErrorCode::DuplicateVoter,
        Error::VoterNotFound => ErrorCode::VoterNotFound,
        Error::RequestTimedOut => ErrorCode::RequestTimedOut,
        Error::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        Error::InvalidUpdateVersion => ErrorCode::InvalidUpdateVersion,
        Error::Unexpected => ErrorCode::UnknownServerError,
    }
}

fn core_error(code: i16) -> Error {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Error::None,
        Some(ErrorCode::FencedLeaderEpoch) => Error::FencedLeaderEpoch,
        Some(ErrorCode::UnknownLeaderEpoch) => Error::UnknownLeaderEpoch,
        Some(ErrorCode::NotLeaderOrFollower) => Error::NotLeaderOrFollower,
        Some(ErrorCode::InvalidRequest) => Error::InvalidRequest,
        Some(ErrorCode::InvalidVoterKey) => Error::InvalidVoterKey,
        Some(ErrorCode::BrokerNotAvailable) => Error::BrokerNotAvailable,
        Some(ErrorCode::SnapshotNotFound) => Error::SnapshotNotFound,
        Some(ErrorCode::PositionOutOfRange) => Error::PositionOutOfRange,
        Some(ErrorCode::DuplicateVoter) => Error::DuplicateVoter,
        Some(ErrorCode::VoterNotFound) => Error::VoterNotFound,
        Some(ErrorCode::RequestTimedOut) => Error::RequestTimedOut,
        Some(ErrorCode::UnsupportedVersion) => Error::UnsupportedVersion,
        Some(ErrorCode::InvalidUpdateVersion) => Error::InvalidUpdateVersion,
        _ => Error::Unexpected,
    }
}
