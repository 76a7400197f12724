//! The process's side of a disk: `broker_env::Disk` for one life of one process.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use broker_env::disk::DiskLock;
use broker_env::{BoxFuture, Disk, DiskError, DiskErrorKind, File, OpenMode};

use crate::disk::{DiskHost, lock};
use crate::state::{Call, State, SyncScope};
use crate::tree::{InodeId, TreeError};

/// The disk as one process sees it. After the process died, every call fails with errno 116.
#[derive(Clone)]
pub struct Mount {
    shared: Arc<Mutex<State>>,
    host: Arc<dyn DiskHost>,
    incarnation: u64,
}

impl Mount {
    pub(crate) fn new(
        shared: Arc<Mutex<State>>,
        host: Arc<dyn DiskHost>,
        incarnation: u64,
    ) -> Mount {
        Mount {
            shared,
            host,
            incarnation,
        }
    }

    fn call<'a>(&self, operation: &'static str, path: &'a Path) -> Call<'a> {
        Call {
            operation,
            path,
            incarnation: self.incarnation,
        }
    }

    /// Runs one call inline and charges its time to the node.
    fn run<T>(
        &self,
        body: impl FnOnce(&mut State) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let (result, latency) = {
            let mut state = lock(&self.shared);
            (body(&mut state), state.operation_latency())
        };
        if !latency.is_zero() {
            self.host.stall(latency);
        }
        result
    }

    fn sync(
        &self,
        operation: &'static str,
        path: PathBuf,
        begin: impl FnOnce(&mut State, Call) -> Result<(SyncScope, std::time::Duration), DiskError>,
    ) -> BoxFuture<'static, Result<(), DiskError>> {
        let begun = begin(&mut lock(&self.shared), self.call(operation, &path));
        let mount = self.clone();
        Box::pin(async move {
            let (scope, latency) = begun?;
            mount.wait_for_stall().await;
            if !latency.is_zero() {
                mount.host.delay(latency).await;
            }
            mount.wait_for_stall().await;
            lock(&mount.shared).finish_sync(mount.call(operation, &path), &scope)
        })
    }

    async fn wait_for_stall(&self) {
        poll_fn(|context| {
            let mut state = lock(&self.shared);
            if state.incarnation == self.incarnation && state.is_stalled() {
                state.stalled.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl Disk for Mount {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>, DiskError> {
        let inode = self.run(|state| state.open(self.call("open", path), mode))?;
        let writable = mode != OpenMode::Read;
        Ok(Arc::new(OpenFile {
            mount: self.clone(),
            inode,
            path: path.to_owned(),
            writable,
        }))
    }

    fn create_directory(&self, path: &Path) -> Result<(), DiskError> {
        let call = self.call("create_directory", path);
        self.run(|state| {
            state.admit(call)?;
            state
                .tree
                .create_directories(path)
                .map_err(|error| call.tree(error))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let call = self.call("rename", from);
        self.run(|state| {
            state.admit(call)?;
            state
                .tree
                .rename(from, to)
                .map_err(|error| call.tree(error))
        })
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let call = self.call("remove", path);
        self.run(|state| {
            state.admit(call)?;
            state.tree.remove(path).map_err(|error| call.tree(error))
        })
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        let call = self.call("list", path);
        self.run(|state| {
            state.admit(call)?;
            state.tree.list(path).map_err(|error| call.tree(error))
        })
    }

    fn is_directory(&self, path: &Path) -> bool {
        let state = lock(&self.shared);
        state.incarnation == self.incarnation
            && state
                .tree
                .find(path)
                .is_ok_and(|inode| state.tree.is_directory(inode))
    }

    fn exists(&self, path: &Path) -> bool {
        let state = lock(&self.shared);
        state.incarnation == self.incarnation && state.tree.find(path).is_ok()
    }

    fn sync_directory(&self, path: &Path) -> BoxFuture<'static, Result<(), DiskError>> {
        self.sync(
            "sync_directory",
            path.to_owned(),
            State::begin_sync_directory,
        )
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        let call = self.call("lock", path);
        let (inode, guard) = self.run(|state| state.lock(call))?;
        Ok(Box::new(LockGuard {
            mount: self.clone(),
            inode,
            guard,
        }))
    }
}

impl State {
    fn lock(&mut self, call: Call) -> Result<(InodeId, u64), DiskError> {
        self.admit(call)?;
        let inode = match self.tree.find(call.path) {
            Err(TreeError::NotFound) => self.tree.create_file(call.path),
            found => found,
        };
        let inode = inode.map_err(|error| call.tree(error))?;
        if self.locks.contains_key(&inode) {
            return Err(call.error(DiskErrorKind::Locked, 11, "held by this process or another"));
        }
        self.next_guard += 1;
        self.locks.insert(inode, self.next_guard);
        Ok((inode, self.next_guard))
    }
}

struct LockGuard {
    mount: Mount,
    inode: InodeId,
    guard: u64,
}

impl DiskLock for LockGuard {}

impl Drop for LockGuard {
    fn drop(&mut self) {
        let mut state = lock(&self.mount.shared);
        if state.locks.get(&self.inode) == Some(&self.guard) {
            state.locks.remove(&self.inode);
        }
    }
}

struct OpenFile {
    mount: Mount,
    inode: InodeId,
    /// As opened, for errors and fault patterns.
    path: PathBuf,
    writable: bool,
}

impl OpenFile {
    fn call(&self, operation: &'static str) -> Call<'_> {
        self.mount.call(operation, &self.path)
    }

    fn check_writable(&self, operation: &'static str) -> Result<(), DiskError> {
        if self.writable {
            return Ok(());
        }
        Err(self
            .call(operation)
            .error(DiskErrorKind::Other, 9, "opened for reading only"))
    }
}

impl File for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        self.mount
            .run(|state| state.read(self.call("read_at"), self.inode, buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.check_writable("write_at")?;
        self.mount
            .run(|state| state.write(self.call("write_at"), self.inode, bytes, offset))
    }

    fn truncate(&self, length: u64) -> Result<(), DiskError> {
        self.check_writable("truncate")?;
        self.mount
            .run(|state| state.truncate(self.call("truncate"), self.inode, length))
    }

    fn length(&self) -> Result<u64, DiskError> {
        lock(&self.mount.shared).length(self.call("length"), self.inode)
    }

    fn sync_data(&self) -> BoxFuture<'static, Result<(), DiskError>> {
        let inode = self.inode;
        self.mount
            .sync("sync_data", self.path.clone(), |state, call| {
                state.begin_sync(call, inode)
            })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        lock(&self.mount.shared).close(self.inode, self.mount.incarnation);
    }
}
