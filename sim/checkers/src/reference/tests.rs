//! Histories that no log has, and their lawful twins.

use super::*;
use crate::history::Record;

const PROMISE: Promise = Promise {
    durable: true,
    idempotent: false,
    ordered_sends: false,
    complete_final_reads: true,
    create_time: true,
    retention: false,
    quiet: None,
};

fn partition() -> Partition {
    Partition {
        topic: "t".to_owned(),
        index: 0,
    }
}

fn operation(times: (u64, u64), action: Action, outcome: Outcome) -> Operation {
    Operation {
        process: 1,
        invoked_ns: times.0,
        completed_ns: times.1,
        invoked_event: times.0,
        completed_event: times.1,
        transaction: None,
        action,
        outcome,
    }
}

fn send(times: (u64, u64), value: u64, offset: Option<i64>, outcome: Outcome) -> Operation {
    let action = Action::Send {
        partition: partition(),
        value,
        content: value,
        acks: -1,
        offset,
        sequence: value,
    };
    operation(times, action, outcome)
}

fn acknowledged(times: (u64, u64), value: u64, offset: i64) -> Operation {
    send(times, value, Some(offset), Outcome::Ok)
}

fn poll(times: (u64, u64), from: i64, records: &[(i64, u64)], next: i64) -> Operation {
    let record = |&(offset, value): &(i64, u64)| Record {
        offset,
        value: Some(value),
        content: value,
    };
    let action = Action::Poll {
        partition: partition(),
        from,
        records: records.iter().map(record).collect(),
        next,
        isolation: Isolation::ReadUncommitted,
    };
    operation(times, action, Outcome::Ok)
}

fn problems(operations: Vec<Operation>) -> Vec<String> {
    let report = check(&History { operations }, PROMISE);
    report
        .violations
        .into_iter()
        .map(|violation| violation.detail)
        .collect()
}

fn unknown() -> Outcome {
    Outcome::Info("timed out".to_owned())
}

#[test]
fn sends_that_overlap_may_be_appended_in_any_order() {
    let history = vec![
        acknowledged((0, 30), 1, 1),
        acknowledged((10, 40), 2, 0),
        send((20, 50), 3, None, unknown()),
        poll((60, 70), 0, &[(0, 2), (1, 1), (2, 3)], 3),
    ];
    assert_eq!(problems(history), [""; 0]);
}

#[test]
fn a_send_after_another_was_acknowledged_gets_a_later_offset() {
    let history = vec![
        acknowledged((0, 10), 1, 1),
        acknowledged((20, 30), 2, 0),
        poll((40, 50), 0, &[(0, 2), (1, 1)], 2),
    ];
    assert_eq!(
        problems(history),
        ["t-0 offset 1 has value 1, known 10 ns before it can have been appended after Some(0)"]
    );
}

#[test]
fn nothing_is_read_before_it_is_sent() {
    let history = vec![poll((0, 10), 0, &[(0, 1)], 1), acknowledged((20, 30), 1, 0)];
    assert_eq!(problems(history).len(), 1);
}

#[test]
fn an_acknowledged_record_is_in_every_read_over_its_offset() {
    let lost = vec![
        acknowledged((0, 10), 1, 0),
        acknowledged((0, 10), 2, 1),
        poll((20, 30), 0, &[(1, 2)], 2),
    ];
    assert_eq!(
        problems(lost),
        ["t-0 offset 0 has value 1, which a read from 0 to 2 did not return"]
    );
    let cut_off = vec![
        acknowledged((0, 10), 1, 0),
        acknowledged((0, 10), 2, 1),
        poll((20, 30), 0, &[(0, 1)], 1),
    ];
    assert_eq!(
        problems(cut_off),
        ["t-0 offset 1 has value 2, but the log is read to its end at 1"]
    );
}

#[test]
fn an_offset_has_one_record_and_no_failed_one() {
    let replaced = vec![
        acknowledged((0, 10), 1, 0),
        send((0, 10), 2, None, unknown()),
        poll((20, 30), 0, &[(0, 2)], 1),
    ];
    assert_eq!(
        problems(replaced),
        ["t-0 offset 0 has value 1, and then value 2"]
    );
    let failed = vec![
        send((0, 10), 1, None, Outcome::Fail("INVALID_RECORD".to_owned())),
        poll((20, 30), 0, &[(0, 1)], 1),
    ];
    assert_eq!(
        problems(failed),
        ["t-0 offset 0 has value 1, whose append failed: INVALID_RECORD"]
    );
    let foreign = vec![poll((20, 30), 0, &[(0, 9)], 1)];
    assert_eq!(
        problems(foreign),
        ["t-0 offset 0 has Some(9), which nobody appended"]
    );
}

#[test]
fn a_record_that_was_sent_twice_is_there_twice() {
    let history = vec![
        acknowledged((0, 30), 1, 1),
        poll((40, 50), 0, &[(0, 1), (1, 1)], 2),
    ];
    assert_eq!(problems(history), [""; 0]);
}

#[test]
fn outside_of_the_budget_nothing_is_promised() {
    let history = History {
        operations: vec![poll((20, 30), 0, &[(0, 9)], 1)],
    };
    let promise = Promise {
        durable: false,
        ..PROMISE
    };
    assert!(check(&history, promise).holds());
}
