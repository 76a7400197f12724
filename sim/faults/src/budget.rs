//! What a run may lose. Inside the budget a violation is always a bug, so the budget must be the truth.
//!
//! - **Log data**: fewer than `min.insync.replicas` nodes may lack data they had. A node lacks data from
//!   the fault that may have taken them until the runner, which sees all logs, says [`Budget::caught_up`].
//! - **Unclean ends**: a process that ends without its clean-shutdown marker counts for Kafka as one that
//!   may have lost its page cache: the controller takes its replicas out of ISR and ELR (KIP-966). If the
//!   last leader really lost data while the others merely ended so, Kafka elects it all the same. So while
//!   a node lacks data, unclean ends count as if they did, too; on their own they are free.
//! - **Quorum data**: raft promises nothing once a voter forgets what it synced and votes on. A wiped
//!   disk gives the voter a new directory id (KIP-853), which makes it a new voter: a minority may do
//!   that. Damage that keeps the identity is never allowed to reach a voter's metadata files.
//! - **Members**: what a removed broker had counts as lost for later losses, until it is back and has caught
//!   up: a record may have been on it and on one other. A partition keeps `min.insync.replicas` replicas,
//!   the quorum a living majority of its voters.
//! - **Doubtful syncs**: after a sync that lied, or failed and left the cache as it was, a power loss
//!   takes synced data too, on whatever durability.

mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sim_disk::fault::matches;
pub use spec::{BudgetSpec, Durability, Refusal};

use crate::fault::{Fault, ProcessFault};
use crate::operation::Operation;
use crate::{DiskFault, Strikes};

/// What a fault does to a node's data.
#[derive(Clone, Copy, Default)]
struct Harm {
    /// Log data the durability counts on may be gone.
    log: bool,
    /// Synced metadata may be gone while the voter keeps its identity.
    metadata: bool,
    /// The voter comes back as another.
    identity: bool,
    /// Later power losses take synced data.
    doubt: bool,
}

/// What has been lost so far.
#[derive(Clone, Debug)]
pub struct Budget {
    spec: BudgetSpec,
    /// Nodes that may lack log data.
    lossy: BTreeSet<String>,
    /// Nodes that ended, or may have ended, without a clean-shutdown marker and have not caught up since.
    unclean: BTreeSet<String>,
    /// Voters that may lack synced metadata, or are not the voters they were.
    lossy_voters: BTreeSet<String>,
    /// Nodes whose disks may lack what they said was synced.
    doubtful: BTreeSet<String>,
    down: BTreeSet<String>,
    paused: BTreeSet<String>,
    /// Disk faults that go on destroying, by node.
    destroying: BTreeMap<String, Vec<DiskFault>>,
    /// Nodes whose process met failing calls and may have given up its disk until it is restarted.
    needs_restart: BTreeSet<String>,
    /// Brokers that were removed, or were added again and have not caught up since.
    departed: BTreeSet<String>,
    /// Brokers that are no members.
    removed: BTreeSet<String>,
}

impl Budget {
    pub fn new(spec: BudgetSpec) -> Budget {
        Budget {
            spec,
            lossy: BTreeSet::new(),
            unclean: BTreeSet::new(),
            lossy_voters: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            down: BTreeSet::new(),
            paused: BTreeSet::new(),
            destroying: BTreeMap::new(),
            needs_restart: BTreeSet::new(),
            departed: BTreeSet::new(),
            removed: BTreeSet::new(),
        }
    }

    pub fn spec(&self) -> &BudgetSpec {
        &self.spec
    }

    /// Whether the fault may happen now.
    pub fn admits(&self, fault: &Fault) -> Result<(), Refusal> {
        let mut after = self.clone();
        after.record(fault);
        self.check_down(fault, &after)?;
        self.check_members(fault, &after)?;
        if self.spec.durability == Durability::Unlimited {
            return Ok(());
        }
        self.check_log_data(fault, &after)?;
        self.check_quorum(fault, &after)
    }

