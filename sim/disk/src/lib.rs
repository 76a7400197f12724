//! The simulated disk, shared by every engine: no I/O, no clock, one ChaCha stream per disk.
//!
//! A machine owns a [`SimDisk`]; each life of its process sees it through a [`Mount`], which is a
//! `broker_env::Disk`. The model of a file is its live bytes (the page cache) plus what is needed to
//! tell what a power loss may leave: the durable length, and for each durable 512-byte sector that was
//! overwritten since, its durable content. Directories keep their live entries and the list of changes
//! no `sync_directory` has made durable.
//!
//! Contract:
//! - a **process crash** keeps everything written, frees the locks and kills the mount: a task of the
//!   dead process that still runs cannot touch the disk any more;
//! - a **power loss** keeps all that was synced before it and any mix of the rest: each sector old, new
//!   or torn, any length between, each unsynced directory change done or not (an earlier change of the
//!   same name first);
//! - a sync makes durable what was written **before it was called**, once it completes;
//! - [`DiskFault`]s make it worse, are plain data, and are counted each time they strike.
//!
//! Map: [`disk`] machine's side · [`mount`] process's side · [`fault`] what can go wrong · `file` one
//! file's sectors · `tree` directories · `state` both with the faults · `inspect` what checkers read ·
//! [`units`] chances and durations in text.

pub mod disk;
pub mod fault;
mod file;
mod inspect;
pub mod mount;
mod pages;
mod power;
mod state;
mod tree;
pub mod units;

pub use disk::{DiskHost, DiskOptions, PowerLossReport, SimDisk};
pub use fault::{DiskFault, Strikes};
pub use inspect::Unsynced;
pub use mount::Mount;
pub use units::Chance;

/// The unit in which a disk tears: what a write leaves old, new or half of each.
pub const SECTOR: u64 = 512;
