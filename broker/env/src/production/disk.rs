//! Files: page-cache calls inline, syncs on the blocking pool.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one door to real files"
)]

use std::fs::{self, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::disk::DiskLock;
use crate::{BoxFuture, Disk, DiskError, DiskErrorKind, File, OpenMode};

#[derive(Clone)]
pub(super) struct RealDisk {
    runtime: Handle,
}

impl RealDisk {
    pub(super) fn new(runtime: Handle) -> RealDisk {
        RealDisk { runtime }
    }

    /// Runs a call that waits for the device on the blocking pool.
    fn blocking(
        &self,
        operation: &'static str,
        path: PathBuf,
        call: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> BoxFuture<'static, Result<(), DiskError>> {
        let runtime = self.runtime.clone();
        Box::pin(async move {
            let task_path = path.clone();
            let result = runtime.spawn_blocking(move || call(&task_path)).await;
            let outcome = result.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
            outcome.map_err(|error| failed(operation, &path, &error))
        })
    }
}

fn failed(operation: &'static str, path: &Path, error: &io::Error) -> DiskError {
    let errno = error.raw_os_error().unwrap_or(0);
    DiskError {
        operation,
        path: path.to_owned(),
        kind: kind_of(errno),
        errno,
        detail: error.to_string(),
    }
}

/// Linux: what a lock held elsewhere answers.
const EAGAIN: i32 = 11;

/// Linux errno values.
fn kind_of(errno: i32) -> DiskErrorKind {
    const ENOENT: i32 = 2;
    const EIO: i32 = 5;
    const EEXIST: i32 = 17;
    const ENOSPC: i32 = 28;
    const EDQUOT: i32 = 122;
    match errno {
        ENOENT => DiskErrorKind::NotFound,
        EEXIST => DiskErrorKind::AlreadyExists,
        ENOSPC | EDQUOT => DiskErrorKind::NoSpace,
        EIO => DiskErrorKind::Io,
        EAGAIN => DiskErrorKind::Locked,
        _ => DiskErrorKind::Other,
    }
}

fn options(mode: OpenMode) -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    match mode {
        OpenMode::Read => &mut options,
        OpenMode::Write => options.write(true),
        OpenMode::Create => options.write(true).create(true),
        OpenMode::CreateNew => options.write(true).create_new(true),
        OpenMode::Truncate => options.write(true).create(true).truncate(true),
    };
    options
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>, DiskError> {
        let file = options(mode)
            .open(path)
            .map_err(|error| failed("open", path, &error))?;
        Ok(Arc::new(RealFile {
            file: Arc::new(file),
            path: path.to_owned(),
            disk: self.clone(),
        }))
    }

    fn create_directory(&self, path: &Path) -> Result<(), DiskError> {
        fs::create_dir_all(path).map_err(|error| failed("create_directory", path, &error))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(|error| failed("rename", from, &error))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        remove(path).map_err(|error| failed("remove", path, &error))
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        list(path).map_err(|error| failed("list", path, &error))
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn sync_directory(&self, path: &Path) -> BoxFuture<'static, Result<(), DiskError>> {
        self.blocking("sync_directory", path.to_owned(), |path| {
            fs::File::open(path)?.sync_all()
        })
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        let opened = options(OpenMode::Create).open(path);
        let file = opened.map_err(|error| failed("lock", path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(FileLock { _held: file })),
            Err(TryLockError::WouldBlock) => {
                Err(failed("lock", path, &io::Error::from_raw_os_error(EAGAIN)))
            }
            Err(TryLockError::Error(error)) => Err(failed("lock", path, &error)),
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn list(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The lock goes with the open file, also when the process dies.
struct FileLock {
    _held: fs::File,
}

impl DiskLock for FileLock {}

struct RealFile {
    file: Arc<fs::File>,
    /// As opened, for errors.
    path: PathBuf,
    disk: RealDisk,
}

impl RealFile {
    fn failed(&self, operation: &'static str) -> impl Fn(io::Error) -> DiskError {
        move |error| failed(operation, &self.path, &error)
    }
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let position = offset + u64::try_from(filled).expect("usize is at most 64 bits");
            match self.file.read_at(&mut buffer[filled..], position) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read_at", &self.path, &error)),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(self.failed("write_at"))
    }

    fn truncate(&self, length: u64) -> Result<(), DiskError> {
        self.file.set_len(length).map_err(self.failed("truncate"))
    }

    fn length(&self) -> Result<u64, DiskError> {
        self.file
            .metadata()
            .map(|metadata| metadata.len())
            .map_err(self.failed("length"))
    }

    fn sync_data(&self) -> BoxFuture<'static, Result<(), DiskError>> {
        let file = self.file.clone();
        self.disk
            .blocking("sync_data", self.path.clone(), move |_| file.sync_data())
    }
}
