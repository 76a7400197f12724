//! Files with the fault contract of real disks.
//!
//! Reads and writes go to the page cache and complete inline; only syncs wait. What the caller must
//! assume, and what every simulator does:
//! - **power loss** keeps any subset of the unsynced 512-byte sectors of each file (torn writes, lost
//!   tail, lost middle); a file created, renamed or removed without [`Disk::sync_directory`] of its
//!   parent may reappear as it was; a **process crash** loses nothing that was written;
//! - sectors may rot, writes may land elsewhere, any call may fail with EIO, a write with ENOSPC after
//!   a part of it was done;
//! - **a failed sync means that the data are gone and the log directory is dead**: never retry a sync.

use std::path::{Path, PathBuf};

use crate::BoxFuture;

/// What went wrong, as errno tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskErrorKind {
    /// ENOENT.
    NotFound,
    /// EEXIST.
    AlreadyExists,
    /// ENOSPC or EDQUOT.
    NoSpace,
    /// EIO: the disk is failing.
    Io,
    /// EWOULDBLOCK of a lock another process holds.
    Locked,
    /// Any other errno.
    Other,
}

/// A failed disk call, with the path and errno.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {path}: {kind:?} (errno {errno}): {detail}", path = path.display())]
pub struct DiskError {
    pub operation: &'static str,
    pub path: PathBuf,
    pub kind: DiskErrorKind,
    pub errno: i32,
    pub detail: String,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing file, reads only.
    Read,
    /// Existing file, reads and writes.
    Write,
    /// Reads and writes; creates it if absent.
    Create,
    /// Reads and writes; fails with `AlreadyExists` if present.
    CreateNew,
    /// Reads and writes; creates it or empties it.
    Truncate,
}

/// An open file; shared by cloning the `Arc` it comes in. Stays usable after a rename or removal.
pub trait File: Send + Sync {
    /// Bytes read; fewer than asked only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError>;
    /// Writes all of `bytes` at `offset`, growing the file (a gap reads as zeros). On an error any
    /// prefix may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError>;
    /// Cuts or grows (with zeros) to `length`.
    fn truncate(&self, length: u64) -> Result<(), DiskError>;
    fn length(&self) -> Result<u64, DiskError>;
    /// Makes the content and length durable (fdatasync). A failure is final, see the module text.
    fn sync_data(&self) -> BoxFuture<'static, Result<(), DiskError>>;
}

/// A node's file system.
pub trait Disk: Send + Sync {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<std::sync::Arc<dyn File>, DiskError>;
    /// Creates the directory and its parents; fine if present.
    fn create_directory(&self, path: &Path) -> Result<(), DiskError>;
    /// Atomic replacement; works on files and on directories.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;
    /// Removes a file, or a directory with all in it.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;
    /// Names in a directory, sorted.
    fn list(&self, path: &Path) -> Result<Vec<String>, DiskError>;
    fn is_directory(&self, path: &Path) -> bool;
    /// Whether a file or directory is there.
    fn exists(&self, path: &Path) -> bool;
    /// Makes creations, renames and removals in this directory durable.
    fn sync_directory(&self, path: &Path) -> BoxFuture<'static, Result<(), DiskError>>;
    /// Takes an exclusive lock on a file, created if absent, until the guard is dropped or the
    /// process dies. Fails with `Locked` if another process (or node) holds it.
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError>;
}

/// Holds an exclusive lock until dropped.
pub trait DiskLock: Send + Sync {}
