//! An in-memory disk: power loss keeps any subset of unsynced sectors and directory changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use broker_env::disk::DiskLock;
use broker_env::{BoxFuture, Disk, DiskError, DiskErrorKind, File, OpenMode};

const SECTOR: usize = 512;

#[derive(Clone, Default)]
pub(crate) struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    directories: BTreeSet<PathBuf>,
    live: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    durable: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    /// Changes of names not synced yet, in order.
    changes: Vec<Change>,
    locked: BTreeSet<PathBuf>,
    /// One per file that is open, gone when it is closed.
    opened: Vec<Weak<MemoryFile>>,
    failures: Failures,
}

#[derive(Clone, Copy, Default)]
struct Failures {
    /// The next sync fails and drops what it should have made durable.
    sync: bool,
    /// The next write does this many bytes and fails.
    write_after: Option<usize>,
}

#[derive(Clone)]
enum Change {
    Put(PathBuf, Arc<Mutex<Content>>),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

fn error(operation: &'static str, path: &Path, kind: DiskErrorKind) -> DiskError {
    DiskError {
        operation,
        path: path.to_owned(),
        kind,
        errno: 5,
        detail: "test".to_owned(),
    }
}

impl MemoryDisk {
    pub(crate) fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    pub(crate) fn fail_next_sync(&self) {
        self.lock().failures.sync = true;
    }

    pub(crate) fn fail_next_write_after(&self, bytes: usize) {
        self.lock().failures.write_after = Some(bytes);
    }

    /// Everything unsynced is kept or lost as `choose` says for each sector, length and directory change.
    pub(crate) fn power_loss(&self, mut choose: impl FnMut() -> bool) {
        let mut state = self.lock();
        let mut names = state.durable.clone();
        for change in std::mem::take(&mut state.changes) {
            if choose() {
                apply(&mut names, change);
            }
        }
        for content in names.values() {
            content
                .lock()
                .expect("no panics under it")
                .lose(&mut choose);
        }
        state.live = names.clone();
        state.durable = names;
        state.locked.clear();
        state.failures = Failures::default();
    }

    /// Changes bytes behind everybody's back.
    pub(crate) fn corrupt(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let state = self.lock();
        let mut content = state.live[path].lock().expect("no panics under it");
        change(&mut content.live);
        content.durable = content.live.clone();
        content.dirty.clear();
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        self.lock().live[path]
            .lock()
            .expect("no panics under it")
            .live
            .clone()
    }

    /// Paths of the files that are open, as they were opened.
    pub(crate) fn open_files(&self) -> Vec<PathBuf> {
        let mut state = self.lock();
        state.opened.retain(|file| file.strong_count() > 0);
        let open = state.opened.iter().filter_map(Weak::upgrade);
        open.map(|file| file.path.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panics under it")
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Arc<Mutex<Content>>>, change: Change) {
    match change {
        Change::Put(path, content) => drop(names.insert(path, content)),
        Change::Remove(path) => names.retain(|name, _| !name.starts_with(&path)),
        Change::Rename(from, to) => {
            let moved: Vec<PathBuf> = names
                .keys()
                .filter(|name| name.starts_with(&from))
                .cloned()
                .collect();
            for old in moved {
                let content = names.remove(&old).expect("just listed");
                let rest = old.strip_prefix(&from).expect("just filtered");
                let new = if rest.as_os_str().is_empty() {
                    to.clone()
                } else {
                    to.join(rest)
                };
                names.insert(new, content);
            }
        }
    }
}

impl Change {
    fn is_in(&self, directory: &Path) -> bool {
        match self {
            Change::Put(path, _) | Change::Remove(path) | Change::Rename(path, _) => {
                path.parent() == Some(directory)
            }
        }
    }
}

impl Content {
    fn lose(&mut self, choose: &mut impl FnMut() -> bool) {
        let length = if choose() {
            self.live.len()
        } else {
            self.durable.len()
        };
        let mut after = self.durable.clone();
        after.resize(length, 0);
        for &sector in &self.dirty {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(length).min(self.live.len());
            if choose() && start < end {
                after[start..end].copy_from_slice(&self.live[start..end]);
            }
        }
        *self = Content {
            durable: after.clone(),
            live: after,
            dirty: BTreeSet::new(),
        };
    }

    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }
}

struct MemoryFile {
    path: PathBuf,
    content: Arc<Mutex<Content>>,
    disk: MemoryDisk,
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("small files")
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let content = self.content.lock().expect("no panics under it");
        let rest = content.live.get(index(offset)..).unwrap_or(&[]);
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let limit = self.disk.lock().failures.write_after.take();
        let bytes = &bytes[..limit.unwrap_or(bytes.len()).min(bytes.len())];
        let mut content = self.content.lock().expect("no panics under it");
        let (start, end) = (index(offset), index(offset) + bytes.len());
        if content.live.len() < end {
            content.live.resize(end, 0);
        }
        content.live[start..end].copy_from_slice(bytes);
        content.touch(start, end);
        if limit.is_some() {
            Err(error("write", &self.path, DiskErrorKind::NoSpace))
        } else {
            Ok(())
        }
    }

