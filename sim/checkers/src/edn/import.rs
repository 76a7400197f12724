//! Jepsen's EDN to a history, so that one of a real cluster is judged by the same checkers.

use std::collections::BTreeMap;
use std::fmt;

use super::value::{Reader, Value};
use crate::history::{
    Action, End, History, Isolation, Operation, Outcome, Partition, Record, Transaction,
};

/// Where a text is no history, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadHistory {
    /// 1 is the first.
    pub line: u64,
    pub problem: String,
}

impl fmt::Display for BadHistory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for BadHistory {}

/// Reads what [`export`](super::export) or Jepsen's Kafka workload wrote: maps, one after another or in a vector.
/// Operations of the nemesis, and functions that say nothing of records, are left out. `isolation` is of polls that
/// do not tell theirs. An operation's event number is the line on which it was invoked or completed.
///
/// # Errors
/// The first line that cannot be understood.
pub fn import(text: &str, isolation: Isolation) -> Result<History, BadHistory> {
    let mut reader = Reader::new(text);
    let mut import = Import::new(isolation);
    let mut depth = 0_u32;
    while let Some(next) = reader.peek() {
        let line = reader.line;
        match next {
            '[' | '(' if depth == 0 => {
                depth = 1;
                reader.skip(next);
            }
            ']' | ')' if depth == 1 => {
                depth = 0;
                reader.skip(next);
            }
            _ => {
                let bad = |problem, line| BadHistory { line, problem };
                let value = reader.value();
                let value = value.map_err(|problem| bad(problem, reader.line))?;
                import
                    .add(line, &value)
                    .map_err(|problem| bad(problem, line))?;
            }
        }
    }
    if depth > 0 {
        let (line, problem) = (reader.line, "] is missing".to_owned());
        return Err(BadHistory { line, problem });
    }
    import.finish()
}

/// An operation that has begun.
struct Invoked {
    line: u64,
    time: u64,
    function: Function,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Send,
    Poll,
    Transaction,
    /// The positions of its process are forgotten: assign, subscribe, crash.
    Forget,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ok,
    Fail,
    Info,
}

struct Import {
    isolation: Isolation,
    operations: Vec<Operation>,
    open: BTreeMap<u32, Invoked>,
    /// Where each process is in each partition.
    positions: BTreeMap<(u32, Partition), i64>,
    /// Sends of each process.
    sent: BTreeMap<u32, u64>,
    transactions: u64,
    /// Whether operations tell their time; if not, their order has to do.
    timed: Option<bool>,
    time: u64,
}

impl Import {
    fn new(isolation: Isolation) -> Import {
        Import {
            isolation,
            operations: Vec::new(),
            open: BTreeMap::new(),
            positions: BTreeMap::new(),
            sent: BTreeMap::new(),
            transactions: 0,
            timed: None,
            time: 0,
        }
    }

    fn add(&mut self, line: u64, value: &Value) -> Result<(), String> {
        if !matches!(value, Value::Map(_)) {
            return Err("not an operation: a map has to be here".to_owned());
        }
        let process = match value.get(":process") {
            Some(Value::Integer(process)) => u32::try_from(*process)
                .map_err(|_| format!(":process {process} is out of range"))?,
            Some(Value::Keyword(_)) => return Ok(()),
            _ => return Err(":process has to be a number".to_owned()),
        };
        let time = self.time_of(value)?;
        let kind = match value.get(":type").and_then(Value::keyword) {
            Some(":invoke") => return self.invoke(line, process, time, value),
            Some(":ok") => Kind::Ok,
            Some(":fail") => Kind::Fail,
            Some(":info") => Kind::Info,
            _ => return Err(":type has to be :invoke, :ok, :fail or :info".to_owned()),
        };
        let Some(invoked) = self.open.remove(&process) else {
            return Err(format!(
                "process {process} completes what it did not invoke"
            ));
        };
        self.complete(line, process, time, kind, &invoked, value)
    }

