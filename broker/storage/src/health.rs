//! Whether a log directory is still usable; shared by its logs and their jobs.

use std::sync::{Arc, OnceLock};

use broker_env::DiskError;

/// Goes offline once, at the first failed write or sync, and never comes back in this process: after a failed
/// sync nobody knows what is on the disk.
#[derive(Clone, Debug, Default)]
pub struct DirectoryHealth {
    failure: Arc<OnceLock<DiskError>>,
}

impl DirectoryHealth {
    pub fn new() -> DirectoryHealth {
        DirectoryHealth::default()
    }

    /// Takes the directory offline; the first reason stays.
    pub fn fail(&self, error: &DiskError) {
        if self.failure.set(error.clone()).is_ok() {
            tracing::error!(%error, "log directory is offline");
        }
    }

    /// Why the directory is offline, if it is.
    pub fn failure(&self) -> Option<&DiskError> {
        self.failure.get()
    }

    /// Passes a result through and goes offline on its error.
    pub(crate) fn watch<T>(&self, result: Result<T, DiskError>) -> Result<T, DiskError> {
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }
}
