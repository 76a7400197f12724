//! Scenarios in, verdicts out: builds a world on an engine, drives faults and clients through it, judges.
//!
//! Map: [`scenario`] what a run consists of, from TOML or a builder · [`engine`] what is needed of an
//! engine · [`driver`] one run from its seed to its verdict · [`classify`] Kafka frames for typed faults ·
//! [`application`] one's own program in a run · [`real`] the same on a real cluster · [`recording`] a run as it went ·
//! [`invariants`] what is judged · [`export`] models' counterexamples as scenarios. The program `trial` is `cli`.

pub mod application;
pub mod bugs;
pub mod classify;
pub mod driver;
pub mod engine;
pub mod explain;
pub mod export;
pub mod invariants;
pub mod pool;
pub mod real;
pub mod recording;
pub mod result;
pub mod scenario;
pub mod shrink;

pub use application::{Application, Check, Context};
pub use engine::EngineKind;
pub use scenario::Scenario;
