//! The file system with its faults, behind one lock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::task::Waker;
use std::time::Duration;

use broker_env::{DiskError, DiskErrorKind, OpenMode};
use rand_chacha::ChaCha8Rng;

use crate::disk::DiskOptions;
use crate::fault::{DiskFault, Strikes, matches};
use crate::file::SyncTicket;
use crate::tree::{FileInode, InodeId, Tree, TreeError};
use crate::units::{below, between, nanos};
use crate::{SECTOR, fault};

/// A fault that is set.
struct Active {
    fault: DiskFault,
    /// Strikes left; none is no limit.
    left: Option<u32>,
}

/// What a sync was promised when it was called.
pub enum SyncScope {
    File(InodeId, SyncTicket),
    Directory(InodeId, u64),
}

pub struct State {
    pub tree: Tree,
    pub rng: ChaCha8Rng,
    pub options: DiskOptions,
    /// Grows with each death of the process; calls of older mounts fail.
    pub incarnation: u64,
    /// Guard by locked file.
    pub locks: BTreeMap<InodeId, u64>,
    pub next_guard: u64,
    /// Syncs that wait for the end of a stall.
    pub stalled: Vec<Waker>,
    faults: Vec<Active>,
    counts: BTreeMap<&'static str, u64>,
}

/// The call a failure belongs to.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub operation: &'static str,
    pub path: &'a Path,
    pub incarnation: u64,
}

impl Call<'_> {
    pub fn error(&self, kind: DiskErrorKind, errno: i32, detail: &str) -> DiskError {
        DiskError {
            operation: self.operation,
            path: self.path.to_owned(),
            kind,
            errno,
            detail: detail.to_owned(),
        }
    }

    fn input_output(&self, detail: &str) -> DiskError {
        self.error(DiskErrorKind::Io, 5, detail)
    }

    pub fn tree(&self, error: TreeError) -> DiskError {
        match error {
            TreeError::NotFound => {
                self.error(DiskErrorKind::NotFound, 2, "no such file or directory")
            }
            TreeError::AlreadyExists => self.error(DiskErrorKind::AlreadyExists, 17, "file exists"),
            TreeError::NotADirectory => self.error(DiskErrorKind::Other, 20, "not a directory"),
            TreeError::IsADirectory => self.error(DiskErrorKind::Other, 21, "is a directory"),
            TreeError::NotEmpty => self.error(DiskErrorKind::Other, 39, "directory not empty"),
            TreeError::Invalid => self.error(DiskErrorKind::Other, 22, "invalid path"),
        }
    }

    fn dead(&self) -> DiskError {
        self.error(
            DiskErrorKind::Other,
            116,
            "the process that mounted this disk is dead",
        )
    }
}

