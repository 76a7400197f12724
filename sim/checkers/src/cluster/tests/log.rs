//! LOG-1 … LOG-3, REP-2 and REP-3 along a log.

use super::*;

#[test]
fn log_1_a_leader_appends_at_the_end() {
    led()
        .leader_appends(1, batch(0, 4, 0))
        .leader_appends(1, batch(5, 5, 0))
        .holds();
    led()
        .leader_appends(1, batch(0, 4, 0))
        .leader_appends(1, batch(6, 6, 0))
        .breaks("LOG-1", "offset-order");
}

#[test]
fn log_1_a_followers_offsets_grow() {
    let mut story = led();
    story
        .leader_appends(1, batch(0, 4, 0))
        .follower_appends(2, batch(0, 4, 0), 0)
        .holds();
    story.follower_appends(2, batch(0, 4, 0), 0);
    assert!(
        story
            .cluster
            .violations()
            .iter()
            .any(|found| found.anomaly == "offset-order")
    );
}

#[test]
fn log_1_an_offset_is_given_once_in_an_epoch() {
    let mut story = led();
    story
        .leader_appends(1, batch(0, 4, 0))
        .at(1, Event::PowerLost { lost: true })
        .at(1, Event::NodeStarted);
    story.loads(1, 0, &[]).leads(1, 0, 0, &[1, 2, 3]).holds();
    let other = BatchSummary {
        crc: 1,
        ..batch(0, 4, 0)
    };
    story
        .leader_appends(1, other)
        .breaks("LOG-1", "offset-reused");
}

#[test]
fn log_2_what_is_loaded_is_whole() {
    let batches = [batch(0, 4, 0), batch(5, 9, 0), batch(10, 14, 0)];
    let appended = || {
        let mut story = led();
        for batch in batches {
            story.leader_appends(1, batch);
        }
        story
            .flushes(1, 15)
            .at(1, Event::NodeKilled)
            .at(1, Event::NodeStarted);
        story
    };
    appended().loads(1, 0, &batches).holds();
    appended()
        .loads(1, 0, &[batches[0], batches[2]])
        .breaks("LOG-2", "lost-middle");
    let unreadable = Event::LogLoaded {
        partition: P,
        log_start: 0,
        log_end: 20,
        epochs: vec![(0, 0)],
        high_watermark: 0,
        clean: false,
        batches: batches.to_vec(),
    };
    appended().at(1, unreadable).breaks("LOG-2", "unreadable");
    let changed = BatchSummary {
        crc: 9,
        ..batches[1]
    };
    appended()
        .loads(1, 0, &[batches[0], changed, batches[2]])
        .breaks("LOG-3", "recovery-invented");
}

#[test]
fn log_3_a_kill_loses_nothing_that_was_written() {
    let batches = [batch(0, 4, 0), batch(5, 9, 0)];
    let mut killed = led();
    killed
        .leader_appends(1, batches[0])
        .leader_appends(1, batches[1])
        .flushes(1, 5)
        .at(1, Event::NodeKilled);
    killed
        .at(1, Event::Started)
        .loads(1, 0, &batches[..1])
        .breaks("LOG-3", "recovery-lost");
}

#[test]
fn log_3_a_power_loss_takes_only_what_was_not_flushed() {
    let batches = [batch(0, 4, 0), batch(5, 9, 0)];
    let story = || {
        let mut story = led();
        story
            .leader_appends(1, batches[0])
            .flushes(1, 5)
            .leader_appends(1, batches[1]);
        story
            .at(1, Event::PowerLost { lost: true })
            .at(1, Event::Started);
        story
    };
    story().loads(1, 0, &batches).holds();
    story().loads(1, 0, &batches[..1]).holds();
    story().loads(1, 0, &[]).breaks("LOG-3", "recovery-lost");
}

#[test]
fn log_3_a_second_power_loss_takes_nothing_that_was_loaded() {
    let mut story = led();
    story
        .leader_appends(1, batch(0, 4, 0))
        .at(1, Event::PowerLost { lost: true })
        .at(1, Event::Started);
    story
        .loads(1, 0, &[batch(0, 4, 0)])
        .at(1, Event::PowerLost { lost: true })
        .at(1, Event::Started)
        .holds();
    story.loads(1, 0, &[]).breaks("LOG-3", "recovery-lost");
}

