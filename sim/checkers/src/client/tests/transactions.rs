//! Transactions: the smallest violating history of each anomaly, and its lawful twin.

use super::*;
use crate::history::{Consumed, End, GroupAction, Isolation, Transaction};

/// What is done, by whom, at times of its own: (process, invoked, completed).
type When = (u32, u64, u64);

#[derive(Clone, Default)]
struct Tale {
    history: History,
    quiet: Option<Quiet>,
}

fn place(index: i32) -> Partition {
    Partition {
        topic: "t".into(),
        index,
    }
}

fn unknown() -> Outcome {
    Outcome::Info("timed out".into())
}

impl Tale {
    fn add(
        mut self,
        (process, invoked_ns, completed_ns): When,
        transaction: Option<u64>,
        action: Action,
        outcome: Outcome,
    ) -> Tale {
        self.history.operations.push(Operation {
            process,
            invoked_ns,
            completed_ns,
            invoked_event: invoked_ns,
            completed_event: completed_ns,
            transaction,
            action,
            outcome,
        });
        self
    }

    /// In partition `index`, the value being 100 times the partition plus the offset.
    fn send(self, number: u64, index: i32, offset: i64, at: u64) -> Tale {
        let value = u64::try_from(i64::from(index) * 100 + offset).expect("small");
        let action = Action::Send {
            partition: place(index),
            value,
            content: value,
            acks: -1,
            offset: Some(offset),
            sequence: at,
        };
        let process = u32::try_from(number).expect("small");
        self.add((process, at, at + 1), Some(number), action, Outcome::Ok)
    }

    fn poll_in(
        self,
        number: Option<u64>,
        index: i32,
        (from, next): (i64, i64),
        offsets: &[i64],
        at: u64,
    ) -> Tale {
        let isolation = Isolation::ReadCommitted;
        self.poll_as(isolation, number, index, (from, next), offsets, at)
    }

    fn poll_as(
        self,
        isolation: Isolation,
        number: Option<u64>,
        index: i32,
        (from, next): (i64, i64),
        offsets: &[i64],
        at: u64,
    ) -> Tale {
        let record = |offset: &i64| {
            let value = u64::try_from(i64::from(index) * 100 + offset).expect("small");
            Record {
                offset: *offset,
                value: Some(value),
                content: value,
            }
        };
        let action = Action::Poll {
            partition: place(index),
            from,
            records: offsets.iter().map(record).collect(),
            next,
            isolation,
        };
        // A reader of its own each time: only what is in transactions matters here.
        let process = u32::try_from(1_000 + at).expect("small");
        self.add((process, at, at + 1), number, action, Outcome::Ok)
    }

    fn poll(self, index: i32, stretch: (i64, i64), offsets: &[i64], at: u64) -> Tale {
        self.poll_in(None, index, stretch, offsets, at)
    }

    fn end(self, number: u64, times: (u64, u64), commit: bool, outcome: Outcome) -> Tale {
        self.end_with(number, times, commit, outcome, &[])
    }

    fn end_with(
        self,
        number: u64,
        (invoked_ns, completed_ns): (u64, u64),
        commit: bool,
        outcome: Outcome,
        offsets: &[i64],
    ) -> Tale {
        let offsets = offsets.iter().map(|next| Consumed {
            group: "g".into(),
            partition: place(0),
            from: next - 2,
            next: *next,
        });
        let transaction = Transaction {
            number,
            transactional_id: "id".into(),
            producer: None,
            end: Some(End { commit, invoked_ns }),
            offsets: offsets.collect(),
        };
        let process = u32::try_from(number).expect("small");
        let begun = self.history.operations.iter();
        let begun = begun.filter(|one| one.transaction == Some(number));
        let begun_ns = begun.map(|one| one.invoked_ns).min().unwrap_or(invoked_ns);
        let times = (process, begun_ns, completed_ns);
        self.add(times, None, Action::Transaction(transaction), outcome)
    }

    fn commit(self, number: u64, at: u64) -> Tale {
        self.end(number, (at, at + 1), true, Outcome::Ok)
    }

    fn start(self, at: u64) -> Tale {
        let action = Action::InitTransactions {
            transactional_id: "id".into(),
            producer: Some((1, 2)),
        };
        self.add((9, at, at + 1), None, action, Outcome::Ok)
    }

    fn assigned(self, begins_at: Option<i64>, at: u64) -> Tale {
        let action = GroupAction::Assigned {
            group: "g".into(),
            generation: i32::try_from(at).expect("small"),
            partitions: vec![(place(0), begins_at)],
        };
        self.add((8, at, at + 1), None, Action::Group(action), Outcome::Ok)
    }

