//! REP-1, REP-4, REP-5, CLI-4 and META-1 for leaders.

use super::*;

/// [`committed`], acknowledged; node 1 is gone, node 2 leads with what it has.
fn next_leader(batches: &[BatchSummary], before: impl Fn(&mut Story)) -> Story {
    let mut story = committed();
    story.acknowledges(1, 0, 4).at(1, Event::NodeKilled);
    before(&mut story);
    story
        .registers(3, 2, 1, 1, &[2, 3])
        .leads(2, 1, end_of(batches), &[2, 3]);
    story
}

#[test]
fn rep_1_a_leader_has_what_was_acknowledged() {
    next_leader(&[batch(0, 4, 0)], |_| {}).holds();
    let mut story = committed();
    story
        .acknowledges(1, 0, 4)
        .at(2, Event::PowerLost { lost: true })
        .at(2, Event::Started)
        .loads(2, 0, &[])
        .holds();
    story.registers(3, 2, 1, 1, &[2]);
    story.at(
        2,
        Event::BecameLeader {
            partition: P,
            epoch: 1,
            epoch_start: 0,
            isr: vec![2],
            partition_epoch: 1,
        },
    );
    story.breaks("REP-1", "lost-write");
    assert!(
        story.cluster.violations()[0]
            .detail
            .contains("acknowledged and lost from offset 0")
    );
}

#[test]
fn rep_1_as_many_lossy_replicas_as_must_be_in_sync_may_lose_it() {
    let loses = |story: &mut Story, node: i32| {
        story
            .at(node, Event::PowerLost { lost: true })
            .at(node, Event::Started)
            .loads(node, 0, &[]);
    };
    next_leader(&[], |story| {
        [2, 3].iter().for_each(|node| loses(story, *node))
    })
    .holds();
    // It is forgotten then, and the partition goes on from what is left.
    let mut story = next_leader(&[], |story| {
        [2, 3].iter().for_each(|node| loses(story, *node))
    });
    story
        .follows(3, 1, 2)
        .replicates(batch(0, 2, 1), 2, &[3])
        .commits_with(2, 1, 3, &[2, 3])
        .holds();
}

#[test]
fn rep_1_is_not_judged_outside_of_the_budget() {
    for budget in [
        Budget {
            durable: false,
            ..Budget::default()
        },
        Budget {
            unclean_elections: true,
            ..Budget::default()
        },
        Budget {
            lossy: [1].into(),
            ..Budget::default()
        },
    ] {
        let mut story = committed();
        story.cluster.set_budget(budget);
        story
            .at(2, Event::DiskWiped)
            .at(2, Event::Started)
            .loads(2, 0, &[])
            .leads(2, 1, 0, &[2])
            .holds();
    }
}

#[test]
fn rep_1_only_who_is_elected_in_recovery_may_lack_what_was_committed() {
    let next_leader = |recovering: bool| {
        let mut story = committed();
        story.cluster.set_budget(Budget {
            unclean_elections: true,
            ..Budget::default()
        });
        story.cluster.name_topic(P.topic, "orders");
        let state = PartitionState {
            replicas: vec![1, 2, 3],
            isr: vec![2],
            eligible: Vec::new(),
            leader: Some(2),
            leader_epoch: 1,
            partition_epoch: 2,
            min_insync_replicas: 2,
            recovering,
        };
        let registered = Event::PartitionRegistered {
            partition: P,
            state,
        };
        story
            .at(2, Event::DiskWiped)
            .at(2, Event::Started)
            .loads(2, 0, &[])
            .at(3, registered)
            .at(
                2,
                Event::BecameLeader {
                    partition: P,
                    epoch: 1,
                    epoch_start: 0,
                    isr: vec![2],
                    partition_epoch: 2,
                },
            );
        story
    };
    let mut lawful = next_leader(true);
    lawful.holds();
    let from: Vec<i64> = lawful.cluster.losses().into_values().collect();
    assert_eq!(from, [0]);
    next_leader(false).breaks("REP-1", "lost-write");
}

#[test]
fn rep_1_a_loss_before_the_commit_does_not_count() {
    let mut story = led();
    for node in [2, 3] {
        story
            .at(node, Event::PowerLost { lost: true })
            .at(node, Event::Started)
            .loads(node, 0, &[])
            .follows(node, 0, 1);
    }
    story
        .replicates(batch(0, 4, 0), 1, &[2, 3])
        .commits(1, 0, 5);
    story.truncates(2, 0);
    let found = story.cluster.violations().len();
    story.leads(2, 1, 0, &[2, 3]);
    assert_eq!(story.cluster.violations()[found].anomaly, "lost-write");
}