    /// Real, or the number of the operation.
    fn time_of(&mut self, value: &Value) -> Result<u64, String> {
        let given = value.get(":time");
        if *self.timed.get_or_insert(given.is_some()) != given.is_some() {
            return Err("some operations have a :time, and some have none".to_owned());
        }
        self.time = match given {
            None => self.time + 1,
            Some(Value::Integer(time)) => {
                let time = u64::try_from(*time).map_err(|_| format!(":time {time} is negative"))?;
                if time < self.time {
                    return Err(format!(":time {time} comes after {}", self.time));
                }
                time
            }
            Some(_) => return Err(":time has to be a number of nanoseconds".to_owned()),
        };
        Ok(self.time)
    }

    fn invoke(&mut self, line: u64, process: u32, time: u64, value: &Value) -> Result<(), String> {
        let invoked = Invoked {
            line,
            time,
            function: function(value)?,
            value: value.clone(),
        };
        match self.open.insert(process, invoked) {
            None => Ok(()),
            Some(open) => Err(format!(
                "process {process} has not completed what it invoked on line {}",
                open.line
            )),
        }
    }

    fn complete(
        &mut self,
        line: u64,
        process: u32,
        time: u64,
        kind: Kind,
        invoked: &Invoked,
        value: &Value,
    ) -> Result<(), String> {
        let told = function(value)?;
        if told != invoked.function {
            return Err(format!(
                ":f is not what was invoked on line {}",
                invoked.line
            ));
        }
        let rebalanced = value.get(":rebalance-log").and_then(Value::list);
        if told == Function::Forget || rebalanced.is_some_and(|log| !log.is_empty()) {
            let all = (process, first_partition())..;
            let gone = self.positions.range(all);
            let gone = gone.take_while(|((of, _), _)| *of == process);
            let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
            for key in gone {
                self.positions.remove(&key);
            }
        }
        for assigned in value
            .get(":assigned")
            .and_then(Value::list)
            .unwrap_or_default()
        {
            let key = (process, partition(assigned)?);
            self.positions.remove(&key);
        }
        let micro = match told {
            Function::Forget | Function::Other => return Ok(()),
            Function::Send | Function::Poll | Function::Transaction => {
                let told = value.get(":value").or(invoked.value.get(":value"));
                micro_operations(told)?
            }
        };
        let error = value.get(":error").map_or("unknown".to_owned(), printed);
        let outcome = match kind {
            Kind::Ok => Outcome::Ok,
            Kind::Fail => Outcome::Fail(error),
            Kind::Info => Outcome::Info(error),
        };
        let isolation = match value.get(":isolation").and_then(Value::keyword) {
            Some(":read-committed") => Isolation::ReadCommitted,
            Some(":read-uncommitted") => Isolation::ReadUncommitted,
            Some(other) => return Err(format!(":isolation {other} is not known")),
            None => self.isolation,
        };
        let mut parts = Parts {
            process,
            events: (invoked.line, line),
            times: (invoked.time, time),
            outcome,
            isolation,
            transaction: None,
        };
        if told == Function::Transaction {
            self.transactions += 1;
            parts.transaction = Some(self.transactions);
        }
        let positions = value.get(":positions").and_then(Value::list);
        self.add_parts(&parts, &micro, positions.unwrap_or_default())?;
        if told == Function::Transaction {
            self.add_transaction(&parts, value)?;
        }
        Ok(())
    }

    fn add_parts(
        &mut self,
        parts: &Parts,
        micro: &[Micro],
        positions: &[Value],
    ) -> Result<(), String> {
        let mut polls = 0;
        for one in micro {
            match one {
                Micro::Send {
                    partition,
                    value,
                    offset,
                } => self.add_send(parts, partition, *value, *offset),
                Micro::Poll(polled) => {
                    let known = positions.get(polls);
                    polls += 1;
                    for (partition, records) in polled {
                        let known = known.map(|known| position_of(known, partition));
                        self.add_poll(parts, partition, records, known.transpose()?.flatten());
                    }
                }
            }
        }
        Ok(())
    }

