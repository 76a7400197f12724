//! Changes of names between the call and their being durable.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::RngCore;

use crate::tree::{Inode, InodeId, Tree};
use crate::units::{Chance, below};

/// Changes kept in memory before the oldest become durable, as a journal's periodic commit would do.
const PENDING_LIMIT: usize = 4096;
/// Bytes of removed but not durably removed files kept before all changes become durable.
const UNLINKED_LIMIT: u64 = 32 << 20;

/// One atomic change of names: each gets an inode or loses it.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) sequence: u64,
    pub(super) names: Vec<(InodeId, String, Option<InodeId>)>,
}

impl Change {
    fn touches(&self, directory: InodeId) -> bool {
        self.names.iter().any(|(parent, ..)| *parent == directory)
    }

    fn keys(&self) -> impl Iterator<Item = (InodeId, String)> + '_ {
        self.names
            .iter()
            .map(|(parent, name, _)| (*parent, name.clone()))
    }
}

impl Tree {
    /// What a `sync_directory` called now will cover.
    pub fn sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Makes the changes of a directory before `sequence` durable, and those they build on.
    pub fn sync_directory(&mut self, directory: InodeId, sequence: u64) {
        let mut keys = BTreeSet::new();
        let mut covered = BTreeSet::new();
        for change in self
            .pending
            .iter()
            .rev()
            .filter(|change| change.sequence < sequence)
        {
            if change.touches(directory) || change.keys().any(|key| keys.contains(&key)) {
                keys.extend(change.keys());
                covered.insert(change.sequence);
            }
        }
        self.commit(|change| covered.contains(&change.sequence));
        if self.entry_gone {
            self.collect();
        }
    }

    /// Keeps some of the pending changes, lets go of the others; gives how many went.
    pub fn lose_power(&mut self, rng: &mut impl RngCore) -> u64 {
        let pending = u64::try_from(self.pending.len()).expect("fits");
        let cut = match below(rng, 4) {
            0 => 0,
            1 => pending,
            2 => below(rng, pending + 1),
            _ => u64::MAX,
        };
        let mut dropped_keys = BTreeSet::new();
        let mut dropped = BTreeSet::new();
        for (position, change) in (0u64..).zip(&self.pending) {
            let lost = if cut == u64::MAX {
                Chance::percent(50).strikes(rng)
            } else {
                position >= cut
            };
            if lost || change.keys().any(|key| dropped_keys.contains(&key)) {
                dropped_keys.extend(change.keys());
                dropped.insert(change.sequence);
            }
        }
        self.commit(|change| !dropped.contains(&change.sequence));
        self.pending.clear();
        for inode in self.inodes.values_mut() {
            match inode {
                Inode::Directory(directory) => directory.live = directory.durable.clone(),
                Inode::File(file) => file.handles = 0,
            }
        }
        self.collect();
        self.recount();
        u64::try_from(dropped.len()).expect("fits")
    }

    pub(super) fn change(&mut self, names: Vec<(InodeId, String, Option<InodeId>)>) {
        for (parent, name, inode) in &names {
            let Some(Inode::Directory(directory)) = self.inodes.get_mut(parent) else {
                panic!("inode {parent} is no directory");
            };
            set_entry(&mut directory.live, name, *inode);
        }
        self.pending.push(Change {
            sequence: self.next_sequence,
            names,
        });
        self.next_sequence += 1;
        if self.unlinked > UNLINKED_LIMIT {
            self.unlinked = 0;
            self.commit(|_| true);
        } else if self.pending.len() > PENDING_LIMIT {
            let newest = self.next_sequence - u64::try_from(PENDING_LIMIT / 2).expect("fits");
            self.commit(|change| change.sequence < newest);
        }
    }

    pub(super) fn commit(&mut self, durable: impl Fn(&Change) -> bool) {
        let mut rest = Vec::new();
        for change in std::mem::take(&mut self.pending) {
            if !durable(&change) {
                rest.push(change);
                continue;
            }
            let mut gone = Vec::new();
            for (parent, name, inode) in &change.names {
                if let Some(Inode::Directory(directory)) = self.inodes.get_mut(parent) {
                    gone.extend(set_entry(&mut directory.durable, name, *inode));
                }
            }
            let moved = |inode: &InodeId| change.names.iter().any(|it| it.2 == Some(*inode));
            self.entry_gone |= !gone.iter().all(moved);
        }
        self.pending = rest;
    }

    fn recount(&mut self) {
        let linked: BTreeSet<InodeId> = self.walk().into_iter().map(|(_, inode)| inode).collect();
        let mut used = 0;
        for (inode, file) in self.files_mut() {
            file.linked = linked.contains(&inode);
            used += if file.linked { file.data.length() } else { 0 };
        }
        self.used = used;
        self.unlinked = 0;
    }
}

/// Gives what the name stood for.
fn set_entry(
    entries: &mut BTreeMap<String, InodeId>,
    name: &str,
    inode: Option<InodeId>,
) -> Option<InodeId> {
    match inode {
        Some(inode) => entries.insert(name.to_owned(), inode),
        None => entries.remove(name),
    }
}
