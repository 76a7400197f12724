//! Each known bug, put back, must give a wrong log in its scenario; without it the scenario holds.

use std::path::Path;

use super::clean::{clean, cleaning, end, records, roll, write};
use super::directory::{create, fill, formatted, open};
use crate::testing::{batch, block_on, content, info, partition};
use crate::{Cleaning, LastBatch};

type Scenario = fn() -> Result<(), String>;

const SCENARIOS: [(&str, Scenario); 9] = [
    ("L_04", producers_survive_a_power_loss),
    ("L_05", epochs_survive_a_power_loss),
    ("L_10", a_read_ends_at_the_limit_it_was_given),
    ("L_14", a_log_that_begins_anew_keeps_what_comes_then),
    ("P_01", markers_stay_whatever_keys_users_have),
    ("P_04", producers_survive_compaction),
    ("P_05", what_is_not_committed_replaces_nothing),
    ("P_08", a_truncated_log_is_cleaned_again),
    ("P_10", segments_are_not_cleaned_and_removed_at_once),
];

#[test]
fn scenarios_hold_without_the_bugs() {
    for (id, scenario) in SCENARIOS {
        scenario().unwrap_or_else(|problem| panic!("{id}: {problem}"));
    }
}

#[cfg(feature = "mutants")]
#[test]
fn each_bug_is_found() {
    for (id, scenario) in SCENARIOS {
        broker_probe::set_mutant(Some(id));
        let result = scenario();
        broker_probe::set_mutant(None);
        result.expect_err(id);
    }
}

fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Their records are gone by retention: the snapshot is all that is left of them.
fn producers_survive_a_power_loss() -> Result<(), String> {
    let disk = formatted();
    let directory = open(&disk);
    let log = create(&directory);
    fill(&log, 10);
    let entry = super::producers::entry(7);
    log.lock()
        .write_producer_snapshot(10, &[entry])
        .expect("a healthy disk");
    block_on(log.flush()).expect("a healthy disk");
    block_on(directory.checkpoint()).expect("a healthy disk");
    drop((directory, log));
    disk.power_loss(|| false);
    let log = open(&disk).log(&partition()).expect("the log");
    let found = log
        .lock()
        .read_producer_snapshot(i64::MAX)
        .expect("a healthy disk");
    expect(
        found == Some((10, vec![entry])),
        "the producers are forgotten",
    )
}

/// The checkpoint is what a follower truncates by.
fn epochs_survive_a_power_loss() -> Result<(), String> {
    let disk = formatted();
    let directory = open(&disk);
    let log = create(&directory);
    for epoch in 0..3 {
        let bytes = batch(i64::from(epoch), 1, epoch, 1, 10);
        log.lock()
            .append(&bytes, &[info(&bytes)], 0)
            .expect("an append");
    }
    block_on(log.flush()).expect("a healthy disk");
    block_on(directory.checkpoint()).expect("a healthy disk");
    drop((directory, log));
    disk.power_loss(|| false);
    let file = Path::new("/data/topic-0/leader-epoch-checkpoint");
    let text = crate::checkpoint::read_file(&disk, file).expect("a healthy disk");
    let text = String::from_utf8(text.unwrap_or_default()).unwrap_or_default();
    expect(text.lines().count() == 5, "the epochs are not all there")
}

fn a_read_ends_at_the_limit_it_was_given() -> Result<(), String> {
    let disk = formatted();
    let directory = open(&disk);
    let log = create(&directory);
    fill(&log, 10);
    let read = log.lock().read(0, 1 << 20, 4, true).expect("a read");
    expect(read.next_offset == 4, "records above the limit were read")
}

fn a_log_that_begins_anew_keeps_what_comes_then() -> Result<(), String> {
    let disk = formatted();
    let directory = open(&disk);
    let log = create(&directory);
    fill(&log, 10);
    let job = log.lock().truncate_fully_and_start_at(100);
    block_on(log.run(Some(job.expect("a truncation")))).expect("a healthy disk");
    let bytes = batch(100, 1, 0, 1, 10);
    log.lock()
        .append(&bytes, &[info(&bytes)], 0)
        .expect("an append");
    block_on(log.flush()).expect("a healthy disk");
    block_on(directory.checkpoint()).expect("a healthy disk");
    drop((directory, log));
    let log = open(&disk).log(&partition()).expect("the log");
    let log_end = log.lock().log_end();
    expect(log_end == 101, "what was flushed is gone")
}