    fn add_send(&mut self, parts: &Parts, partition: &Partition, value: u64, offset: Option<i64>) {
        let sequence = self.sent.entry(parts.process).or_default();
        *sequence += 1;
        let action = Action::Send {
            partition: partition.clone(),
            value,
            content: 0,
            acks: -1,
            offset,
            sequence: *sequence,
        };
        // The transaction's outcome decides, not that of the send.
        let outcome = match (parts.transaction, offset) {
            (Some(_), Some(_)) => Outcome::Ok,
            (Some(_), None) if parts.outcome != Outcome::Ok => Outcome::Info("unknown".to_owned()),
            _ => parts.outcome.clone(),
        };
        self.operations.push(parts.operation(action, outcome));
    }

    fn add_poll(
        &mut self,
        parts: &Parts,
        partition: &Partition,
        records: &[Record],
        known: Option<(i64, i64)>,
    ) {
        let key = (parts.process, partition.clone());
        let last = self.positions.get(&key).copied();
        let first = records.first().map(|record| record.offset);
        let end = records.iter().map(|record| record.offset + 1).max();
        let (from, next) = match (known, last.or(first)) {
            (Some(known), _) => known,
            (None, Some(from)) => (from, end.unwrap_or(from)),
            (None, None) => return,
        };
        if last.is_none() {
            let action = Action::Assign {
                partition: partition.clone(),
                position: from,
            };
            let assigned = parts.operation(action, Outcome::Ok);
            self.operations.push(Operation {
                completed_ns: parts.times.0,
                completed_event: parts.events.0,
                transaction: None,
                ..assigned
            });
        }
        self.positions.insert(key, next);
        let action = Action::Poll {
            partition: partition.clone(),
            from,
            records: records.to_vec(),
            next,
            isolation: parts.isolation,
        };
        self.operations.push(parts.operation(action, Outcome::Ok));
    }

    fn add_transaction(&mut self, parts: &Parts, value: &Value) -> Result<(), String> {
        let transactional_id = match value.get(":transactional-id") {
            None => format!("process {}", parts.process),
            Some(Value::Text(id)) => id.clone(),
            Some(_) => return Err(":transactional-id has to be a string".to_owned()),
        };
        let invoked_ns = match value.get(":end-time") {
            None => parts.times.0,
            Some(Value::Integer(time)) => u64::try_from(*time).unwrap_or(parts.times.0),
            Some(_) => return Err(":end-time has to be a number of nanoseconds".to_owned()),
        };
        let transaction = Transaction {
            number: parts.transaction.unwrap_or_default(),
            transactional_id,
            producer: None,
            end: Some(End {
                commit: true,
                invoked_ns,
            }),
            offsets: Vec::new(),
        };
        let action = Action::Transaction(transaction);
        let mut operation = parts.operation(action, parts.outcome.clone());
        operation.transaction = None;
        self.operations.push(operation);
        Ok(())
    }

    /// What was never completed may have happened.
    fn finish(mut self) -> Result<History, BadHistory> {
        for (process, invoked) in std::mem::take(&mut self.open) {
            let line = invoked.line;
            let told = invoked.value.clone();
            self.complete(line, process, self.time, Kind::Info, &invoked, &told)
                .map_err(|problem| BadHistory { line, problem })?;
        }
        Ok(History {
            operations: self.operations,
        })
    }
}

/// What all parts of one operation of Jepsen share.
struct Parts {
    process: u32,
    events: (u64, u64),
    times: (u64, u64),
    outcome: Outcome,
    isolation: Isolation,
    transaction: Option<u64>,
}

impl Parts {
    fn operation(&self, action: Action, outcome: Outcome) -> Operation {
        Operation {
            process: self.process,
            invoked_ns: self.times.0,
            completed_ns: self.times.1,
            invoked_event: self.events.0,
            completed_event: self.events.1,
            transaction: self.transaction,
            action,
            outcome,
        }
    }
}

fn first_partition() -> Partition {
    Partition {
        topic: String::new(),
        index: i32::MIN,
    }
}