    fn truncate(&self, length: u64) -> Result<(), DiskError> {
        let mut content = self.content.lock().expect("no panics under it");
        let (from, to) = (
            content.live.len().min(index(length)),
            content.live.len().max(index(length)),
        );
        content.live.resize(index(length), 0);
        content.touch(from, to);
        Ok(())
    }

    fn length(&self) -> Result<u64, DiskError> {
        let content = self.content.lock().expect("no panics under it");
        Ok(u64::try_from(content.live.len()).expect("64 bits"))
    }

    fn sync_data(&self) -> BoxFuture<'static, Result<(), DiskError>> {
        let failed = std::mem::take(&mut self.disk.lock().failures.sync);
        let mut content = self.content.lock().expect("no panics under it");
        content.dirty.clear();
        if failed {
            // The pages are clean and the data gone: what a retry would not notice.
            let failure = error("sync", &self.path, DiskErrorKind::Io);
            return Box::pin(std::future::ready(Err(failure)));
        }
        content.durable = content.live.clone();
        Box::pin(std::future::ready(Ok(())))
    }
}

struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl DiskLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.lock().locked.remove(&self.path);
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>, DiskError> {
        let mut state = self.lock();
        let parent = path.parent().expect("absolute paths");
        if !state.directories.contains(parent) {
            return Err(error("open", path, DiskErrorKind::NotFound));
        }
        let known = state.live.get(path).cloned();
        let content = match (known, mode) {
            (Some(_), OpenMode::CreateNew) => {
                return Err(error("open", path, DiskErrorKind::AlreadyExists));
            }
            (None, OpenMode::Read | OpenMode::Write) => {
                return Err(error("open", path, DiskErrorKind::NotFound));
            }
            (Some(content), _) => content,
            (None, _) => {
                let content = Arc::new(Mutex::new(Content::default()));
                state.live.insert(path.to_owned(), content.clone());
                state
                    .changes
                    .push(Change::Put(path.to_owned(), content.clone()));
                content
            }
        };
        let file = Arc::new(MemoryFile {
            path: path.to_owned(),
            content,
            disk: self.clone(),
        });
        if mode == OpenMode::Truncate {
            file.truncate(0)?;
        }
        state.opened.push(Arc::downgrade(&file));
        Ok(file)
    }

    fn create_directory(&self, path: &Path) -> Result<(), DiskError> {
        // Directories themselves survive power loss here; only what is in them may not.
        self.lock()
            .directories
            .extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.lock();
        if state.directories.contains(from) {
            let moved: Vec<PathBuf> = state
                .directories
                .iter()
                .filter(|path| path.starts_with(from))
                .cloned()
                .collect();
            for old in moved {
                let rest = old.strip_prefix(from).expect("just filtered").to_owned();
                state.directories.remove(&old);
                let new = if rest.as_os_str().is_empty() {
                    to.to_owned()
                } else {
                    to.join(rest)
                };
                state.directories.insert(new);
            }
        } else if !state.live.contains_key(from) {
            return Err(error("rename", from, DiskErrorKind::NotFound));
        }
        let change = Change::Rename(from.to_owned(), to.to_owned());
        apply(&mut state.live, change.clone());
        state.changes.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.lock();
        if !state.live.contains_key(path) && !state.directories.contains(path) {
            return Err(error("remove", path, DiskErrorKind::NotFound));
        }
        state
            .directories
            .retain(|directory| !directory.starts_with(path));
        let change = Change::Remove(path.to_owned());
        apply(&mut state.live, change.clone());
        state.changes.push(change);
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, DiskError> {
        let state = self.lock();
        if !state.directories.contains(path) {
            return Err(error("list", path, DiskErrorKind::NotFound));
        }
        let names = state
            .live
            .keys()
            .chain(&state.directories)
            .filter(|name| name.parent() == Some(path));
        let names: BTreeSet<String> = names
            .filter_map(|name| Some(name.file_name()?.to_str()?.to_owned()))
            .collect();
        Ok(names.into_iter().collect())
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.lock().directories.contains(path)
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.lock();
        state.directories.contains(path) || state.live.contains_key(path)
    }

    fn sync_directory(&self, path: &Path) -> BoxFuture<'static, Result<(), DiskError>> {
        let mut state = self.lock();
        if !state.directories.contains(path) {
            return Box::pin(std::future::ready(Err(error(
                "sync",
                path,
                DiskErrorKind::NotFound,
            ))));
        }
        let changes = std::mem::take(&mut state.changes);
        let (synced, rest): (Vec<Change>, Vec<Change>) =
            changes.into_iter().partition(|change| change.is_in(path));
        for change in synced {
            apply(&mut state.durable, change);
        }
        state.changes = rest;
        Box::pin(std::future::ready(Ok(())))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        if !self.lock().locked.insert(path.to_owned()) {
            return Err(error("lock", path, DiskErrorKind::Locked));
        }
        Ok(Box::new(MemoryLock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }
}
