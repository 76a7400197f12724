//! CLI-6: no write-read cycles between transactions that read committed [G1c without ww edges].
//!
//! Transactions depend on each other as Adya has it, a partition being one object whose versions are its prefixes:
//! `ww` from the writer of a record to that of the next one, `wr` from a record's writer to who polled it, `rw`
//! (anti-dependency) from who read a partition up to a place to the writer of the first record there.
//!
//! Kafka's isolation forbids only cycles of `wr` edges: a record can be read once its transaction is committed, so
//! they would go round in time. Two transactions may interleave their records (G0, and G1c with `ww` edges), and
//! polls are no snapshot (G-single, G2). Those are counted, with the smallest as an example, as lawful.

mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::observed::{Observed, SendOutcome};
use super::violation;
use crate::anomaly::Report;
use crate::history::{Action, Fate, History, Isolation, Operation, Partition};
use graph::{Edge, Graph, Kind};

/// What of a transaction's operations is printed.
const OPERATIONS_MAX: usize = 8;
const RECORDS_MAX: usize = 6;
const MEMBERS_MAX: usize = 8;

pub fn check(history: &History, observed: &Observed<'_>, report: &mut Report) {
    let dependencies = Dependencies::new(history, observed);
    if dependencies.numbers.is_empty() {
        return;
    }
    let graph = Graph::new(dependencies.numbers.len(), &dependencies.edges);
    report.count("CLI-6", dependencies.edges.len().try_into().unwrap_or(0));
    for cycle in graph.smallest_cycles(&[Kind::WriteRead]) {
        let last = cycle
            .iter()
            .map(|edge| dependencies.operation(observed, edge.to));
        let last = last.max().expect("a cycle has edges");
        let detail = dependencies.describe(history, observed, &cycle);
        let operation = &history.operations[last];
        report
            .violations
            .push(violation("CLI-6", "G1c", operation, detail));
    }
    let mut lawful = |anomaly: &str, cycles: Vec<Vec<Edge>>| {
        let smallest = cycles.iter().min_by_key(|cycle| cycle.len());
        if let Some(smallest) = smallest {
            let example = dependencies.describe(history, observed, smallest);
            let times = u64::try_from(cycles.len()).unwrap_or(u64::MAX);
            report.lawful(anomaly, times, example);
        }
    };
    lawful("G0", graph.smallest_cycles(&[Kind::WriteWrite]));
    let both = graph.smallest_cycles(&[Kind::WriteWrite, Kind::WriteRead]);
    let mixed = |cycle: &Vec<Edge>| {
        let has = |kind| cycle.iter().any(|edge| edge.kind == kind);
        has(Kind::WriteWrite) && has(Kind::WriteRead)
    };
    lawful("G1c-ww", both.into_iter().filter(mixed).collect());
    let (single, several) = graph.anti_dependency_cycles();
    lawful("G-single", single);
    lawful("G2", several);
}

/// The graph's parts, in terms of the history.
struct Dependencies<'a> {
    /// By node.
    numbers: Vec<u64>,
    edges: Vec<Edge>,
    /// By edge's witness: where.
    witnesses: Vec<(&'a Partition, i64)>,
    /// By node: what was done in it.
    parts: BTreeMap<u32, Vec<&'a Operation>>,
}

/// By partition and offset: the node that wrote there.
type Writers<'a> = BTreeMap<&'a Partition, BTreeMap<i64, u32>>;