    fn ends_at(self, isolation: Isolation, latest: i64, at: u64) -> Tale {
        let action = Action::ListOffsets {
            partition: place(0),
            earliest: 0,
            latest,
            isolation,
        };
        self.add((8, at, at + 1), None, action, Outcome::Ok)
    }

    fn report(&self) -> Report {
        let promise = Promise {
            ordered_sends: false,
            complete_final_reads: false,
            quiet: self.quiet,
            ..PROMISE
        };
        let mut history = self.history.clone();
        history.operations.sort_by_key(|one| one.completed_ns);
        check(&history, promise)
    }

    #[track_caller]
    fn finds(self, anomalies: &[&str]) {
        let found = self.report().violations.into_iter();
        let found: Vec<String> = found
            .map(|one| format!("{} {}", one.invariant, one.anomaly))
            .collect();
        assert_eq!(found, anomalies);
    }
}

/// Transaction 1 with two records in partition 0 and one in partition 1.
fn three() -> Tale {
    Tale::default()
        .send(1, 0, 0, 10)
        .send(1, 0, 1, 12)
        .send(1, 1, 0, 14)
}

#[test]
fn a_lawful_transaction_is_read_as_a_whole_and_every_check_ran() {
    let tale = three()
        .commit(1, 20)
        .poll(0, (0, 3), &[0, 1], 30)
        .poll(1, (0, 2), &[0], 40);
    let report = tale.report();
    assert_eq!(report.violations, vec![]);
    for invariant in ["TXN-2", "TXN-4", "TXN-5"] {
        assert!(report.checked[invariant] > 0, "{invariant}");
    }
}

#[test]
fn aborted_read_g1a() {
    let aborted = || three().end(1, (20, 21), false, Outcome::Ok);
    aborted().poll(0, (0, 3), &[], 30).finds(&[]);
    aborted().poll(0, (0, 1), &[0], 30).finds(&["TXN-5 G1a"]);
    let other = Isolation::ReadUncommitted;
    let others = aborted().poll_as(other, None, 0, (0, 2), &[0, 1], 30);
    others.finds(&[]);
    let refused = Outcome::Fail("PRODUCER_FENCED".into());
    let refused = three().end(1, (20, 21), true, refused);
    refused.poll(1, (0, 1), &[0], 30).finds(&["TXN-5 G1a"]);
    // Its producer died before it asked for anything.
    let endless = three().poll(0, (0, 1), &[0], 30);
    endless.finds(&["TXN-5 G1a"]);
}

#[test]
fn precommitted_read_and_own_write() {
    let early = three().poll(0, (0, 1), &[0], 16).commit(1, 20);
    early.finds(&["TXN-5 precommitted-read"]);
    let own = three().poll_in(Some(1), 0, (0, 1), &[0], 16).commit(1, 20);
    own.finds(&["CLI-4 own-write"]);
    let at_the_edge = three()
        .end(1, (20, 40), true, Outcome::Ok)
        .poll(0, (0, 1), &[0], 25);
    at_the_edge.finds(&[]);
}

#[test]
fn missing_committed() {
    let none = three().commit(1, 20).poll(0, (0, 3), &[], 30);
    none.finds(&[
        "CLI-1 lost-write",
        "CLI-1 lost-write",
        "CLI-2 poll-skip",
        "TXN-5 missing-committed",
    ]);
}

#[test]
fn intermediate_read_g1b() {
    let unknown = || three().end(1, (20, 21), true, unknown());
    unknown().poll(0, (0, 3), &[], 30).finds(&[]);
    let all = unknown().poll(0, (0, 3), &[0, 1], 30);
    all.poll(1, (0, 1), &[0], 40).finds(&[]);
    // The last one was acknowledged, and its transaction may have committed.
    let some = unknown().poll(0, (0, 3), &[0], 30);
    some.finds(&["TXN-4 G1b"]);
}

#[test]
fn torn_transaction() {
    let torn = three()
        .end(1, (20, 21), true, unknown())
        .poll(0, (0, 3), &[0, 1], 30)
        .poll(1, (0, 2), &[], 40);
    torn.finds(&["TXN-4 torn-transaction"]);
    let not_yet = three()
        .commit(1, 20)
        .poll(0, (0, 3), &[0, 1], 30)
        .poll(1, (0, 0), &[], 40);
    not_yet.finds(&[]);
}

