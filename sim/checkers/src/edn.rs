//! A history as Jepsen's EDN, for Elle and for Jepsen's own Kafka checker.
//!
//! One map a line: `:type` (`:invoke`, then `:ok`, `:fail` or `:info`), `:f` (`:send`, `:poll`, `:assign`),
//! `:process`, `:time` in nanoseconds and `:value`, a list of micro-operations: `[:send k [offset value]]`
//! and `[:poll {k [[offset value] ...]}]`. A key is the string `topic-index`, a value the unique number of
//! the record. Operations that nobody can judge there (ListOffsets) are left out.
//!
//! A process of Jepsen does one thing at a time and ends with an unknown outcome, so what a client has under
//! way at once, or goes on with after that, takes further process numbers. What one poll returned of several
//! partitions is one operation.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::history::{Action, History, Operation, Outcome, Partition};

/// The whole history, in order of time.
pub fn export(history: &History) -> String {
    let mut lines: Vec<(u64, String)> = Vec::new();
    let mut processes = Processes::new(history);
    for group in groups(history) {
        let Some((f, invoked)) = invoke(&group[0].action) else {
            continue;
        };
        let operation = group[0];
        let process = processes.take(operation);
        lines.push((
            operation.invoked_ns,
            line(process, ":invoke", f, operation.invoked_ns, &invoked, None),
        ));
        let (kind, error) = completion(&operation.outcome);
        let value = complete(&group)
            .filter(|_| operation.is_ok())
            .unwrap_or(invoked);
        lines.push((
            operation.completed_ns,
            line(process, kind, f, operation.completed_ns, &value, error),
        ));
    }
    // Stable: what happened at the same time stays in order of completion.
    lines.sort_by_key(|(time, _)| *time);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Operations in order of invocation; the parts of one poll together.
fn groups(history: &History) -> Vec<Vec<&Operation>> {
    let mut groups: Vec<Vec<&Operation>> = Vec::new();
    let is_poll = |operation: &Operation| matches!(operation.action, Action::Poll { .. });
    for operation in &history.operations {
        match groups.last_mut() {
            Some(group)
                if is_poll(group[0])
                    && is_poll(operation)
                    && group[0].process == operation.process
                    && group[0].invoked_ns == operation.invoked_ns
                    && group[0].outcome == operation.outcome =>
            {
                group.push(operation);
            }
            _ => groups.push(vec![operation]),
        }
    }
    groups.sort_by_key(|group| group[0].invoked_ns);
    groups
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

    fn take(&mut self, operation: &Operation) -> u64 {
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
            .insert((client, lane), (!unknown).then_some(operation.completed_ns));
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

/// Function and value of an invocation: nothing is known of offsets and records yet.
fn invoke(action: &Action) -> Option<(&'static str, String)> {
    match action {
        Action::Send {
            partition, value, ..
        } => Some((":send", format!("[[:send {} {value}]]", key(partition)))),
        Action::Poll { .. } => Some((":poll", "[[:poll]]".to_owned())),
        Action::Assign { partition, .. } => Some((":assign", format!("[{}]", key(partition)))),
        Action::Group(_) | Action::ListOffsets { .. } => None,
    }
}

/// The value of a success, where it tells more than the invocation.
fn complete(group: &[&Operation]) -> Option<String> {
    let polled: Vec<String> = group
        .iter()
        .filter_map(|operation| polled(&operation.action))
        .collect();
    if !polled.is_empty() {
        return Some(format!("[[:poll {{{}}}]]", polled.join(", ")));
    }
    match &group[0].action {
        Action::Send {
            partition,
            value,
            offset: Some(offset),
            ..
        } => Some(format!("[[:send {} [{offset} {value}]]]", key(partition))),
        _ => None,
    }
}

fn polled(action: &Action) -> Option<String> {
    let Action::Poll {
        partition, records, ..
    } = action
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

fn line(process: u64, kind: &str, f: &str, time: u64, value: &str, error: Option<&str>) -> String {
    let mut line =
        format!("{{:process {process}, :type {kind}, :f {f}, :value {value}, :time {time}");
    if let Some(error) = error {
        write!(line, ", :error {}", string(error)).expect("writing to a string");
    }
    line.push_str("}\n");
    line
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
mod tests {
    use super::*;
    use crate::history::Record;

    fn partition() -> Partition {
        Partition {
            topic: "orders".into(),
            index: 1,
        }
    }

    fn operation(at: u64, action: Action, outcome: Outcome) -> Operation {
        Operation {
            process: 3,
            invoked_ns: at,
            completed_ns: at + 5,
            invoked_event: at,
            completed_event: at + 5,
            action,
            outcome,
        }
    }

    fn send(value: u64, offset: Option<i64>) -> Action {
        Action::Send {
            partition: partition(),
            value,
            content: 0,
            acks: -1,
            offset,
            sequence: 0,
        }
    }

    #[test]
    fn a_history_reads_as_jepsens_kafka_workload_writes_it() {
        let records = vec![
            Record {
                offset: 0,
                value: Some(7),
                content: 0,
            },
            Record {
                offset: 2,
                value: None,
                content: 0,
            },
        ];
        let poll = Action::Poll {
            partition: partition(),
            from: 0,
            records,
            next: 3,
        };
        let list = Action::ListOffsets {
            partition: partition(),
            earliest: 0,
            latest: 3,
        };
        let history = History {
            operations: vec![
                operation(10, send(7, Some(0)), Outcome::Ok),
                operation(12, send(8, None), Outcome::Info("timed \"out\"".into())),
                operation(
                    20,
                    Action::Assign {
                        partition: partition(),
                        position: 0,
                    },
                    Outcome::Ok,
                ),
                operation(30, poll, Outcome::Ok),
                operation(40, list, Outcome::Ok),
                operation(50, send(9, None), Outcome::Fail("MESSAGE_TOO_LARGE".into())),
            ],
        };
        let expected = r#"{:process 3, :type :invoke, :f :send, :value [[:send "orders-1" 7]], :time 10}
{:process 7, :type :invoke, :f :send, :value [[:send "orders-1" 8]], :time 12}
{:process 3, :type :ok, :f :send, :value [[:send "orders-1" [0 7]]], :time 15}
{:process 7, :type :info, :f :send, :value [[:send "orders-1" 8]], :time 17, :error "timed \"out\""}
{:process 3, :type :invoke, :f :assign, :value ["orders-1"], :time 20}
{:process 3, :type :ok, :f :assign, :value ["orders-1"], :time 25}
{:process 3, :type :invoke, :f :poll, :value [[:poll]], :time 30}
{:process 3, :type :ok, :f :poll, :value [[:poll {"orders-1" [[0 7] [2 nil]]}]], :time 35}
{:process 3, :type :invoke, :f :send, :value [[:send "orders-1" 9]], :time 50}
{:process 3, :type :fail, :f :send, :value [[:send "orders-1" 9]], :time 55, :error "MESSAGE_TOO_LARGE"}
"#;
        assert_eq!(export(&history), expected);
    }

    #[test]
    fn one_poll_of_two_partitions_is_one_operation() {
        let poll = |index: i32| Action::Poll {
            partition: Partition {
                topic: "orders".into(),
                index,
            },
            from: 0,
            records: vec![Record {
                offset: 4,
                value: Some(1),
                content: 0,
            }],
            next: 5,
        };
        let history = History {
            operations: vec![
                operation(10, poll(0), Outcome::Ok),
                operation(10, poll(1), Outcome::Ok),
            ],
        };
        let expected = r#"{:process 3, :type :invoke, :f :poll, :value [[:poll]], :time 10}
{:process 3, :type :ok, :f :poll, :value [[:poll {"orders-0" [[4 1]], "orders-1" [[4 1]]}]], :time 15}
"#;
        assert_eq!(export(&history), expected);
    }
}
