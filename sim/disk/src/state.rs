//! The file system with its faults, behind one lock.
//!
//! Map: `call` a call and its errors · `faults` what is set and what it does; here the calls themselves.

mod call;
mod faults;

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use broker_env::{DiskError, DiskErrorKind, OpenMode};
use rand_chacha::ChaCha8Rng;

pub use call::Call;
use faults::{Active, as_strikes};

use crate::disk::DiskOptions;
use crate::file::SyncTicket;
use crate::tree::{FileInode, InodeId, Tree, TreeError};
use crate::units::{between, nanos};

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
            // Closed and removed since the sync was called: nothing is left to lose.
            SyncScope::File(inode, _) if self.tree.file(inode).is_none() => {}
            SyncScope::File(inode, _) if drops => self.drop_cache(inode),
            SyncScope::File(inode, ticket) if fails || lies => {
                self.file(inode).data.abandon_sync(ticket);
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

    /// The time a call takes on top of none, which blocks the caller's thread.
    pub fn operation_latency(&self) -> Duration {
        self.options.operation + self.slowness(|operation, _| operation)
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

    fn sync_latency(&mut self) -> Duration {
        let (low, high) = self.options.sync;
        let drawn = Duration::from_nanos(between(&mut self.rng, nanos(low), nanos(high)));
        drawn + self.slowness(|_, sync| sync)
    }
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("fits")
}
