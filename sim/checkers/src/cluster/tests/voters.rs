//! RAFT-5.

use super::*;

impl Story {
    fn voters(&mut self, node: i32, voters: &[i32]) -> &mut Story {
        let voters = voters.to_vec();
        self.at(node, Event::QuorumVoters { voters })
    }
}

/// Node 1 leads three voters; `commits`: it has committed its first record.
fn led(commits: bool) -> Story {
    let mut story = story();
    for node in 1..=3 {
        let loaded = Event::MetadataLogLoaded {
            log_start: 0,
            log_end: 0,
            batches: Vec::new(),
            snapshots: Vec::new(),
        };
        story.at(node, loaded);
    }
    story.quorum_role(1, 1, QuorumRole::Leader);
    for node in 1..=3 {
        story.metadata(node, batch(0, 0, 1));
    }
    if commits {
        story.metadata_commits(1, 1, 1, true);
    }
    story
}

#[test]
fn one_change_after_the_other_holds_and_is_judged() {
    let mut story = led(true);
    for node in 1..=3 {
        story.metadata(node, batch(1, 1, 1));
    }
    story.voters(1, &[1, 2]).metadata_commits(1, 1, 2, true);
    story.metadata(1, batch(2, 2, 1)).voters(1, &[1]);
    story.holds();
    assert!(story.cluster.report().checked["RAFT-5"] > 0);
}

#[test]
fn several_voters_at_once() {
    let mut story = led(true);
    story.metadata(1, batch(1, 1, 1)).voters(1, &[1]);
    story.breaks("RAFT-5", "several-voters");
}

#[test]
fn one_for_another_is_two_changes() {
    let mut story = led(true);
    story.metadata(1, batch(1, 1, 1)).voters(1, &[1, 2, 4]);
    story.breaks("RAFT-5", "several-voters");
}

#[test]
fn a_change_before_a_commit_in_the_epoch() {
    let mut story = led(false);
    story.metadata(1, batch(1, 1, 1)).voters(1, &[1, 2]);
    story.breaks("RAFT-5", "change-before-commit");
}

#[test]
fn a_change_before_the_last_is_committed() {
    let mut story = led(true);
    story.metadata(1, batch(1, 1, 1)).voters(1, &[1, 2]);
    story.metadata(1, batch(2, 2, 1)).voters(1, &[1, 2, 3]);
    story.breaks("RAFT-5", "two-changes");
}

/// A follower may fetch several changes at once, and take one back.
#[test]
fn followers_may_skip_changes() {
    let mut story = led(true);
    story.quorum_role(2, 1, QuorumRole::Follower);
    story.voters(2, &[1]).voters(2, &[1, 2, 3]);
    story.holds();
}
