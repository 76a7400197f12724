//! Each known bug, put back, must give a wrong log in its scenario; without it the scenario holds.

use std::path::Path;

use super::directory::{create, fill, formatted, open};
use crate::testing::{batch, block_on, info, partition};

type Scenario = fn() -> Result<(), String>;

const SCENARIOS: [(&str, Scenario); 4] = [
    ("L_04", producers_survive_a_power_loss),
    ("L_05", epochs_survive_a_power_loss),
    ("L_10", a_read_ends_at_the_limit_it_was_given),
    ("L_14", a_log_that_begins_anew_keeps_what_comes_then),
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
