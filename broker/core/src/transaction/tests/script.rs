//! Runs `testdata/transaction/*.txt`: each `> command` is followed by the recorded output.
//!
//! `UPDATE_TESTDATA=1` records anew. Commands are in [`Script::run`]; a producer is written `id:epoch`.

use std::path::PathBuf;

use super::*;

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "recording anew is the developer's doing, outside of any simulation"
)]
fn recorded_scripts_hold() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/transaction");
    let entries = std::fs::read_dir(&folder).expect("the folder is in the repository");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let played = play(&text);
        if std::env::var_os("UPDATE_TESTDATA").is_some() {
            std::fs::write(&path, &played).expect("a writable file");
            continue;
        }
        assert_eq!(text, played, "{} has changed", path.display());
    }
}

/// The script with the output of each command as it is now.
fn play(text: &str) -> String {
    let mut script = Script {
        world: World::new(Config::default()),
    };
    let mut played = String::new();
    for line in text.lines() {
        let command = line.strip_prefix("> ");
        if command.is_some() || line.is_empty() || line.starts_with('#') {
            played.push_str(line);
            played.push('\n');
        }
        for line in command
            .map(|command| script.run(command))
            .unwrap_or_default()
        {
            played.push_str(&line);
            played.push('\n');
        }
    }
    played
}

struct Script {
    world: World,
}

impl Script {
    /// The command's output: its answer, the records it wrote, the markers it sent.
    fn run(&mut self, command: &str) -> Vec<String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (logged, sent) = (self.world.log.len(), self.world.markers.len());
        let answer = self.carry_out(words[0], &words[1..]);
        let mut lines: Vec<String> = answer.into_iter().collect();
        lines.extend(self.world.log.iter().skip(logged).map(record));
        lines.extend(self.world.markers.iter().skip(sent).map(markers));
        lines
    }

    fn carry_out(&mut self, verb: &str, words: &[&str]) -> Option<String> {
        let request = match verb {
            "wait" => {
                self.world.wait(words[0].parse().expect("milliseconds"));
                return None;
            }
            "clock" => {
                self.world.skew_ms += words[0].parse::<i64>().expect("milliseconds");
                return None;
            }
            "fail-over" => {
                self.world.load();
                return None;
            }
            "markers" => {
                self.markers(words);
                return None;
            }
            "epoch" => {
                self.force_epoch(words[0].parse().expect("an epoch"));
                return None;
            }
            "init" => {
                let expected = words.iter().find(|word| word.contains(':'));
                let mut request = init("x", expected.map(|word| producer(word)));
                if let Some(timeout) = value(words, "timeout") {
                    request.timeout_ms = timeout;
                }
                Request::InitProducerId(request)
            }
            "add" => Request::AddPartitions(add("x", producer(words[0]), &words[1..])),
            "verify" => Request::VerifyPartitions(add("x", producer(words[0]), &words[1..])),
            "commit" | "abort" => {
                let version = value(words, "v").unwrap_or(0);
                let producer = producer(words[0]);
                Request::End(end("x", producer, verb == "commit", version))
            }
            "describe" => Request::Describe {
                transactional_id: "x".into(),
            },
            "list" => Request::List(list(words)),
            other => panic!("unknown command {other}"),
        };
        Some(describe(&self.world.request(request)))
    }

    /// `markers` all, or only of those topics; `late` those of an attempt before.
    fn markers(&mut self, topics: &[&str]) {
        let Some(markers) = self.world.markers.last().cloned() else {
            panic!("no markers are under way");
        };
        let mut written = all_of(&markers);
        if topics.first() == Some(&"late") {
            written.attempt -= 1;
        } else if !topics.is_empty() {
            written
                .partitions
                .retain(|it| topics.contains(&it.topic.as_str()));
        }
        self.world.written(&written);
    }

    /// As if so many epochs had been used.
    fn force_epoch(&mut self, epoch: i16) {
        let mut value = self.world.core.hard().get("x").expect("known").clone();
        value.producer_epoch = epoch;
        self.world.log.push(Record {
            transactional_id: "x".into(),
            value: Some(value),
        });
        self.world.load();
    }
}

fn producer(word: &str) -> Producer {
    let (id, epoch) = word.split_once(':').expect("id:epoch");
    Producer {
        id: id.parse().expect("a producer id"),
        epoch: epoch.parse().expect("an epoch"),
    }
}

fn value<T: std::str::FromStr>(words: &[&str], key: &str) -> Option<T> {
    let pairs = words.iter().filter_map(|word| word.split_once('='));
    let (_, text) = pairs.into_iter().find(|(name, _)| *name == key)?;
    text.parse().ok()
}

fn list(words: &[&str]) -> ListRequest {
    let producer_id: Option<i64> = value(words, "producer");
    let state: Option<String> = value(words, "state");
    let state = state.map(|name| State::from_name(&name).expect("a state"));
    ListRequest {
        states: state.into_iter().collect(),
        producer_ids: producer_id.into_iter().collect(),
        duration_ms: value(words, "longer"),
    }
}

fn is_now(result: &Result<Producer, ErrorCode>) -> String {
    match result {
        Ok(producer) => format!("producer {}", name(*producer)),
        Err(error) => error.name().into(),
    }
}

fn name(producer: Producer) -> String {
    format!("{}:{}", producer.id, producer.epoch)
}

fn topics(partitions: &BTreeSet<TopicPartition>) -> String {
    let topics: Vec<&str> = partitions.iter().map(|it| it.topic.as_str()).collect();
    topics.join(" ")
}

fn describe(reply: &Reply) -> String {
    match reply {
        Reply::InitProducerId(result) | Reply::End(result) => is_now(result),
        Reply::NeedsProducerId => "needs a producer id".into(),
        Reply::AddPartitions(error) => error.name().into(),
        Reply::VerifyPartitions(Err(error)) => error.name().into(),
        Reply::VerifyPartitions(Ok(foreign)) if foreign.is_empty() => "all belong to it".into(),
        Reply::VerifyPartitions(Ok(foreign)) => format!("foreign: {}", topics(foreign)),
        Reply::Describe(None) => "not found".into(),
        Reply::Describe(Some(it)) => format!(
            "{} of {}, timeout {} ms, since {:?} [{}]",
            it.state.name(),
            name(it.producer),
            it.timeout_ms,
            it.start_ms,
            topics(&it.partitions)
        ),
        Reply::List(listed) => {
            let each = |it: &ListedTransaction| {
                format!(
                    "{} {} {}",
                    it.transactional_id,
                    it.producer_id,
                    it.state.name()
                )
            };
            let listed: Vec<String> = listed.iter().map(each).collect();
            format!("[{}]", listed.join(", "))
        }
    }
}

fn record(record: &Record) -> String {
    let Some(value) = &record.value else {
        return "  log: deleted".into();
    };
    let mut line = format!(
        "  log: {} of {}",
        value.state.name(),
        name(value.producer())
    );
    if let Some(next) = value.next_producer_id {
        line.push_str(&format!(", next producer {next}"));
    }
    if !value.partitions.is_empty() {
        line.push_str(&format!(" [{}]", topics(&value.partitions)));
    }
    line
}

fn markers(markers: &Markers) -> String {
    let outcome = if markers.committed { "COMMIT" } else { "ABORT" };
    format!(
        "  markers: {outcome} of {} [{}]",
        name(markers.producer),
        topics(&markers.partitions)
    )
}
