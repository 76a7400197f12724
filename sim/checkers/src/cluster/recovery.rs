//! What a log is when it is opened again: LOG-2, LOG-3, REP-3.

use super::event::BatchSummary;
use super::judge::{Invariant, Judge};
use super::partition::{Partition, Replica};
use super::shadow::{LoadFindings, Stop, derived_epochs};
use super::truth::{Match, place};

/// A partition log as it was opened.
pub struct LoadedLog<'a> {
    pub log_start: i64,
    pub log_end: i64,
    pub epochs: &'a [(i32, i64)],
    pub high_watermark: i64,
    pub batches: &'a [BatchSummary],
}

impl Partition {
    pub fn loaded(&mut self, node: i32, loaded: &LoadedLog<'_>, judge: &mut Judge) {
        let (name, epoch) = (judge.name(self.id), self.newest_epoch());
        let replica = self.replicas.entry(node).or_default();
        let stop = if replica.log.loss.damaged {
            Stop::Damaged
        } else {
            replica.log.stop
        };
        let was = (replica.log.start, replica.log.end, replica.log.flushed);
        let findings = replica
            .log
            .load(loaded.log_start, loaded.log_end, loaded.batches);
        contiguous(
            &name,
            (loaded.log_start, loaded.log_end),
            loaded.batches,
            stop,
            judge,
        );
        loaded_epochs(&name, loaded, judge);
        if replica.exists {
            judge_load(
                &name,
                stop,
                was,
                loaded.log_start,
                loaded.log_end,
                &findings,
                judge,
            );
            if findings.lost || findings.foreign.is_some() {
                replica.log.loss.since = Some(judge.at.event);
                replica.log.loss.in_epoch = Some(epoch);
            }
        }
        replica.log.epochs = loaded.epochs.to_vec();
        replica.log.loss.suspect = false;
        let (log, loaded_at) = (std::mem::take(&mut replica.log), judge.at.event);
        let replicas = replica.replicas;
        let high_watermark = loaded.high_watermark.clamp(log.start, log.end);
        *replica = Replica {
            log,
            exists: true,
            loaded_at,
            recalled_from: loaded.log_end,
            high_watermark,
            epoch: -1,
            matched: (-1, 0),
            partition_epoch: -1,
            replicas,
            ..Replica::default()
        };
        // A failed append may have left batches that nobody was told of.
        for (index, batch) in loaded.batches.iter().enumerate() {
            if stop != Stop::Intact && self.written.find(batch) == Match::Unknown {
                let before = index
                    .checked_sub(1)
                    .map(|before| place(&loaded.batches[before]));
                self.written.push(*batch, before);
            }
        }
    }
}

/// LOG-2: what is loaded is whole.
fn contiguous(
    name: &str,
    (log_start, log_end): (i64, i64),
    batches: &[BatchSummary],
    stop: Stop,
    judge: &mut Judge,
) {
    let unordered = batches
        .windows(2)
        .find(|pair| pair[0].last_offset >= pair[1].base_offset);
    judge.demand(unordered.is_none(), Invariant::Log2, "offset-order", |_| {
        format!("{name}: loaded batches overlap: {unordered:?}")
    });
    let end = batches.last().map(BatchSummary::end);
    let reaches = end.unwrap_or(log_start) == log_end;
    judge.demand(
        reaches || stop == Stop::Damaged,
        Invariant::Log2,
        "unreadable",
        |_| format!("{name}: the log is said to end at {log_end}, readable batches end at {end:?}"),
    );
}

/// REP-3: epochs ascend along the log and the loaded list is what the batches say.
fn loaded_epochs(name: &str, loaded: &LoadedLog<'_>, judge: &mut Judge) {
    let descending = loaded
        .batches
        .windows(2)
        .find(|pair| pair[0].leader_epoch > pair[1].leader_epoch);
    judge.demand(descending.is_none(), Invariant::Rep3, "epoch-order", |_| {
        format!("{name}: epochs go back in the loaded log: {descending:?}")
    });
    let derived = derived_epochs(loaded.log_start, loaded.batches);
    let below = loaded
        .epochs
        .partition_point(|entry| entry.1 <= loaded.log_start)
        .saturating_sub(1);
    let told = loaded.epochs[below..]
        .iter()
        .filter(|entry| entry.1 < loaded.log_end);
    let told: Vec<_> = told
        .map(|entry| (entry.0, entry.1.max(loaded.log_start)))
        .collect();
    judge.demand(
        told == derived || loaded.batches.is_empty(),
        Invariant::Rep3,
        "epoch-history",
        |_| format!("{name}: loaded epochs {told:?}, the batches say {derived:?}"),
    );
}

/// LOG-3: what was there is there, as far as it had to survive.
pub fn judge_load(
    name: &str,
    stop: Stop,
    (start, end, flushed): (i64, i64, i64),
    log_start: i64,
    log_end: i64,
    findings: &LoadFindings,
    judge: &mut Judge,
) {
    let required = findings.required_end;
    judge.demand(required.is_none_or(|required| log_end >= required), Invariant::Log3, "recovery-lost", |_| {
        format!(
            "{name}: log was {start}..{end}, flushed up to {flushed}; after {stop:?} it ends at {log_end}"
        )
    });
    judge.demand(
        findings.foreign.is_none(),
        Invariant::Log3,
        "recovery-invented",
        |_| {
            let (batch, expected) = findings.foreign.expect("it is the violation");
            let expected = expected.map_or("nothing".to_owned(), |expected| expected.to_string());
            format!("{name}: loaded {batch} where {expected} was (after {stop:?})")
        },
    );
    let hole = findings.hole.filter(|_| stop < Stop::Damaged);
    judge.demand(hole.is_none(), Invariant::Log2, "lost-middle", |_| {
        format!(
            "{name}: {} is missing in the middle",
            hole.expect("it is the violation")
        )
    });
    judge.demand(
        !findings.front_lost,
        Invariant::Log3,
        "recovery-lost-front",
        |_| format!("{name}: log began at {start}, after {stop:?} it begins at {log_start}"),
    );
}