impl<'a> Dependencies<'a> {
    fn new(history: &'a History, observed: &Observed<'a>) -> Dependencies<'a> {
        let numbers = committed(observed);
        let writers = writers(observed, &numbers);
        let mut all = Dependencies {
            numbers,
            edges: Vec::new(),
            witnesses: Vec::new(),
            parts: BTreeMap::new(),
        };
        for (partition, written) in &writers {
            let mut last: Option<u32> = None;
            for (offset, writer) in written {
                if let Some(last) = last {
                    all.add(last, *writer, Kind::WriteWrite, partition, *offset);
                }
                last = Some(*writer);
            }
        }
        all.add_reads(history, &writers);
        all
    }

    fn add_reads(&mut self, history: &'a History, writers: &Writers<'a>) {
        // The last place that a transaction read to, by node and partition.
        let mut read_to: BTreeMap<(u32, &Partition), i64> = BTreeMap::new();
        for operation in &history.operations {
            let node = operation.transaction.and_then(|number| self.node(number));
            let Some(reader) = node else { continue };
            self.parts.entry(reader).or_default().push(operation);
            let Action::Poll {
                partition,
                records,
                next,
                isolation: Isolation::ReadCommitted,
                ..
            } = &operation.action
            else {
                continue;
            };
            read_to.insert((reader, partition), *next);
            let Some(written) = writers.get(partition) else {
                continue;
            };
            for record in records {
                if let Some(writer) = written.get(&record.offset) {
                    self.add(*writer, reader, Kind::WriteRead, partition, record.offset);
                }
            }
        }
        for ((reader, partition), next) in read_to {
            let written = writers.get(partition);
            if let Some((offset, writer)) = written.and_then(|all| all.range(next..).next()) {
                self.add(reader, *writer, Kind::ReadWrite, partition, *offset);
            }
        }
    }

    fn add(&mut self, from: u32, to: u32, kind: Kind, partition: &'a Partition, offset: i64) {
        if from != to {
            let witness = u32::try_from(self.witnesses.len()).expect("fewer than 2^32 edges");
            self.witnesses.push((partition, offset));
            self.edges.push(Edge {
                from,
                to,
                kind,
                witness,
            });
        }
    }

    fn node(&self, number: u64) -> Option<u32> {
        let index = self.numbers.binary_search(&number).ok()?;
        u32::try_from(index).ok()
    }

    fn number(&self, node: u32) -> u64 {
        self.numbers[usize::try_from(node).expect("32 bits fit")]
    }

    fn operation(&self, observed: &Observed<'_>, node: u32) -> usize {
        observed.transactions[&self.number(node)].operation
    }

    /// The way round, then what each transaction did.
    fn describe(&self, history: &History, observed: &Observed<'_>, cycle: &[Edge]) -> String {
        let mut text = String::new();
        for edge in cycle {
            let (partition, offset) =
                self.witnesses[usize::try_from(edge.witness).expect("32 bits fit")];
            let Partition { topic, index } = partition;
            let (from, kind) = (self.number(edge.from), edge.kind.name());
            write!(text, "T{from} -{kind} {topic}-{index}@{offset}-> ").expect("to a string");
        }
        let first = self.number(cycle[0].from);
        write!(text, "T{first}").expect("to a string");
        for edge in cycle.iter().take(MEMBERS_MAX) {
            let number = self.number(edge.from);
            let known = &observed.transactions[&number];
            let process = history.operations[known.operation].process;
            let id = &known.transaction.transactional_id;
            write!(text, "; T{number} (client{process} {id}):").expect("to a string");
            text.push_str(&self.parts_of(edge.from));
        }
        text
    }

    fn parts_of(&self, node: u32) -> String {
        let parts = self.parts.get(&node).map_or(&[][..], Vec::as_slice);
        let shown: Vec<String> = parts
            .iter()
            .take(OPERATIONS_MAX)
            .map(|operation| shown(&operation.action))
            .collect();
        shown.concat()
    }
}

/// Those that committed, or of which somebody read a record.
fn committed(observed: &Observed<'_>) -> Vec<u64> {
    let mut committed: BTreeSet<u64> = BTreeSet::new();
    for (number, known) in &observed.transactions {
        if known.fate == Fate::Committed {
            committed.insert(*number);
        }
    }
    let views = observed
        .polled
        .values()
        .flat_map(BTreeMap::values)
        .flatten();
    for seen in views.filter(|seen| seen.committed.is_some()) {
        let sent = seen.value.and_then(|value| observed.sent.get(&value));
        let number = sent.and_then(|(_, sent)| sent.transaction);
        committed.extend(number.filter(|number| observed.transactions.contains_key(number)));
    }
    committed.into_iter().collect()
}

fn writers<'a>(observed: &Observed<'a>, numbers: &[u64]) -> Writers<'a> {
    let node = |number: u64| {
        let index = numbers.binary_search(&number).ok()?;
        u32::try_from(index).ok()
    };
    let mut writers: Writers<'a> = BTreeMap::new();
    for (partition, sent) in observed.sent.values() {
        if let (
            Some(node),
            SendOutcome::Acknowledged {
                offset: Some(offset),
            },
        ) = (sent.transaction.and_then(node), sent.outcome)
        {
            writers.entry(partition).or_default().insert(offset, node);
        }
    }
    for (partition, polled) in &observed.polled {
        for (offset, views) in polled {
            let values = views.iter().filter_map(|seen| seen.value);
            let mut sent = values.filter_map(|value| observed.sent.get(&value));
            let writer = sent.find_map(|(_, sent)| sent.transaction.and_then(node));
            if let Some(writer) = writer {
                writers
                    .entry(partition)
                    .or_default()
                    .insert(*offset, writer);
            }
        }
    }
    writers
}

fn shown(action: &Action) -> String {
    match action {
        Action::Send {
            partition: Partition { topic, index },
            value,
            offset,
            ..
        } => {
            let offset = offset.map_or("?".to_owned(), |offset| offset.to_string());
            format!(" send {topic}-{index}@{offset}={value}")
        }
        Action::Poll {
            partition: Partition { topic, index },
            from,
            records,
            next,
            ..
        } => {
            let values = records.iter().take(RECORDS_MAX).map(|record| {
                let value = record
                    .value
                    .map_or("?".to_owned(), |value| value.to_string());
                format!("{}={value}", record.offset)
            });
            let values: Vec<String> = values.collect();
            let more = if records.len() > RECORDS_MAX {
                " …"
            } else {
                ""
            };
            let values = values.join(" ");
            format!(" poll {topic}-{index} {from}..{next} [{values}{more}]")
        }
        _ => String::new(),
    }
}
