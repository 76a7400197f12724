//! Scripts (`testdata/producer_state/*.txt`; `RECORD=1 cargo test` writes them anew) and properties that hold of
//! every log.
//!
//! A line `> command` is carried out, the lines up to the next one are what came of it. `> produce` is judged
//! and, if it may, appended at the end of the log; `> replicate` is appended unjudged. `> begin` asks for a guard,
//! `> transact` produces inside of a transaction with the last guard or with `unproven`, `> commit` and `> abort`
//! write a marker: producer, epoch, coordinator epoch.

mod random;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::{
    ProducerBatch, ProducerStates, Proof, TxnMarker, Verdict, VerificationGuard, invariants,
};

#[derive(Default)]
struct World {
    states: ProducerStates,
    log: Vec<Entry>,
    log_end: i64,
    high_watermark: i64,
    now_ms: i64,
    guard: Option<VerificationGuard>,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Data(ProducerBatch),
    Marker(TxnMarker),
}

impl Entry {
    fn last_offset(self) -> i64 {
        match self {
            Entry::Data(batch) => batch.last_offset,
            Entry::Marker(marker) => marker.offset,
        }
    }

    fn base_offset(self) -> i64 {
        match self {
            Entry::Data(batch) => batch.base_offset,
            Entry::Marker(marker) => marker.offset,
        }
    }

    fn append_to(self, states: &mut ProducerStates) {
        match self {
            Entry::Data(batch) => states.append(&batch),
            Entry::Marker(marker) => drop(states.append_marker(&marker)),
        }
    }
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
            transactional: false,
        }
    }

    fn append(&mut self, batch: ProducerBatch) {
        self.push(Entry::Data(batch));
    }

    fn push(&mut self, entry: Entry) {
        entry.append_to(&mut self.states);
        self.log_end = entry.last_offset() + 1;
        self.log.push(entry);
        invariants::check(&self.states, self.high_watermark).expect("an invariant");
    }

    fn produce(&mut self, batch: ProducerBatch, proof: Proof) -> Verdict {
        let verdict = self.states.check(&batch, proof);
        if verdict == Verdict::Append {
            self.append(batch);
        }
        verdict
    }

    fn transact(&mut self, words: &[&str]) -> Verdict {
        let batch = ProducerBatch {
            transactional: true,
            ..self.batch(words)
        };
        let proof = match (words.get(5), self.guard) {
            (Some(&"unproven"), _) | (_, None) => Proof::OpenTransaction,
            (_, Some(guard)) => Proof::Verified(guard),
        };
        self.produce(batch, proof)
    }

    fn begin(&mut self, words: &[&str]) -> String {
        let batch = self.batch(&[words, &["1"]].concat());
        match self.states.begin_verification(&batch, false, self.now_ms) {
            Some(guard) => {
                let again = self.guard == Some(guard);
                self.guard = Some(guard);
                if again {
                    "the same guard\n"
                } else {
                    "a guard\n"
                }
                .to_owned()
            }
            None => "open already\n".to_owned(),
        }
    }

    fn end(&mut self, words: &[&str]) -> String {
        let number = |at: usize| words[at].parse::<i64>().expect("a number");
        let marker = TxnMarker {
            producer_id: number(1),
            producer_epoch: number(2).try_into().expect("an epoch"),
            coordinator_epoch: number(3).try_into().expect("an epoch"),
            committed: words[0] == "commit",
            offset: self.log_end,
            timestamp: self.now_ms,
        };
        if let Err(error) = self.states.check_marker(&marker) {
            return format!("{}\n", error.name());
        }
        let completed = self.states.clone().append_marker(&marker);
        self.push(Entry::Marker(marker));
        completed.map_or("nothing was open\n".to_owned(), |txn| {
            let outcome = if txn.committed {
                "committed"
            } else {
                "aborted"
            };
            let (first, last, stable) = (txn.first_offset, txn.last_offset, txn.last_stable_offset);
            format!("{outcome} {first} to {last}, stable to {stable}\n")
        })
    }

    fn replicated(&mut self, high_watermark: i64) {
        self.high_watermark = high_watermark;
        self.states.high_watermark_advanced(high_watermark);
    }

    /// The state that a snapshot at `offset` and the log behind it give.
    fn reloaded(&self, offset: i64) -> ProducerStates {
        let mut before = ProducerStates::default();
        let (older, newer): (Vec<Entry>, Vec<Entry>) = self
            .log
            .iter()
            .partition(|entry| entry.last_offset() < offset);
        older
            .into_iter()
            .for_each(|entry| entry.append_to(&mut before));
        let mut after = ProducerStates::restore(before.entries(), 0, i64::MAX);
        newer
            .into_iter()
            .for_each(|entry| entry.append_to(&mut after));
        after.high_watermark_advanced(self.high_watermark);
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
            let open = entry.txn_first_offset.map_or(String::new(), |first| {
                format!(", transaction open since {first}")
            });
            writeln!(shown, "producer {id} epoch {epoch}: up to {last}{open}").expect("a string");
        }
        shown
    }
}

fn carry_out(world: &mut World, words: &[&str]) -> String {
    match words[0] {
        "produce" => {
            let at = world.log_end;
            let verdict = world.produce(world.batch(words), Proof::NotNeeded);
            show_verdict(verdict, at)
        }
        "transact" => {
            let at = world.log_end;
            show_verdict(world.transact(words), at)
        }
        "begin" => world.begin(words),
        "commit" | "abort" => world.end(words),
        "high-watermark" => {
            world.replicated(words[1].parse().expect("an offset"));
            String::new()
        }
        "stable" => {
            let stable = world.states.last_stable_offset(0, world.high_watermark);
            format!("to {stable} of {}\n", world.high_watermark)
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

fn show_verdict(verdict: Verdict, at: i64) -> String {
    match verdict {
        Verdict::Append => format!("appended at {at}\n"),
        Verdict::Duplicate(kept) => format!("duplicate of {}\n", kept.base_offset()),
        Verdict::Refuse(error) => format!("{}\n", error.name()),
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
    for bug in ["T_01", "T_02", "T_16", "T_17", "T_20", "T_22"] {
        broker_probe::set_mutant(Some(bug));
        let changed = scripts().iter().any(|(_, script)| play(script) != *script);
        broker_probe::set_mutant(None);
        assert!(changed, "{bug} changes no script");
    }
}
