//! The smallest violating history of each anomaly, and its lawful twin.

use super::*;
use crate::history::{Action, Isolation, Outcome, Partition, Record};

const PROMISE: Promise = Promise {
    durable: true,
    idempotent: true,
    ordered_sends: true,
    complete_final_reads: true,
    create_time: true,
    retention: false,
    quiet: None,
};

#[derive(Default)]
struct Story {
    history: History,
    time: u64,
}

impl Story {
    fn add(mut self, process: u32, action: Action, outcome: Outcome) -> Story {
        self.time += 10;
        self.history.operations.push(Operation {
            process,
            invoked_ns: self.time,
            completed_ns: self.time + 5,
            invoked_event: self.time,
            completed_event: self.time + 5,
            transaction: None,
            action,
            outcome,
        });
        self
    }

    fn send(self, value: u64, offset: i64) -> Story {
        let action = Action::Send {
            partition: partition(),
            value,
            content: value,
            acks: -1,
            offset: Some(offset),
            sequence: value,
        };
        self.add(1, action, Outcome::Ok)
    }

    fn failed_send(self, value: u64) -> Story {
        let action = Action::Send {
            partition: partition(),
            value,
            content: value,
            acks: -1,
            offset: None,
            sequence: value,
        };
        self.add(1, action, Outcome::Fail("MESSAGE_TOO_LARGE".into()))
    }

    fn poll(self, from: i64, records: &[(i64, u64)], next: i64) -> Story {
        let records = records
            .iter()
            .map(|&(offset, value)| Record {
                offset,
                value: Some(value),
                content: value,
            })
            .collect();
        self.add(
            2,
            Action::Poll {
                partition: partition(),
                from,
                records,
                next,
                isolation: Isolation::ReadUncommitted,
            },
            Outcome::Ok,
        )
    }

    fn assign(self, position: i64) -> Story {
        self.add(
            2,
            Action::Assign {
                partition: partition(),
                position,
            },
            Outcome::Ok,
        )
    }

    fn list_offsets(self, earliest: i64, latest: i64) -> Story {
        self.list_offsets_as(1, earliest, latest)
    }

    fn list_offsets_as(self, process: u32, earliest: i64, latest: i64) -> Story {
        self.add(
            process,
            Action::ListOffsets {
                partition: partition(),
                earliest,
                latest,
                isolation: Isolation::ReadUncommitted,
            },
            Outcome::Ok,
        )
    }

    #[track_caller]
    fn finds(self, anomalies: &[&str]) {
        let found: Vec<String> = check(&self.history, PROMISE)
            .violations
            .into_iter()
            .map(|violation| violation.anomaly)
            .collect();
        assert_eq!(found, anomalies);
    }
}

fn partition() -> Partition {
    Partition {
        topic: "t".into(),
        index: 0,
    }
}

#[test]
fn a_lawful_history_has_no_anomaly_and_every_check_ran() {
    let story = Story::default()
        .send(1, 0)
        .send(2, 1)
        .list_offsets(0, 2)
        .failed_send(9)
        .assign(0);
    let story = story
        .poll(0, &[(0, 1), (1, 2)], 2)
        .poll(2, &[], 2)
        .assign(0)
        .poll(0, &[(0, 1)], 1);
    let report = check(&story.history, PROMISE);
    assert_eq!(report.violations, vec![]);
    for invariant in ["CLI-1", "CLI-2", "CLI-3", "CLI-4", "CLI-5", "CLI-6"] {
        assert!(
            report.checked[invariant] > 0,
            "{invariant} was never checked"
        );
    }
}

#[test]
fn lost_write() {
    Story::default()
        .send(1, 0)
        .send(2, 1)
        .poll(0, &[(1, 2)], 2)
        .finds(&["lost-write", "int-poll-skip"]);
}

#[test]
fn unseen() {
    Story::default()
        .send(1, 0)
        .send(2, 1)
        .poll(0, &[(0, 1)], 1)
        .finds(&["unseen"]);
}

#[test]
fn aborted_read_g1a() {
    Story::default()
        .failed_send(1)
        .poll(0, &[(0, 1)], 1)
        .finds(&["G1a"]);
}

#[test]
fn poll_skip_and_nonmonotonic_poll() {
    let story = || Story::default().send(1, 0).send(2, 1).poll(0, &[(0, 1)], 1);
    story().assign(0).poll(0, &[(0, 1), (1, 2)], 2).finds(&[]);
    story()
        .poll(0, &[(0, 1), (1, 2)], 2)
        .finds(&["nonmonotonic-poll"]);
    Story::default()
        .send(1, 0)
        .poll(0, &[(0, 1)], 1)
        .assign(0)
        .poll(0, &[], 0)
        .poll(1, &[], 1)
        .finds(&["poll-skip"]);
    Story::default()
        .send(1, 0)
        .poll(0, &[(0, 1)], 1)
        .assign(0)
        .poll(0, &[], 1)
        .finds(&["poll-skip"]);
}

#[test]
fn internal_nonmonotonic_poll() {
    Story::default()
        .send(1, 0)
        .send(2, 1)
        .poll(0, &[(1, 2), (0, 1)], 2)
        .finds(&["int-poll-skip", "int-nonmonotonic-poll", "poll-skip"]);
}

#[test]
fn inconsistent_offsets_between_polls_and_between_send_and_poll() {
    let sends = || Story::default().send(1, 0).send(2, 1);
    sends()
        .poll(0, &[(0, 2), (1, 2)], 2)
        .finds(&["inconsistent-offsets", "duplicate"]);
    let two_views = sends()
        .poll(0, &[(0, 1), (1, 2)], 2)
        .assign(1)
        .poll(1, &[(1, 1)], 2);
    two_views.finds(&["inconsistent-offsets", "duplicate"]);
}

#[test]
fn phantom_records() {
    Story::default()
        .send(1, 0)
        .poll(0, &[(0, 1), (1, 7)], 2)
        .finds(&["phantom"]);
}

#[test]
fn duplicate() {
    Story::default()
        .send(1, 0)
        .poll(0, &[(0, 1), (1, 1)], 2)
        .finds(&["duplicate"]);
}

#[test]
fn nonmonotonic_send_and_realtime() {
    let story = Story::default()
        .send(1, 1)
        .send(2, 0)
        .poll(0, &[(0, 2), (1, 1)], 2);
    story.finds(&["nonmonotonic-send", "realtime"]);
}

#[test]
fn an_end_offset_behind_an_acknowledgement() {
    Story::default()
        .send(1, 0)
        .list_offsets(0, 0)
        .poll(0, &[(0, 1)], 1)
        .finds(&["stale-end-offset"]);
}

/// Kafka's leaders hold no lease: one that was deposed may still answer who has not heard of it.
#[test]
fn another_clients_acknowledgement_does_not_bind_a_deposed_leader() {
    Story::default()
        .send(1, 0)
        .list_offsets_as(3, 0, 0)
        .poll(0, &[(0, 1)], 1)
        .finds(&[]);
    Story::default()
        .send(1, 0)
        .list_offsets_as(3, 2, 1)
        .poll(0, &[(0, 1)], 1)
        .finds(&["stale-end-offset", "deleted-early"]);
}

#[test]
fn an_offset_acknowledged_twice() {
    let story = Story::default().send(1, 0).send(2, 0).poll(0, &[(0, 1)], 1);
    story.finds(&["nonmonotonic-send", "realtime", "inconsistent-offsets"]);
}

mod transactions;