impl State {
    pub fn new(rng: ChaCha8Rng, options: DiskOptions) -> State {
        State {
            tree: Tree::default(),
            rng,
            options,
            incarnation: 0,
            locks: BTreeMap::new(),
            next_guard: 0,
            stalled: Vec::new(),
            faults: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub fn open(&mut self, call: Call, mode: OpenMode) -> Result<InodeId, DiskError> {
        self.admit(call)?;
        let found = match self.tree.find(call.path) {
            Ok(inode) if self.tree.is_directory(inode) => Err(TreeError::IsADirectory),
            Ok(_) if mode == OpenMode::CreateNew => Err(TreeError::AlreadyExists),
            Ok(inode) => Ok(inode),
            Err(TreeError::NotFound) if !matches!(mode, OpenMode::Read | OpenMode::Write) => {
                self.check_space(call, 0)?;
                self.tree.create_file(call.path)
            }
            Err(error) => Err(error),
        };
        let inode = found.map_err(|error| call.tree(error))?;
        if mode == OpenMode::Truncate {
            self.set_length(inode, 0);
        }
        self.file(inode).handles += 1;
        Ok(inode)
    }

    pub fn close(&mut self, inode: InodeId, incarnation: u64) {
        if incarnation != self.incarnation {
            return;
        }
        let Some(file) = self.tree.file_mut(inode) else {
            return;
        };
        file.handles = file.handles.saturating_sub(1);
        if file.handles == 0 && !file.linked {
            self.tree.collect();
        }
    }

    pub fn read(
        &mut self,
        call: Call,
        inode: InodeId,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<usize, DiskError> {
        self.admit(call)?;
        if self.strikes(call.path, |fault| as_strikes(fault, "disk-read-error")) {
            return Err(call.input_output("unreadable sector"));
        }
        Ok(self.file(inode).data.pages.read(buffer, offset))
    }

    pub fn write(
        &mut self,
        call: Call,
        inode: InodeId,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), DiskError> {
        self.admit(call)?;
        if !self.faults.is_empty() {
            return self.write_faulty(call, inode, bytes, offset);
        }
        self.write_plain(inode, bytes, offset);
        Ok(())
    }

    pub fn truncate(&mut self, call: Call, inode: InodeId, length: u64) -> Result<(), DiskError> {
        self.admit(call)?;
        if self.strikes(call.path, |fault| as_strikes(fault, "disk-write-error")) {
            return Err(call.input_output("device error"));
        }
        let grown = length.saturating_sub(self.file(inode).data.length());
        self.check_space(call, grown)?;
        self.set_length(inode, length);
        Ok(())
    }

    pub fn length(&mut self, call: Call, inode: InodeId) -> Result<u64, DiskError> {
        self.admit(call)?;
        Ok(self.file(inode).data.length())
    }

    /// A sync was called; gives what it covers and how long it takes.
    pub fn begin_sync(
        &mut self,
        call: Call,
        inode: InodeId,
    ) -> Result<(SyncScope, Duration), DiskError> {
        self.admit(call)?;
        let ticket = self.file(inode).data.begin_sync();
        Ok((SyncScope::File(inode, ticket), self.sync_latency()))
    }

    /// The same for the entries of a directory.
    pub fn begin_sync_directory(&mut self, call: Call) -> Result<(SyncScope, Duration), DiskError> {
        self.admit(call)?;
        let inode = self
            .tree
            .find(call.path)
            .map_err(|error| call.tree(error))?;
        if !self.tree.is_directory(inode) {
            return Err(call.tree(TreeError::NotADirectory));
        }
        Ok((
            SyncScope::Directory(inode, self.tree.sequence()),
            self.sync_latency(),
        ))
    }

    /// The time of a sync is over.
    pub fn finish_sync(&mut self, call: Call, scope: &SyncScope) -> Result<(), DiskError> {
        self.admit(call)?;
        let fails = self.strikes(call.path, |fault| as_strikes(fault, "disk-sync-error"));
        let drops = !fails
            && self.strikes(call.path, |fault| {
                as_strikes(fault, "disk-sync-error-drops-cache")
            });
        let lies = !fails
            && !drops
            && self.strikes(call.path, |fault| as_strikes(fault, "disk-lying-sync"));
        match *scope {
            SyncScope::File(inode, _) if drops => self.drop_cache(inode),
            SyncScope::File(inode, ticket) if fails || lies => {
                self.file(inode).data.abandon_sync(ticket)
            }
            SyncScope::File(inode, ticket) => self.file(inode).data.complete_sync(ticket),
            SyncScope::Directory(..) if fails || drops || lies => {}
            SyncScope::Directory(inode, sequence) => self.tree.sync_directory(inode, sequence),
        }
        if fails || drops {
            Err(call.input_output("write-back failed"))
        } else {
            Ok(())
        }
    }

    pub fn is_stalled(&self) -> bool {
        self.faults
            .iter()
            .any(|active| active.fault == DiskFault::Stalled)
    }

    /// The time a call takes on top of none, which blocks the caller's thread.
    pub fn operation_latency(&self) -> Duration {
        self.options.operation + self.slowness(|operation, _| operation)
    }

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

    /// Mounts, handles and locks of the process are gone.
    pub fn end_process(&mut self) {
        self.incarnation += 1;
        self.locks.clear();
        self.tree.close_all();
    }

    pub fn file(&mut self, inode: InodeId) -> &mut FileInode {
        self.tree
            .file_mut(inode)
            .expect("a living process's handle keeps its file")
    }

    /// The capacity, if limited.
    pub fn capacity(&self) -> Option<u64> {
        let limits = self.faults.iter().filter_map(|active| match active.fault {
            DiskFault::Full { capacity } => Some(capacity),
            _ => None,
        });
        limits.chain(self.options.capacity).min()
    }

    pub fn check_space(&mut self, call: Call, grown: u64) -> Result<(), DiskError> {
        let full = |capacity| {
            self.tree.used + grown > capacity || (grown == 0 && self.tree.used >= capacity)
        };
        if self.capacity().is_some_and(full) && (grown > 0 || call.operation == "open") {
            self.count("disk-full");
            return Err(call.error(DiskErrorKind::NoSpace, 28, "no space left on device"));
        }
        Ok(())
    }

    pub fn admit(&self, call: Call) -> Result<(), DiskError> {
        if call.incarnation == self.incarnation {
            Ok(())
        } else {
            Err(call.dead())
        }
    }

    fn write_faulty(
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

    fn write_plain(&mut self, inode: InodeId, bytes: &[u8], offset: u64) {
        let file = self.file(inode);
        let before = file.data.length();
        file.data.write(bytes, offset);
        let (linked, after) = (file.linked, file.data.length());
        self.account(linked, before, after);
    }

    fn set_length(&mut self, inode: InodeId, length: u64) {
        let file = self.file(inode);
        let before = file.data.length();
        file.data.truncate(length);
        let linked = file.linked;
        self.account(linked, before, length);
    }

    fn grow_to(&mut self, inode: InodeId, length: u64) {
        if self.file(inode).data.length() < length {
            self.set_length(inode, length);
        }
    }

    fn account(&mut self, linked: bool, before: u64, after: u64) {
        if linked {
            self.tree.used = self.tree.used + after - before;
        }
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

    fn drop_cache(&mut self, inode: InodeId) {
        let mut rng = self.rng.clone();
        let file = self.file(inode);
        let before = file.data.length();
        crate::power::settle(&mut file.data, crate::power::Fate::AllOld, &mut rng);
        let (linked, after) = (file.linked, file.data.length());
        self.account(linked, before, after);
    }

    fn rot(&mut self, files: &str, bits: u32) {
        let candidates: Vec<(PathBuf, InodeId)> = self.tree.walk();
        let candidates: Vec<InodeId> = candidates
            .into_iter()
            .filter(|(path, inode)| fault::matches(files, path) && self.durable_bytes(*inode) > 0)
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

    fn sync_latency(&mut self) -> Duration {
        let (low, high) = self.options.sync;
        let drawn = Duration::from_nanos(between(&mut self.rng, nanos(low), nanos(high)));
        drawn + self.slowness(|_, sync| sync)
    }

    fn slowness(&self, pick: impl Fn(Duration, Duration) -> Duration) -> Duration {
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

    fn strikes(&mut self, path: &Path, pick: impl Fn(&DiskFault) -> Option<&Strikes>) -> bool {
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

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("fits")
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

fn as_strikes<'a>(fault: &'a DiskFault, kind: &str) -> Option<&'a Strikes> {
    if fault.kind() == kind {
        strikes_of(fault)
    } else {
        None
    }
}