#[test]
fn log_3_a_power_loss_may_undo_a_truncation_that_was_not_flushed() {
    let batches = [batch(0, 4, 0), batch(5, 9, 0)];
    let cut = |flushed: bool| {
        let mut story = led();
        story
            .leader_appends(1, batches[0])
            .leader_appends(1, batches[1]);
        for batch in batches {
            story.follower_appends(2, batch, 0);
        }
        story.flushes(2, 10).truncates(2, 5);
        if flushed {
            story.flushes(2, 5);
        }
        story
            .at(2, Event::PowerLost { lost: true })
            .at(2, Event::Started);
        story
    };
    cut(false).loads(2, 0, &batches).holds();
    cut(false).loads(2, 0, &batches[..1]).holds();
    cut(true)
        .loads(2, 0, &batches)
        .breaks("LOG-3", "recovery-invented");
}

#[test]
fn log_3_a_failed_append_may_be_there_after_all() {
    let ghost = batch(5, 9, 0);
    let failed = |failing: bool| {
        let mut story = led();
        story.leader_appends(1, batch(0, 4, 0)).flushes(1, 5);
        if failing {
            story.at(1, Event::DiskFailing);
        }
        story
            .at(1, Event::NodeKilled)
            .at(1, Event::Started)
            .loads(1, 0, &[batch(0, 4, 0), ghost]);
        story
    };
    failed(true).holds();
    failed(false).breaks("LOG-3", "recovery-invented");
}

#[test]
fn log_3_a_clean_stop_flushes_everything() {
    let mut story = led();
    story
        .leader_appends(1, batch(0, 4, 0))
        .at(1, Event::StoppedCleanly)
        .at(1, Event::PowerLost { lost: true });
    story
        .at(1, Event::Started)
        .loads(1, 0, &[])
        .breaks("LOG-3", "recovery-lost");
}

#[test]
fn log_3_the_front_stays() {
    let batches = [batch(0, 4, 0), batch(5, 9, 0)];
    let mut story = led();
    story
        .leader_appends(1, batches[0])
        .leader_appends(1, batches[1])
        .flushes(1, 10);
    story
        .at(1, Event::NodeKilled)
        .at(1, Event::Started)
        .loads(1, 5, &batches[1..]);
    let found = story.cluster.violations();
    assert!(
        found
            .iter()
            .any(|found| found.anomaly == "recovery-lost-front"),
        "{found:#?}"
    );
}

#[test]
fn log_3_deleted_records_may_come_back_because_the_start_is_checkpointed_later() {
    let batches = [batch(0, 4, 0), batch(5, 9, 0)];
    let mut story = led();
    story
        .replicates(batches[0], 1, &[2, 3])
        .replicates(batches[1], 1, &[2, 3])
        .commits(1, 0, 10);
    story.at(
        1,
        Event::LogStartAdvanced {
            partition: P,
            log_start: 5,
        },
    );
    story
        .at(1, Event::NodeKilled)
        .at(1, Event::Started)
        .loads(1, 0, &batches)
        .holds();
}

#[test]
fn log_3_nothing_is_flushed_beyond_the_end() {
    led()
        .leader_appends(1, batch(0, 4, 0))
        .flushes(1, 5)
        .holds()
        .flushes(1, 6)
        .breaks("LOG-3", "flushed-beyond-end");
}

#[test]
fn wiped_and_damaged_disks_prove_nothing() {
    for event in [Event::DiskWiped, Event::DiskDamaged] {
        let mut story = committed();
        story
            .flushes(2, 5)
            .at(2, event)
            .at(2, Event::NodeStarted)
            .loads(2, 0, &[])
            .holds();
    }
}

#[test]
fn rep_2_followers_append_what_the_leader_wrote() {
    let mut other = led();
    other.leader_appends(1, batch(0, 4, 0));
    other
        .follower_appends(
            2,
            BatchSummary {
                crc: 5,
                ..batch(0, 4, 0)
            },
            0,
        )
        .breaks("REP-2", "log-matching");
    led()
        .follower_appends(2, batch(0, 4, 0), 0)
        .breaks("REP-2", "log-matching");
}

