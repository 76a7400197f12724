//! A segment that is written to take the place of another one.

use std::path::Path;
use std::sync::Arc;

use broker_env::{Disk, DiskError};
use broker_protocol::ids::Offset;

use super::Segment;
use crate::names;

impl Segment {
    /// An empty segment under names that the next start removes.
    pub(crate) fn create_cleaned(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        base_offset: Offset,
        now_ms: i64,
    ) -> Result<Segment, DiskError> {
        Segment::create_as(disk, directory, (base_offset, names::CLEANED), now_ms)
    }

    /// Its files were synced.
    pub(crate) fn all_synced(&mut self) {
        let (log, index) = (self.log_mark.changes, self.index_mark.changes);
        self.log_mark.synced(log);
        self.index_mark.synced(index);
    }

    /// Takes the names of the segment that it was made from. The log first: indexes prove themselves against it.
    pub(crate) fn replace(
        &mut self,
        disk: &dyn Disk,
        old: Option<Segment>,
    ) -> Result<(), DiskError> {
        let directory = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let file = |extension| directory.join(names::segment_file(self.base_offset, extension));
        let (log, index, time_index) = (
            file(names::LOG),
            file(names::INDEX),
            file(names::TIME_INDEX),
        );
        disk.rename(&self.path, &log)?;
        self.path = log;
        self.index.rename(disk, index)?;
        self.time_index.rename(disk, time_index)?;
        if let Some(old) = old {
            // A flush of the old files may be under way, and ends with their marks.
            self.log_mark = old.log_mark.replaced();
            self.index_mark = old.index_mark.replaced();
            if old.index_mark.is_dirty() {
                self.index_mark.change();
            }
            self.aborted = old.aborted;
        }
        self.unload_indexes();
        Ok(())
    }

    /// It is not needed.
    pub(crate) fn discard(self, disk: &dyn Disk) -> Result<(), DiskError> {
        self.paths().iter().try_for_each(|path| disk.remove(path))
    }
}
