//! `runs.jsonl`: a sweep's runs as they end, one object a line, so that an interrupted sweep goes on where it was and
//! shards are put together.
//!
//! The first line says what is swept, with which build. A last line that was cut off is a run that is made again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use broker_protocol::record::crc32c;
use reports::{RunResult, Sweep as Summary};
use serde::{Deserialize, Serialize};
use sim_runner::driver::RunOutcome;

use super::Sweep;
use super::common::{Named, Shard};

pub const FILE: &str = "runs.jsonl";

/// What a sweep is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Of the format.
    pub sweep: u32,
    /// Checksum of the program: the same seed is another run with another one.
    pub build: String,
    pub engine: String,
    pub mutant: Option<String>,
    pub swarm: bool,
    pub check_steps: bool,
    pub first_seed: u64,
    /// Of each scenario; none when the sweep goes by time.
    pub seeds: Option<u64>,
    pub shard: u64,
    pub shards: u64,
    /// Names, with checksums of what they say.
    pub scenarios: Vec<(String, String)>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the sweep, over all shards: seed by seed, scenario by scenario.
    pub run: u64,
    /// What the scenario expects and this run did not show.
    pub unmet: Vec<String>,
    pub result: RunResult,
}

const FORMAT: u32 = 1;

impl Header {
    pub fn new(
        arguments: &Sweep,
        scenarios: &[Named],
        first_seed: u64,
        shard: Shard,
    ) -> Result<Header, String> {
        let checksum = |named: &Named| {
            let said = format!("{:?}", named.scenario);
            (
                named.name.clone(),
                format!("{:08x}", crc32c(said.as_bytes())),
            )
        };
        let making = &arguments.making;
        Ok(Header {
            sweep: FORMAT,
            build: build()?,
            engine: making.engine.name().to_owned(),
            mutant: making.mutant.clone(),
            swarm: making.swarm,
            check_steps: making.check_steps,
            first_seed,
            seeds: arguments.seeds,
            shard: shard.index,
            shards: shard.count,
            scenarios: scenarios.iter().map(checksum).collect(),
        })
    }

    /// In what it differs from another sweep's, shards aside.
    pub fn differences(&self, other: &Header) -> Vec<String> {
        let named = |name: &str, mine: String, theirs: String| {
            (mine != theirs).then(|| format!("{name}: {mine} there, {theirs} here"))
        };
        let optional = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
        let seeds = |seeds: Option<u64>| seeds.map_or("by time".into(), |seeds| seeds.to_string());
        let mut differences: Vec<String> = [
            named("format", self.sweep.to_string(), other.sweep.to_string()),
            named("build", self.build.clone(), other.build.clone()),
            named("engine", self.engine.clone(), other.engine.clone()),
            named("mutant", optional(&self.mutant), optional(&other.mutant)),
            named("--swarm", self.swarm.to_string(), other.swarm.to_string()),
            named(
                "--check-steps",
                self.check_steps.to_string(),
                other.check_steps.to_string(),
            ),
            named(
                "first seed",
                self.first_seed.to_string(),
                other.first_seed.to_string(),
            ),
            named("seeds", seeds(self.seeds), seeds(other.seeds)),
            named("shards", self.shards.to_string(), other.shards.to_string()),
        ]
        .into_iter()
        .flatten()
        .collect();
        differences.extend(self.other_scenarios(other));
        differences
    }

    fn other_scenarios(&self, other: &Header) -> Vec<String> {
        let (mine, theirs): (BTreeMap<_, _>, BTreeMap<_, _>) = (
            self.scenarios.iter().cloned().collect(),
            other.scenarios.iter().cloned().collect(),
        );
        let names: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
        let told = |name: &&String| match (mine.get(*name), theirs.get(*name)) {
            (Some(mine), Some(theirs)) if mine == theirs => None,
            (Some(_), Some(_)) => Some(format!("scenario {name}: changed since")),
            (Some(_), None) => Some(format!("scenario {name}: only there")),
            (None, _) => Some(format!("scenario {name}: only here")),
        };
        let mut differences: Vec<String> = names.iter().filter_map(told).collect();
        if differences.is_empty() && self.scenarios != other.scenarios {
            differences.push("scenarios: in another order".into());
        }
        differences
    }

    /// Runs of this shard, if the sweep has an end.
    pub fn runs(&self) -> Option<u64> {
        let kinds = u64::try_from(self.scenarios.len()).unwrap_or(u64::MAX);
        let all = self.seeds?.saturating_mul(kinds);
        Some((all + self.shards - 1 - self.shard) / self.shards)
    }
}

/// Checksum of the running program.
fn build() -> Result<String, String> {
    let path =
        std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let program = std::fs::read(&path);
    let program = program.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(format!("{:08x}", crc32c(&program)))
}

/// The file, open for more.
pub struct Ledger {
    path: PathBuf,
    file: File,
}