#[test]
fn rep_2_followers_append_behind_what_the_leader_had_before() {
    let diverged = || {
        let mut story = committed();
        // Node 1 goes on alone, node 2 leads the next epoch; node 1 keeps its tail.
        story
            .leader_appends(1, batch(5, 7, 0))
            .leads(2, 1, 5, &[2, 3])
            .leader_appends(2, batch(5, 6, 1));
        story.leader_appends(2, batch(7, 9, 1)).follows(1, 1, 2);
        story
    };
    diverged()
        .truncates(1, 5)
        .follower_appends(1, batch(5, 6, 1), 1)
        .follower_appends(1, batch(7, 9, 1), 1)
        .holds();
    let mut story = diverged();
    story
        .leader_appends(2, batch(10, 10, 1))
        .follower_appends(1, batch(10, 10, 1), 1)
        .breaks("REP-2", "log-matching");
}

#[test]
fn rep_3_epochs_never_decrease_along_a_log() {
    let mut story = led();
    story
        .leads(2, 3, 0, &[2])
        .leader_appends(2, batch(0, 4, 3))
        .leader_appends(1, batch(0, 4, 0))
        .holds();
    story.truncates(2, 5).follower_appends(2, batch(5, 5, 0), 3);
    assert!(
        story
            .cluster
            .violations()
            .iter()
            .any(|found| found.anomaly == "epoch-order")
    );
}

#[test]
fn rep_3_loaded_epochs_are_what_the_batches_say() {
    let batches = [batch(0, 4, 0), batch(5, 9, 2)];
    let load = |epochs: Vec<(i32, i64)>| Event::LogLoaded {
        partition: P,
        log_start: 2,
        log_end: 10,
        epochs,
        high_watermark: 0,
        clean: true,
        batches: batches.to_vec(),
    };
    story().at(1, load(vec![(0, 2), (2, 5)])).holds();
    // The epoch that this replica led without a record, and a first entry that was not moved with the start.
    story().at(1, load(vec![(0, 0), (2, 5), (3, 10)])).holds();
    story()
        .at(1, load(vec![(0, 2), (2, 6)]))
        .breaks("REP-3", "epoch-history");
    story()
        .at(1, load(vec![(2, 5)]))
        .breaks("REP-3", "epoch-history");
}

#[test]
fn rep_3_end_offsets_of_epochs_are_what_the_log_implies() {
    let answered = |asked: i32, answer_epoch: i32, end_offset: i64| {
        let mut story = led();
        story
            .leader_appends(1, batch(0, 4, 0))
            .leads(1, 2, 5, &[1])
            .leader_appends(1, batch(5, 9, 2));
        story.at(
            1,
            Event::EpochEndOffsetAnswered {
                partition: P,
                asked,
                answer_epoch,
                end_offset,
            },
        );
        story
    };
    answered(0, 0, 5).holds();
    answered(1, 0, 5).holds();
    answered(2, 2, 10).holds();
    answered(1, 1, 5).breaks("REP-3", "epoch-end");
    answered(0, 0, 10).breaks("REP-3", "epoch-end");
}

#[test]
fn a_log_that_begins_anew_takes_the_start_of_its_first_batch() {
    let mut story = led();
    story
        .replicates(batch(0, 4, 0), 1, &[2, 3])
        .commits(1, 0, 5);
    // The leader deleted up to offset 3, which lies within a batch.
    story.at(
        1,
        Event::LogStartAdvanced {
            partition: P,
            log_start: 3,
        },
    );
    story
        .at(2, Event::DiskWiped)
        .at(2, Event::Started)
        .loads(2, 0, &[])
        .follows(2, 0, 1);
    story
        .truncates(2, 3)
        .truncates(2, 0)
        .follower_appends(2, batch(0, 4, 0), 0);
    story
        .at(
            2,
            Event::LogStartAdvanced {
                partition: P,
                log_start: 3,
            },
        )
        .holds();
}
