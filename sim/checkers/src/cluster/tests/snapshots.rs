//! RAFT-6.

use super::*;

const HASH: u64 = 7;

fn loaded(log_start: i64, log_end: i64, snapshots: &[(i64, i32)]) -> Event {
    Event::MetadataLogLoaded {
        log_start,
        log_end,
        batches: Vec::new(),
        snapshots: snapshots.to_vec(),
    }
}

/// Node 1 leads in epoch 1 and has committed the batches 0..=1 and 2..=2, which 1 and 2 have; node 3 lags.
fn quorum() -> Story {
    let mut story = story();
    for node in 1..=3 {
        story.at(node, loaded(0, 0, &[]));
    }
    story
        .quorum_role(1, 1, QuorumRole::Leader)
        .quorum_role(2, 1, QuorumRole::Follower)
        .quorum_role(3, 1, QuorumRole::Follower);
    for node in [1, 2] {
        story
            .metadata(node, batch(0, 1, 1))
            .metadata(node, batch(2, 2, 1));
    }
    story
        .metadata_commits(1, 1, 3, true)
        .metadata_commits(2, 1, 3, false);
    story.at(
        1,
        Event::MetadataApplied {
            end: 2,
            epoch: 1,
            hash: HASH,
        },
    );
    story
}

fn written(end: i64, epoch: i32) -> Event {
    Event::MetadataSnapshotWritten { end, epoch }
}

fn replaced(end: i64) -> Event {
    Event::MetadataLogReplaced { end, epoch: 1 }
}

fn read(end: i64, hash: u64) -> Event {
    Event::MetadataSnapshotLoaded {
        end,
        epoch: 1,
        hash,
        topics: Vec::new(),
    }
}

fn begins(log_start: i64) -> Event {
    Event::MetadataLogStartAdvanced { log_start }
}

#[test]
fn a_lawful_life_of_a_snapshot_holds_and_is_judged() {
    let mut story = quorum();
    story.at(1, written(2, 1)).at(1, begins(2));
    story
        .at(3, written(2, 1))
        .at(3, replaced(2))
        .at(3, read(2, HASH))
        .metadata(3, batch(2, 2, 1))
        .metadata_commits(3, 1, 3, false)
        .holds();
    let report = story.cluster.report();
    assert!(report.checked["RAFT-6"] >= 5, "{:?}", report.checked);
}

#[test]
fn raft_6_a_snapshot_ends_at_a_committed_batch_and_has_its_epoch() {
    for (end, epoch) in [(1, 1), (2, 2), (4, 1)] {
        quorum()
            .at(1, written(end, epoch))
            .breaks("RAFT-6", "snapshot-id");
    }
}

#[test]
fn raft_6_loading_equals_replaying() {
    quorum()
        .at(3, written(2, 1))
        .at(3, replaced(2))
        .at(3, read(2, HASH + 1))
        .breaks("RAFT-6", "snapshot-differs");
}

#[test]
fn raft_6_no_log_begins_without_a_snapshot() {
    quorum()
        .at(1, begins(2))
        .breaks("RAFT-6", "log-without-snapshot");
    quorum()
        .at(1, written(2, 1))
        .at(1, begins(3))
        .breaks("RAFT-6", "log-without-snapshot");
    quorum().at(3, replaced(2)).breaks("RAFT-6", "no-snapshot");
    let mut restarted = quorum();
    restarted.at(1, written(2, 1)).at(1, begins(2));
    let without = Event::MetadataLogLoaded {
        log_start: 2,
        log_end: 3,
        batches: vec![batch(2, 2, 1)],
        snapshots: Vec::new(),
    };
    restarted
        .at(1, Event::NodeKilled)
        .at(1, Event::Started)
        .at(1, without)
        .breaks("RAFT-6", "log-without-snapshot");
}

#[test]
fn raft_6_only_what_is_committed_is_trimmed() {
    let mut story = quorum();
    story
        .metadata(1, batch(3, 3, 1))
        .metadata(2, batch(3, 3, 1))
        .metadata_commits(1, 1, 4, true)
        .at(2, written(4, 1))
        .at(2, begins(4))
        .breaks("RAFT-6", "trimmed-uncommitted");
}

#[test]
fn raft_3_a_snapshot_does_not_replace_what_it_lacks() {
    quorum()
        .at(2, written(2, 1))
        .at(2, replaced(2))
        .breaks("RAFT-3", "truncated-committed");
}

#[test]
fn a_power_loss_may_undo_a_replacement_that_is_not_flushed() {
    let mut story = quorum();
    story
        .metadata(3, batch(0, 1, 1))
        .at(3, written(3, 1))
        .at(3, replaced(3))
        .at(3, Event::PowerLost { lost: true })
        .at(3, Event::Started);
    let undone = Event::MetadataLogLoaded {
        log_start: 0,
        log_end: 2,
        batches: vec![batch(0, 1, 1)],
        snapshots: vec![(3, 1)],
    };
    story.at(3, undone).at(3, replaced(3)).holds();
    // Once it is used it is durable.
    let mut used = quorum();
    used.at(3, written(2, 1))
        .at(3, replaced(2))
        .at(3, read(2, HASH))
        .at(3, Event::PowerLost { lost: true })
        .at(3, Event::Started)
        .at(3, loaded(0, 0, &[(2, 1)]))
        .breaks("LOG-3", "recovery-lost");
}

#[test]
fn what_a_snapshot_replaces_may_be_lost_with_power() {
    let mut story = quorum();
    story
        .at(
            1,
            Event::MetadataAppended {
                batch: batch(3, 3, 1),
            },
        )
        .metadata(2, batch(3, 3, 1))
        .metadata(3, batch(0, 1, 1))
        .metadata(3, batch(2, 2, 1))
        .metadata(3, batch(3, 3, 1))
        .metadata_commits(1, 1, 4, true)
        .at(1, written(4, 1))
        .at(1, begins(4))
        .at(1, Event::PowerLost { lost: true })
        .at(1, Event::Started);
    let shorter = Event::MetadataLogLoaded {
        log_start: 0,
        log_end: 3,
        batches: vec![batch(0, 1, 1), batch(2, 2, 1)],
        snapshots: vec![(4, 1)],
    };
    story.at(1, shorter).at(1, replaced(4)).holds();
}
