//! The named bounds, each for other events.

use broker_core::raft::cluster::{QuorumKind, Shape};
use broker_probe::current_mutant;
use broker_protocol::ids::{LeaderEpoch, NodeId};

use super::{Bounds, Faults, RaftModel};

impl RaftModel {
    pub fn by_name(name: &str) -> Option<RaftModel> {
        match name {
            "raft" => Some(RaftModel::network()),
            "raft-disk" => Some(RaftModel::disk()),
            "raft-epochs" => Some(RaftModel::epochs()),
            "raft-snapshot" => Some(RaftModel::snapshot()),
            "raft-voters" => Some(RaftModel::voters()),
            "raft-joining" => Some(RaftModel::joining()),
            "raft-replaced-disk" => Some(RaftModel::replaced_disk()),
            "raft-lost-disk" => Some(RaftModel::lost_disk()),
            "raft-cut-off" => Some(RaftModel::cut_off()),
            "raft-alone" => Some(RaftModel::alone()),
            "raft-nightly" => Some(RaftModel::nightly()),
            _ => None,
        }
    }

    /// Messages arrive in any order, late, never, and one of them twice.
    pub fn network() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 3,
            network: 3,
            faults: Faults {
                appends: 1,
                duplicates: 1,
                elections: 2,
                ..Faults::default()
            },
        })
    }

    /// Three elections, as many as figure 8 of the Raft paper needs.
    pub fn epochs() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(3),
            log_end: 4,
            network: 3,
            faults: Faults {
                appends: 1,
                elections: 3,
                ..Faults::default()
            },
        })
    }

    /// Logs are deleted before snapshots, under replicas that still want the records.
    pub fn snapshot() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 3,
            network: 3,
            faults: Faults {
                appends: 1,
                elections: 2,
                snapshots: 1,
                deletions: 1,
                ..Faults::default()
            },
        })
    }

    /// One of three voters is removed, the leader too, while another is elected.
    pub fn voters() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 5,
            network: 4,
            faults: Faults {
                elections: 2,
                removals: 1,
                ..Faults::default()
            },
        })
        .with_quorum(QuorumKind::Dynamic, 3, 0)
    }

    /// An observer becomes the third voter, and one of the three is removed.
    pub fn joining() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 6,
            network: 4,
            faults: Faults {
                elections: 1,
                additions: 1,
                removals: 1,
                ..Faults::default()
            },
        })
        .with_quorum(QuorumKind::Dynamic, 2, 1)
    }

    /// A voter comes back with an empty disk, which is none of the voters (KIP-853).
    pub fn replaced_disk() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 4,
            network: 3,
            faults: Faults {
                appends: 1,
                elections: 2,
                disk_replacements: 1,
                ..Faults::default()
            },
        })
        .with_quorum(QuorumKind::Dynamic, 3, 0)
    }

    /// A voter of a static quorum comes back with an empty disk. It may have forgotten a vote and records that
    /// were committed with it, which no protocol makes good: so the leader stays, and all messages of the
    /// former disk have arrived.
    pub fn lost_disk() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(1),
            log_end: 3,
            network: 4,
            faults: Faults {
                appends: 1,
                losses: 1,
                wipes: 1,
                ..Faults::default()
            },
        })
    }

    /// Links fail, and one voter keeps thinking that the leader is gone: the leader stays (KIP-996).
    pub fn cut_off() -> RaftModel {
        let model = RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 3,
            network: 4,
            faults: Faults {
                appends: 1,
                losses: 2,
                elections: 2,
                ..Faults::default()
            },
        });
        RaftModel {
            cut_off: Some(NodeId(3)),
            ..model
        }
    }

    /// The only voter leads while it runs, whether anybody fetches or not (KAFKA-16144).
    pub fn alone() -> RaftModel {
        let model = RaftModel::new(Bounds {
            epoch: LeaderEpoch(3),
            log_end: 4,
            network: 3,
            faults: Faults {
                appends: 1,
                power_losses: 1,
                losses: 2,
                elections: 2,
                ..Faults::default()
            },
        });
        let model = model.with_quorum(QuorumKind::Static, 1, 1);
        RaftModel {
            cut_off: Some(NodeId(2)),
            ..model
        }
    }

    /// Several kinds of faults at once, as far as an hour and the memory of a small machine go.
    pub fn nightly() -> RaftModel {
        RaftModel::new(Bounds {
            epoch: LeaderEpoch(3),
            log_end: 4,
            network: 3,
            faults: Faults {
                appends: 1,
                power_losses: 1,
                duplicates: 1,
                elections: 2,
                snapshots: 1,
                deletions: 1,
                ..Faults::default()
            },
        })
    }

    /// Flushes take time, and a power loss falls between write and sync.
    pub fn disk() -> RaftModel {
        let model = RaftModel::new(Bounds {
            epoch: LeaderEpoch(2),
            log_end: 3,
            network: 3,
            faults: Faults {
                appends: 1,
                power_losses: 1,
                elections: 1,
                ..Faults::default()
            },
        });
        RaftModel {
            shape: Shape {
                instant_flushes: false,
                ..model.shape
            },
            ..model
        }
    }

    fn with_quorum(mut self, quorum: QuorumKind, voters: i32, observers: i32) -> RaftModel {
        self.shape = Shape {
            voters,
            observers,
            quorum,
            ..self.shape
        };
        self
    }

    fn new(bounds: Bounds) -> RaftModel {
        RaftModel {
            shape: Shape {
                voters: 3,
                observers: 0,
                instant_saves: true,
                instant_flushes: true,
                ..Shape::default()
            },
            bounds,
            cut_off: None,
            mutant: current_mutant(),
        }
    }
}
