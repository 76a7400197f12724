//! RAFT-1 … RAFT-4, and LOG-1 … LOG-3 of the metadata log.

use super::*;

/// Node 1 leads the quorum in epoch 1 and has committed one record, which 1 and 2 have flushed.
fn quorum() -> Story {
    let mut story = story();
    for node in 1..=3 {
        story.at(
            node,
            Event::MetadataLogLoaded {
                log_start: 0,
                log_end: 0,
                batches: Vec::new(),
                snapshots: Vec::new(),
            },
        );
    }
    story
        .votes(2, 1, 1)
        .quorum_role(1, 1, QuorumRole::Leader)
        .quorum_role(2, 1, QuorumRole::Follower);
    story
        .metadata(1, batch(0, 0, 1))
        .metadata(2, batch(0, 0, 1));
    story.at(
        2,
        Event::MetadataCounted {
            voter: 2,
            end: 1,
            epoch: 1,
        },
    );
    story
        .metadata_commits(1, 1, 1, true)
        .metadata_commits(2, 1, 1, false);
    story
}

impl Story {
    fn saves(&mut self, node: i32, epoch: i32, voted: Option<i32>) -> &mut Story {
        self.at(
            node,
            Event::QuorumStateSaved {
                epoch,
                leader: None,
                voted,
            },
        )
    }

    fn votes(&mut self, node: i32, epoch: i32, candidate: i32) -> &mut Story {
        self.saves(node, epoch, Some(candidate))
            .at(node, Event::VoteGranted { epoch, candidate })
    }
}

#[test]
fn a_lawful_quorum_holds_and_is_judged() {
    let mut story = quorum();
    story.at(
        1,
        Event::ControllerActive {
            epoch: 1,
            applied_end: 1,
        },
    );
    story.holds();
    let report = story.cluster.report();
    for invariant in ["RAFT-1", "RAFT-2", "RAFT-3", "RAFT-4", "META-1", "META-2"] {
        assert!(
            report
                .checked
                .get(invariant)
                .is_some_and(|times| *times > 0),
            "{invariant} was never looked at"
        );
    }
}

#[test]
fn raft_1_one_leader_in_an_epoch() {
    let mut story = quorum();
    story.quorum_role(1, 1, QuorumRole::Leader).holds();
    story
        .quorum_role(2, 1, QuorumRole::Leader)
        .breaks("RAFT-1", "two-leaders");
}

#[test]
fn raft_1_one_vote_in_an_epoch_also_across_restarts() {
    let mut story = quorum();
    story
        .votes(3, 2, 2)
        .at(3, Event::PowerLost { lost: true })
        .at(3, Event::Started)
        .holds();
    story.saves(3, 2, Some(1)).breaks("RAFT-1", "two-votes");
    // A candidate has voted for itself.
    let mut candidate = quorum();
    candidate
        .saves(3, 2, Some(3))
        .saves(3, 3, None)
        .votes(3, 3, 1)
        .holds();
    candidate.saves(3, 3, Some(2)).breaks("RAFT-1", "two-votes");
    // A wiped voter is another one.
    let mut wiped = quorum();
    wiped
        .votes(3, 2, 2)
        .at(3, Event::DiskWiped)
        .at(3, Event::Started)
        .votes(3, 2, 1)
        .holds();
}

#[test]
fn raft_1_saved_epochs_only_grow() {
    quorum()
        .saves(3, 4, None)
        .saves(3, 3, None)
        .breaks("RAFT-1", "epoch-fell");
}

#[test]
fn raft_4_a_vote_is_saved_before_it_is_granted() {
    quorum()
        .saves(3, 2, None)
        .at(
            3,
            Event::VoteGranted {
                epoch: 2,
                candidate: 1,
            },
        )
        .breaks("RAFT-4", "unsaved-vote");
    // A save may have been made durable just before the process died.
    let mut restarted = quorum();
    restarted.at(3, Event::NodeKilled).at(3, Event::Started);
    restarted
        .at(
            3,
            Event::VoteGranted {
                epoch: 2,
                candidate: 1,
            },
        )
        .holds();
}

#[test]
fn raft_4_a_voter_reports_what_it_has_flushed() {
    let mut story = quorum();
    story.at(
        2,
        Event::MetadataAppended {
            batch: batch(1, 2, 1),
        },
    );
    story.at(
        2,
        Event::MetadataCounted {
            voter: 2,
            end: 1,
            epoch: 1,
        },
    );
    story.at(
        2,
        Event::MetadataCounted {
            voter: 2,
            end: 3,
            epoch: 1,
        },
    );
    let found = story
        .cluster
        .violations()
        .last()
        .expect("a violation")
        .clone();
    assert_eq!(
        (found.invariant.as_str(), found.anomaly.as_str()),
        ("RAFT-4", "unflushed")
    );
}

#[test]
fn raft_4_what_is_loaded_is_flushed() {
    let mut story = quorum();
    story
        .at(
            1,
            Event::MetadataAppended {
                batch: batch(1, 2, 1),
            },
        )
        .at(1, Event::NodeKilled)
        .at(1, Event::Started);
    let batches = vec![batch(0, 0, 1), batch(1, 2, 1)];
    story.at(
        1,
        Event::MetadataLogLoaded {
            log_start: 0,
            log_end: 3,
            batches,
            snapshots: Vec::new(),
        },
    );
    story
        .at(
            1,
            Event::MetadataCounted {
                voter: 1,
                end: 3,
                epoch: 1,
            },
        )
        .holds();
}

