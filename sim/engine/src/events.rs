//! What will happen when: a heap ordered by true time, then by order of scheduling.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A thing due at some time. Ids carry the generation they were scheduled for; a stale one is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Timer {
        slot: u32,
        generation: u32,
    },
    /// The front of a pipe's flight may have arrived.
    Deliver {
        connection: u32,
        generation: u32,
        direction: u8,
    },
    /// A reset arrives at one side of a connection.
    Reset {
        connection: u32,
        generation: u32,
        side: u8,
    },
    StallEnd {
        node: u32,
    },
    /// The time a process was given to end by itself is over.
    GraceEnd {
        node: u32,
        incarnation: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scheduled {
    at: u64,
    sequence: u64,
    event: Event,
}

impl Ord for Scheduled {
    /// Reversed: the heap's greatest is the earliest.
    fn cmp(&self, other: &Scheduled) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Default)]
pub(crate) struct Events {
    heap: BinaryHeap<Scheduled>,
    sequence: u64,
    cancelled: usize,
}

impl Events {
    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.heap.push(Scheduled {
            at,
            sequence: self.sequence,
            event,
        });
    }

    pub(crate) fn next_time(&self) -> Option<u64> {
        self.heap.peek().map(|next| next.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|next| (next.at, next.event))
    }

    /// One scheduled timer will be ignored; when most of the heap is such, `keep` sweeps them out, so
    /// that request timeouts which never strike cost no memory.
    pub(crate) fn cancelled(&mut self, keep: impl Fn(&Event) -> bool) {
        self.cancelled += 1;
        if self.cancelled > 64 && self.cancelled > self.heap.len() / 2 {
            self.heap.retain(|scheduled| keep(&scheduled.event));
            self.cancelled = 0;
        }
    }
}
