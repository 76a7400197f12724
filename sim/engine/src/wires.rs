//! How long bytes travel and in what pieces: the network rules with the stream of randomness they use.

use rand_chacha::ChaCha8Rng;

use crate::random::below;

/// What a network is like where no fault says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkOptions {
    /// One way, drawn uniformly; ns.
    pub latency: (u64, u64),
    /// Within a host; ns.
    pub loopback: (u64, u64),
    /// Unread bytes one direction holds before its writer must wait.
    pub capacity: usize,
    /// After a heal, what waited arrives within this; ns.
    pub retransmission: u64,
}

impl Default for NetworkOptions {
    fn default() -> NetworkOptions {
        NetworkOptions {
            latency: (100_000, 500_000),
            loopback: (5_000, 20_000),
            capacity: 256 * 1024,
            retransmission: 200_000_000,
        }
    }
}

pub(crate) struct Wires {
    options: NetworkOptions,
    random: ChaCha8Rng,
}

impl Wires {
    pub(crate) fn new(options: NetworkOptions, random: ChaCha8Rng) -> Wires {
        Wires { options, random }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.options.capacity
    }

    pub(crate) fn arrival(&mut self, now: u64, from: usize, to: usize, _bytes: usize, _busy_until: &mut u64) -> u64 {
        let (low, high) = if from == to { self.options.loopback } else { self.options.latency };
        now + low + below(&mut self.random, (high - low).saturating_add(1))
    }

    pub(crate) fn fragment(&mut self, staged: usize) -> usize {
        staged
    }

    pub(crate) fn read_limit(&mut self) -> usize {
        usize::MAX
    }

    pub(crate) fn write_limit(&mut self) -> usize {
        usize::MAX
    }

    pub(crate) fn blocked(&self, _from: usize, _to: usize) -> bool {
        false
    }

    pub(crate) fn retransmission_delay(&mut self) -> u64 {
        below(&mut self.random, self.options.retransmission.saturating_add(1))
    }
}
