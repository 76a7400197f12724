//! A history as Jepsen's EDN, for Elle and for Jepsen's own Kafka checker, and back.
//!
//! One map a line: `:type` (`:invoke`, then `:ok`, `:fail` or `:info`), `:f` (`:send`, `:poll`, `:txn`, `:assign`),
//! `:process`, `:time` in nanoseconds and `:value`, a list of micro-operations: `[:send k [offset value]]`
//! and `[:poll {k [[offset value] ...]}]`. A key is the string `topic-index`, a value the unique number of
//! the record. Operations that nobody can judge there (ListOffsets, groups) are left out.
//!
//! A process of Jepsen does one thing at a time and ends with an unknown outcome, so what a client has under
//! way at once, or goes on with after that, takes further process numbers. What one poll returned of several
//! partitions is one micro-operation; a transaction is one operation, `:fail` if it aborted.
//!
//! Keys of our own, which others pass over: `:positions`, for each poll the positions before and after by key,
//! `:assigned`, keys at which a transaction's reader began anew, `:isolation`, `:transactional-id`, and `:end-time`, when the end of a transaction was asked for. [`import`] reads
//! them if they are there, and does without if a history comes from Jepsen.

mod import;
mod value;

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::history::{
    Action, Fate, History, Isolation, Operation, Outcome, Partition, Transaction,
};

pub use import::{BadHistory, import};

/// The whole history, in order of time.
pub fn export(history: &History) -> String {
    let mut lines: Vec<(u64, String)> = Vec::new();
    let mut processes = Processes::new(history);
    for entry in entries(history) {
        let head = entry.head;
        let completed_ns = entry.completed_ns();
        let process = processes.take(head, completed_ns);
        let f = entry.function();
        let (kind, error) = entry.completion();
        let extra = entry.extra();
        let invoked = entry.value(false);
        lines.push((
            head.invoked_ns,
            format!(
                "{{:process {process}, :type :invoke, :f {f}, :value {invoked}, :time {}}}\n",
                head.invoked_ns
            ),
        ));
        let value = entry.value(head.is_ok() || f == ":txn");
        let error = error.map_or(String::new(), |error| format!(", :error {}", string(error)));
        lines.push((
            completed_ns,
            format!(
                "{{:process {process}, :type {kind}, :f {f}, :value {value}, :time {completed_ns}{extra}{error}}}\n"
            ),
        ));
    }
    // Stable: what happened at the same time stays in order of completion.
    lines.sort_by_key(|(time, _)| *time);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What is one operation for Jepsen.
struct Entry<'a> {
    head: &'a Operation,
    /// In order of invocation; of a poll its partitions, of a transaction what was done in it.
    parts: Vec<&'a Operation>,
    /// Keys at which a transaction's reader began anew.
    assigned: Vec<String>,
}

/// Operations in order of invocation; the parts of one poll or transaction together.
fn entries(history: &History) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut transactions: BTreeMap<u64, Vec<&Operation>> = BTreeMap::new();
    let mut assigned: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.action {
            Action::Send { .. } | Action::Poll { .. } if operation.transaction.is_some() => {
                let number = operation.transaction.unwrap_or_default();
                transactions.entry(number).or_default().push(operation);
            }
            Action::Poll { .. } => match entries.last_mut() {
                Some(entry) if is_same_poll(&entry.parts, operation) => entry.parts.push(operation),
                _ => entries.push(Entry::of(operation)),
            },
            Action::Assign { partition, .. } if operation.transaction.is_some() => {
                let number = operation.transaction.unwrap_or_default();
                assigned.entry(number).or_default().push(key(partition));
            }
            Action::Send { .. } | Action::Assign { .. } | Action::Transaction(_) => {
                entries.push(Entry::of(operation));
            }
            Action::Group(_)
            | Action::ListOffsets { .. }
            | Action::DeleteRecords { .. }
            | Action::InitTransactions { .. } => {}
        }
    }
    for entry in &mut entries {
        if let Action::Transaction(transaction) = &entry.head.action {
            entry.assigned = assigned.remove(&transaction.number).unwrap_or_default();
            entry.parts = transactions.remove(&transaction.number).unwrap_or_default();
            entry.parts.sort_by_key(|part| place(part));
        }
    }
    entries.sort_by_key(|entry| entry.head.invoked_ns);
    entries
}

