//! What a world is made of.

use std::sync::Arc;

use sim_disk::DiskOptions;
use sim_faults::{FrameClassifier, NetworkOptions, WireObserver};

use crate::trace::TraceOptions;

/// What a world is made of.
#[derive(Clone)]
pub struct Options {
    /// All randomness of the run follows from it.
    pub seed: u64,
    pub network: NetworkOptions,
    /// Unread bytes one direction of a connection holds before its writer must wait.
    pub connection_buffer: usize,
    /// The wall clocks at the start, ms since the Unix epoch.
    pub wall_start_ms: i64,
    /// A pause stops the node's monotonic clock as the suspension of a virtual machine does. Default
    /// no: it goes on, as in garbage collection or SIGSTOP.
    pub pause_stops_clock: bool,
    /// Tells frames apart for typed faults; without one, they are refused as unsupported.
    pub classifier: Option<Arc<dyn FrameClassifier>>,
    /// Hears of what travels; changes nothing.
    pub wire_observer: Option<Arc<dyn WireObserver>>,
    pub disk: DiskOptions,
    pub trace: TraceOptions,
    /// Polls within one simulated instant after which the run counts as livelocked.
    pub polls_per_instant: u32,
}

impl Options {
    pub fn new(seed: u64) -> Options {
        Options {
            seed,
            network: NetworkOptions::default(),
            connection_buffer: 256 * 1024,
            wall_start_ms: 1_767_225_600_000,
            pause_stops_clock: false,
            classifier: None,
            wire_observer: None,
            disk: DiskOptions::default(),
            trace: TraceOptions::default(),
            polls_per_instant: 1_000_000,
        }
    }
}
