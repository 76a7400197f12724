//! The network's rules together with the stream of randomness they draw from.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use sim_faults::{
    ConnectVerdict, Direction, FrameRules, FrameTap, HostId, NetworkOptions, NetworkRules, Passage,
    Verdict, WireObserver,
};

use crate::random::below;

/// A SYN that got no answer is sent again within this; ns.
const SYN_RETRY: u64 = 1_000_000_000;

pub struct Wires {
    pub rules: NetworkRules,
    /// Typed rules; absent in runs that cannot have any.
    pub frames: Option<FrameRules>,
    /// Hears of what travels, in runs that are recorded.
    pub observer: Option<Arc<dyn WireObserver>>,
    random: ChaCha8Rng,
    capacity: usize,
}

/// What an observer is told of side `side`'s stream.
pub fn passage(
    (at_ns, event): (u64, u64),
    connection: u64,
    side: u8,
    (from, to): (u32, u32),
) -> Passage {
    Passage {
        at_ns,
        event,
        connection,
        direction: if side == 0 {
            Direction::Request
        } else {
            Direction::Response
        },
        from: host(from),
        to: host(to),
    }
}

fn host(id: u32) -> HostId {
    HostId(id)
}

impl Wires {
    pub fn new(options: NetworkOptions, capacity: usize, random: ChaCha8Rng) -> Wires {
        Wires {
            rules: NetworkRules::new(options),
            frames: None,
            observer: None,
            random,
            capacity,
        }
    }

    /// Unread bytes one direction holds before its writer must wait.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn decide(&mut self, leaves: u64, (from, to): (u32, u32), bytes: usize) -> Verdict {
        self.rules
            .decide(leaves, host(from), host(to), bytes, &mut self.random)
    }

    /// As [`Wires::decide`], for what waited since `since`.
    pub fn decide_again(
        &mut self,
        now: u64,
        since: u64,
        (from, to): (u32, u32),
        bytes: usize,
    ) -> Verdict {
        self.rules
            .decide_again(now, since, host(from), host(to), bytes, &mut self.random)
    }

    pub fn connect(&mut self, now: u64, (from, to): (u32, u32)) -> ConnectVerdict {
        self.rules
            .connect(now, host(from), host(to), &mut self.random)
    }

    pub fn connect_again(&mut self, now: u64, since: u64, link: (u32, u32)) -> ConnectVerdict {
        match self.connect(now, link) {
            ConnectVerdict::AnsweredAt(at) => {
                let retry = below(
                    &mut self.random,
                    SYN_RETRY.min(now.saturating_sub(since)) + 1,
                );
                ConnectVerdict::AnsweredAt(at.saturating_add(retry))
            }
            other => other,
        }
    }

    pub fn is_cut(&self, (from, to): (u32, u32)) -> bool {
        self.rules.is_cut(host(from), host(to))
    }

    /// How many of so many bytes one read, write or segment passes.
    pub fn piece(&mut self, (from, to): (u32, u32), bytes: usize) -> usize {
        self.rules
            .piece(host(from), host(to), bytes, &mut self.random)
    }

    /// A tap for one direction of a new connection, in a run that may have typed rules.
    pub fn tap(
        &self,
        connection: u64,
        (from, to): (u32, u32),
        direction: Direction,
    ) -> Option<Box<FrameTap>> {
        self.frames.as_ref()?;
        let name = |id| self.rules.name(host(id));
        Some(Box::new(FrameTap::new(
            connection,
            name(from),
            name(to),
            direction,
        )))
    }

    /// Runs staged bytes through a tap: pieces with the time they may leave; none breaks the connection.
    pub fn tapped(
        &mut self,
        now: u64,
        tap: &mut FrameTap,
        bytes: &[u8],
    ) -> Vec<(bytes::Bytes, Option<u64>)> {
        let rules = self.frames.as_mut().expect("taps exist only with rules");
        let tapped = tap.push(bytes, rules, &mut self.random);
        tapped
            .into_iter()
            .map(|piece| (piece.bytes.clone(), piece.leaves_at(now)))
            .collect()
    }
}
