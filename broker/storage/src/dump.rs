//! Reading log directories as they are, for tools: damage is reported, not mended, and nothing is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_env::{Disk, DiskError, File, OpenMode};
use broker_protocol::ids::Offset;
use broker_protocol::record::RecordBatch;
use bytes::Bytes;

use crate::batch::BatchInfo;
use crate::error::{Corruption, Damage};
use crate::names;
use crate::scan::{BatchScanner, SEQUENTIAL_BYTES, ScanError};

/// A segment file found in a partition's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    pub base_offset: Offset,
    pub path: PathBuf,
    pub size_bytes: u64,
}

/// The `.log` files of a partition's directory, by base offset.
pub fn segments(disk: &dyn Disk, directory: &Path) -> Result<Vec<SegmentFile>, DiskError> {
    let mut files = Vec::new();
    for name in disk.list(directory)? {
        if let Some(base_offset) = names::base_offset_of(&name, names::LOG) {
            let path = directory.join(name);
            let size_bytes = disk.open(&path, OpenMode::Read)?.length()?;
            files.push(SegmentFile {
                base_offset,
                path,
                size_bytes,
            });
        }
    }
    Ok(files)
}

/// A batch of a file and where it starts.
#[derive(Clone, Debug)]
pub struct DumpedBatch {
    pub position: u64,
    pub info: BatchInfo,
    pub batch: RecordBatch,
    /// Why the batch is wrong although its frame is whole.
    pub damage: Option<Damage>,
}

/// What [`BatchDump`] meets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DumpError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// From here on the file cannot be read.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
}

/// The batches of a file: a segment or a metadata snapshot. Goes on over a batch whose content is wrong, and
/// ends with an error where there is no batch.
pub struct BatchDump {
    file: Arc<dyn File>,
    path: PathBuf,
    position: u64,
    end: u64,
    headers: BatchScanner,
    failed: bool,
}

impl BatchDump {
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<BatchDump, DiskError> {
        let file = disk.open(path, OpenMode::Read)?;
        let end = file.length()?;
        let headers = BatchScanner::new(file.clone(), 0, end, SEQUENTIAL_BYTES);
        Ok(BatchDump {
            file,
            path: path.to_owned(),
            position: 0,
            end,
            headers,
            failed: false,
        })
    }

    fn next_batch(&mut self) -> Result<Option<DumpedBatch>, ScanError> {
        let Some((position, info)) = self.headers.next_info()? else {
            return Ok(None);
        };
        let size = usize::try_from(info.size).expect("32 bits");
        let mut bytes = vec![0; size];
        let read = self.file.read_at(&mut bytes, position)?;
        bytes.truncate(read);
        let batch = RecordBatch::new(Bytes::from(bytes)).map_err(Damage::from)?;
        let damage = batch.validate().err().map(Damage::from);
        self.position = position + u64::from(info.size);
        Ok(Some(DumpedBatch {
            position,
            info,
            batch,
            damage,
        }))
    }

    /// Bytes read so far and bytes of the file.
    pub fn progress(&self) -> (u64, u64) {
        (self.position, self.end)
    }
}

impl Iterator for BatchDump {
    type Item = Result<DumpedBatch, DumpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let position = self.position;
        let result = self.next_batch().transpose()?;
        self.failed = result.is_err();
        Some(result.map_err(|error| match error {
            ScanError::Disk(error) => DumpError::Disk(error),
            ScanError::Damaged(damage) => DumpError::Corrupt(Corruption {
                path: self.path.clone(),
                position,
                damage,
            }),
        }))
    }
}
