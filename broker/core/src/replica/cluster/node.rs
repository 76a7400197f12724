//! One broker of the cluster: its replica, its log, and what survives a restart.

use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, Offset};

use super::id;
use crate::PersistId;
use crate::replica::invariants::{Record, View};
use crate::replica::{Config, EpochEntry, LeaderEpochs, LogState, Replica, Timer};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub replica: Replica,
    /// Offset of the first record of `log`.
    pub base: Offset,
    pub log: Vec<Record>,
    /// How many records survive a power loss.
    pub durable: usize,
    pub running: bool,
    /// Names the process: an answer to an earlier one reaches nobody.
    pub broker_epoch: BrokerEpoch,
    /// How much of the metadata it has acted on.
    pub seen: usize,
    /// The partition's leader epoch when this log last lost data.
    pub lost_in: Option<LeaderEpoch>,
    pub timers: Vec<Timer>,
    pub flushes: Vec<PersistId>,
    /// Records of the fetch response being handled.
    pub fetched: Vec<Record>,
}

impl Node {
    pub fn new(index: usize, config: Config, broker_epoch: BrokerEpoch) -> Node {
        Node {
            replica: Replica::new(id(index), config, LogState::default()),
            base: 0,
            log: Vec::new(),
            durable: 0,
            running: true,
            broker_epoch,
            seen: 0,
            lost_in: None,
            timers: Vec::new(),
            flushes: Vec::new(),
            fetched: Vec::new(),
        }
    }

    pub fn end(&self) -> Offset {
        self.base + i64::try_from(self.log.len()).expect("a short log")
    }

    pub fn view(&self) -> View<'_> {
        View {
            replica: &self.replica,
            base: self.base,
            log: &self.log,
            running: self.running,
            lost_in: self.lost_in,
        }
    }

    /// As recovery derives them from the batches.
    pub fn epochs(&self) -> LeaderEpochs {
        let log_start = self.replica.log_start().max(self.base);
        let records = (self.base..)
            .zip(&self.log)
            .filter(|(offset, _)| *offset >= log_start);
        LeaderEpochs::from_entries(records.map(|(start_offset, record)| EpochEntry {
            epoch: record.epoch,
            start_offset,
        }))
    }
}
