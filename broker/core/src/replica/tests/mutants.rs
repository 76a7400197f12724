//! Each known bug, put back, must give a wrong answer in its scenario; without it the scenario holds.

use std::collections::BTreeMap;

use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset};

use super::edges::{ONE, TWO, append, metadata, replica, step};
use crate::Ticket;
use crate::replica::{
    Acks, EpochEndOffset, FetchResponse, Fetched, FollowerFetch, Input, Output, Replica,
};

type Scenario = fn() -> Result<(), String>;

const SCENARIOS: [(&str, Scenario); 4] = [
    ("L_19", a_log_without_records_goes_on_where_it_ended),
    ("R_13", a_leader_is_not_truncated_by_its_old_fetch),
    ("R_17", a_failed_fetch_says_nothing_about_the_follower),
    (
        "R_29",
        a_new_partition_epoch_keeps_what_is_known_of_followers,
    ),
];

#[test]
fn scenarios_hold_without_the_bugs() {
    for (id, scenario) in SCENARIOS {
        scenario().unwrap_or_else(|problem| panic!("{id}: {problem}"));
    }
}

#[cfg(feature = "mutants")]
#[test]
fn each_bug_is_found() {
    for (id, scenario) in SCENARIOS {
        broker_probe::set_mutant(Some(id));
        let result = scenario();
        broker_probe::set_mutant(None);
        result.expect_err(id);
    }
}

fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Leader 1 of epoch 0 with `records`, all of them on follower 2.
fn leader(records: Offset) -> Replica {
    let mut leader = replica(0, 0, false);
    let brokers = BTreeMap::from([1, 2, 3].map(|id| (NodeId(id), BrokerEpoch(10))));
    step(&mut leader, Input::Eligible(brokers));
    step(&mut leader, metadata(ONE, 0, 0, &[ONE, TWO]));
    for ticket in 0..records.unsigned_abs() {
        append(&mut leader, ticket, Acks::Leader);
    }
    let (ticket, fetch) = (Ticket(100), fetch_at(records));
    step(&mut leader, Input::FollowerFetch { ticket, fetch });
    leader
}

fn fetch_at(fetch_offset: Offset) -> FollowerFetch {
    FollowerFetch {
        follower: TWO,
        broker_epoch: BrokerEpoch(10),
        current_leader_epoch: Some(LeaderEpoch(0)),
        fetch_offset,
        last_fetched_epoch: (fetch_offset > 0).then_some(LeaderEpoch(0)),
        log_start: 0,
    }
}

fn a_log_without_records_goes_on_where_it_ended() -> Result<(), String> {
    let mut leader = leader(4);
    let ticket = Ticket(200);
    let offset = None;
    step(&mut leader, Input::DeleteRecords { ticket, offset });
    expect(leader.log_start() == 4, "everything is deleted")?;
    let out = append(&mut leader, 201, Acks::Leader);
    let base = out.iter().find_map(|output| match output {
        Output::Append { base_offset, .. } => Some(*base_offset),
        _ => None,
    });
    expect(base == Some(4), "an offset was given out twice")
}

fn a_leader_is_not_truncated_by_its_old_fetch() -> Result<(), String> {
    let mut replica = replica(0, 6, false);
    step(&mut replica, metadata(TWO, 1, 1, &[ONE, TWO]));
    let request = replica.fetch_request().expect("a leader to fetch from");
    step(&mut replica, metadata(ONE, 2, 2, &[ONE]));
    let result = Ok(Fetched {
        diverging: Some(EpochEndOffset {
            epoch: LeaderEpoch(0),
            end_offset: 3,
        }),
        high_watermark: 0,
        log_start: 0,
        batches: Vec::new(),
    });
    let response = FetchResponse { request, result };
    let out = step(&mut replica, Input::FetchResponse(response));
    expect(out.is_empty() && replica.log_end() == 6, "truncated")
}

fn a_failed_fetch_says_nothing_about_the_follower() -> Result<(), String> {
    let mut leader = leader(4);
    // Out of range: nothing is read.
    let beyond = FollowerFetch {
        last_fetched_epoch: None,
        ..fetch_at(9)
    };
    let ticket = Ticket(101);
    let fetch = beyond;
    step(&mut leader, Input::FollowerFetch { ticket, fetch });
    expect(
        leader.counted_end(TWO) == Some(4),
        "counted by a failed read",
    )
}

fn a_new_partition_epoch_keeps_what_is_known_of_followers() -> Result<(), String> {
    let mut leader = leader(4);
    step(&mut leader, metadata(ONE, 0, 1, &[ONE, TWO]));
    expect(
        leader.counted_end(TWO) == Some(4),
        "the follower is forgotten",
    )
}