    /// Whether a sequence may happen, one at once after the other.
    pub fn admits_all<'a>(
        &self,
        faults: impl IntoIterator<Item = &'a Fault>,
    ) -> Result<(), Refusal> {
        let mut budget = self.clone();
        for fault in faults {
            budget.admits(fault)?;
            budget.record(fault);
        }
        Ok(())
    }

    /// The fault has happened.
    pub fn record(&mut self, fault: &Fault) {
        match fault {
            Fault::Process { node, fault } => self.record_process(node, *fault),
            Fault::Disk { node, fault } => self.record_disk(node, fault),
            Fault::Operation(operation) => self.record_operation(operation),
            Fault::Heal(healed) => {
                if let Fault::Disk { node, fault } = &**healed {
                    let active = self.destroying.entry(node.clone()).or_default();
                    if let Some(position) = active.iter().position(|active| active == fault) {
                        active.remove(position);
                    }
                }
            }
            Fault::HealAll => {
                self.destroying.clear();
                self.paused.clear();
            }
            Fault::Network(_) | Fault::Frames(_) | Fault::Clock { .. } => {}
        }
    }

    /// All replicas on the node hold, intact, every committed record: the runner has compared the logs.
    /// No effect while a fault goes on destroying them.
    pub fn caught_up(&mut self, node: &str) {
        if self.destroying.get(node).is_none_or(Vec::is_empty) {
            self.lossy.remove(node);
        }
        self.unclean.remove(node);
        if !self.removed.contains(node) {
            self.departed.remove(node);
        }
    }

    /// The voter holds, intact, all committed metadata, and the quorum counts it under its present
    /// directory id.
    pub fn voter_caught_up(&mut self, node: &str) {
        if self.destroying.get(node).is_none_or(Vec::is_empty) {
            self.lossy_voters.remove(node);
        }
    }

    /// The runner saw a process end or start that no fault told of, e.g. one halted by a failing disk.
    pub fn observed(&mut self, node: &str, up: bool) {
        if up {
            self.down.remove(node);
        } else {
            self.down.insert(node.into());
            self.ended_uncleanly(node);
        }
    }

    /// Nodes that may lack log data now.
    pub fn lossy(&self) -> &BTreeSet<String> {
        &self.lossy
    }

    /// Nodes that the runner should report by [`Budget::caught_up`] once they are.
    pub fn behind(&self) -> BTreeSet<String> {
        let here = self.departed.difference(&self.removed);
        self.lossy
            .union(&self.unclean)
            .chain(here)
            .cloned()
            .collect()
    }

    /// Voters that may lack synced metadata now.
    pub fn lossy_voters(&self) -> &BTreeSet<String> {
        &self.lossy_voters
    }

    /// Nodes that faults have taken down and not started again.
    pub fn down(&self) -> &BTreeSet<String> {
        &self.down
    }

    /// The faults that end the fault phase: everything healed, every node up, those that a failing disk
    /// ended too (a process whose disk failed ends by itself; killing one that saw no failure would be an
    /// unclean end beyond the budget), but `permanent` nodes left down for ever. The caller chooses them by
    /// [`Budget::may_stay_down`].
    pub fn heal_all(&self, permanent: &BTreeSet<String>) -> Vec<Fault> {
        let mut faults = vec![Fault::HealAll];
        let to_start: BTreeSet<&String> = self.down.union(&self.needs_restart).collect();
        for node in to_start
            .into_iter()
            .filter(|node| !permanent.contains(*node))
        {
            faults.push(Fault::process(node, ProcessFault::Start));
        }
        for node in permanent
            .iter()
            .filter(|node| !self.down.contains(*node) && !self.needs_restart.contains(*node))
        {
            faults.push(Fault::process(node, ProcessFault::Kill));
        }
        faults
    }

    /// Whether the cluster must still make progress if these never come back: a majority of the voters
    /// stays, and each partition keeps `min.insync.replicas` of `replication_factor` replicas, none of
    /// which lacks data.
    pub fn may_stay_down(&self, nodes: &BTreeSet<String>, replication_factor: u32) -> bool {
        let voters_left = self
            .spec
            .voters
            .difference(nodes)
            .filter(|voter| !self.lossy_voters.contains(*voter));
        let quorum =
            self.spec.voters.is_empty() || voters_left.count() > self.spec.voters.len() / 2;
        let lost: BTreeSet<String> = self.lossy.union(&self.departed).cloned().collect();
        let gone = nodes.union(&lost).count();
        let spare = replication_factor.saturating_sub(self.spec.min_insync_replicas.max(1));
        quorum && gone <= usize::try_from(spare).expect("32 bits fit")
    }

    fn record_process(&mut self, node: &str, fault: ProcessFault) {
        match fault {
            ProcessFault::Start => {
                self.down.remove(node);
                self.needs_restart.remove(node);
            }
            ProcessFault::Pause => {
                self.paused.insert(node.into());
            }
            ProcessFault::Resume => {
                self.paused.remove(node);
            }
            ProcessFault::Kill | ProcessFault::PowerLoss | ProcessFault::Stop { .. } => {
                self.down.insert(node.into());
                self.ended_uncleanly(node);
                self.paused.remove(node);
                self.needs_restart.remove(node);
            }
        }
        if fault == ProcessFault::PowerLoss {
            self.record_power_loss(node);
        }
    }

    fn record_operation(&mut self, operation: &Operation) {
        match operation {
            Operation::RemoveBroker { node, .. } => {
                self.removed.insert(node.clone());
                self.departed.insert(node.clone());
                for set in [
                    &mut self.down,
                    &mut self.paused,
                    &mut self.needs_restart,
                    &mut self.unclean,
                ] {
                    set.remove(node);
                }
            }
            Operation::AddBroker { node } => {
                self.removed.remove(node);
            }
            Operation::AddVoter { node } => {
                self.spec.voters.insert(node.clone());
            }
            Operation::RemoveVoter { node } => {
                self.spec.voters.remove(node);
                self.lossy_voters.remove(node);
            }
            Operation::InstallRelease { .. }
            | Operation::UpgradeFeatures { .. }
            | Operation::DowngradeFeatures { .. }
            | Operation::ElectPreferredLeader { .. }
            | Operation::ConfigureTopic { .. } => {}
        }
    }

    fn record_power_loss(&mut self, node: &str) {
        let doubtful = self.doubtful.remove(node);
        if doubtful || self.spec.durability != Durability::Flushed {
            self.lacks_log_data(node);
        }
        if doubtful && self.spec.voters.contains(node) {
            self.lossy_voters.insert(node.into());
        }
    }

    fn ended_uncleanly(&mut self, node: &str) {
        if !self.spec.without_logs.contains(node) {
            self.unclean.insert(node.into());
        }
    }

    fn lacks_log_data(&mut self, node: &str) {
        if !self.spec.without_logs.contains(node) {
            self.lossy.insert(node.into());
        }
    }

    fn record_disk(&mut self, node: &str, fault: &DiskFault) {
        let harm = self.harm(fault);
        if harm.log {
            self.lacks_log_data(node);
        }
        if (harm.metadata || harm.identity) && self.spec.voters.contains(node) {
            self.lossy_voters.insert(node.into());
        }
        if harm.doubt {
            self.doubtful.insert(node.into());
        }
        if (harm.log || harm.metadata || harm.doubt) && !fault.is_instant() {
            self.destroying
                .entry(node.into())
                .or_default()
                .push(fault.clone());
        }
        if *fault == DiskFault::Wiped {
            self.doubtful.remove(node);
        }
        if fault.fails_calls() && !self.down.contains(node) {
            self.needs_restart.insert(node.into());
            self.ended_uncleanly(node);
        }
    }

    fn harm(&self, fault: &DiskFault) -> Harm {
        let metadata = |files: &str| {
            self.spec
                .metadata_files
                .iter()
                .any(|path| matches_anywhere(files, path))
        };
        match fault {
            DiskFault::Wiped => Harm {
                log: true,
                identity: true,
                ..Harm::default()
            },
            DiskFault::BitRot { files, .. } => Harm {
                log: true,
                metadata: metadata(files),
                ..Harm::default()
            },
            DiskFault::LostWrite(Strikes { files, .. })
            | DiskFault::MisdirectedWrite(Strikes { files, .. }) => Harm {
                log: true,
                metadata: metadata(files),
                ..Harm::default()
            },
            DiskFault::LyingSync(_) | DiskFault::SyncError(_) => Harm {
                doubt: true,
                ..Harm::default()
            },
            // The cache is dropped: page-cache durability loses data, fsynced durability does not.
            DiskFault::SyncErrorDropsCache(_) => Harm {
                log: self.spec.durability != Durability::Flushed,
                ..Harm::default()
            },
            DiskFault::ReadError(_)
            | DiskFault::WriteError(_)
            | DiskFault::Full { .. }
            | DiskFault::Slow { .. }
            | DiskFault::Stalled => Harm::default(),
        }
    }

    fn check_down(&self, fault: &Fault, after: &Budget) -> Result<(), Refusal> {
        let Some(limit) = self.spec.max_down else {
            return Ok(());
        };
        let count = |budget: &Budget| budget.down.union(&budget.paused).count();
        let would = count(after);
        if would > count(self) && would > usize::try_from(limit).expect("32 bits fit") {
            return Err(Refusal::Down {
                fault: fault.to_string(),
                would,
                limit,
            });
        }
        Ok(())
    }

    /// Partitions keep enough replicas, the quorum a living majority.
    fn check_members(&self, fault: &Fault, after: &Budget) -> Result<(), Refusal> {
        let Fault::Operation(operation) = fault else {
            return Ok(());
        };
        match operation {
            Operation::RemoveBroker { .. } => {
                let (factor, least) = (self.spec.replication_factor, self.spec.min_insync_replicas);
                let would = after.departed.union(&after.lossy).count();
                let spare = factor.saturating_sub(least.max(1));
                if would > usize::try_from(spare).expect("32 bits fit") {
                    return Err(Refusal::Brokers {
                        fault: fault.to_string(),
                        would,
                        replication_factor: factor,
                        min_insync_replicas: least,
                    });
                }
            }
            Operation::AddVoter { node } | Operation::RemoveVoter { node } => {
                let voters = &after.spec.voters;
                let gone = |node: &&String| {
                    [&after.down, &after.paused, &after.lossy_voters]
                        .iter()
                        .any(|set| set.contains(*node))
                };
                let would = voters.iter().filter(|node| !gone(node)).count();
                // One that lost its disk is being replaced by whoever looks after the quorum.
                let replaced = self.lossy_voters.contains(node);
                if replaced || would * 2 <= voters.len() {
                    return Err(Refusal::Voters {
                        fault: fault.to_string(),
                        would,
                        voters: voters.len(),
                    });
                }
            }
            Operation::InstallRelease { .. }
            | Operation::AddBroker { .. }
            | Operation::UpgradeFeatures { .. }
            | Operation::DowngradeFeatures { .. }
            | Operation::ElectPreferredLeader { .. }
            | Operation::ConfigureTopic { .. } => {}
        }
        Ok(())
    }

    fn check_log_data(&self, fault: &Fault, after: &Budget) -> Result<(), Refusal> {
        let would = match after.lossy.len() {
            0 => 0,
            _ => {
                let unclean = after.lossy.union(&after.unclean).cloned();
                let mut all: BTreeSet<String> = unclean.collect();
                all.extend(after.departed.iter().cloned());
                all.len()
            }
        };
        let min_insync_replicas = self.spec.min_insync_replicas;
        let spared = fault
            .node()
            .is_some_and(|node| self.spec.without_logs.contains(node));
        let harmful =
            !spared && (self.is_harmful(fault, |harm| harm.log) || self.may_end_unclean(fault));
        if harmful && would >= usize::try_from(min_insync_replicas).expect("32 bits fit") {
            return Err(Refusal::LogData {
                fault: fault.to_string(),
                would,
                min_insync_replicas,
            });
        }
        Ok(())
    }

    fn check_quorum(&self, fault: &Fault, after: &Budget) -> Result<(), Refusal> {
        let Some(node) = fault.node().filter(|node| self.spec.voters.contains(*node)) else {
            return Ok(());
        };
        let (would, voters) = (after.lossy_voters.len(), self.spec.voters.len());
        let keeps_identity = match fault {
            Fault::Disk { fault, .. } => self.harm(fault).metadata,
            Fault::Process {
                fault: ProcessFault::PowerLoss,
                ..
            } => self.doubtful.contains(node),
            _ => false,
        };
        let replaced = matches!(
            fault,
            Fault::Disk {
                fault: DiskFault::Wiped,
                ..
            }
        );
        let too_many = would > voters.saturating_sub(1) / 2 || !self.spec.dynamic_voters;
        if keeps_identity || (replaced && too_many) {
            return Err(Refusal::Quorum {
                fault: fault.to_string(),
                would,
                voters,
            });
        }
        Ok(())
    }

    /// Whether this very fault may end a process without its clean-shutdown marker.
    fn may_end_unclean(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Disk { fault, .. } => fault.fails_calls(),
            Fault::Process { fault, .. } => {
                matches!(
                    fault,
                    ProcessFault::Kill | ProcessFault::PowerLoss | ProcessFault::Stop { .. }
                )
            }
            Fault::Operation(operation) => matches!(operation, Operation::RemoveBroker { .. }),
            Fault::Network(_)
            | Fault::Frames(_)
            | Fault::Clock { .. }
            | Fault::Heal(_)
            | Fault::HealAll => false,
        }
    }

    /// Whether this very fault takes data, so that a full budget still admits harmless faults.
    fn is_harmful(&self, fault: &Fault, kind: impl Fn(Harm) -> bool) -> bool {
        match fault {
            Fault::Disk { fault, .. } => kind(self.harm(fault)),
            Fault::Process {
                node,
                fault: ProcessFault::PowerLoss,
            } => self.spec.durability != Durability::Flushed || self.doubtful.contains(node),
            _ => false,
        }
    }
}

/// Patterns may or may not write the leading slash.
fn matches_anywhere(files: &str, path: &str) -> bool {
    matches(files, Path::new(path)) || matches(files, &Path::new("/").join(path))
}
