//! META-1 … META-4.

use super::*;

/// Node 1 leads the quorum, epochs 1; nodes 1 and 2 have applied up to 2.
fn applied() -> Story {
    let mut story = story();
    story.quorum_role(1, 1, QuorumRole::Leader);
    for node in [1, 2] {
        story
            .metadata(node, batch(0, 0, 1))
            .metadata(node, batch(1, 1, 1));
    }
    story
        .metadata_commits(1, 1, 2, true)
        .metadata_commits(2, 1, 2, false);
    story.applies(1, 1, 11).applies(1, 2, 22).applies(2, 1, 11);
    story
}

fn state(
    leader: Option<i32>,
    leader_epoch: i32,
    partition_epoch: i32,
    isr: &[i32],
) -> PartitionState {
    PartitionState {
        replicas: vec![1, 2, 3],
        isr: isr.to_vec(),
        eligible: Vec::new(),
        leader,
        leader_epoch,
        partition_epoch,
        min_insync_replicas: 2,
        recovering: false,
    }
}

impl Story {
    fn applies(&mut self, node: i32, end: i64, hash: u64) -> &mut Story {
        self.at(
            node,
            Event::MetadataApplied {
                end,
                epoch: 1,
                hash,
            },
        )
    }

    fn publishes(&mut self, node: i32, state: PartitionState) -> &mut Story {
        self.at(
            node,
            Event::PartitionRegistered {
                partition: P,
                state,
            },
        )
    }

    fn broker(&mut self, node: i32, broker: i32, fenced: bool) -> &mut Story {
        self.at(
            node,
            Event::BrokerRegistered {
                broker,
                epoch: 1,
                fenced,
                shutting_down: false,
            },
        )
    }
}

#[test]
fn meta_1_only_the_leaders_controller_acts() {
    applied()
        .at(
            1,
            Event::ControllerActive {
                epoch: 1,
                applied_end: 2,
            },
        )
        .holds();
    applied()
        .at(
            2,
            Event::ControllerActive {
                epoch: 1,
                applied_end: 2,
            },
        )
        .breaks("META-1", "controller-not-leader");
}

#[test]
fn meta_2_a_controller_acts_after_it_has_applied_all_before_its_epoch() {
    let mut story = applied();
    story
        .quorum_role(1, 3, QuorumRole::Leader)
        .metadata(1, batch(2, 2, 3));
    story
        .at(
            1,
            Event::ControllerActive {
                epoch: 3,
                applied_end: 1,
            },
        )
        .breaks("META-2", "controller-behind");
}

#[test]
fn meta_2_the_same_prefix_gives_the_same_image() {
    applied().applies(2, 2, 22).holds();
    applied()
        .applies(2, 2, 23)
        .breaks("META-2", "image-differs");
}

#[test]
fn meta_2_only_committed_records_are_applied() {
    let mut story = applied();
    story
        .metadata(1, batch(2, 2, 1))
        .applies(1, 3, 33)
        .breaks("META-2", "uncommitted-applied");
}

#[test]
fn meta_4_published_metadata_goes_forward_until_a_restart() {
    applied().applies(1, 1, 11).breaks("META-4", "went-back");
    let mut restarted = applied();
    restarted
        .at(2, Event::NodeKilled)
        .at(2, Event::Started)
        .metadata_commits(2, 1, 2, false)
        .applies(2, 1, 11)
        .holds();
    let mut story = story();
    story
        .publishes(1, state(Some(1), 0, 0, &[1, 2, 3]))
        .publishes(1, state(Some(1), 0, 1, &[1, 2]))
        .holds();
    story.publishes(2, state(Some(1), 0, 0, &[1, 2, 3])).holds();
    story
        .publishes(1, state(Some(1), 0, 0, &[1, 2, 3]))
        .breaks("META-4", "went-back");
}

#[test]
fn meta_1_a_change_has_a_new_epoch() {
    let mut leader = story();
    leader
        .publishes(1, state(Some(1), 0, 0, &[1, 2, 3]))
        .publishes(1, state(Some(2), 1, 1, &[2, 3]))
        .holds();
    leader
        .publishes(1, state(Some(3), 1, 2, &[2, 3]))
        .breaks("META-1", "epoch-reused");
    // Another node publishes later what was in between.
    let mut late = story();
    late.publishes(1, state(Some(1), 0, 0, &[1, 2, 3]))
        .publishes(1, state(Some(2), 2, 2, &[2, 3]));
    late.publishes(2, state(None, 1, 1, &[])).holds();
}

#[test]
fn meta_2_all_nodes_publish_the_same_partition() {
    let mut story = story();
    story
        .publishes(1, state(Some(1), 0, 0, &[1, 2, 3]))
        .publishes(2, state(Some(1), 0, 0, &[1, 2, 3]))
        .holds();
    story
        .publishes(3, state(Some(1), 0, 0, &[1, 2]))
        .breaks("META-2", "image-differs");
}

