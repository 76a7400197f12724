//! Reading a snapshot: batch by batch with everything checked, or bytes as a follower asks for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_env::{Disk, DiskError, File, OpenMode};
use broker_probe::probe;
use broker_protocol::ids::Offset;
use broker_protocol::record::{ControlRecord, RecordBatch};
use bytes::Bytes;

use super::{SnapshotHeader, SnapshotId};
use crate::error::{Corruption, Damage};
use crate::scan::{BatchScanner, SEQUENTIAL_BYTES, ScanError};

/// Most bytes the records of one control batch may decompress to.
const CONTROL_BYTES_MAX: usize = 16 << 20;

/// Why a snapshot cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("snapshot is damaged: {0}")]
    Corrupt(#[from] Corruption),
    #[error("{path} is no whole snapshot: {reason}", path = path.display())]
    NotWhole { path: PathBuf, reason: &'static str },
}

/// What a whole snapshot is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotSummary {
    pub header: SnapshotHeader,
    /// Records of the image.
    pub records: u64,
    pub size_bytes: u64,
}

/// A snapshot's batches in order. Only when the last was given without an error is it known to be whole.
pub struct SnapshotReader {
    path: PathBuf,
    file: Arc<dyn File>,
    size: u64,
    scanner: BatchScanner,
    header: SnapshotHeader,
    place: Place,
    next_offset: Option<Offset>,
    records: u64,
}

/// Where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    BeforeHeader,
    Inside,
    BehindFooter,
}

impl SnapshotReader {
    /// # Errors
    /// A failing disk; NotFound if there is no such snapshot.
    pub fn open(
        disk: &dyn Disk,
        directory: &Path,
        id: SnapshotId,
    ) -> Result<SnapshotReader, DiskError> {
        SnapshotReader::open_file(disk, &id.path(directory))
    }

    /// A file under whatever name, such as one that is not finished.
    pub fn open_file(disk: &dyn Disk, path: &Path) -> Result<SnapshotReader, DiskError> {
        let file = disk.open(path, OpenMode::Read)?;
        let size = file.length()?;
        Ok(SnapshotReader {
            path: path.to_owned(),
            scanner: BatchScanner::new(file.clone(), 0, size, SEQUENTIAL_BYTES),
            file,
            size,
            header: SnapshotHeader::default(),
            place: Place::BeforeHeader,
            next_offset: None,
            records: 0,
        })
    }

    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// Bytes from `position`, at most `max_bytes`; they may begin and end inside of a batch.
    pub fn read_at(&self, position: u64, max_bytes: usize) -> Result<Bytes, DiskError> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; max_bytes.min(left)];
        let read = self.file.read_at(&mut bytes, position)?;
        bytes.truncate(read);
        Ok(Bytes::from(bytes))
    }

    /// The next batch of records, checked; `None` behind the footer of a whole snapshot.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, SnapshotError> {
        loop {
            let position = self.scanner.position();
            let next = match self.scanner.next_batch() {
                Ok(next) => next.map(|(_, bytes)| Bytes::copy_from_slice(bytes)),
                Err(ScanError::Disk(error)) => return Err(error.into()),
                Err(ScanError::Damaged(damage)) => return Err(self.corrupt(position, damage)),
            };
            let Some(bytes) = next else {
                return match self.place {
                    Place::BehindFooter => Ok(None),
                    _ => Err(self.not_whole("it has no footer")),
                };
            };
            let batch = RecordBatch::new(bytes)
                .map_err(|error| self.corrupt(position, Damage::from(error)))?;
            self.check_order(position, &batch)?;
            if self.place == Place::BehindFooter {
                return Err(self.not_whole("it goes on behind its footer"));
            }
            if !batch.is_control() {
                return self.data(batch).map(Some);
            }
            self.control(position, &batch)?;
        }
    }

    /// Offsets are outside of the checksum.
    fn check_order(&mut self, position: u64, batch: &RecordBatch) -> Result<(), SnapshotError> {
        let base_offset = batch.base_offset();
        let expected = self.next_offset.replace(batch.next_offset()).unwrap_or(0);
        if base_offset == expected {
            return Ok(());
        }
        let damage = Damage::OffsetOrder {
            expected,
            base_offset,
        };
        Err(self.corrupt(position, damage))
    }

    fn data(&mut self, batch: RecordBatch) -> Result<RecordBatch, SnapshotError> {
        if self.place == Place::BeforeHeader {
            return Err(self.not_whole("it does not begin with a header"));
        }
        self.records += u64::try_from(batch.count()).unwrap_or(0);
        Ok(batch)
    }

    fn control(&mut self, position: u64, batch: &RecordBatch) -> Result<(), SnapshotError> {
        let records = batch.records(CONTROL_BYTES_MAX);
        let records = records.map_err(|error| self.corrupt(position, Damage::from(error)))?;
        for record in records {
            let decoded = record.and_then(|record| ControlRecord::decode(&record));
            match decoded.map_err(|error| self.corrupt(position, Damage::from(error)))? {
                Some(record) => self.control_record(record)?,
                None => probe!("storage: a control record of a later version in a snapshot"),
            }
        }
        Ok(())
    }

    fn control_record(&mut self, record: ControlRecord) -> Result<(), SnapshotError> {
        match (self.place, record) {
            (Place::BeforeHeader, ControlRecord::SnapshotHeader(header)) => {
                self.header.last_contained_log_timestamp = header.last_contained_log_timestamp;
                self.place = Place::Inside;
            }
            (Place::BeforeHeader, _) => {
                return Err(self.not_whole("it does not begin with a header"));
            }
            (Place::Inside, ControlRecord::KRaftVersion(version)) => {
                self.header.kraft_version = version.k_raft_version;
            }
            (Place::Inside, ControlRecord::KRaftVoters(voters)) => {
                self.header.voters = Some(voters);
            }
            (Place::Inside, ControlRecord::SnapshotFooter(_)) => {
                self.place = Place::BehindFooter;
            }
            (Place::Inside, _) => return Err(self.not_whole("it holds a foreign control record")),
            (Place::BehindFooter, _) => {
                return Err(self.not_whole("it goes on behind its footer"));
            }
        }
        Ok(())
    }

    /// Reads what is left and tells what the whole is made of.
    pub fn check(mut self) -> Result<SnapshotSummary, SnapshotError> {
        while self.next_batch()?.is_some() {}
        Ok(SnapshotSummary {
            header: self.header,
            records: self.records,
            size_bytes: self.size,
        })
    }

    /// What was read of the header so far: all of it once a batch was given.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    fn corrupt(&self, position: u64, damage: Damage) -> SnapshotError {
        SnapshotError::Corrupt(Corruption {
            path: self.path.clone(),
            position,
            damage,
        })
    }

    fn not_whole(&self, reason: &'static str) -> SnapshotError {
        SnapshotError::NotWhole {
            path: self.path.clone(),
            reason,
        }
    }
}
