//! What can go wrong with a disk, as data.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{self, Chance, show};

/// Which calls a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strikes {
    /// Glob over the whole path; `*` matches any run of characters, `/` included. Default: all files.
    #[serde(default = "any_file")]
    pub files: String,
    /// Of a matching call. Default: always.
    #[serde(default = "always")]
    pub chance: Chance,
    /// How often at most; none is until healed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

fn any_file() -> String {
    "*".into()
}

fn always() -> Chance {
    Chance::ALWAYS
}

impl Default for Strikes {
    fn default() -> Strikes {
        Strikes {
            files: any_file(),
            chance: always(),
            times: None,
        }
    }
}

impl Strikes {
    /// The next matching call, once.
    pub fn once(files: &str) -> Strikes {
        Strikes {
            files: files.into(),
            times: Some(1),
            ..Strikes::default()
        }
    }

    /// Matching calls at random, until healed.
    pub fn at_random(files: &str, chance: Chance) -> Strikes {
        Strikes {
            files: files.into(),
            chance,
            times: None,
        }
    }
}

impl fmt::Display for Strikes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.files)?;
        if self.chance != Chance::ALWAYS {
            write!(formatter, " with {}", self.chance)?;
        }
        match self.times {
            Some(1) => write!(formatter, " once"),
            Some(times) => write!(formatter, " {times} times"),
            None => Ok(()),
        }
    }
}

/// One way a disk fails. Set at run time, cleared by healing the same value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DiskFault {
    /// EIO on read: an unreadable sector.
    ReadError(Strikes),
    /// EIO on write: a device gone away, a read-only remount.
    WriteError(Strikes),
    /// EIO on fsync: write-back failed and is not tried again, but the page cache keeps the new bytes,
    /// marked clean (ext4, "fsyncgate"): reads succeed, a second sync too, and no disk has them.
    SyncError(Strikes),
    /// EIO on fsync, and the page cache drops what it could not write (XFS, Btrfs): the writes since
    /// the last sync vanish at once.
    SyncErrorDropsCache(Strikes),
    /// fsync says yes and did nothing: a volatile write cache without power-loss protection, a
    /// hypervisor that ignores flushes.
    LyingSync(Strikes),
    /// A write acknowledged and never done: firmware bug, dropped controller command.
    LostWrite(Strikes),
    /// A write that lands at another sector of the file: a controller or file-system addressing bug.
    MisdirectedWrite(Strikes),
    /// Flipped bits in durable sectors that read without an error: decay below the drive's ECC.
    BitRot { files: String, bits: u32 },
    /// ENOSPC once this many bytes are used, after a part of the write was done: a full or quota-bound disk.
    Full { capacity: u64 },
    /// Every call takes the time on top: a degraded RAID, a throttled volume, a noisy neighbour.
    /// Reads and writes block the node's thread, syncs wait.
    Slow {
        #[serde(with = "units::duration")]
        operation: Duration,
        #[serde(with = "units::duration")]
        sync: Duration,
    },
    /// Syncs hang until healed, the page cache still serves: a lost iSCSI or EBS volume, a stuck controller.
    Stalled,
    /// All gone at once: a replaced drive, a re-created volume.
    Wiped,
}

impl DiskFault {
    /// Stable name for counters and scenario weights.
    pub fn kind(&self) -> &'static str {
        match self {
            DiskFault::ReadError(_) => "disk-read-error",
            DiskFault::WriteError(_) => "disk-write-error",
            DiskFault::SyncError(_) => "disk-sync-error",
            DiskFault::SyncErrorDropsCache(_) => "disk-sync-error-drops-cache",
            DiskFault::LyingSync(_) => "disk-lying-sync",
            DiskFault::LostWrite(_) => "disk-lost-write",
            DiskFault::MisdirectedWrite(_) => "disk-misdirected-write",
            DiskFault::BitRot { .. } => "disk-bit-rot",
            DiskFault::Full { .. } => "disk-full",
            DiskFault::Slow { .. } => "disk-slow",
            DiskFault::Stalled => "disk-stalled",
            DiskFault::Wiped => "disk-wiped",
        }
    }

    /// Whether calls fail with an error, so that a correct process gives the disk up until a restart.
    pub fn fails_calls(&self) -> bool {
        matches!(
            self,
            DiskFault::ReadError(_)
                | DiskFault::WriteError(_)
                | DiskFault::SyncError(_)
                | DiskFault::SyncErrorDropsCache(_)
                | DiskFault::Full { .. }
        )
    }

    /// Whether it strikes when set and leaves nothing to heal.
    pub fn is_instant(&self) -> bool {
        matches!(self, DiskFault::BitRot { .. } | DiskFault::Wiped)
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskFault::ReadError(strikes) => write!(formatter, "EIO on read of {strikes}"),
            DiskFault::WriteError(strikes) => write!(formatter, "EIO on write of {strikes}"),
            DiskFault::SyncError(strikes) => {
                write!(formatter, "EIO on sync of {strikes}, cache kept")
            }
            DiskFault::SyncErrorDropsCache(strikes) => {
                write!(formatter, "EIO on sync of {strikes}, cache dropped")
            }
            DiskFault::LyingSync(strikes) => write!(formatter, "sync lies for {strikes}"),
            DiskFault::LostWrite(strikes) => write!(formatter, "write lost in {strikes}"),
            DiskFault::MisdirectedWrite(strikes) => {
                write!(formatter, "write misdirected in {strikes}")
            }
            DiskFault::BitRot { files, bits } => write!(formatter, "{bits} bits rot in {files}"),
            DiskFault::Full { capacity } => write!(formatter, "full at {capacity} bytes"),
            DiskFault::Slow { operation, sync } => {
                write!(
                    formatter,
                    "slow: {} per call, {} per sync",
                    show(*operation),
                    show(*sync)
                )
            }
            DiskFault::Stalled => write!(formatter, "stalled"),
            DiskFault::Wiped => write!(formatter, "wiped"),
        }
    }
}

/// Whether a glob with `*` matches the whole path, written with `/`.
pub fn matches(pattern: &str, path: &Path) -> bool {
    let path = path.to_string_lossy();
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(position) = rest.find(part) else {
            return false;
        };
        rest = &rest[position + part.len()..];
    }
    rest.ends_with(last)
}
