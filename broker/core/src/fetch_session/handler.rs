//! The session a client or follower has with one broker.

use std::collections::{BTreeMap, BTreeSet};

use broker_probe::probe;
use broker_protocol::ErrorCode;
use broker_protocol::ids::TopicIdPartition;

use super::{FINAL_EPOCH, FetchParams, INITIAL_EPOCH, NO_SESSION, next_epoch};

/// What the next fetch request says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionRequest {
    pub session_id: i32,
    pub session_epoch: i32,
    pub partitions: Vec<(TopicIdPartition, FetchParams)>,
    pub forgotten: Vec<TopicIdPartition>,
}

/// The partitions that are read from one broker, and how much of that the broker knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchSession {
    id: i32,
    epoch: i32,
    wanted: BTreeMap<TopicIdPartition, FetchParams>,
    /// Wanted otherwise than the broker was told.
    changed: BTreeSet<TopicIdPartition>,
    /// The broker was told of it, and it is no longer wanted.
    forgotten: BTreeSet<TopicIdPartition>,
}

impl Default for FetchSession {
    fn default() -> FetchSession {
        FetchSession {
            id: NO_SESSION,
            epoch: INITIAL_EPOCH,
            wanted: BTreeMap::new(),
            changed: BTreeSet::new(),
            forgotten: BTreeSet::new(),
        }
    }
}

impl FetchSession {
    /// What is read, with the positions last asked for.
    pub fn wanted(&self) -> &BTreeMap<TopicIdPartition, FetchParams> {
        &self.wanted
    }

    pub fn want(&mut self, partition: TopicIdPartition, params: FetchParams) {
        self.forgotten.remove(&partition);
        if self.wanted.insert(partition, params) != Some(params) {
            self.changed.insert(partition);
        }
    }

    pub fn drop_partition(&mut self, partition: TopicIdPartition) {
        if self.wanted.remove(&partition).is_some() {
            self.changed.remove(&partition);
            self.forgotten.insert(partition);
        }
    }

    /// Wants these and nothing else.
    pub fn want_only(&mut self, partitions: &BTreeMap<TopicIdPartition, FetchParams>) {
        let gone: Vec<TopicIdPartition> = self
            .wanted
            .keys()
            .filter(|known| !partitions.contains_key(known))
            .copied()
            .collect();
        for partition in gone {
            self.drop_partition(partition);
        }
        for (partition, params) in partitions {
            self.want(*partition, *params);
        }
    }

    fn is_full(&self) -> bool {
        matches!(self.epoch, INITIAL_EPOCH | FINAL_EPOCH)
    }

    /// The next request; its outcome must be told before another is made.
    pub fn request(&mut self) -> SessionRequest {
        let (partitions, forgotten) = if self.is_full() {
            (
                self.wanted
                    .iter()
                    .map(|(id, params)| (*id, *params))
                    .collect(),
                Vec::new(),
            )
        } else {
            let changed = self.changed.iter().map(|id| (*id, self.wanted[id]));
            (changed.collect(), self.forgotten.iter().copied().collect())
        };
        self.changed.clear();
        self.forgotten.clear();
        SessionRequest {
            session_id: self.id,
            session_epoch: self.epoch,
            partitions,
            forgotten,
        }
    }

    /// An answer without an error of its own. `answered`: the partitions in it.
    ///
    /// # Errors
    /// INVALID_FETCH_SESSION_EPOCH if it does not fit the session: to be dropped as a whole, the next request
    /// is a full one.
    pub fn answered(
        &mut self,
        session_id: i32,
        answered: &BTreeSet<TopicIdPartition>,
    ) -> Result<(), ErrorCode> {
        let known = answered.iter().all(|id| self.wanted.contains_key(id));
        let complete = !self.is_full() || answered.len() == self.wanted.len();
        if !known || !complete {
            probe!("fetch session: answer does not fit");
            self.start_over();
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session_id == NO_SESSION {
            self.id = NO_SESSION;
            self.epoch = INITIAL_EPOCH;
        } else {
            self.epoch = next_epoch(if self.is_full() {
                INITIAL_EPOCH
            } else {
                self.epoch
            });
            self.id = session_id;
        }
        Ok(())
    }

    /// The whole request was refused. True if only the session is to blame: the same request, as a full one,
    /// may follow at once.
    pub fn refused(&mut self, error: ErrorCode) -> bool {
        if error == ErrorCode::FetchSessionIdNotFound {
            self.id = NO_SESSION;
        }
        let was_full = self.is_full();
        self.start_over();
        !was_full
            && matches!(
                error,
                ErrorCode::FetchSessionIdNotFound
                    | ErrorCode::InvalidFetchSessionEpoch
                    | ErrorCode::FetchSessionTopicIdError
            )
    }

    /// No answer: whether the broker has got the request is not known. The next one ends that session.
    pub fn failed(&mut self) {
        self.start_over();
    }

    fn start_over(&mut self) {
        self.epoch = INITIAL_EPOCH;
    }
}
