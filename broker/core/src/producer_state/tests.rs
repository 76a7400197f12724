//! Scripts (`testdata/producer_state/*.txt`; `RECORD=1 cargo test` writes them anew) and properties that hold of
//! every log.
//!
//! A line `> command` is carried out, the lines up to the next one are what came of it. `> produce` is judged
//! and, if it may, appended at the end of the log; `> replicate` is appended unjudged.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{ProducerBatch, ProducerStates, Verdict};

#[derive(Default)]
struct World {
    states: ProducerStates,
    log: Vec<ProducerBatch>,
    log_end: i64,
    now_ms: i64,
}

impl World {
    fn batch(&self, words: &[&str]) -> ProducerBatch {
        let number = |at: usize| words[at].parse::<i64>().expect("a number");
        ProducerBatch {
            producer_id: number(1),
            producer_epoch: number(2).try_into().expect("an epoch"),
            base_sequence: number(3).try_into().expect("a sequence"),
            base_offset: self.log_end,
            last_offset: self.log_end + number(4) - 1,
            max_timestamp: self.now_ms,
        }
    }

    fn append(&mut self, batch: ProducerBatch) {
        self.states.append(&batch);
        self.log_end = batch.last_offset + 1;
        self.log.push(batch);
    }

    fn produce(&mut self, batch: ProducerBatch) -> Verdict {
        let verdict = self.states.check(&batch);
        if verdict == Verdict::Append {
            self.append(batch);
        }
        verdict
    }

    /// The state that a snapshot at `offset` and the log behind it give.
    fn reloaded(&self, offset: i64) -> ProducerStates {
        let mut before = ProducerStates::default();
        let (older, newer): (Vec<_>, Vec<_>) = self
            .log
            .iter()
            .partition(|batch| batch.last_offset < offset);
        older.into_iter().for_each(|batch| before.append(batch));
        let mut after = ProducerStates::restore(before.entries(), 0, i64::MAX);
        newer.into_iter().for_each(|batch| after.append(batch));
        after
    }

    fn show(&self) -> String {
        let mut shown = String::new();
        for entry in self.states.entries() {
            let last = entry.last.map_or("nothing".to_owned(), |last| {
                format!(
                    "sequence {} at offset {}",
                    last.last_sequence, last.last_offset
                )
            });
            let (id, epoch) = (entry.producer_id, entry.producer_epoch);
            writeln!(shown, "producer {id} epoch {epoch}: up to {last}").expect("a string");
        }
        shown
    }
}

fn carry_out(world: &mut World, words: &[&str]) -> String {
    match words[0] {
        "produce" => {
            let at = world.log_end;
            match world.produce(world.batch(words)) {
                Verdict::Append => format!("appended at {at}\n"),
                Verdict::Duplicate(kept) => format!("duplicate of {}\n", kept.base_offset()),
                Verdict::Refuse(error) => format!("{}\n", error.name()),
            }
        }
        "replicate" => {
            world.append(world.batch(words));
            String::new()
        }
        "reload" => {
            world.states = world.reloaded(words[1].parse().expect("an offset"));
            String::new()
        }
        "wait" => {
            world.now_ms += words[1].parse::<i64>().expect("milliseconds");
            String::new()
        }
        "expire" => {
            let limit = words[1].parse().expect("milliseconds");
            world.states.expire(world.now_ms, limit);
            String::new()
        }
        "delete-records" => {
            world.states.log_start_advanced(world.log_end);
            String::new()
        }
        "show" => world.show(),
        other => panic!("unknown command {other}"),
    }
}

fn play(script: &str) -> String {
    let mut world = World::default();
    let mut played = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(played, "{line}").expect("a string");
            let words: Vec<&str> = command.split_whitespace().collect();
            played.push_str(&carry_out(&mut world, &words));
        } else if line.starts_with('#') || line.is_empty() {
            writeln!(played, "{line}").expect("a string");
        }
    }
    played
}

fn scripts() -> Vec<(PathBuf, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/producer_state");
    let entries = fs::read_dir(directory).expect("the scripts' directory");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).expect("a script"));
    paths.into_iter().map(read).collect()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "records what the scripts play, outside of any simulation"
)]
fn scripts_play_as_recorded() {
    let record = std::env::var_os("RECORD").is_some();
    let scripts = scripts();
    assert!(scripts.len() >= 3, "only {} scripts", scripts.len());
    for (path, script) in scripts {
        let played = play(&script);
        if record {
            fs::write(&path, &played).expect("a writable script");
        }
        assert!(
            record || played == script,
            "{} plays differently:\n{played}",
            path.display()
        );
    }
}

#[cfg(feature = "mutants")]
#[test]
fn scripts_tell_each_bug() {
    for bug in ["T_20", "T_22"] {
        broker_probe::set_mutant(Some(bug));
        let changed = scripts().iter().any(|(_, script)| play(script) != *script);
        broker_probe::set_mutant(None);
        assert!(changed, "{bug} changes no script");
    }
}

/// A client that sends, resends and jumps: (producer, epoch, sequence relative to what is next, records).
fn sends() -> impl Strategy<Value = Vec<(i64, i16, i32, i64)>> {
    prop::collection::vec((0..3_i64, 0..3_i16, -12..3_i32, 1..4_i64), 1..60)
}

proptest! {
    /// TXN-1: whatever clients send, no sequence of an epoch is appended twice and none is left out.
    #[test]
    fn sequences_of_an_epoch_follow_on(sends in sends(), start in prop::sample::select(vec![0, i32::MAX - 5])) {
        let mut world = World::default();
        let mut next = std::collections::BTreeMap::new();
        let mut epochs = std::collections::BTreeMap::new();
        for (producer_id, producer_epoch, jump, records) in sends {
            let expected: Option<i32> = next.get(&(producer_id, producer_epoch)).copied();
            let base_sequence = expected.unwrap_or(start).wrapping_add(jump) & i32::MAX;
            let batch = ProducerBatch {
                producer_id,
                producer_epoch,
                base_sequence,
                base_offset: world.log_end,
                last_offset: world.log_end + records - 1,
                max_timestamp: 0,
            };
            if world.produce(batch) == Verdict::Append {
                let newest = epochs.entry(producer_id).or_insert(producer_epoch);
                prop_assert!(*newest <= producer_epoch, "epoch {producer_epoch} after {newest}");
                *newest = producer_epoch;
                prop_assert!(expected.is_none_or(|expected| expected == base_sequence));
                let after = super::add_sequence(base_sequence, records.try_into().expect("few"));
                next.insert((producer_id, producer_epoch), after);
            }
        }
    }

    /// LOG-3: a snapshot and the log behind it give the last batch of every producer, wherever it was taken.
    #[test]
    fn a_reload_gives_what_the_log_says(sends in sends(), at in 0..100_i64) {
        let mut world = World::default();
        for (producer_id, producer_epoch, sequence, records) in sends {
            world.append(ProducerBatch {
                producer_id,
                producer_epoch,
                base_sequence: sequence & i32::MAX,
                base_offset: world.log_end,
                last_offset: world.log_end + records - 1,
                max_timestamp: 0,
            });
        }
        let boundary = world.log.iter().map(|batch| batch.base_offset).rfind(|base| *base <= at);
        let reloaded = world.reloaded(boundary.unwrap_or(0));
        prop_assert!(reloaded.entries().eq(world.states.entries()));
    }
}
