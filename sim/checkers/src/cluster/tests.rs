//! For each check the smallest lawful story it accepts and the smallest it refuses.

mod cleaning;
mod liveness;
mod log;
mod metadata;
mod producers;
mod quorum;
mod replication;
mod snapshots;
mod transactions;
mod voters;

use super::event::{AppendRole, BatchSummary, Event, PartitionId, PartitionState, QuorumRole};
use super::{Budget, Cluster};

const P: PartitionId = PartitionId { topic: 7, index: 0 };

/// Tells events to a checker, and asks what it found.
struct Story {
    cluster: Cluster,
    event: u64,
}

fn story() -> Story {
    Story::new(Budget::default())
}

/// Three replicas with empty logs, node 1 leads in epoch 0, everyone is in sync.
fn led() -> Story {
    let mut story = story();
    for node in 1..=3 {
        story.registers(node, 1, 0, 0, &[1, 2, 3]);
        story.loads(node, 0, &[]);
    }
    story
        .leads(1, 0, 0, &[1, 2, 3])
        .follows(2, 0, 1)
        .follows(3, 0, 1);
    story
}

/// [`led`], and one batch is committed.
fn committed() -> Story {
    let mut story = led();
    story
        .replicates(batch(0, 4, 0), 1, &[2, 3])
        .commits(1, 0, 5);
    story
}

fn batch(base_offset: i64, last_offset: i64, leader_epoch: i32) -> BatchSummary {
    let crc = u32::try_from(base_offset * 100 + i64::from(leader_epoch)).expect("small numbers");
    BatchSummary {
        base_offset,
        last_offset,
        leader_epoch,
        crc,
        producer: None,
        transaction: None,
    }
}

fn end_of(batches: &[BatchSummary]) -> i64 {
    batches.last().map_or(0, BatchSummary::end)
}

impl Story {
    fn new(budget: Budget) -> Story {
        Story {
            cluster: Cluster::new(budget),
            event: 0,
        }
    }

    fn at(&mut self, node: i32, event: Event) -> &mut Story {
        self.event += 1;
        self.cluster.observe(self.event, self.event, node, &event);
        self
    }

    fn registers(
        &mut self,
        node: i32,
        leader: i32,
        epoch: i32,
        partition_epoch: i32,
        isr: &[i32],
    ) -> &mut Story {
        let state = PartitionState {
            replicas: vec![1, 2, 3],
            isr: isr.to_vec(),
            eligible: Vec::new(),
            leader: Some(leader),
            leader_epoch: epoch,
            partition_epoch,
            min_insync_replicas: 2,
            recovering: false,
        };
        self.at(
            node,
            Event::PartitionRegistered {
                partition: P,
                state,
            },
        )
    }

    fn loads(&mut self, node: i32, log_start: i64, batches: &[BatchSummary]) -> &mut Story {
        let log_end = end_of(batches).max(log_start);
        let epochs = super::shadow::derived_epochs(log_start, batches);
        self.at(
            node,
            Event::LogLoaded {
                partition: P,
                log_start,
                log_end,
                epochs,
                high_watermark: 0,
                clean: false,
                batches: batches.to_vec(),
            },
        )
    }

    fn leads(&mut self, node: i32, epoch: i32, epoch_start: i64, isr: &[i32]) -> &mut Story {
        let isr = isr.to_vec();
        self.at(
            node,
            Event::BecameLeader {
                partition: P,
                epoch,
                epoch_start,
                isr: isr.clone(),
                partition_epoch: epoch,
            },
        );
        let maximal = isr.clone();
        self.at(
            node,
            Event::IsrChanged {
                partition: P,
                committed: isr,
                maximal,
                epoch,
                partition_epoch: epoch,
            },
        )
    }

    fn follows(&mut self, node: i32, epoch: i32, leader: i32) -> &mut Story {
        self.at(
            node,
            Event::BecameFollower {
                partition: P,
                epoch,
                leader,
                partition_epoch: epoch,
            },
        )
    }

    fn leader_appends(&mut self, node: i32, batch: BatchSummary) -> &mut Story {
        let epoch = batch.leader_epoch;
        self.at(
            node,
            Event::Appended {
                partition: P,
                batch,
                role: AppendRole::Leader,
                epoch,
            },
        )
    }

    fn follower_appends(&mut self, node: i32, batch: BatchSummary, epoch: i32) -> &mut Story {
        self.at(
            node,
            Event::Appended {
                partition: P,
                batch,
                role: AppendRole::Follower,
                epoch,
            },
        )
    }

    fn counts(&mut self, leader: i32, follower: i32, log_end: i64, epoch: i32) -> &mut Story {
        self.at(
            leader,
            Event::FollowerCounted {
                partition: P,
                follower,
                log_end,
                epoch,
            },
        )
    }

