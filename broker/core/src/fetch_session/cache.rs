//! The sessions a broker keeps for others.
//!
//! There is room for `max.incremental.fetch.session.cache.slots`. A new session takes the place of one that
//! was not used for [`EVICTION_MS`]; else of a smaller one that has had its time, and a follower's session
//! also of a consumer's. Where none gives way the client gets no session and goes on with full fetches.

use std::collections::{BTreeMap, BTreeSet};

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::Offset;

use super::{FINAL_EPOCH, FetchParams, INITIAL_EPOCH, NO_SESSION, SessionPartition, next_epoch};

/// How long a session is safe from larger ones, and after how long without use anybody may take its place.
pub const EVICTION_MS: u64 = 120_000;

/// A fetch request, as far as its session is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub session_id: i32,
    pub session_epoch: i32,
    /// Of a follower: its session may take a consumer's place.
    pub privileged: bool,
    pub uses_topic_ids: bool,
    pub partitions: Vec<(SessionPartition, FetchParams)>,
    pub forgotten: Vec<SessionPartition>,
}

/// A fetch under way: what it reads, in this order, and how its answer is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    pub partitions: Vec<(SessionPartition, FetchParams)>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sessionless,
    New {
        privileged: bool,
        uses_topic_ids: bool,
    },
    Incremental {
        id: i32,
        epoch: i32,
    },
}

/// What a read of one partition came to, as far as a session remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    pub high_watermark: Offset,
    pub log_start: Offset,
    pub has_records: bool,
    /// A diverging epoch or a preferred read replica: always told.
    pub has_news: bool,
    pub failed: bool,
}

/// What goes into the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finished {
    pub session_id: i32,
    /// For each partition of the context, whether the answer holds it.
    pub included: Vec<bool>,
}

/// All sessions of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionCache {
    slots: usize,
    sessions: BTreeMap<i32, Session>,
    /// (last used, id), oldest first.
    last_used: BTreeSet<(u64, i32)>,
    /// Smallest first: whom a follower's session may replace.
    evictable_by_privileged: BTreeSet<Rank>,
    /// Whom any session may replace.
    evictable_by_all: BTreeSet<Rank>,
}

