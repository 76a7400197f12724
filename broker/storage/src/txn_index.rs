//! `.txnindex`: the transactions that were aborted, each in the segment that holds its marker.
//!
//! Kafka's format, version 0: version, producer id, first offset, offset of the marker, last stable offset when
//! it was written, 34 bytes. Unlike the other indexes it is no hint: what is missing in it makes aborted records
//! look committed, and no batch tells. So the file of a segment that is trusted must be whole, and therefore
//! - a file is cut or removed only once no recovery point claims what it is about ([`Doomed`], `PendingCut`);
//! - the recovery point stays below segments whose markers were found by a scan until who knows the producers
//!   has told again what was aborted there ([`Log::aborted_known_to`](crate::Log::aborted_known_to)).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use broker_env::{Disk, DiskError, DiskErrorKind};
use broker_protocol::ids::Offset;

use crate::index::Entry;

const VERSION: i16 = 0;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbortedTxn {
    pub producer_id: i64,
    pub first_offset: Offset,
    /// The marker's.
    pub last_offset: Offset,
    /// Where the oldest transaction began that was still open then, else what follows the marker. Entries that
    /// come later are about offsets from there on.
    pub last_stable_offset: Offset,
}

impl AbortedTxn {
    /// Bytes of an entry.
    pub const BYTES: usize = 34;

    /// One entry of a file; `None` if its version is unknown or it cannot be.
    pub fn decode(bytes: &[u8; AbortedTxn::BYTES]) -> Option<AbortedTxn> {
        let number = |at: usize| {
            i64::from_be_bytes(bytes[at..at + 8].try_into().expect("inside of an entry"))
        };
        let version = i16::from_be_bytes([bytes[0], bytes[1]]);
        let txn = AbortedTxn {
            producer_id: number(2),
            first_offset: number(10),
            last_offset: number(18),
            last_stable_offset: number(26),
        };
        (version == VERSION && txn.is_possible()).then_some(txn)
    }

    pub(crate) fn is_possible(&self) -> bool {
        self.producer_id >= 0 && 0 <= self.first_offset && self.first_offset < self.last_offset
    }
}

/// What no entry is.
const IMPOSSIBLE: AbortedTxn = AbortedTxn {
    producer_id: -1,
    first_offset: -1,
    last_offset: -1,
    last_stable_offset: -1,
};

impl Entry for AbortedTxn {
    const SIZE: usize = AbortedTxn::BYTES;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(VERSION.to_be_bytes());
        out.extend(self.producer_id.to_be_bytes());
        out.extend(self.first_offset.to_be_bytes());
        out.extend(self.last_offset.to_be_bytes());
        out.extend(self.last_stable_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> AbortedTxn {
        let entry = bytes.try_into().expect("an entry is 34 bytes");
        AbortedTxn::decode(entry).unwrap_or(IMPOSSIBLE)
    }

    fn follows(&self, previous: &AbortedTxn) -> bool {
        self.last_offset > previous.last_offset
    }
}

/// A file to be removed by a flush, once the recovery point on disk is below its segment: a power loss may bring
/// the segment back, and then its aborted transactions must be there. Removed once: several flushes may hold it.
#[derive(Clone, Debug)]
pub(crate) struct Doomed(Arc<Mutex<Option<PathBuf>>>);

impl Doomed {
    pub(crate) fn new(path: PathBuf) -> Doomed {
        Doomed(Arc::new(Mutex::new(Some(path))))
    }

    pub(crate) fn run(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        // An option is whole between any two of its calls, whoever panicked.
        let mut path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(doomed) = path.as_ref() {
            match disk.remove(doomed) {
                Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        *path = None;
        Ok(())
    }

    pub(crate) fn is_of(&self, file: &Path) -> bool {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        path.as_deref() == Some(file)
    }

    pub(crate) fn is_done(&self) -> bool {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        path.is_none()
    }
}
