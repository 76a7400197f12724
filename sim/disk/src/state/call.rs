//! One call of the process, and the errors it may end with.

use std::path::Path;

use broker_env::{DiskError, DiskErrorKind};

use crate::tree::TreeError;

/// The call a failure belongs to.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub operation: &'static str,
    pub path: &'a Path,
    pub incarnation: u64,
}

impl Call<'_> {
    pub fn error(&self, kind: DiskErrorKind, errno: i32, detail: &str) -> DiskError {
        DiskError {
            operation: self.operation,
            path: self.path.to_owned(),
            kind,
            errno,
            detail: detail.to_owned(),
        }
    }

    pub fn input_output(&self, detail: &str) -> DiskError {
        self.error(DiskErrorKind::Io, 5, detail)
    }

    pub fn tree(&self, error: TreeError) -> DiskError {
        match error {
            TreeError::NotFound => {
                self.error(DiskErrorKind::NotFound, 2, "no such file or directory")
            }
            TreeError::AlreadyExists => self.error(DiskErrorKind::AlreadyExists, 17, "file exists"),
            TreeError::NotADirectory => self.error(DiskErrorKind::Other, 20, "not a directory"),
            TreeError::IsADirectory => self.error(DiskErrorKind::Other, 21, "is a directory"),
            TreeError::NotEmpty => self.error(DiskErrorKind::Other, 39, "directory not empty"),
            TreeError::Invalid => self.error(DiskErrorKind::Other, 22, "invalid path"),
        }
    }

    pub fn dead(&self) -> DiskError {
        self.error(
            DiskErrorKind::Other,
            116,
            "the process that mounted this disk is dead",
        )
    }
}