#[test]
fn rep_1_nothing_is_acknowledged_before_it_is_committed() {
    let mut story = led();
    story
        .replicates(batch(0, 4, 0), 1, &[2])
        .acknowledges(1, 0, 4)
        .breaks("REP-1", "acknowledged-early");
    let mut one = led();
    one.leader_appends(1, batch(0, 4, 0));
    one.at(
        1,
        Event::ProduceAcknowledged {
            partition: P,
            base_offset: 0,
            last_offset: 4,
            acks: 1,
        },
    )
    .holds();
}

#[test]
fn rep_2_below_a_high_watermark_is_what_was_committed() {
    self::committed().follower_learns(2, 0, 5).holds();
    // A follower with another record there, which no leader has counted.
    let mut story = led();
    let (committed, maximal) = (vec![1, 2], vec![1, 2]);
    story.at(
        1,
        Event::IsrChanged {
            partition: P,
            committed,
            maximal,
            epoch: 0,
            partition_epoch: 1,
        },
    );
    story
        .replicates(batch(0, 4, 0), 1, &[2])
        .commits_with(1, 0, 5, &[1, 2])
        .holds();
    story.cluster.set_budget(Budget {
        durable: false,
        ..Budget::default()
    });
    story
        .at(
            3,
            Event::Appended {
                partition: P,
                batch: batch(0, 4, 2),
                role: AppendRole::Leader,
                epoch: 2,
            },
        )
        .holds();
    story
        .follower_learns(3, 2, 5)
        .breaks("REP-2", "committed-content");
}

#[test]
fn rep_4_a_follower_is_counted_for_what_it_has() {
    let mut story = led();
    story
        .leader_appends(1, batch(0, 4, 0))
        .counts(1, 2, 5, 0)
        .breaks("REP-4", "counted-too-much");
}

#[test]
fn rep_4_a_follower_is_counted_in_its_epoch_only() {
    let mut story = led();
    story
        .leads(1, 1, 0, &[1, 2, 3])
        .counts(1, 2, 0, 1)
        .breaks("REP-4", "counted-in-old-epoch");
    // It may have moved on while its fetch was under way.
    led().follows(2, 1, 3).counts(1, 2, 0, 0).holds();
    // Or restarted: then it is in no epoch yet.
    led().at(2, Event::NodeKilled).counts(1, 2, 0, 0).holds();
}

#[test]
fn rep_4_a_counted_log_is_a_prefix_of_the_leaders() {
    let mut story = committed();
    story
        .leader_appends(1, batch(5, 7, 0))
        .leads(2, 1, 5, &[2, 3])
        .leader_appends(2, batch(5, 7, 1))
        .follows(1, 1, 2);
    story
        .counts(2, 1, 8, 1)
        .breaks("REP-4", "counted-diverging");
}

#[test]
fn rep_4_what_is_counted_is_not_cut_off() {
    committed()
        .truncates(2, 0)
        .breaks("REP-4", "counted-and-cut");
    let mut moved_on = committed();
    moved_on.follows(2, 1, 3).truncates(2, 0).holds();
}

#[test]
fn rep_4_a_fetch_of_a_former_life_may_be_counted_late() {
    let mut story = led();
    story
        .leader_appends(1, batch(0, 4, 0))
        .follower_appends(2, batch(0, 4, 0), 0);
    story
        .at(2, Event::PowerLost { lost: true })
        .at(2, Event::Started)
        .loads(2, 0, &[])
        .follows(2, 0, 1);
    story.counts(1, 2, 5, 0).holds();
}

#[test]
fn rep_4_whoever_may_lead_next_is_waited_for() {
    let mut story = led();
    story
        .replicates(batch(0, 4, 0), 1, &[2])
        .commits_with(1, 0, 5, &[1, 2])
        .breaks("REP-4", "not-waited-for");
    // The answer to AlterPartition may reach the leader before anybody publishes the change.
    let mut ahead = led();
    ahead.replicates(batch(0, 4, 0), 1, &[2]);
    let (committed, maximal) = (vec![1, 2], vec![1, 2]);
    ahead.at(
        1,
        Event::IsrChanged {
            partition: P,
            committed,
            maximal,
            epoch: 0,
            partition_epoch: 1,
        },
    );
    ahead.commits_with(1, 0, 5, &[1, 2]).holds();
}

#[test]
fn rep_5_what_is_committed_is_on_the_whole_maximal_isr() {
    let mut story = led();
    story
        .replicates(batch(0, 4, 0), 1, &[2])
        .commits(1, 0, 5)
        .breaks("REP-5", "not-replicated");
}

#[test]
fn rep_5_in_a_flushed_cluster_it_is_flushed_there_too() {
    let flushed = |nodes: &[i32]| {
        let mut story = led();
        story.cluster.set_budget(Budget {
            flushed: true,
            ..Budget::default()
        });
        story.replicates(batch(0, 4, 0), 1, &[2, 3]);
        for node in nodes {
            story.flushes(*node, 5);
        }
        story.commits(1, 0, 5);
        story
    };
    flushed(&[1, 2, 3]).holds();
    flushed(&[1, 2]).breaks("REP-5", "not-flushed");
}