    /// The leader appends, followers fetch and are counted.
    fn replicates(&mut self, batch: BatchSummary, leader: i32, followers: &[i32]) -> &mut Story {
        self.leader_appends(leader, batch);
        for &follower in followers {
            self.follower_appends(follower, batch, batch.leader_epoch);
            self.counts(leader, follower, batch.end(), batch.leader_epoch);
        }
        self
    }

    fn commits(&mut self, leader: i32, epoch: i32, high_watermark: i64) -> &mut Story {
        self.commits_with(leader, epoch, high_watermark, &[1, 2, 3])
    }

    fn commits_with(
        &mut self,
        leader: i32,
        epoch: i32,
        high_watermark: i64,
        isr: &[i32],
    ) -> &mut Story {
        self.at(
            leader,
            Event::HighWatermark {
                partition: P,
                high_watermark,
                epoch,
                leader: true,
                maximal_isr: isr.to_vec(),
                min_insync_replicas: 2,
            },
        )
    }

    fn follower_learns(&mut self, node: i32, epoch: i32, high_watermark: i64) -> &mut Story {
        self.at(
            node,
            Event::HighWatermark {
                partition: P,
                high_watermark,
                epoch,
                leader: false,
                maximal_isr: Vec::new(),
                min_insync_replicas: 2,
            },
        )
    }

    fn truncates(&mut self, node: i32, log_end: i64) -> &mut Story {
        self.at(
            node,
            Event::Truncated {
                partition: P,
                log_end,
            },
        )
    }

    fn flushes(&mut self, node: i32, end: i64) -> &mut Story {
        self.at(node, Event::Flushed { partition: P, end })
    }

    fn acknowledges(&mut self, node: i32, base_offset: i64, last_offset: i64) -> &mut Story {
        self.at(
            node,
            Event::ProduceAcknowledged {
                partition: P,
                base_offset,
                last_offset,
                acks: -1,
            },
        )
    }

    fn quorum_role(&mut self, node: i32, epoch: i32, role: QuorumRole) -> &mut Story {
        self.at(
            node,
            Event::QuorumRole {
                epoch,
                role,
                leader: None,
                voters: vec![1, 2, 3],
            },
        )
    }

    fn metadata(&mut self, node: i32, batch: BatchSummary) -> &mut Story {
        self.at(node, Event::MetadataAppended { batch });
        self.at(node, Event::MetadataFlushed { end: batch.end() })
    }

    fn metadata_commits(
        &mut self,
        node: i32,
        epoch: i32,
        high_watermark: i64,
        leader: bool,
    ) -> &mut Story {
        self.at(
            node,
            Event::MetadataHighWatermark {
                high_watermark,
                epoch,
                leader,
            },
        )
    }

    #[track_caller]
    fn holds(&mut self) -> &mut Story {
        assert_eq!(self.cluster.violations(), &[], "lawful");
        self
    }

    /// Exactly this was found, and at the last event.
    #[track_caller]
    fn breaks(&mut self, invariant: &str, anomaly: &str) {
        let found: Vec<_> = self.cluster.violations().iter().collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(
            (found[0].invariant.as_str(), found[0].anomaly.as_str()),
            (invariant, anomaly),
            "{found:#?}"
        );
        assert_eq!(found[0].event, self.event, "at the event that caused it");
        assert!(!found[0].detail.is_empty());
    }
}

#[test]
fn a_lawful_story_is_judged_and_holds() {
    let mut story = committed();
    story.acknowledges(1, 0, 4).follower_learns(2, 0, 5);
    story.at(
        1,
        Event::ConsumerRead {
            partition: P,
            from: 0,
            end: 5,
            limit: 5,
            aborted: None,
        },
    );
    story.holds();
    let report = story.cluster.report();
    for invariant in [
        "LOG-1", "REP-1", "REP-2", "REP-3", "REP-4", "REP-5", "META-1", "META-3", "META-4", "CLI-4",
    ] {
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
fn violations_name_topic_event_time_and_node() {
    let mut story = led();
    story.cluster.name_topic(7, "orders");
    story.leader_appends(1, batch(3, 4, 0));
    let violation = story.cluster.violations()[0].clone();
    assert_eq!(
        (violation.event, violation.sim_ms, violation.node.as_str()),
        (story.event, story.event, "node1")
    );
    assert_eq!(
        violation.detail,
        "orders-0: appended 3..=4 (epoch 0, crc 0000012c) to a log that ends at 0"
    );
}

#[test]
fn the_same_violation_over_and_over_is_written_down_a_few_times() {
    let mut story = led();
    for _ in 0..100 {
        story.flushes(1, 99);
    }
    assert_eq!(story.cluster.violations().len(), 20);
    assert_eq!(story.cluster.report().checked["LOG-3"], 100);
}