fn function(value: &Value) -> Result<Function, String> {
    let Some(name) = value.get(":f").and_then(Value::keyword) else {
        return Err(":f has to be a keyword".to_owned());
    };
    Ok(match name {
        ":send" => Function::Send,
        ":poll" => Function::Poll,
        ":txn" => Function::Transaction,
        ":assign" | ":subscribe" | ":crash" => Function::Forget,
        _ => Function::Other,
    })
}

enum Micro {
    Send {
        partition: Partition,
        value: u64,
        offset: Option<i64>,
    },
    Poll(Vec<(Partition, Vec<Record>)>),
}

fn micro_operations(value: Option<&Value>) -> Result<Vec<Micro>, String> {
    let list = value.and_then(Value::list);
    let list = list.ok_or(":value has to be a list of [:send …] and [:poll …]")?;
    list.iter().map(micro_operation).collect()
}

fn micro_operation(value: &Value) -> Result<Micro, String> {
    let unknown = || {
        format!(
            "{} is neither [:send k v] nor [:poll {{…}}]",
            printed(value)
        )
    };
    let list = value.list().ok_or_else(unknown)?;
    match list {
        [Value::Keyword(name), key, sent] if name == ":send" => {
            let (offset, value) = match sent {
                Value::List(pair) => match pair.as_slice() {
                    [Value::Nil, value] => (None, value),
                    [Value::Integer(offset), value] => (Some(*offset), value),
                    _ => return Err(unknown()),
                },
                value => (None, value),
            };
            let number = value.integer().and_then(|value| u64::try_from(value).ok());
            Ok(Micro::Send {
                partition: partition(key)?,
                value: number.ok_or_else(unknown)?,
                offset,
            })
        }
        [Value::Keyword(name)] | [Value::Keyword(name), Value::Nil] if name == ":poll" => {
            Ok(Micro::Poll(Vec::new()))
        }
        [Value::Keyword(name), Value::Map(polled)] if name == ":poll" => {
            let polled = polled.iter().map(|(key, records)| {
                let records = records.list().ok_or_else(unknown)?;
                let records: Result<Vec<Record>, String> = records.iter().map(record).collect();
                Ok((partition(key)?, records?))
            });
            Ok(Micro::Poll(polled.collect::<Result<_, String>>()?))
        }
        _ => Err(unknown()),
    }
}

fn record(value: &Value) -> Result<Record, String> {
    match value.list() {
        Some([Value::Integer(offset), value]) => Ok(Record {
            offset: *offset,
            value: value.integer().and_then(|value| u64::try_from(value).ok()),
            content: 0,
        }),
        _ => Err(format!("{} is not [offset value]", printed(value))),
    }
}

/// `topic-index`, or any string or number as a topic of one partition.
fn partition(key: &Value) -> Result<Partition, String> {
    let name = match key {
        Value::Integer(number) => number.to_string(),
        Value::Text(name) => name.clone(),
        Value::Keyword(name) | Value::Symbol(name) => name.trim_start_matches(':').to_owned(),
        other => return Err(format!("{} is no key", printed(other))),
    };
    let parsed = name.rsplit_once('-').and_then(|(topic, index)| {
        let index = index.parse().ok().filter(|index| *index >= 0)?;
        let topic = Some(topic).filter(|topic| !topic.is_empty())?;
        Some((topic.to_owned(), index))
    });
    let (topic, index) = parsed.unwrap_or((name, 0));
    Ok(Partition { topic, index })
}

/// Positions before and after the poll.
fn position_of(positions: &Value, wanted: &Partition) -> Result<Option<(i64, i64)>, String> {
    let Value::Map(pairs) = positions else {
        return Err(":positions has to be a list of maps".to_owned());
    };
    for (key, both) in pairs {
        if partition(key)? == *wanted {
            return match both.list() {
                Some([Value::Integer(from), Value::Integer(next)]) => Ok(Some((*from, *next))),
                _ => Err(format!("{} is not [from next]", printed(both))),
            };
        }
    }
    Ok(None)
}

/// For messages; short.
fn printed(value: &Value) -> String {
    const SHOWN: usize = 80;
    let text = match value {
        Value::Text(text) | Value::Keyword(text) | Value::Symbol(text) => text.clone(),
        other => format!("{other:?}"),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