/// A user's key is that of a commit marker.
fn markers_stay_whatever_keys_users_have() -> Result<(), String> {
    let fixture = super::clean::fixture();
    let mut log = fixture.open(false);
    write(&mut log, Some((7, 0)), &[(b"a", Some(b"1"))]);
    end(&mut log, 7, true, 0);
    write(&mut log, None, &[(&[0, 0, 0, 1], Some(b"2"))]);
    roll(&mut log);
    let all = cleaning(&log);
    clean(&mut log, all);
    let markers = content(&log)
        .iter()
        .filter(|batch| batch.is_control())
        .count();
    let mut told = 0;
    log.for_each_batch_from(0, |_, marker| told += usize::from(marker.is_some()))
        .expect("a healthy disk");
    expect(markers == 1 && told == 1, "the transaction never ends")
}

/// A retry of the last batch must be recognised after a restart, too.
fn producers_survive_compaction() -> Result<(), String> {
    let fixture = super::clean::fixture();
    let mut log = fixture.open(false);
    let last = write(&mut log, Some((7, 0)), &[(b"a", Some(b"1"))]);
    end(&mut log, 7, true, 0);
    write(&mut log, None, &[(b"a", Some(b"2"))]);
    roll(&mut log);
    let mut all = cleaning(&log);
    let known = LastBatch {
        last_offset: Some(last.last_offset),
        producer_epoch: 0,
    };
    all.last_batches.insert(7, known);
    clean(&mut log, all);
    let is_there = content(&log).iter().any(|batch| batch.is_sequenced());
    expect(is_there, "the producer's last batch is gone")
}

/// Above the bound another leader may have other records.
fn what_is_not_committed_replaces_nothing() -> Result<(), String> {
    let fixture = super::clean::fixture();
    let mut log = fixture.open(false);
    write(&mut log, None, &[(b"a", Some(b"1"))]);
    roll(&mut log);
    let bound = log.active_base_offset();
    write(&mut log, None, &[(b"a", Some(b"2"))]);
    roll(&mut log);
    let cleaning = Cleaning {
        bound,
        ..cleaning(&log)
    };
    clean(&mut log, cleaning);
    let kept = records(&log).first().map(|(offset, _, _)| *offset);
    expect(kept == Some(0), "a committed record is gone")
}

fn a_truncated_log_is_cleaned_again() -> Result<(), String> {
    let fixture = super::clean::fixture();
    let mut log = fixture.open(false);
    (0..4).for_each(|_| roll(&mut log));
    let all = cleaning(&log);
    clean(&mut log, all);
    let job = log.truncate_to(1).expect("a healthy disk");
    let done = block_on(job.expect("a truncation").run()).expect("a healthy disk");
    log.finish_flush(done);
    write(&mut log, None, &[(b"a", Some(b"1"))]);
    write(&mut log, None, &[(b"a", Some(b"2"))]);
    roll(&mut log);
    let all = cleaning(&log);
    clean(&mut log, all);
    expect(
        records(&log).len() == 1,
        "what came after the truncation counts as clean",
    )
}

/// A cleaned segment must not take the place of one that is gone.
fn segments_are_not_cleaned_and_removed_at_once() -> Result<(), String> {
    let fixture = super::clean::fixture();
    let mut log = fixture.open(false);
    write(&mut log, None, &[(b"a", Some(b"1"))]);
    write(&mut log, None, &[(b"a", Some(b"2"))]);
    roll(&mut log);
    let all = cleaning(&log);
    let job = log
        .start_cleaning(all)
        .expect("a healthy disk")
        .expect("something to clean");
    let done = block_on(job.run()).expect("a healthy disk");
    let second = log.segment_base_offsets()[1];
    log.advance_log_start(second).expect("a healthy disk");
    let removal = log.remove_old_segment(0, second).expect("a healthy disk");
    let removed = removal.is_some_and(|job| block_on(job.run()).is_ok());
    log.finish_cleaning(done).expect("a healthy disk");
    let first = log.segment_base_offsets()[0];
    expect(!removed || first == second, "a removed segment is back")
}