/// Sends that were begun at one time are in the order in which they were made, not in that of their answers.
fn place(part: &Operation) -> (u64, u64, u64) {
    let sequence = match part.action {
        Action::Send { sequence, .. } => sequence,
        _ => 0,
    };
    (part.invoked_ns, part.invoked_event, sequence)
}

/// Whether it belongs to the poll of these: several polls may end at the same time, but each has a partition once.
fn is_same_poll(parts: &[&Operation], next: &Operation) -> bool {
    let Action::Poll { partition, .. } = &next.action else {
        return false;
    };
    parts.iter().all(|part| match &part.action {
        Action::Poll {
            partition: other, ..
        } => {
            other != partition
                && part.process == next.process
                && part.invoked_ns == next.invoked_ns
                && part.outcome == next.outcome
        }
        _ => false,
    })
}

impl<'a> Entry<'a> {
    fn of(operation: &'a Operation) -> Entry<'a> {
        Entry {
            head: operation,
            parts: vec![operation],
            assigned: Vec::new(),
        }
    }

    /// Its parts, those of one poll together.
    fn micro(&self) -> impl Iterator<Item = &[&'a Operation]> {
        let mut left = self.parts.as_slice();
        std::iter::from_fn(move || {
            let mut count = 1.min(left.len());
            while count < left.len() && is_same_poll(&left[..count], left[count]) {
                count += 1;
            }
            let (micro, rest) = left.split_at(count);
            left = rest;
            (count > 0).then_some(micro)
        })
    }

    fn transaction(&self) -> Option<&'a Transaction> {
        match &self.head.action {
            Action::Transaction(transaction) => Some(transaction),
            _ => None,
        }
    }

    /// A reader that begins anew does so before the poll that shows it.
    fn completed_ns(&self) -> u64 {
        match self.head.action {
            Action::Assign { .. } => self.head.invoked_ns,
            _ => self.head.completed_ns,
        }
    }

    fn function(&self) -> &'static str {
        match &self.head.action {
            Action::Send { .. } => ":send",
            Action::Poll { .. } => ":poll",
            Action::Transaction(_) => ":txn",
            _ => ":assign",
        }
    }

    fn completion(&self) -> (&'static str, Option<&'a str>) {
        let outcome = &self.head.outcome;
        match self.transaction().map(|one| one.fate(outcome)) {
            Some(Fate::Aborted) if self.head.is_ok() => return (":fail", Some("aborted")),
            Some(Fate::Aborted) => {
                let (_, error) = completion(outcome);
                return (":fail", error);
            }
            _ => {}
        }
        completion(outcome)
    }

    /// Micro-operations, with what is known only at the end or without.
    fn value(&self, is_complete: bool) -> String {
        if let Action::Assign { partition, .. } = &self.head.action {
            return format!("[{}]", key(partition));
        }
        let polls = |part: &Operation| matches!(part.action, Action::Poll { .. });
        let micro = self.micro().map(|chunk| match &chunk[0].action {
            Action::Send {
                partition,
                value,
                offset,
                ..
            } => {
                let key = key(partition);
                match offset.filter(|_| is_complete) {
                    Some(offset) => format!("[:send {key} [{offset} {value}]]"),
                    None => format!("[:send {key} {value}]"),
                }
            }
            _ if is_complete && chunk.iter().any(|part| polls(part)) => {
                let polled: Vec<String> = chunk.iter().filter_map(|part| polled(part)).collect();
                format!("[:poll {{{}}}]", polled.join(", "))
            }
            _ => "[:poll]".to_owned(),
        });
        let micro: Vec<String> = micro.collect();
        format!("[{}]", micro.join(" "))
    }

    /// Our own keys.
    fn extra(&self) -> String {
        let mut extra = String::new();
        if !self.assigned.is_empty() {
            write!(extra, ", :assigned [{}]", self.assigned.join(" ")).expect("to a string");
        }
        let positions = self.micro().filter_map(|chunk| {
            let positions: Vec<String> = chunk.iter().filter_map(|part| position(part)).collect();
            (!positions.is_empty()).then(|| format!("{{{}}}", positions.join(", ")))
        });
        let positions: Vec<String> = positions.collect();
        if !positions.is_empty() {
            write!(extra, ", :positions [{}]", positions.join(" ")).expect("to a string");
        }
        let committed = self.parts.iter().any(|part| {
            let Action::Poll { isolation, .. } = part.action else {
                return false;
            };
            isolation == Isolation::ReadCommitted
        });
        if !positions.is_empty() {
            let level = if committed {
                ":read-committed"
            } else {
                ":read-uncommitted"
            };
            write!(extra, ", :isolation {level}").expect("to a string");
        }
        if let Some(transaction) = self.transaction() {
            let id = string(&transaction.transactional_id);
            write!(extra, ", :transactional-id {id}").expect("to a string");
            if let Some(end) = transaction.end {
                write!(extra, ", :end-time {}", end.invoked_ns).expect("to a string");
            }
        }
        extra
    }
}

