//! The partition log over Disk.
