//! The end of a log.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use broker_protocol::ids::Uuid;

use super::Log;
use crate::error::LogError;
use crate::names;

impl Log {
    /// Renames the log's directory out of the way and refuses all further use; jobs still running cannot fail
    /// any more. Gives the new path, for removal.
    pub(crate) fn retire(&mut self, unique: Uuid, suffix: &str) -> Result<PathBuf, LogError> {
        self.check_usable()?;
        let parent = self
            .directory
            .parent()
            .expect("a log lies in a data directory");
        let target = parent.join(names::retired_directory(&self.partition, unique, suffix));
        self.deleted.store(true, Ordering::Relaxed);
        let renamed = self
            .disk
            .rename(&self.directory, &target)
            .map_err(LogError::from);
        self.watch(renamed)?;
        self.recovery_points.remove(&self.partition);
        self.tail.clear();
        Ok(target)
    }
}