#[test]
fn meta_1_broker_epochs_only_grow() {
    let register = |epoch: i64| Event::BrokerRegistered {
        broker: 2,
        epoch,
        fenced: false,
        shutting_down: false,
    };
    let mut story = story();
    story.at(1, register(5)).at(1, register(9)).holds();
    story
        .at(1, register(7))
        .breaks("META-1", "broker-epoch-fell");
}

#[test]
fn meta_3_a_partition_is_valid() {
    let check = |state: PartitionState, lawful: bool| {
        let mut story = story();
        story.publishes(1, state);
        if lawful {
            story.holds();
        } else {
            story.breaks("META-3", "invalid-partition");
        }
    };
    check(state(Some(1), 0, 0, &[1, 2]), true);
    // KIP-966: without a leader the last member stays, or is eligible.
    check(state(None, 0, 0, &[2]), true);
    check(
        PartitionState {
            eligible: vec![2],
            ..state(None, 0, 0, &[])
        },
        true,
    );
    check(
        PartitionState {
            eligible: vec![2],
            ..state(Some(1), 0, 0, &[1])
        },
        true,
    );
    check(state(Some(1), 0, 0, &[2, 3]), false);
    check(state(Some(1), 0, 0, &[1, 4]), false);
    check(state(Some(1), 0, 0, &[1, 1]), false);
    check(state(None, 0, 0, &[1, 2]), false);
    check(
        PartitionState {
            eligible: vec![1],
            ..state(Some(1), 0, 0, &[1])
        },
        false,
    );
    check(
        PartitionState {
            eligible: vec![4],
            ..state(Some(1), 0, 0, &[1])
        },
        false,
    );
    check(
        PartitionState {
            eligible: vec![3],
            ..state(Some(1), 0, 0, &[1, 2])
        },
        false,
    );
}

#[test]
fn meta_3_nobody_fenced_is_in_sync() {
    let mut lawful = story();
    for broker in 1..=3 {
        lawful.broker(1, broker, false);
    }
    // One image: the partition loses broker 3 and broker 3 is fenced, told in this order.
    lawful
        .publishes(1, state(Some(1), 0, 0, &[1, 2, 3]))
        .applies_nothing();
    lawful
        .publishes(1, state(Some(1), 0, 1, &[1, 2]))
        .broker(1, 3, true)
        .applies_nothing();
    // And back: unfenced and in sync again.
    lawful
        .publishes(1, state(Some(1), 0, 2, &[1, 2, 3]))
        .broker(1, 3, false)
        .applies_nothing();
    lawful.holds();
    lawful.broker(1, 2, true).applies_nothing();
    assert_eq!(lawful.cluster.violations().len(), 1);
    let found = &lawful.cluster.violations()[0];
    assert_eq!(
        (found.invariant.as_str(), found.anomaly.as_str()),
        ("META-3", "inactive-in-isr")
    );
    assert_eq!(found.node, "node1");
}

#[test]
fn meta_3_the_last_member_may_be_away() {
    let mut story = story();
    story
        .publishes(1, state(None, 1, 1, &[2]))
        .broker(1, 2, true)
        .applies_nothing();
    story.holds();
}

impl Story {
    /// Something that ends the publishing of an image.
    fn applies_nothing(&mut self) {
        self.at(9, Event::ControllerInactive { epoch: 0 });
    }
}

#[test]
fn a_lost_image_is_no_reference_any_more() {
    let mut story = applied();
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
    story
        .quorum_role(3, 2, QuorumRole::Leader)
        .metadata(3, batch(0, 1, 2))
        .metadata(1, batch(0, 1, 2));
    story
        .metadata_commits(3, 2, 2, true)
        .at(
            3,
            Event::MetadataApplied {
                end: 2,
                epoch: 2,
                hash: 99,
            },
        )
        .holds();
}

#[test]
fn meta_3_who_may_lack_something_is_elected_in_recovery() {
    let second = |isr: &[i32], recovering: bool| {
        let mut story = story();
        for state in [
            state(Some(1), 0, 0, &[1, 3]),
            PartitionState {
                recovering,
                ..state(Some(2), 1, 1, isr)
            },
        ] {
            story.at(
                1,
                Event::PartitionRegistered {
                    partition: P,
                    state,
                },
            );
        }
        story
    };
    second(&[2], true).holds();
    second(&[2], false).breaks("META-3", "unclean-unsaid");
    second(&[2, 3], true).breaks("META-3", "invalid-partition");
}

/// The leader's own request makes 2 a member and completes the move from 1 and 3; its record elects 2.
#[test]
fn meta_3_who_completes_a_reassignment_may_lead_at_once() {
    let second = |replicas: &[i32]| {
        let mut story = story();
        for state in [
            PartitionState {
                replicas: vec![2, 1, 3],
                ..state(Some(1), 0, 0, &[1, 3])
            },
            PartitionState {
                replicas: replicas.to_vec(),
                ..state(Some(2), 1, 1, &[2, 3])
            },
        ] {
            story.at(
                1,
                Event::PartitionRegistered {
                    partition: P,
                    state,
                },
            );
        }
        story
    };
    second(&[2, 3]).holds();
    second(&[2, 1, 3]).breaks("META-3", "unclean-unsaid");
}