impl Ledger {
    /// Begins one in `directory`, which is created.
    ///
    /// # Errors
    /// There is one already, or the file system's.
    pub fn begin(directory: &Path, header: &Header) -> Result<Ledger, String> {
        let path = directory.join(FILE);
        let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        std::fs::create_dir_all(directory).map_err(failed)?;
        if path.exists() {
            return Err(format!(
                "{} has a sweep already: --resume goes on with it, another --out begins anew",
                directory.display()
            ));
        }
        let file = File::create(&path).map_err(failed)?;
        let mut ledger = Ledger { path, file };
        ledger.line(header)?;
        Ok(ledger)
    }

    /// Goes on with the one in `directory`; what it has.
    ///
    /// # Errors
    /// There is none, it is of another sweep or build, or damaged elsewhere than at its end.
    pub fn resume(directory: &Path, header: &Header) -> Result<(Ledger, Vec<Entry>), String> {
        let path = directory.join(FILE);
        let read = read(&path)?;
        let mut differences = read.header.differences(header);
        if read.header.shard != header.shard {
            let (there, here) = (read.header.shard, header.shard);
            differences.push(format!("shard: {there} there, {here} here"));
        }
        if !differences.is_empty() {
            return Err(format!(
                "{} is of another sweep: {}",
                path.display(),
                differences.join("; ")
            ));
        }
        let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(failed)?;
        file.set_len(read.whole).map_err(failed)?;
        Ok((Ledger { path, file }, read.entries))
    }

    pub fn add(&mut self, run: u64, outcome: &RunOutcome) -> Result<(), String> {
        self.line(&Entry {
            run,
            unmet: outcome.unmet.clone(),
            result: outcome.result.clone(),
        })
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), String> {
        let mut text = serde_json::to_string(line).expect("strings and numbers serialize");
        text.push('\n');
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

/// What a file holds.
pub struct Contents {
    pub header: Header,
    pub entries: Vec<Entry>,
    /// Bytes up to the end of its last whole line.
    whole: u64,
}

/// # Errors
/// No such file, or one that is damaged elsewhere than at its end.
pub fn read(path: &Path) -> Result<Contents, String> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut text))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let end = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    text.truncate(end);
    let text =
        String::from_utf8(text).map_err(|error| format!("{}: no text: {error}", path.display()))?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let header = serde_json::from_str::<Header>(header)
        .map_err(|error| format!("{}:1: no sweep: {error}", path.display()))?;
    let entry = |(index, line): (usize, &str)| {
        serde_json::from_str::<Entry>(line)
            .map_err(|error| format!("{}:{}: no run: {error}", path.display(), index + 2))
    };
    Ok(Contents {
        header,
        entries: lines.enumerate().map(entry).collect::<Result<_, _>>()?,
        whole: u64::try_from(end).expect("a length"),
    })
}

/// Runs added up, and what no run of a scenario has shown.
#[derive(Default)]
pub struct Sum {
    pub summary: Summary,
    unmet: BTreeMap<String, BTreeSet<String>>,
}

impl Sum {
    pub fn new(engine: &str) -> Sum {
        Sum {
            summary: Summary::new(engine, Vec::new()),
            unmet: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, result: &RunResult, unmet: &[String]) {
        self.summary.add(result);
        let unmet: BTreeSet<String> = unmet.iter().cloned().collect();
        self.unmet
            .entry(result.scenario.clone())
            .and_modify(|still| still.retain(|expected| unmet.contains(expected)))
            .or_insert(unmet);
    }

    pub fn sort(&mut self) {
        let rows = &mut self.summary.rows;
        rows.sort_by(|one, other| (&one.scenario, one.seed).cmp(&(&other.scenario, other.seed)));
    }

    /// Says on stderr what no run has shown, and counts it: stdout may be JSON.
    pub fn tell_unmet(&self) -> usize {
        for (scenario, expected) in &self.unmet {
            for expectation in expected {
                eprintln!(
                    "expectation not met: {scenario} expects {expectation}; never in this sweep"
                );
            }
        }
        self.unmet.values().map(BTreeSet::len).sum()
    }
}

/// Which runs of a shard are still to be made: those left out before the last one, then all after it.
pub struct Rest {
    holes: Vec<u64>,
    next: u64,
}

impl Rest {
    /// `done` are indices within the shard.
    pub fn new(done: &BTreeSet<u64>) -> Rest {
        let next = done.last().map_or(0, |last| last + 1);
        Rest {
            holes: (0..next).filter(|index| !done.contains(index)).collect(),
            next,
        }
    }

    /// How many of so many.
    pub fn count(&self, all: u64) -> u64 {
        u64::try_from(self.holes.len()).expect("a length") + all.saturating_sub(self.next)
    }

    pub fn nth(&self, number: u64) -> u64 {
        let holes = u64::try_from(self.holes.len()).expect("a length");
        match usize::try_from(number)
            .ok()
            .and_then(|at| self.holes.get(at))
        {
            Some(hole) => *hole,
            None => self.next + (number - holes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_comes_first() {
        let rest = Rest::new(&BTreeSet::from([0, 2, 5]));
        assert_eq!(rest.count(8), 5);
        let order: Vec<u64> = (0..5).map(|number| rest.nth(number)).collect();
        assert_eq!(order, [1, 3, 4, 6, 7]);
        let nothing = Rest::new(&BTreeSet::new());
        assert_eq!((nothing.count(3), nothing.nth(2)), (3, 2));
    }
}
