//! Directories: live entries, durable entries, and the changes in between.
//!
//! A change (creation, rename, removal) touches names. A power loss may take any change, and takes with
//! it every later change of the same names; nothing else orders them, as on file systems that write
//! directory blocks independently (`changes`).

mod changes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use changes::Change;

use crate::file::FileData;

pub type InodeId = u64;

pub const ROOT: InodeId = 0;

/// A file or a directory.
#[derive(Clone)]
pub enum Inode {
    File(FileInode),
    Directory(Directory),
}

#[derive(Clone, Default)]
pub struct FileInode {
    pub data: FileData,
    /// Open handles of the living process.
    pub handles: u32,
    /// In a live directory.
    pub linked: bool,
}

#[derive(Clone, Default)]
pub struct Directory {
    pub live: BTreeMap<String, InodeId>,
    pub durable: BTreeMap<String, InodeId>,
}

/// Why a path cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError {
    NotFound,
    AlreadyExists,
    NotADirectory,
    IsADirectory,
    NotEmpty,
    Invalid,
}

/// The file system of one disk.
#[derive(Clone)]
pub struct Tree {
    /// Ids are never used twice, so a stale handle finds nothing.
    inodes: BTreeMap<InodeId, Inode>,
    next_inode: InodeId,
    pending: Vec<Change>,
    next_sequence: u64,
    unlinked: u64,
    /// A durable entry has gone since the last [`Tree::collect`]: nothing else needs one after a sync.
    entry_gone: bool,
    /// Bytes in live files.
    pub used: u64,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree {
            inodes: BTreeMap::from([(ROOT, Inode::Directory(Directory::default()))]),
            next_inode: ROOT + 1,
            pending: Vec::new(),
            next_sequence: 0,
            unlinked: 0,
            entry_gone: false,
            used: 0,
        }
    }
}

/// The names on the way from the root; none if a path leaves it.
pub fn components(path: &Path) -> Result<Vec<String>, TreeError> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            Component::ParentDir | Component::Prefix(_) => return Err(TreeError::Invalid),
        }
    }
    Ok(names)
}

impl Tree {
    /// An empty one whose ids go on where the old one's ended.
    pub fn after(old: &Tree) -> Tree {
        Tree {
            next_inode: old.next_inode,
            next_sequence: old.next_sequence,
            ..Tree::default()
        }
    }

    pub fn file(&self, inode: InodeId) -> Option<&FileInode> {
        match self.inodes.get(&inode) {
            Some(Inode::File(file)) => Some(file),
            _ => None,
        }
    }

    pub fn file_mut(&mut self, inode: InodeId) -> Option<&mut FileInode> {
        match self.inodes.get_mut(&inode) {
            Some(Inode::File(file)) => Some(file),
            _ => None,
        }
    }

    pub fn find(&self, path: &Path) -> Result<InodeId, TreeError> {
        let mut inode = ROOT;
        for name in components(path)? {
            inode = *self
                .directory(inode)?
                .live
                .get(&name)
                .ok_or(TreeError::NotFound)?;
        }
        Ok(inode)
    }

    pub fn is_directory(&self, inode: InodeId) -> bool {
        matches!(self.inodes.get(&inode), Some(Inode::Directory(_)))
    }

    pub fn list(&self, path: &Path) -> Result<Vec<String>, TreeError> {
        Ok(self
            .directory(self.find(path)?)?
            .live
            .keys()
            .cloned()
            .collect())
    }

    pub fn create_file(&mut self, path: &Path) -> Result<InodeId, TreeError> {
        let (parent, name) = self.parent(path)?;
        self.directory(parent)?;
        let inode = self.allocate(Inode::File(FileInode {
            linked: true,
            ..FileInode::default()
        }));
        self.change(vec![(parent, name, Some(inode))]);
        Ok(inode)
    }