#[test]
fn offsets_of_a_transaction_belong_to_it() {
    let ended = |commit, outcome| three().end_with(1, (20, 21), commit, outcome, &[7]);
    let records = |tale: Tale| tale.poll(0, (0, 3), &[0, 1], 50);
    records(ended(true, Outcome::Ok).assigned(Some(7), 30)).finds(&[]);
    records(ended(true, Outcome::Ok).assigned(None, 30)).finds(&["GRP-1 lost-commit"]);
    records(ended(true, unknown()).assigned(None, 30)).finds(&[]);
    ended(false, Outcome::Ok)
        .assigned(Some(7), 30)
        .finds(&["TXN-4 uncommitted-offsets"]);
    ended(true, Outcome::Ok)
        .assigned(Some(7), 15)
        .finds(&["TXN-4 uncommitted-offsets"]);
    ended(true, unknown())
        .assigned(Some(7), 30)
        .poll(0, (0, 3), &[], 50)
        .finds(&["TXN-4 torn-transaction"]);
}

#[test]
fn zombies_neither_append_nor_commit() {
    let fenced = three().start(16).commit(1, 20);
    fenced.finds(&["TXN-2 zombie-commit"]);
    let aborted = || three().start(16).end(1, (20, 21), false, Outcome::Ok);
    aborted().finds(&[]);
    aborted().send(1, 0, 2, 30).finds(&["TXN-2 zombie-append"]);
    three().commit(1, 20).start(30).finds(&[]);
    // The answer to the later producer came after the commit was asked for.
    three()
        .end(1, (16, 21), true, Outcome::Ok)
        .start(15)
        .finds(&[]);
}

#[test]
fn a_write_read_cycle_g1c_is_told_with_the_smallest_way_round() {
    // 1 reads what 2 wrote and 2 what 1 wrote; 3 makes a longer way round.
    let tale = Tale::default()
        .send(1, 0, 0, 10)
        .send(2, 1, 0, 10)
        .send(3, 2, 0, 10)
        .poll_in(Some(1), 1, (0, 1), &[0], 30)
        .poll_in(Some(2), 0, (0, 1), &[0], 30)
        .poll_in(Some(3), 0, (0, 1), &[0], 32)
        .poll_in(Some(2), 2, (0, 1), &[0], 34)
        .end(1, (20, 50), true, Outcome::Ok)
        .end(2, (20, 50), true, Outcome::Ok)
        .end(3, (20, 50), true, Outcome::Ok);
    let report = tale.report();
    let found: Vec<&str> = report
        .violations
        .iter()
        .map(|one| one.anomaly.as_str())
        .collect();
    assert_eq!(found, ["G1c"]);
    assert_eq!(
        report.violations[0].detail,
        "T1 -wr t-0@0-> T2 -wr t-1@0-> T1; T1 (client1 id): send t-0@0=0 poll t-1 0..1 [0=100]; \
         T2 (client2 id): send t-1@0=100 poll t-0 0..1 [0=0] poll t-2 0..1 [0=200]"
    );
}

#[test]
fn cycles_that_kafka_allows_are_counted_not_reported() {
    let both = |tale: Tale| tale.commit(1, 50).commit(2, 50);
    let lawful = |tale: Tale| {
        let report = tale.report();
        assert_eq!(report.violations, vec![]);
        let names = report.lawful.into_keys();
        names.collect::<Vec<String>>()
    };
    let interleaved = Tale::default()
        .send(1, 0, 0, 10)
        .send(2, 0, 1, 12)
        .send(2, 1, 0, 10)
        .send(1, 1, 1, 12);
    assert_eq!(lawful(both(interleaved)), ["G0"]);
    let write_first = Tale::default()
        .send(1, 0, 0, 10)
        .send(2, 0, 1, 12)
        .send(2, 1, 0, 14)
        .end(2, (16, 17), true, Outcome::Ok)
        .poll_in(Some(1), 1, (0, 1), &[0], 20)
        .commit(1, 50);
    assert_eq!(lawful(write_first), ["G1c-ww"]);
    // 2 has seen what 1 wrote in partition 0, not what it wrote in partition 1.
    let skew = Tale::default()
        .send(1, 0, 0, 10)
        .send(1, 1, 0, 10)
        .commit(1, 20)
        .poll_in(Some(2), 0, (0, 1), &[0], 30)
        .poll_in(Some(2), 1, (0, 0), &[], 31)
        .send(2, 2, 0, 32)
        .commit(2, 50);
    assert_eq!(lawful(skew), ["G-single"]);
    let write_skew = Tale::default()
        .poll_in(Some(1), 0, (0, 0), &[], 5)
        .poll_in(Some(2), 1, (0, 0), &[], 5)
        .send(1, 1, 0, 10)
        .send(2, 0, 0, 10);
    assert_eq!(lawful(both(write_skew)), ["G2"]);
}

