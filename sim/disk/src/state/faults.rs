//! The faults that are set, and what each does when it strikes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use broker_env::DiskError;

use crate::SECTOR;
use crate::fault::{DiskFault, Strikes, matches};
use crate::power::{Fate, settle};
use crate::state::{Call, State, size};
use crate::tree::{InodeId, Tree};
use crate::units::below;

/// A fault that is set.
pub(super) struct Active {
    fault: DiskFault,
    /// Strikes left; none is no limit.
    left: Option<u32>,
}

impl State {
    pub fn inject(&mut self, fault: &DiskFault) {
        match fault {
            DiskFault::BitRot { files, bits } => self.rot(files, *bits),
            DiskFault::Wiped => self.wipe(),
            DiskFault::Stalled | DiskFault::Slow { .. } | DiskFault::Full { .. } => {
                self.count(fault.kind())
            }
            _ => {}
        }
        if !fault.is_instant() {
            let left = strikes_of(fault).and_then(|strikes| strikes.times);
            self.faults.push(Active {
                fault: fault.clone(),
                left,
            });
        }
    }

    /// Whether the fault was set.
    pub fn heal(&mut self, fault: &DiskFault) -> bool {
        let position = self.faults.iter().position(|active| active.fault == *fault);
        if let Some(position) = position {
            self.faults.remove(position);
        }
        position.is_some()
    }

    pub fn heal_all(&mut self) {
        self.faults.clear();
    }

    pub fn active(&self) -> Vec<DiskFault> {
        self.faults
            .iter()
            .map(|active| active.fault.clone())
            .collect()
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.clone()
    }

    pub fn is_stalled(&self) -> bool {
        self.faults
            .iter()
            .any(|active| active.fault == DiskFault::Stalled)
    }

    /// The capacity, if limited.
    pub fn capacity(&self) -> Option<u64> {
        let limits = self.faults.iter().filter_map(|active| match active.fault {
            DiskFault::Full { capacity } => Some(capacity),
            _ => None,
        });
        limits.chain(self.options.capacity).min()
    }

    pub(super) fn write_faulty(
        &mut self,
        call: Call,
        inode: InodeId,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), DiskError> {
        if self.strikes(call.path, |fault| as_strikes(fault, "disk-write-error")) {
            let kept = self.part_of(bytes.len());
            self.write_plain(inode, &bytes[..kept], offset);
            return Err(call.input_output("device error"));
        }
        if self.strikes(call.path, |fault| as_strikes(fault, "disk-lost-write")) {
            self.grow_to(inode, offset + size(bytes));
            return Ok(());
        }
        if self.strikes(call.path, |fault| {
            as_strikes(fault, "disk-misdirected-write")
        }) {
            self.misdirect(inode, bytes, offset);
            return Ok(());
        }
        let grown = (offset + size(bytes)).saturating_sub(self.file(inode).data.length());
        if let Err(error) = self.check_space(call, grown) {
            let free = self
                .capacity()
                .unwrap_or(u64::MAX)
                .saturating_sub(self.tree.used);
            let fits = (self.file(inode).data.length() + free).saturating_sub(offset);
            let kept = usize::try_from(fits).unwrap_or(usize::MAX).min(bytes.len());
            self.write_plain(inode, &bytes[..kept], offset);
            return Err(error);
        }
        self.write_plain(inode, bytes, offset);
        Ok(())
    }

    /// The bytes land at another sector of the file, as far as it reaches; their own place keeps the old.
    fn misdirect(&mut self, inode: InodeId, bytes: &[u8], offset: u64) {
        self.grow_to(inode, offset + size(bytes));
        let length = self.file(inode).data.length();
        let target = below(&mut self.rng, length.div_ceil(SECTOR).max(1)) * SECTOR;
        let fits = usize::try_from(length - target)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        self.write_plain(inode, &bytes[..fits], target);
    }

    pub(super) fn drop_cache(&mut self, inode: InodeId) {
        let mut rng = self.rng.clone();
        let file = self.file(inode);
        let before = file.data.length();
        settle(&mut file.data, Fate::AllOld, &mut rng);
        let (linked, after) = (file.linked, file.data.length());
        self.account(linked, before, after);
    }

    fn rot(&mut self, files: &str, bits: u32) {
        let candidates: Vec<InodeId> = self
            .tree
            .walk()
            .into_iter()
            .filter(|(path, inode)| matches(files, path) && self.durable_bytes(*inode) > 0)
            .map(|(_, inode)| inode)
            .collect();
        if candidates.is_empty() {
            return;
        }
        for _ in 0..bits {
            let choice = below(
                &mut self.rng,
                u64::try_from(candidates.len()).expect("fits"),
            );
            let inode = candidates[usize::try_from(choice).expect("fits")];
            let durable = self.durable_bytes(inode);
            let offset = below(&mut self.rng, durable);
            let bit = below(&mut self.rng, 8);
            let pages = &mut self.file(inode).data.pages;
            let mut byte = [0];
            pages.read(&mut byte, offset);
            pages.write(&[byte[0] ^ (1 << bit)], offset);
            self.count("disk-bit-rot");
        }
    }

    fn durable_bytes(&self, inode: InodeId) -> u64 {
        self.tree
            .file(inode)
            .map_or(0, |file| file.data.durable_length().min(file.data.length()))
    }

    fn wipe(&mut self) {
        self.end_process();
        self.tree = Tree::after(&self.tree);
        self.count("disk-wiped");
    }

    pub(super) fn slowness(&self, pick: impl Fn(Duration, Duration) -> Duration) -> Duration {
        let added = self.faults.iter().map(|active| match active.fault {
            DiskFault::Slow { operation, sync } => pick(operation, sync),
            _ => Duration::ZERO,
        });
        added.sum()
    }

    /// A random part, never all.
    fn part_of(&mut self, length: usize) -> usize {
        usize::try_from(below(&mut self.rng, u64::try_from(length).expect("fits"))).expect("fits")
    }

    pub(super) fn strikes(
        &mut self,
        path: &Path,
        pick: impl Fn(&DiskFault) -> Option<&Strikes>,
    ) -> bool {
        for position in 0..self.faults.len() {
            let active = &mut self.faults[position];
            let Some(strikes) = pick(&active.fault) else {
                continue;
            };
            if active.left == Some(0)
                || !matches(&strikes.files, path)
                || !strikes.chance.strikes(&mut self.rng)
            {
                continue;
            }
            active.left = active.left.map(|left| left - 1);
            let kind = active.fault.kind();
            self.count(kind);
            return true;
        }
        false
    }

    pub fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_insert(0) += 1;
    }
}

fn strikes_of(fault: &DiskFault) -> Option<&Strikes> {
    match fault {
        DiskFault::ReadError(strikes)
        | DiskFault::WriteError(strikes)
        | DiskFault::SyncError(strikes)
        | DiskFault::SyncErrorDropsCache(strikes)
        | DiskFault::LyingSync(strikes)
        | DiskFault::LostWrite(strikes)
        | DiskFault::MisdirectedWrite(strikes) => Some(strikes),
        _ => None,
    }
}

pub(super) fn as_strikes<'a>(fault: &'a DiskFault, kind: &str) -> Option<&'a Strikes> {
    if fault.kind() == kind {
        strikes_of(fault)
    } else {
        None
    }
}
