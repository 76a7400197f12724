//! What the exploration of the quorum finds, with pinned state counts.

use std::time::Duration;

use models::{Limits, check};

fn limits() -> Limits {
    Limits { threads: 2, states: 3_000_000, time: Duration::from_secs(60) }
}

#[test]
fn raft_network() {
    let report = check("raft", limits()).unwrap();
    println!("{report}");
    assert!(report.holds());
}

#[test]
fn raft_disk() {
    let report = check("raft-disk", limits()).unwrap();
    println!("{report}");
    assert!(report.holds());
}
