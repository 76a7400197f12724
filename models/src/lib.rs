//! Stateright models that wrap broker/core as it is: what the checker explores is what production runs.
//!
//! [`check`] explores a model breadth first and reports; [`explore`] serves Stateright's explorer for it.
//! One module per component: [`raft`], [`replica`].

pub mod harness;
pub mod raft;
pub mod replica;

use std::time::Duration;

pub use harness::{CheckReport, Finding, Limits};

/// The models by name, with a sentence each.
pub const MODELS: [(&str, &str); 3] = [
    (
        "raft",
        "metadata quorum of three voters: messages late, out of order, lost or doubled",
    ),
    (
        "raft-disk",
        "metadata quorum of three voters: power fails between write and sync",
    ),
    (
        "raft-epochs",
        "metadata quorum of three voters: three elections, as in figure 8 of the Raft paper",
    ),
];

/// Explores the model `name`, with the known bug that is put back on this thread, if any; None when there is
/// no such model.
pub fn check(name: &str, limits: Limits) -> Option<CheckReport> {
    if let Some(model) = replica::ReplicaModel::by_name(name) {
        return Some(harness::run(name, model, limits));
    }
    let model = raft::RaftModel::by_name(name)?;
    Some(harness::run(name, model, limits))
}

/// Serves Stateright's explorer of the model `name` on `address` until the process ends; None when there is
/// no such model.
pub fn explore(name: &str, address: &str) -> Option<()> {
    harness::explore(raft::RaftModel::by_name(name)?, address);
    Some(())
}

/// Enough for every model on two cores.
pub const DEFAULT_LIMITS: Limits = Limits {
    threads: 2,
    states: 5_000_000,
    time: Duration::from_secs(600),
};