#[test]
fn the_last_stable_offset_does_not_go_back() {
    let committed = Isolation::ReadCommitted;
    let list = || Tale::default().ends_at(committed, 5, 10);
    list().ends_at(committed, 5, 20).finds(&[]);
    list()
        .ends_at(committed, 4, 20)
        .finds(&["TXN-5 nonmonotonic-lso"]);
}

#[test]
fn after_the_faults_transactions_end_and_groups_are_stable() {
    let quiet = Some(Quiet {
        from_ns: 100,
        bound_ns: 50,
    });
    let after = || Tale {
        quiet,
        ..Tale::default()
    };
    let whole = Isolation::ReadUncommitted;
    let committed = Isolation::ReadCommitted;
    let done = after()
        .start(110)
        .send(1, 0, 0, 120)
        .commit(1, 130)
        .assigned(None, 150)
        .ends_at(whole, 3, 170)
        .ends_at(committed, 3, 180);
    done.finds(&[]);
    after()
        .send(1, 0, 0, 120)
        .end(1, (130, 140), true, unknown())
        .finds(&["LIVE-3 stuck-transaction"]);
    after()
        .ends_at(whole, 3, 170)
        .ends_at(committed, 2, 180)
        .finds(&["LIVE-3 open-transaction"]);
    let start = |outcome| {
        let action = Action::InitTransactions {
            transactional_id: "id".into(),
            producer: None,
        };
        after().add((1, 120, 130), None, action, outcome)
    };
    start(unknown()).finds(&["LIVE-3 no-producer"]);
    start(unknown()).start(140).finds(&[]);
    let group = |completed, outcome| {
        let action = GroupAction::Assigned {
            group: "g".into(),
            generation: 1,
            partitions: Vec::new(),
        };
        after().add((1, 120, completed), None, Action::Group(action), outcome)
    };
    group(130, unknown()).finds(&["LIVE-4 unstable-group"]);
    group(171, Outcome::Ok).finds(&["LIVE-4 unstable-group"]);
    group(130, Outcome::Ok).finds(&[]);
}

#[test]
fn what_is_deleted_is_not_missed_and_nothing_else_is_deleted() {
    let deleted = |before, outcome| {
        let action = Action::DeleteRecords {
            partition: place(0),
            before,
        };
        three()
            .commit(1, 20)
            .add((7, 30, 31), None, action, outcome)
    };
    let start = |earliest, at| Action::ListOffsets {
        partition: place(0),
        earliest: i64::from(earliest),
        latest: at,
        isolation: Isolation::ReadUncommitted,
    };
    let listed = |tale: Tale, earliest| {
        tale.add((8, 40, 41), None, start(earliest, 9), Outcome::Ok)
            .poll(0, (1, 3), &[1], 50)
            .poll(1, (0, 1), &[0], 60)
    };
    listed(deleted(1, Outcome::Ok), 1).finds(&[]);
    listed(deleted(1, unknown()), 1).finds(&[]);
    let refused = Outcome::Fail("OFFSET_OUT_OF_RANGE".into());
    listed(deleted(1, refused), 1).finds(&["CLI-1 deleted-early"]);
    listed(deleted(1, Outcome::Ok), 2).finds(&["CLI-1 deleted-early"]);
    // A reader of what is still there may not leave it out.
    listed(deleted(1, Outcome::Ok), 0).finds(&["CLI-1 lost-write"]);
}

#[test]
fn chains_consume_each_record_once() {
    let consumes = |tale: Tale, number: u64, (from, next): (i64, i64), outcome: Outcome| {
        let transaction = Transaction {
            number,
            transactional_id: format!("id {number}"),
            producer: None,
            end: Some(End {
                commit: true,
                invoked_ns: 60 + number,
            }),
            offsets: vec![Consumed {
                group: "g".into(),
                partition: place(0),
                from,
                next,
            }],
        };
        let action = Action::Transaction(transaction);
        tale.add((5, 59, 60 + number), None, action, outcome)
    };
    let input = || three().commit(1, 20).poll(0, (0, 2), &[0, 1], 30);
    let both = |first: (i64, i64), second: (i64, i64)| {
        consumes(
            consumes(input(), 2, first, Outcome::Ok),
            3,
            second,
            Outcome::Ok,
        )
    };
    both((0, 1), (1, 2)).finds(&[]);
    both((0, 1), (0, 2)).finds(&["TXN-4 processed-twice"]);
    both((0, 1), (2, 3)).finds(&["TXN-4 skipped-input"]);
    let unknown_between = consumes(both((0, 1), (2, 3)), 4, (1, 2), unknown());
    unknown_between.finds(&[]);
    let aborted_too = consumes(both((0, 1), (1, 2)), 4, (0, 2), Outcome::Fail("no".into()));
    aborted_too.finds(&[]);
}