#[test]
fn rep_5_the_high_watermark_rests_while_the_isr_is_too_small() {
    let mut story = led();
    story.registers(1, 1, 0, 1, &[1]);
    let (committed, maximal) = (vec![1], vec![1, 2]);
    story.at(
        1,
        Event::IsrChanged {
            partition: P,
            committed,
            maximal,
            epoch: 0,
            partition_epoch: 1,
        },
    );
    story.replicates(batch(0, 4, 0), 1, &[2]).holds();
    story
        .commits_with(1, 0, 5, &[1, 2])
        .breaks("REP-5", "under-min-isr");
}

#[test]
fn rep_5_the_high_watermark_of_a_leader_does_not_fall() {
    let mut story = committed();
    story
        .replicates(batch(5, 9, 0), 1, &[2, 3])
        .commits(1, 0, 10)
        .holds();
    story
        .commits(1, 0, 5)
        .breaks("REP-5", "high-watermark-fell");
}

#[test]
fn rep_5_a_follower_learns_only_what_is_committed() {
    let mut story = led();
    story
        .replicates(batch(0, 4, 0), 1, &[2, 3])
        .follower_learns(2, 0, 5)
        .breaks("REP-5", "above-committed");
}

#[test]
fn rep_5_the_high_watermark_lies_in_the_log() {
    let mut story = led();
    story
        .replicates(batch(0, 4, 0), 1, &[3])
        .commits_with(1, 0, 5, &[1, 3]);
    let found = story.cluster.violations().len();
    story.follower_learns(2, 0, 5);
    assert_eq!(story.cluster.violations()[found].anomaly, "bounds");
}

#[test]
fn rep_5_the_log_start_only_grows_and_stays_below_the_high_watermark() {
    let advance = |log_start: i64| Event::LogStartAdvanced {
        partition: P,
        log_start,
    };
    committed().at(1, advance(5)).holds();
    committed()
        .at(1, advance(5))
        .at(1, advance(3))
        .breaks("REP-5", "log-start");
    let mut story = led();
    story
        .replicates(batch(0, 4, 0), 1, &[])
        .at(1, advance(5))
        .breaks("REP-5", "log-start");
}

#[test]
fn cli_4_consumers_see_only_what_is_committed_and_kept() {
    let read = |from: i64, end: i64, limit: i64| {
        let mut story = committed();
        story.leader_appends(1, batch(5, 9, 0));
        story.at(
            1,
            Event::ConsumerRead {
                partition: P,
                from,
                end,
                limit,
                aborted: None,
            },
        );
        story
    };
    read(0, 5, 5).holds();
    read(0, 10, 5).breaks("CLI-4", "precommitted-read");
    read(0, 10, 10).breaks("CLI-4", "precommitted-read");
    let mut deleted = committed();
    deleted.at(
        1,
        Event::LogStartAdvanced {
            partition: P,
            log_start: 5,
        },
    );
    deleted
        .at(
            1,
            Event::ConsumerRead {
                partition: P,
                from: 0,
                end: 5,
                limit: 5,
                aborted: None,
            },
        )
        .breaks("CLI-4", "precommitted-read");
}

#[test]
fn meta_1_one_leader_in_an_epoch_and_the_one_that_was_chosen() {
    let become_leader = |epoch: i32| Event::BecameLeader {
        partition: P,
        epoch,
        epoch_start: 0,
        isr: vec![2],
        partition_epoch: 1,
    };
    let mut unelected = led();
    unelected
        .registers(1, 3, 1, 1, &[2, 3])
        .at(2, become_leader(1))
        .breaks("META-1", "unelected");
    let mut two = led();
    two.at(2, become_leader(1)).holds();
    let epoch_1 = become_leader(1);
    two.at(3, epoch_1).breaks("META-1", "two-leaders");
    let mut stale = led();
    stale
        .follows(2, 3, 1)
        .at(2, become_leader(2))
        .breaks("META-1", "stale-epoch");
}

#[test]
fn rep_3_an_epoch_starts_at_the_log_end() {
    let mut story = led();
    let isr = vec![2];
    story.at(
        2,
        Event::BecameLeader {
            partition: P,
            epoch: 1,
            epoch_start: 4,
            isr,
            partition_epoch: 1,
        },
    );
    story.breaks("REP-3", "epoch-start");
}

#[test]
fn a_deleted_log_owes_nothing() {
    let mut story = committed();
    story
        .at(2, Event::LogDeleted { partition: P })
        .replicates(batch(5, 9, 0), 1, &[3])
        .commits(1, 0, 10)
        .holds();
}
