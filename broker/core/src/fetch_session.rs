//! Fetch sessions (KIP-227): only what changed is said, in requests and in answers.
//!
//! - [`cache`]: the server's half, what a broker remembers of its clients' and followers' sessions.
//! - [`handler`]: the client's half, used by replica fetchers and by consumers.
//!
//! A session is a set of partitions with the fetch position of each. Session epoch 0 asks for a new one, -1
//! for none (or an end), anything else counts the requests of a session: a request out of turn is refused,
//! and the client starts over with a full one.

pub mod cache;
pub mod handler;
#[cfg(test)]
mod tests;

use broker_protocol::ids::{LeaderEpoch, Offset, Uuid};

pub use cache::{Context, Finished, Outcome, Request, SessionCache};
pub use handler::{FetchSession, SessionRequest};

/// The id of no session.
pub const NO_SESSION: i32 = 0;
/// Session epoch of a full fetch that asks for a session.
pub const INITIAL_EPOCH: i32 = 0;
/// Session epoch of a full fetch without a session.
pub const FINAL_EPOCH: i32 = -1;

/// A topic as the requests of a session name it: by id from Fetch v13, before that by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionTopic {
    Id(Uuid),
    Name(String),
}

/// A partition as the requests of a session name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionPartition {
    pub topic: SessionTopic,
    pub partition: i32,
}

/// What is asked of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchParams {
    pub current_leader_epoch: Option<LeaderEpoch>,
    pub fetch_offset: Offset,
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Of a follower; -1 of a consumer.
    pub log_start: Offset,
    pub max_bytes: i32,
}

/// The epoch after `epoch`, which is not a final one; after the largest it goes on with 1.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}
