//! The aborted transactions of a segment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_env::{Disk, DiskError};
use broker_probe::probe;
use broker_protocol::ids::Offset;

use super::{CutFile, PendingCut, Segment};
use crate::index::IndexFile;
use crate::names;
use crate::txn_index::AbortedTxn;

impl Segment {
    /// By marker; a marker that is noted already is left out. Whether a file was created.
    pub(crate) fn push_aborted(
        &mut self,
        disk: &Arc<dyn Disk>,
        txn: AbortedTxn,
    ) -> Result<bool, DiskError> {
        let is_known = |known: &IndexFile<AbortedTxn>| -> Result<bool, DiskError> {
            let last = known.last()?;
            Ok(last.is_some_and(|last| last.last_offset >= txn.last_offset))
        };
        let created = self.aborted.is_none();
        if let Some(known) = &self.aborted
            && is_known(known)?
        {
            return Ok(false);
        }
        if created {
            let index = IndexFile::create(disk, &self.aborted_path())?;
            self.aborted = Some(index);
        }
        if let Some(cut) = self.pending_aborted_cut() {
            // The truncation is durable or there was none, else nothing would be appended.
            cut.run()?;
        }
        let aborted = self.aborted.as_mut().expect("just created");
        aborted.push(txn)?;
        Ok(created)
    }

    pub(super) fn pending_aborted_cut(&self) -> Option<PendingCut> {
        let index = self.aborted.as_ref()?;
        let file = CutFile::Closed(index.disk().clone(), index.path().to_owned());
        PendingCut::of(file, &self.aborted_cut)
    }

    /// The transactions with records in `[from, upper)`, as far as this segment has their markers; and whether
    /// those of later segments are none of them.
    pub(crate) fn collect_aborted(
        &self,
        from: Offset,
        upper: Offset,
        found: &mut Vec<AbortedTxn>,
    ) -> Result<bool, DiskError> {
        let Some(aborted) = &self.aborted else {
            return Ok(false);
        };
        for txn in aborted.entries()? {
            if txn.last_offset >= from && txn.first_offset < upper {
                found.push(*txn);
            }
            if txn.last_stable_offset >= upper {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The file, if there is one.
    pub(crate) fn aborted_file(&self) -> Option<PathBuf> {
        self.aborted.as_ref().map(|index| index.path().to_owned())
    }

    pub(crate) fn store_aborted(&mut self) -> Result<(), DiskError> {
        if let Some(aborted) = &mut self.aborted
            && aborted.store()?
        {
            self.index_mark.change();
        }
        Ok(())
    }

    pub(super) fn truncate_aborted(&mut self, end: Offset) -> Result<(), DiskError> {
        if let Some(aborted) = &mut self.aborted
            && let Some(position) = aborted.truncate_entries(|txn| txn.last_offset < end)?
        {
            *self.aborted_cut.lock() = Some(position);
        }
        Ok(())
    }

    /// Of a segment that is trusted. False if the file is not as it was written.
    pub(super) fn open_aborted(&mut self, disk: &Arc<dyn Disk>) -> Result<bool, DiskError> {
        let path = self.aborted_path();
        if !disk.exists(&path) {
            return Ok(true);
        }
        self.aborted = IndexFile::open_sound(disk, &path)?;
        let possible = match &self.aborted {
            Some(index) => index.entries()?.iter().all(AbortedTxn::is_possible),
            None => false,
        };
        if !possible {
            probe!("storage: damaged index of aborted transactions");
        }
        Ok(possible)
    }

    /// Of a segment that was scanned: it has to be told anew what was aborted.
    pub(super) fn forget_aborted(&mut self, disk: &Arc<dyn Disk>) -> Result<(), DiskError> {
        let path = self.aborted_path();
        if disk.exists(&path) {
            self.aborted = Some(IndexFile::open_empty(disk, &path));
            *self.aborted_cut.lock() = Some(0);
        }
        Ok(())
    }

    pub(crate) fn aborted_path(&self) -> PathBuf {
        let directory = self.path.parent().unwrap_or(Path::new(""));
        directory.join(names::segment_file(self.base_offset, names::TXN_INDEX))
    }
}