#[test]
fn raft_4_committed_is_flushed_on_a_majority() {
    let mut story = quorum();
    story.metadata(1, batch(1, 2, 1)).at(
        2,
        Event::MetadataAppended {
            batch: batch(1, 2, 1),
        },
    );
    story
        .metadata_commits(1, 1, 3, true)
        .breaks("RAFT-4", "no-majority");
}

#[test]
fn raft_2_members_append_what_the_leader_wrote_where_it_wrote_it() {
    let mut other = quorum();
    other.metadata(1, batch(1, 2, 1)).metadata(
        2,
        BatchSummary {
            crc: 3,
            ..batch(1, 2, 1)
        },
    );
    other.breaks_before_last("RAFT-2", "log-matching");
    let mut nobody = quorum();
    nobody.metadata(2, batch(1, 2, 1));
    nobody.breaks_before_last("RAFT-2", "log-matching");
    let mut behind_another = quorum();
    behind_another
        .metadata(1, batch(1, 2, 1))
        .quorum_role(2, 2, QuorumRole::Leader)
        .metadata(2, batch(1, 2, 2));
    behind_another.metadata(2, batch(3, 3, 2)).holds();
    behind_another.metadata(1, batch(3, 3, 2));
    behind_another.breaks_before_last("RAFT-2", "log-matching");
}

impl Story {
    /// The last event but one caused it.
    #[track_caller]
    fn breaks_before_last(&mut self, invariant: &str, anomaly: &str) {
        let found = self.cluster.violations();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(
            (found[0].invariant.as_str(), found[0].anomaly.as_str()),
            (invariant, anomaly),
            "{found:#?}"
        );
        assert_eq!(found[0].event, self.event - 1);
    }
}

#[test]
fn raft_3_a_leader_has_everything_committed() {
    let mut lawful = quorum();
    lawful.quorum_role(2, 2, QuorumRole::Leader).holds();
    quorum()
        .quorum_role(3, 2, QuorumRole::Leader)
        .breaks("RAFT-3", "lost-metadata");
}

#[test]
fn raft_3_is_not_judged_after_a_majority_lost_its_disks() {
    let mut story = quorum();
    for node in [1, 2] {
        story.at(node, Event::DiskWiped).at(node, Event::Started);
        story.at(
            node,
            Event::MetadataLogLoaded {
                log_start: 0,
                log_end: 0,
                batches: Vec::new(),
                snapshots: Vec::new(),
            },
        );
    }
    story.quorum_role(3, 2, QuorumRole::Leader).holds();
    story
        .metadata(3, batch(0, 0, 2))
        .metadata(1, batch(0, 0, 2))
        .metadata_commits(3, 2, 1, true)
        .holds();
}

#[test]
fn raft_3_the_high_watermark_does_not_fall_while_a_member_runs() {
    let mut story = quorum();
    story
        .metadata(1, batch(1, 2, 1))
        .metadata(2, batch(1, 2, 1))
        .metadata_commits(1, 1, 3, true)
        .holds();
    story
        .metadata_commits(1, 1, 1, true)
        .breaks("RAFT-3", "high-watermark-fell");
}

#[test]
fn raft_3_members_learn_what_is_committed_and_have_it() {
    let mut early = quorum();
    early.metadata(2, batch(1, 2, 1));
    let mut above = quorum();
    above
        .metadata(1, batch(1, 2, 1))
        .metadata(2, batch(1, 2, 1));
    above
        .metadata_commits(2, 1, 3, false)
        .breaks("RAFT-3", "above-committed");
    quorum().metadata_commits(3, 1, 1, false);
    let mut lacking = quorum();
    lacking.metadata_commits(3, 1, 1, false);
    assert_eq!(lacking.cluster.violations()[0].anomaly, "bounds");
}

#[test]
fn raft_3_old_epochs_are_committed_with_a_record_of_the_own() {
    let mut story = quorum();
    story
        .metadata(1, batch(1, 2, 1))
        .metadata(2, batch(1, 2, 1))
        .quorum_role(2, 2, QuorumRole::Leader)
        .holds();
    story
        .metadata_commits(2, 2, 3, true)
        .breaks("RAFT-3", "old-epoch-commit");
}

#[test]
fn raft_3_nothing_is_cut_below_the_own_high_watermark() {
    let mut story = quorum();
    story
        .metadata(1, batch(1, 2, 1))
        .at(1, Event::MetadataTruncated { log_end: 1 })
        .holds();
    story
        .at(1, Event::MetadataTruncated { log_end: 0 })
        .breaks("RAFT-3", "truncated-committed");
}

#[test]
fn log_3_of_the_metadata_log() {
    let mut story = quorum();
    story
        .at(1, Event::PowerLost { lost: true })
        .at(1, Event::Started);
    story.at(
        1,
        Event::MetadataLogLoaded {
            log_start: 0,
            log_end: 0,
            batches: Vec::new(),
            snapshots: Vec::new(),
        },
    );
    story.breaks("LOG-3", "recovery-lost");
}

#[test]
fn log_1_of_the_metadata_log() {
    quorum()
        .at(
            1,
            Event::MetadataAppended {
                batch: batch(5, 5, 1),
            },
        )
        .breaks("LOG-1", "offset-order");
}
