//! `trial merge`: the shards of a sweep put together. A run that two of them have counts once, and must be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::Merge;
use super::common::Exit;
use super::ledger::{self, Entry, FILE, Header, Sum};

pub fn merge(arguments: &Merge) -> Result<Exit, String> {
    let files = files(&arguments.directories)?;
    let mut all: BTreeMap<u64, Entry> = BTreeMap::new();
    let mut first: Option<(PathBuf, Header)> = None;
    let mut differing = Vec::new();
    let mut doubled = 0;
    for path in files {
        let contents = ledger::read(&path)?;
        let (known, header) = first.get_or_insert_with(|| (path.clone(), contents.header.clone()));
        let differences = header.differences(&contents.header);
        if !differences.is_empty() {
            return Err(format!(
                "{} and {} are of two sweeps: {}",
                known.display(),
                path.display(),
                differences.join("; ")
            ));
        }
        for entry in contents.entries {
            match all.get(&entry.run) {
                Some(known) => {
                    doubled += 1;
                    differing.extend(difference(known, &entry));
                }
                None => {
                    all.insert(entry.run, entry);
                }
            }
        }
    }
    let (_, header) = first.expect("at least one file");
    tell(&header, &all, doubled);
    let mut sum = Sum::new(&header.engine);
    for entry in all.values() {
        sum.add(&entry.result, &entry.unmet);
    }
    sum.summary.wall_ms = all.values().map(|entry| entry.result.wall_ms).sum();
    sum.sort();
    reports::write_sweep(&arguments.out, &sum.summary)
        .map_err(|error| format!("cannot write {}: {error}", arguments.out.display()))?;
    reports::print_sweep(&sum.summary, std::io::stdout().is_terminal());
    let unmet = sum.tell_unmet();
    if !differing.is_empty() {
        differing
            .iter()
            .for_each(|difference| eprintln!("{difference}"));
        return Ok(Exit::Nondeterministic);
    }
    Ok(match Exit::from(sum.summary.verdict()) {
        Exit::Held if unmet > 0 => Exit::Violated,
        exit => exit,
    })
}

/// The shards' files: in the folders given, or in those within them.
fn files(directories: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for directory in directories {
        let found = within(directory)?;
        if found.is_empty() {
            return Err(format!(
                "no {FILE} in {}: give folders that `sweep --out` wrote",
                directory.display()
            ));
        }
        files.extend(found);
    }
    Ok(files)
}

fn within(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let own = directory.join(FILE);
    if own.is_file() {
        return Ok(vec![own]);
    }
    let entries = std::fs::read_dir(directory)
        .map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let inner = entries.flatten().map(|entry| entry.path().join(FILE));
    let mut found: Vec<PathBuf> = inner.filter(|path| path.is_file()).collect();
    found.sort();
    Ok(found)
}

fn difference(one: &Entry, other: &Entry) -> Option<String> {
    let (known, again) = (&one.result, &other.result);
    (known.trace_hash != again.trace_hash).then(|| {
        format!(
            "nondeterministic: {} seed {} is {} once and {} once",
            known.scenario, known.seed, known.trace_hash, again.trace_hash
        )
    })
}

/// What is missing, by shard, and what came twice.
fn tell(header: &Header, all: &BTreeMap<u64, Entry>, doubled: u64) {
    if doubled > 0 {
        eprintln!("{doubled} runs came twice and count once");
    }
    let mut missing: BTreeMap<u64, u64> = BTreeMap::new();
    for shard in 0..header.shards {
        let of_shard = Header {
            shard,
            ..header.clone()
        };
        let Some(runs) = of_shard.runs() else { return };
        let of_this = |index: u64| index * header.shards + shard;
        let lacking = (0..runs).filter(|index| !all.contains_key(&of_this(*index)));
        missing.insert(shard, u64::try_from(lacking.count()).expect("a count"));
    }
    let lacking: BTreeSet<String> = missing
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(shard, count)| format!("{count} of shard {shard}/{}", header.shards))
        .collect();
    if !lacking.is_empty() {
        let lacking: Vec<String> = lacking.into_iter().collect();
        eprintln!("not all runs are there: {} are missing", lacking.join(", "));
    }
}
