//! The cores' steps as they were taken, for an observer that takes them again with a core of its own.

use broker_core::raft::{self, Raft};
use broker_core::replica::{self, Replica};
use broker_protocol::ids::TopicIdPartition;

/// One step of a core: what went in, what came out, and the core afterwards. Told before the outputs are carried
/// out, in the same synchronous step.
#[derive(Clone, Copy, Debug)]
pub enum CoreStep<'a> {
    QuorumStarted {
        config: &'a raft::Config,
        recovered: &'a raft::Recovered,
        outputs: &'a [raft::Output],
        core: &'a Raft,
    },
    Quorum {
        input: &'a raft::Input,
        outputs: &'a [raft::Output],
        core: &'a Raft,
    },
    /// The outputs of the last step are carried out: log and disk are as the core has them.
    QuorumSettled,
    /// `instance` tells this replica from one that was hosted here before under the same name.
    ReplicaOpened {
        partition: TopicIdPartition,
        instance: u64,
        config: replica::Config,
        log: &'a replica::LogState,
        core: &'a Replica,
    },
    Replica {
        partition: TopicIdPartition,
        instance: u64,
        input: &'a replica::Input,
        outputs: &'a [replica::Output],
        core: &'a Replica,
    },
}
