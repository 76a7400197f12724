//! The rolling hash that names a run, its samples, and the optional readable trace.

/// What a trace line is about; the discriminant is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// A task was polled.
    Poll = 1,
    /// A task ended.
    TaskEnd = 2,
    /// A timer fired.
    Timer = 3,
    /// Bytes, end-of-stream or a handshake step reached the other end.
    Deliver = 4,
    /// A reset reached the other end.
    Reset = 5,
    /// A node's inline I/O stall ended.
    StallEnd = 6,
    /// Something an application or a checker recorded.
    Record = 7,
    /// The testbed did something to a node or to the network.
    Control = 8,
}

/// One line of the readable trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// True simulated time, ns.
    pub at: u64,
    /// Number of the event.
    pub event: u64,
    /// Host name, or empty.
    pub node: String,
    pub what: String,
}

impl std::fmt::Display for TraceLine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, nanos) = (self.at / 1_000_000_000, self.at % 1_000_000_000);
        let node = if self.node.is_empty() {
            "-"
        } else {
            &self.node
        };
        write!(
            formatter,
            "{seconds}.{nanos:09} · {} · {node} · {}",
            self.event, self.what
        )
    }
}

/// Which parts of a trace to keep, beside the hash that is always there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// Keep the hash after every n-th event; 0: keep none.
    pub sample_every: u64,
    /// Keep readable lines of events in this half-open range.
    pub lines: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    options: TraceOptions,
    samples: Vec<(u64, u64)>,
    lines: Vec<TraceLine>,
}

impl Trace {
    pub fn new(options: TraceOptions) -> Trace {
        Trace {
            hash: 0x5472_6961_6c5f_5f31,
            options,
            ..Trace::default()
        }
    }

    /// Counts one event and folds it into the hash.
    pub fn event(&mut self, kind: EventKind, at: u64, first: u64, second: u64) {
        self.events += 1;
        self.mix(at ^ (u64::from(kind as u8) << 56));
        self.mix(first ^ second.rotate_left(32));
        if self.options.sample_every != 0 && self.events.is_multiple_of(self.options.sample_every) {
            self.samples.push((self.events, self.hash));
        }
    }

    /// Folds one word into the hash without counting an event.
    pub fn mix(&mut self, word: u64) {
        // One 64 x 64 -> 128 bit product folded: every input bit reaches every output bit. The rotation
        // keeps a zero product from forgetting the past.
        let product = u128::from(self.hash ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        let (low, high) = halves(product);
        self.hash = (low ^ high).wrapping_add(self.hash.rotate_left(23));
    }

    /// Whether a readable line would be kept now; build the text only then.
    pub fn wants_lines(&self) -> bool {
        self.options
            .lines
            .is_some_and(|(from, until)| (from..until).contains(&self.events))
    }

    pub fn line(&mut self, at: u64, node: &str, what: String) {
        self.lines.push(TraceLine {
            at,
            event: self.events,
            node: node.to_owned(),
            what,
        });
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn events(&self) -> u64 {
        self.events
    }

    pub fn samples(&self) -> &[(u64, u64)] {
        &self.samples
    }

    pub fn take_lines(&mut self) -> Vec<TraceLine> {
        std::mem::take(&mut self.lines)
    }
}

fn halves(product: u128) -> (u64, u64) {
    let bytes = product.to_le_bytes();
    let (low, high) = bytes.split_at(8);
    let word = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("half of 16 bytes"));
    (word(low), word(high))
}
