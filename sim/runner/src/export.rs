//! A model's counterexample as a scenario that stands by itself: the same topology, and faults at fixed times that
//! make the simulated cluster go the same way. Time, which a model does not have, is chosen; whether it leads to the
//! same violation only the simulator can tell, so [`search`] tries.

mod partition;
mod quorum;
mod search;
mod timeline;
mod write;

use std::time::Duration;

use models::counterexample::{Counterexample, Setup};
use sim_faults::FaultSpec;

pub use search::{Exported, Tries, search};
pub use write::text;

use timeline::Timeline;

/// A step of the way that no scenario can make happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the step \"{0}\" has no counterpart among a scenario's faults")]
pub struct NoCounterpart(pub String);

/// What a scenario file is written from.
#[derive(Clone, Debug)]
pub struct Draft {
    /// All but description, faults and run.
    sections: String,
    faults: Vec<FaultSpec>,
    timeline: Timeline,
}

/// How long everything takes, in percent of the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace(u32);

impl Pace {
    pub const ALL: [Pace; 3] = [Pace(100), Pace(60), Pace(160)];

    fn of(self, usual: Duration) -> Duration {
        usual * self.0 / 100
    }
}

/// # Errors
/// See [`NoCounterpart`].
pub fn draft(way: &Counterexample, pace: Pace) -> Result<Draft, NoCounterpart> {
    match way.setup {
        Setup::Quorum {
            voters,
            observers: 0,
            dynamic,
        } => quorum::draft(way, voters, dynamic, pace),
        Setup::Quorum { .. } => Err(NoCounterpart("an observer that becomes a voter".into())),
        Setup::Partition {
            leader,
            min_insync_replicas,
        } => partition::draft(way, leader, min_insync_replicas, pace),
    }
}

/// The model's nodes by their names in a scenario.
fn host(id: i32) -> String {
    format!("node{id}")
}