/// Consumers' sessions before followers', small before large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Rank {
    privileged: bool,
    size: usize,
    id: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Session {
    privileged: bool,
    uses_topic_ids: bool,
    created_ms: u64,
    last_used_ms: u64,
    /// As it stands in the sets of the cache.
    rank: Rank,
    /// What the next request must say.
    epoch: i32,
    partitions: BTreeMap<SessionPartition, Cached>,
    /// The order of reading: who gave records goes to the end, so that all have their turn.
    order: BTreeMap<u64, SessionPartition>,
    next_place: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Cached {
    params: FetchParams,
    /// As last told; None: to be told again.
    high_watermark: Option<Offset>,
    log_start: Offset,
    place: u64,
}

impl SessionCache {
    /// `slots`: `max.incremental.fetch.session.cache.slots`.
    pub fn new(slots: usize) -> SessionCache {
        SessionCache {
            slots,
            sessions: BTreeMap::new(),
            last_used: BTreeSet::new(),
            evictable_by_privileged: BTreeSet::new(),
            evictable_by_all: BTreeSet::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Takes a request. `now_ms` is monotonic.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH or FETCH_SESSION_TOPIC_ID_ERROR for the whole
    /// request: the client starts over.
    pub fn begin(&mut self, now_ms: u64, request: Request) -> Result<Context, ErrorCode> {
        let full = |kind, partitions| Ok(Context { partitions, kind });
        match request.session_epoch {
            FINAL_EPOCH => {
                self.remove(request.session_id);
                full(Kind::Sessionless, request.partitions)
            }
            INITIAL_EPOCH => {
                self.remove(request.session_id);
                let (privileged, uses_topic_ids) = (request.privileged, request.uses_topic_ids);
                full(
                    Kind::New {
                        privileged,
                        uses_topic_ids,
                    },
                    request.partitions,
                )
            }
            _ => self.resume(now_ms, request),
        }
    }

    fn resume(&mut self, now_ms: u64, request: Request) -> Result<Context, ErrorCode> {
        let id = request.session_id;
        let Some(session) = self.sessions.get_mut(&id) else {
            probe!("fetch session: not found");
            return Err(ErrorCode::FetchSessionIdNotFound);
        };
        if session.epoch != request.session_epoch {
            probe!("fetch session: wrong epoch");
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for (partition, params) in request.partitions {
            session.ask(partition, params);
        }
        for partition in &request.forgotten {
            session.forget(partition);
        }
        session.epoch = next_epoch(session.epoch);
        let context = Context {
            partitions: session.asked(),
            kind: Kind::Incremental {
                id,
                epoch: session.epoch,
            },
        };
        if context.partitions.is_empty() {
            // Nothing is left to read: the session is over and its slot free.
            self.remove(id);
            let kind = Kind::Sessionless;
            return Ok(Context { kind, ..context });
        }
        self.touch(id, now_ms);
        Ok(context)
    }

    /// Decides what the answer holds, and makes the session a full fetch asked for. `outcomes` are in the
    /// order of the context's partitions; a new session gets the first free id from `fresh_id` on.
    ///
    /// # Errors
    /// INVALID_FETCH_SESSION_EPOCH: the session went on without this request.
    pub fn finish(
        &mut self,
        now_ms: u64,
        context: &Context,
        outcomes: &[Outcome],
        fresh_id: impl FnOnce() -> i32,
    ) -> Result<Finished, ErrorCode> {
        assert_eq!(
            context.partitions.len(),
            outcomes.len(),
            "outcomes of partitions asked for"
        );
        let everything = vec![true; outcomes.len()];
        match context.kind {
            Kind::Sessionless => Ok(Finished {
                session_id: NO_SESSION,
                included: everything,
            }),
            Kind::New {
                privileged,
                uses_topic_ids,
            } => {
                let mut session = Session::new(now_ms, privileged, uses_topic_ids);
                for ((partition, params), outcome) in context.partitions.iter().zip(outcomes) {
                    session.ask(partition.clone(), *params);
                    session.note(partition, outcome);
                }
                Ok(Finished {
                    session_id: self.insert(now_ms, session, fresh_id),
                    included: everything,
                })
            }
            Kind::Incremental { id, epoch } => {
                let session = self
                    .sessions
                    .get_mut(&id)
                    .filter(|session| session.epoch == epoch);
                let Some(session) = session else {
                    probe!("fetch session: overtaken");
                    return Err(ErrorCode::InvalidFetchSessionEpoch);
                };
                let answers = context.partitions.iter().zip(outcomes);
                let included = answers
                    .map(|((partition, _), outcome)| session.note(partition, outcome))
                    .collect();
                Ok(Finished {
                    session_id: id,
                    included,
                })
            }
        }
    }

    /// The new session's id, or [`NO_SESSION`] if it finds no place.
    fn insert(&mut self, now_ms: u64, session: Session, fresh_id: impl FnOnce() -> i32) -> i32 {
        let rank = Rank {
            privileged: session.privileged,
            size: session.partitions.len(),
            id: NO_SESSION,
        };
        if self.sessions.len() >= self.slots && !self.evict(now_ms, rank) {
            probe!("fetch session: no slot");
            return NO_SESSION;
        }
        let mut id = fresh_id().max(1);
        while self.sessions.contains_key(&id) {
            id = next_epoch(id);
        }
        self.sessions.insert(id, session);
        self.touch(id, now_ms);
        id
    }

    fn evict(&mut self, now_ms: u64, newcomer: Rank) -> bool {
        let idle = self.last_used.first().copied();
        if let Some((_, id)) = idle.filter(|(used, _)| now_ms.saturating_sub(*used) > EVICTION_MS) {
            probe!("fetch session: idle one evicted");
            self.remove(id);
            return true;
        }
        let evictable = if newcomer.privileged {
            &self.evictable_by_privileged
        } else {
            &self.evictable_by_all
        };
        match evictable.first().copied() {
            Some(smallest) if newcomer >= smallest => {
                probe!("fetch session: smaller one evicted");
                self.remove(smallest.id);
                true
            }
            _ => false,
        }
    }

    fn touch(&mut self, id: i32, now_ms: u64) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let before = (session.rank, session.last_used_ms);
        session.last_used_ms = now_ms;
        session.rank = Rank {
            privileged: session.privileged,
            size: session.partitions.len(),
            id,
        };
        let rank = session.rank;
        let had_its_time = now_ms.saturating_sub(session.created_ms) > EVICTION_MS;
        self.unlist(before.0, before.1);
        self.last_used.insert((now_ms, id));
        if !rank.privileged || had_its_time {
            self.evictable_by_privileged.insert(rank);
        }
        if had_its_time {
            self.evictable_by_all.insert(rank);
        }
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.unlist(session.rank, session.last_used_ms);
        }
    }

    fn unlist(&mut self, rank: Rank, last_used_ms: u64) {
        self.last_used.remove(&(last_used_ms, rank.id));
        self.evictable_by_privileged.remove(&rank);
        self.evictable_by_all.remove(&rank);
    }
}

impl Session {
    fn new(now_ms: u64, privileged: bool, uses_topic_ids: bool) -> Session {
        Session {
            privileged,
            uses_topic_ids,
            created_ms: now_ms,
            last_used_ms: now_ms,
            rank: Rank {
                privileged,
                size: 0,
                id: NO_SESSION,
            },
            epoch: next_epoch(INITIAL_EPOCH),
            partitions: BTreeMap::new(),
            order: BTreeMap::new(),
            next_place: 0,
        }
    }

    /// everything the request said is kept, the leader epoch too.
    fn ask(&mut self, partition: SessionPartition, params: FetchParams) {
        if let Some(cached) = self.partitions.get_mut(&partition) {
            cached.params = params;
            return;
        }
        let place = self.take_place(&partition);
        let cached = Cached {
            params,
            high_watermark: None,
            log_start: -1,
            place,
        };
        self.partitions.insert(partition, cached);
    }

    fn forget(&mut self, partition: &SessionPartition) {
        if let Some(cached) = self.partitions.remove(partition) {
            self.order.remove(&cached.place);
        }
    }

    fn take_place(&mut self, partition: &SessionPartition) -> u64 {
        let place = self.next_place;
        self.next_place += 1;
        self.order.insert(place, partition.clone());
        place
    }

    fn asked(&self) -> Vec<(SessionPartition, FetchParams)> {
        let in_order = self.order.values().map(|partition| {
            let mut params = self.partitions[partition].params;
            if mutant!(R_08) {
                params.current_leader_epoch = None;
            }
            (partition.clone(), params)
        });
        in_order.collect()
    }

    /// Remembers what is told of a partition; true if there is something to tell.
    fn note(&mut self, partition: &SessionPartition, outcome: &Outcome) -> bool {
        let Some(cached) = self.partitions.get_mut(partition) else {
            return true;
        };
        let moved = cached.high_watermark != Some(outcome.high_watermark)
            || cached.log_start != outcome.log_start;
        let always = outcome.has_news || outcome.failed;
        // After an error or a divergence the state is told again once it is over.
        cached.high_watermark = (!always).then_some(outcome.high_watermark);
        cached.log_start = outcome.log_start;
        if outcome.has_records {
            let old_place = cached.place;
            self.order.remove(&old_place);
            let place = self.take_place(partition);
            if let Some(cached) = self.partitions.get_mut(partition) {
                cached.place = place;
            }
        }
        moved || always || outcome.has_records
    }
}
