//! What a run and a step of it give.

use crate::handle::HostId;

/// Why [`crate::Engine::run_until`] came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The deadline was reached.
    Deadline,
    /// The condition of [`crate::Engine::run_while`] failed.
    Condition,
    /// Nothing will ever happen again: no task can run, no event is due.
    Idle,
    /// Somebody called [`crate::Handle::stop`].
    Stopped { reason: String },
    /// A task panicked.
    Crashed(Crash),
    /// Tasks kept each other running without time passing; `task` was polled most.
    Livelock { node: String, task: String },
}

/// A panic in a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    pub node: String,
    pub task: String,
    pub message: String,
    /// `file:line:column`, or empty.
    pub location: String,
    /// True time, ns.
    pub at: u64,
    pub event: u64,
}

impl std::fmt::Display for Crash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Crash {
            node,
            task,
            message,
            location,
            ..
        } = self;
        write!(
            formatter,
            "{node}: task `{task}` panicked at {location}: {message}"
        )
    }
}

/// One step of the run, for white-box checkers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// Number of the latest event.
    pub event: u64,
    /// True time, ns.
    pub at: u64,
    /// The host whose task ran; none for what the world did.
    pub host: Option<HostId>,
}
