//! That the second cores see what is not as it should be: steps made by hand, one thing in each forged.

use broker_core::raft::{self, Raft, Recovered, Timer, VoterSet};
use broker_core::replica::{Config, LogState, PartitionState, Replica};
use broker_protocol::ids::{LeaderEpoch, NodeId, PartitionEpoch, ReplicaKey, Uuid};
use broker_server::observe::BatchSummary;

use super::*;

const PARTITION: TopicIdPartition = TopicIdPartition {
    topic_id: Uuid([7; 16]),
    partition: 0,
};

fn at(node: i32) -> Moment {
    Moment {
        event: 1,
        ms: 1,
        node,
    }
}

fn broken(steps: &Steps) -> Vec<String> {
    let violations = steps.report().violations.into_iter();
    violations.map(|violation| violation.invariant).collect()
}

/// A node that is its own quorum, told of as `server` does.
struct Alone {
    node: i32,
    core: Raft,
    /// What it said at its start and nobody has done yet: a lone voter elects itself.
    started: Vec<raft::Output>,
}

impl Alone {
    fn start(steps: &mut Steps, node: i32) -> Alone {
        let me = ReplicaKey {
            id: NodeId(node),
            directory_id: Uuid::ZERO,
        };
        let config = raft::Config::new(me, VoterSet::new([me]));
        let mut outputs = Vec::new();
        let core = Raft::start(config.clone(), &Recovered::default(), &mut outputs);
        let started = CoreStep::QuorumStarted {
            config: &config,
            recovered: &Recovered::default(),
            outputs: &outputs,
            core: &core,
        };
        steps.take(&at(node), started);
        steps.take(&at(node), CoreStep::QuorumSettled);
        Alone {
            node,
            core,
            started: outputs,
        }
    }

    /// Takes the input; `forge` changes what is told of it.
    fn take(
        &mut self,
        steps: &mut Steps,
        input: raft::Input,
        forge: impl FnOnce(&mut Vec<raft::Output>),
    ) -> Vec<raft::Output> {
        let mut outputs = Vec::new();
        self.core.step(input.clone(), &mut outputs);
        let done = outputs.clone();
        forge(&mut outputs);
        steps.take(
            &at(self.node),
            CoreStep::Quorum {
                input: &input,
                outputs: &outputs,
                core: &self.core,
            },
        );
        done
    }

    /// Carries out what an election needs of a disk, until the leader's first record is committed.
    fn lead(&mut self, steps: &mut Steps) {
        let started = std::mem::take(&mut self.started);
        let mut inputs = self.persist(steps, started);
        while let Some(input) = inputs.pop() {
            let outputs = self.take(steps, input, |_| {});
            inputs.extend(self.persist(steps, outputs));
        }
    }

    fn persist(&self, steps: &mut Steps, outputs: Vec<raft::Output>) -> Vec<raft::Input> {
        let mut done = Vec::new();
        for output in outputs {
            match output {
                raft::Output::SaveQuorumState { id, .. } => done.push(id),
                raft::Output::Flush { id, .. } => {
                    let end = self.core.log().end();
                    steps.observe(self.node, &Observation::MetadataFlushed { end });
                    done.push(id);
                }
                raft::Output::AppendLeaderChange {
                    base_offset, epoch, ..
                } => {
                    let batch = BatchSummary {
                        base_offset,
                        last_offset: base_offset,
                        leader_epoch: epoch,
                        crc: 1,
                        producer: None,
                        transaction: None,
                    };
                    steps.observe(self.node, &Observation::MetadataAppended { batch });
                }
                _ => {}
            }
        }
        steps.take(&at(self.node), CoreStep::QuorumSettled);
        done.into_iter().map(raft::Input::Persisted).collect()
    }
}

#[test]
fn honest_steps_hold() {
    let mut steps = Steps::default();
    let mut node = Alone::start(&mut steps, 1);
    node.lead(&mut steps);
    assert_eq!(node.core.epoch(), LeaderEpoch(1));
    assert_eq!(broken(&steps), [""; 0]);
    let report = steps.report();
    for id in ["STEP-1", "RAFT-1", "RAFT-2", "RAFT-3", "RAFT-4", "RAFT-5"] {
        assert!(report.checked[id] > 0, "{id}");
    }
}

#[test]
fn an_output_that_is_kept_back_is_seen() {
    let mut steps = Steps::default();
    let mut node = Alone::start(&mut steps, 1);
    let election = raft::Input::Timer(Timer::Election);
    node.take(&mut steps, election, |outputs| {
        outputs.pop().expect("an election says something");
    });
    assert_eq!(broken(&steps), ["STEP-1"]);
}

#[test]
fn an_input_that_is_not_told_is_seen() {
    let mut steps = Steps::default();
    let mut node = Alone::start(&mut steps, 1);
    let election = raft::Input::Timer(Timer::Election);
    node.core.step(election, &mut Vec::new());
    node.take(&mut steps, raft::Input::Shutdown, |_| {});
    assert_eq!(broken(&steps), ["STEP-1"]);
    assert_eq!(steps.report().violations[0].node, "node1");
}

#[test]
fn two_leaders_of_an_epoch_are_seen() {
    let mut steps = Steps::default();
    for id in [1, 2] {
        Alone::start(&mut steps, id).lead(&mut steps);
    }
    assert!(broken(&steps).contains(&"RAFT-1".to_owned()), "{steps:?}");
    assert!(!broken(&steps).contains(&"STEP-1".to_owned()), "{steps:?}");
}

#[test]
fn a_replica_that_does_what_its_core_does_not_is_seen() {
    let mut steps = Steps::default();
    let config = Config {
        min_insync_replicas: 1,
        flush_before_ack: false,
    };
    let log = LogState::default();
    let mut core = Replica::new(NodeId(1), config, log.clone());
    let opened = CoreStep::ReplicaOpened {
        partition: PARTITION,
        instance: 0,
        config,
        log: &log,
        core: &core,
    };
    steps.take(&at(1), opened);
    let metadata = |epoch| {
        replica::Input::Metadata(PartitionState {
            leader: NodeId(1),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: PartitionEpoch(epoch),
            replicas: vec![NodeId(1)],
            isr: vec![NodeId(1)],
        })
    };
    let mut take = |input: &replica::Input, lie: bool, steps: &mut Steps| {
        let mut outputs = Vec::new();
        core.step(input.clone(), &mut outputs);
        if lie {
            outputs.clear();
        }
        let step = CoreStep::Replica {
            partition: PARTITION,
            instance: 0,
            input,
            outputs: &outputs,
            core: &core,
        };
        steps.take(&at(1), step);
    };
    take(&metadata(0), false, &mut steps);
    assert_eq!(broken(&steps), [""; 0]);
    take(&metadata(1), true, &mut steps);
    assert_eq!(broken(&steps), ["STEP-1"]);

    // A process that was started again has replicas of its own.
    steps.stopped(1);
    steps.take(
        &at(2),
        opened_again(&config, &log, &Replica::new(NodeId(2), config, log.clone())),
    );
    assert_eq!(broken(&steps).len(), 1);
}

fn opened_again<'a>(config: &Config, log: &'a LogState, core: &'a Replica) -> CoreStep<'a> {
    CoreStep::ReplicaOpened {
        partition: PARTITION,
        instance: 0,
        config: *config,
        log,
        core,
    }
}
