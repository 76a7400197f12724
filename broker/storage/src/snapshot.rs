//! Snapshots of the metadata log (KIP-630): `<end offset>-<epoch>.checkpoint` beside its segments.
//!
//! Map: this file names, lists and removes them; `snapshot/write.rs` writes one; `snapshot/read.rs` reads one.
//!
//! A file is record batches: a control batch that begins with a SnapshotHeader, and with `kraft.version` and
//! the voters if that is 1 or more (KIP-853); the records of the image; a control batch with a SnapshotFooter.
//! Offsets inside of it count from 0 and mean nothing. It is written as `.checkpoint.part` and gets its name
//! once it is durable, so a file of that name is whole unless the disk damaged it, which checksums tell.

mod read;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};

use broker_env::{Disk, DiskError, DiskErrorKind};
use broker_probe::probe;
use broker_protocol::ids::{LeaderEpoch, Offset};

pub use read::{SnapshotError, SnapshotReader, SnapshotSummary};
pub use write::{PartialSnapshot, SnapshotHeader, SnapshotWriter};

const SUFFIX: &str = ".checkpoint";
const PARTIAL_SUFFIX: &str = ".part";
const DELETED_SUFFIX: &str = ".checkpoint.deleted";

/// What a snapshot replaces: all records below `end_offset`, the last of which has `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    pub end_offset: Offset,
    pub epoch: LeaderEpoch,
}

impl SnapshotId {
    /// What `broker format` leaves: the first voters, and no records.
    pub const BOOTSTRAP: SnapshotId = SnapshotId {
        end_offset: 0,
        epoch: LeaderEpoch(0),
    };

    /// `00000000000000000042-0000000007.checkpoint`.
    pub fn file_name(self) -> String {
        format!("{:020}-{:010}{SUFFIX}", self.end_offset, self.epoch.0)
    }

    pub fn path(self, directory: &Path) -> PathBuf {
        directory.join(self.file_name())
    }

    /// The snapshot a file name says, if it is one of a finished snapshot.
    pub fn parse(name: &str) -> Option<SnapshotId> {
        let (offset, epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        let digits = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|digit| digit.is_ascii_digit())
        };
        if !digits(offset, 20) || !digits(epoch, 10) {
            return None;
        }
        Some(SnapshotId {
            end_offset: offset.parse().ok()?,
            epoch: LeaderEpoch(epoch.parse().ok()?),
        })
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.end_offset, self.epoch)
    }
}

/// The finished snapshots in a partition's directory, oldest first; none if it does not exist.
pub fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<SnapshotId>, DiskError> {
    if !disk.is_directory(directory) {
        return Ok(Vec::new());
    }
    let names = disk.list(directory)?;
    let mut ids: Vec<SnapshotId> = names
        .iter()
        .filter_map(|name| SnapshotId::parse(name))
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Removes what a crash left half written or half removed.
pub fn remove_leftovers(disk: &dyn Disk, directory: &Path) -> Result<(), DiskError> {
    for name in disk.list(directory)? {
        let partial = format!("{SUFFIX}{PARTIAL_SUFFIX}");
        if name.ends_with(&partial) || name.ends_with(DELETED_SUFFIX) {
            probe!("storage: a snapshot that was not finished is removed");
            disk.remove(&directory.join(name))?;
        }
    }
    Ok(())
}

/// Removes snapshots, the oldest first. Not durable: power loss may bring any of them back whole, which does
/// no harm.
pub fn remove(disk: &dyn Disk, directory: &Path, ids: &[SnapshotId]) -> Result<(), DiskError> {
    for id in ids {
        match disk.remove(&id.path(directory)) {
            Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