    pub fn create_directories(&mut self, path: &Path) -> Result<(), TreeError> {
        let mut inode = ROOT;
        for name in components(path)? {
            inode = match self.directory(inode)?.live.get(&name) {
                Some(&child) => child,
                None => {
                    let child = self.allocate(Inode::Directory(Directory::default()));
                    self.change(vec![(inode, name, Some(child))]);
                    child
                }
            };
        }
        self.directory(inode).map(|_| ())
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<(), TreeError> {
        let inode = self.find(from)?;
        let (source, target) = (self.parent(from)?, self.parent(to)?);
        if source == target {
            return Ok(());
        }
        if components(to)?.starts_with(&components(from)?) {
            return Err(TreeError::Invalid);
        }
        if let Some(&replaced) = self.directory(target.0)?.live.get(&target.1) {
            self.check_replacement(inode, replaced)?;
            self.unlink(replaced);
        }
        self.change(vec![
            (source.0, source.1, None),
            (target.0, target.1, Some(inode)),
        ]);
        Ok(())
    }

    pub fn remove(&mut self, path: &Path) -> Result<(), TreeError> {
        let inode = self.find(path)?;
        let (parent, name) = self.parent(path)?;
        self.remove_children(inode);
        self.unlink(inode);
        self.change(vec![(parent, name, None)]);
        self.collect();
        Ok(())
    }

    /// The process died: its handles are gone.
    pub fn close_all(&mut self) {
        for inode in self.inodes.values_mut() {
            if let Inode::File(file) = inode {
                file.handles = 0;
            }
        }
        self.collect();
    }

    /// Drops what no entry, handle or pending change can reach.
    pub fn collect(&mut self) {
        self.entry_gone = false;
        let mut reachable = BTreeSet::from([ROOT]);
        let mut queue = vec![ROOT];
        queue.extend(
            self.pending
                .iter()
                .flat_map(|change| change.names.iter().filter_map(|name| name.2)),
        );
        while let Some(inode) = queue.pop() {
            reachable.insert(inode);
            if let Some(Inode::Directory(directory)) = self.inodes.get(&inode) {
                let children = directory.live.values().chain(directory.durable.values());
                queue.extend(children.filter(|child| !reachable.contains(child)));
            }
        }
        self.inodes.retain(|inode, content| {
            reachable.contains(inode) || matches!(content, Inode::File(file) if file.handles > 0)
        });
    }

    /// Every live path with its inode, in order; directories before what is in them.
    pub fn walk(&self) -> Vec<(PathBuf, InodeId)> {
        let mut found = Vec::new();
        self.walk_into(ROOT, Path::new(""), false, &mut found);
        found
    }

    /// The same for the paths a power loss cannot take.
    pub fn walk_durable(&self) -> Vec<(PathBuf, InodeId)> {
        let mut found = Vec::new();
        self.walk_into(ROOT, Path::new(""), true, &mut found);
        found
    }

    /// Every file, linked or not, for a power loss.
    pub fn files_mut(&mut self) -> impl Iterator<Item = (InodeId, &mut FileInode)> {
        self.inodes
            .iter_mut()
            .filter_map(|(&id, inode)| match inode {
                Inode::File(file) => Some((id, file)),
                Inode::Directory(_) => None,
            })
    }

    fn walk_into(
        &self,
        inode: InodeId,
        path: &Path,
        durable: bool,
        found: &mut Vec<(PathBuf, InodeId)>,
    ) {
        let Some(Inode::Directory(directory)) = self.inodes.get(&inode) else {
            return;
        };
        let entries = if durable {
            &directory.durable
        } else {
            &directory.live
        };
        for (name, &child) in entries {
            let path = path.join(name);
            found.push((path.clone(), child));
            self.walk_into(child, &path, durable, found);
        }
    }

    fn directory(&self, inode: InodeId) -> Result<&Directory, TreeError> {
        match self.inodes.get(&inode) {
            Some(Inode::Directory(directory)) => Ok(directory),
            Some(Inode::File(_)) => Err(TreeError::NotADirectory),
            None => Err(TreeError::NotFound),
        }
    }

    fn parent(&self, path: &Path) -> Result<(InodeId, String), TreeError> {
        let mut names = components(path)?;
        let name = names.pop().ok_or(TreeError::Invalid)?;
        Ok((self.find(&names.iter().collect::<PathBuf>())?, name))
    }

    fn check_replacement(&self, inode: InodeId, replaced: InodeId) -> Result<(), TreeError> {
        match (self.is_directory(inode), self.directory(replaced)) {
            (false, Ok(_)) => Err(TreeError::IsADirectory),
            (true, Err(_)) => Err(TreeError::NotADirectory),
            (true, Ok(directory)) if !directory.live.is_empty() => Err(TreeError::NotEmpty),
            _ => Ok(()),
        }
    }

    fn allocate(&mut self, inode: Inode) -> InodeId {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    fn unlink(&mut self, inode: InodeId) {
        if let Some(Inode::File(file)) = self.inodes.get_mut(&inode) {
            file.linked = false;
            let length = file.data.length();
            self.used -= length;
            self.unlinked += length;
        }
    }

    fn remove_children(&mut self, inode: InodeId) {
        let Ok(directory) = self.directory(inode) else {
            return;
        };
        for (name, child) in directory.live.clone() {
            self.remove_children(child);
            self.unlink(child);
            self.change(vec![(inode, name, None)]);
        }
    }
}
