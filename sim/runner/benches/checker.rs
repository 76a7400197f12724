//! The black-box checker on a history of a million operations: two hundred thousand transactions, each with two
//! sends and two polls, of eight producers over twenty partitions.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sim_checkers::client::{Promise, check};
use sim_checkers::history::{
    Action, End, History, Isolation, Operation, Outcome, Partition, Record, Transaction,
};

const TRANSACTIONS: u64 = 200_000;
const PRODUCERS: u64 = 8;
const PARTITIONS: u64 = 20;

const PROMISE: Promise = Promise {
    durable: true,
    idempotent: true,
    ordered_sends: true,
    complete_final_reads: false,
    create_time: true,
    retention: false,
    quiet: None,
};

fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("small")
}

fn offset(number: u64) -> i64 {
    i64::try_from(number).expect("small")
}

fn partition(number: u64) -> Partition {
    Partition {
        topic: "load".to_owned(),
        index: i32::try_from(number % PARTITIONS).expect("small"),
    }
}

/// Transaction `n` writes to partitions `n` and `n + 1`, and reads what earlier ones wrote there.
struct Story {
    operations: Vec<Operation>,
    ends: Vec<i64>,
    read: Vec<Vec<i64>>,
    values: Vec<Vec<u64>>,
}

impl Story {
    fn add(&mut self, number: u64, at: u64, transaction: Option<u64>, action: Action) {
        self.operations.push(Operation {
            process: narrow(number % PRODUCERS),
            invoked_ns: at,
            completed_ns: at + 1,
            invoked_event: at,
            completed_event: at + 1,
            transaction,
            action,
            outcome: Outcome::Ok,
        });
    }

    fn transaction(&mut self, number: u64) {
        let at = number * 100;
        for part in 0..2 {
            let slot = usize::try_from((number + part) % PARTITIONS).expect("small");
            let process = usize::try_from(number % PRODUCERS).expect("small");
            let (from, next) = (self.read[process][slot], self.ends[slot]);
            let records = (from..next).map(|offset| {
                let index = usize::try_from(offset).expect("small");
                let value = self.values[slot][index];
                Record {
                    offset,
                    value: Some(value),
                    content: value,
                }
            });
            let action = Action::Poll {
                partition: partition(number + part),
                from,
                records: records.collect(),
                next,
                isolation: Isolation::ReadCommitted,
            };
            self.read[process][slot] = next;
            self.add(number, at + part, Some(number), action);
        }
        for part in 0..2 {
            let slot = usize::try_from((number + part) % PARTITIONS).expect("small");
            let value = number * 2 + part;
            let action = Action::Send {
                partition: partition(number + part),
                value,
                content: value,
                acks: -1,
                offset: Some(self.ends[slot]),
                sequence: value,
            };
            self.ends[slot] += 1;
            self.values[slot].push(value);
            self.add(number, at + 10 + part, Some(number), action);
        }
        let transaction = Transaction {
            number,
            transactional_id: format!("producer-{}", number % PRODUCERS),
            producer: Some((offset(number % PRODUCERS), 0)),
            end: Some(End {
                commit: true,
                invoked_ns: at + 20,
            }),
            offsets: Vec::new(),
        };
        self.add(number, at + 20, None, Action::Transaction(transaction));
    }
}

fn million() -> History {
    let slots = usize::try_from(PARTITIONS).expect("small");
    let producers = usize::try_from(PRODUCERS).expect("small");
    let mut story = Story {
        operations: Vec::new(),
        ends: vec![0; slots],
        read: vec![vec![0; slots]; producers],
        values: vec![Vec::new(); slots],
    };
    (0..TRANSACTIONS).for_each(|number| story.transaction(number));
    History {
        operations: story.operations,
    }
}

fn checker(criterion: &mut Criterion) {
    let history = million();
    let mut group = criterion.benchmark_group("checker");
    let operations = u64::try_from(history.operations.len()).expect("a million");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(30))
        .throughput(Throughput::Elements(operations));
    group.bench_function("million", |bencher| {
        bencher.iter(|| {
            let report = check(&history, PROMISE);
            assert!(report.holds(), "{:?}", report.violations.first());
        });
    });
    group.finish();
}

criterion_group!(benches, checker);
criterion_main!(benches);