/// Numbers of Jepsen's processes.
struct Processes {
    /// By client and lane: when it is free again; never after an unknown outcome.
    busy: BTreeMap<(u32, u64), Option<u64>>,
    clients: u64,
}

impl Processes {
    fn new(history: &History) -> Processes {
        let clients = history
            .operations
            .iter()
            .map(|operation| operation.process)
            .max();
        Processes {
            busy: BTreeMap::new(),
            clients: clients.map_or(1, |last| u64::from(last) + 1),
        }
    }

    fn take(&mut self, operation: &Operation, completed_ns: u64) -> u64 {
        let client = operation.process;
        let is_free =
            |until: &Option<u64>| until.is_some_and(|until| until <= operation.invoked_ns);
        let mut lanes = self.busy.range((client, 0)..=(client, u64::MAX));
        let lane = match lanes.find(|(_, until)| is_free(until)) {
            Some(((_, lane), _)) => *lane,
            None => u64::try_from(self.busy.range((client, 0)..=(client, u64::MAX)).count())
                .expect("64 bits"),
        };
        let unknown = matches!(operation.outcome, Outcome::Info(_));
        self.busy
            .insert((client, lane), (!unknown).then_some(completed_ns));
        u64::from(client) + lane * self.clients
    }
}

fn completion(outcome: &Outcome) -> (&'static str, Option<&str>) {
    match outcome {
        Outcome::Ok => (":ok", None),
        Outcome::Fail(error) => (":fail", Some(error)),
        Outcome::Info(error) => (":info", Some(error)),
    }
}

fn polled(operation: &Operation) -> Option<String> {
    let Action::Poll {
        partition, records, ..
    } = &operation.action
    else {
        return None;
    };
    let records = records.iter().map(|record| {
        let value = record
            .value
            .map_or("nil".to_owned(), |value| value.to_string());
        format!("[{} {value}]", record.offset)
    });
    let records: Vec<String> = records.collect();
    Some(format!("{} [{}]", key(partition), records.join(" ")))
}

fn position(operation: &Operation) -> Option<String> {
    match &operation.action {
        Action::Poll {
            partition,
            from,
            next,
            ..
        } => Some(format!("{} [{from} {next}]", key(partition))),
        _ => None,
    }
}

fn key(partition: &Partition) -> String {
    string(&format!("{}-{}", partition.topic, partition.index))
}

/// An EDN string.
fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
