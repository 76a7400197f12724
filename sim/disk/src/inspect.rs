//! What checkers and reports read; none of it draws or changes anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::SECTOR;
use crate::disk::{SimDisk, plain};
use crate::file::FileData;
use crate::power::{Fate, settle};
use crate::state::State;
use crate::tree::InodeId;

/// What a power loss now could take from one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsynced {
    /// The content below this was there at the last sync; what of it was overwritten is counted below.
    pub durable_length: u64,
    pub length: u64,
    /// Durable sectors overwritten or cut off since.
    pub sectors_overwritten: u64,
    /// The file as a whole may go, or come back under another name.
    pub entry_unsynced: bool,
}

impl SimDisk {
    /// The live content of a file.
    pub fn read_file(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let inode = state.tree.find(path).ok()?;
        Some(content(&state.tree.file(inode)?.data))
    }

    /// The content a power loss cannot take; none if the file itself may go.
    pub fn read_durable(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let wanted = plain(path);
        let (_, inode) = state
            .tree
            .walk_durable()
            .into_iter()
            .find(|(path, _)| *path == wanted)?;
        let mut data = state.tree.file(inode)?.data.clone();
        // All-old draws nothing that matters: the stream is a copy.
        settle(&mut data, Fate::AllOld, &mut state.rng.clone());
        Some(content(&data))
    }

    /// Every live file with its length, without the leading slash.
    pub fn files(&self) -> BTreeMap<PathBuf, u64> {
        let state = self.state();
        let files = live_files(&state).into_iter();
        files
            .map(|(path, inode)| {
                (
                    path,
                    state.tree.file(inode).map_or(0, |file| file.data.length()),
                )
            })
            .collect()
    }

    /// Every live file with its content.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        let files = live_files(&state).into_iter();
        files
            .filter_map(|(path, inode)| Some((path, content(&state.tree.file(inode)?.data))))
            .collect()
    }

    /// What a power loss now could take, by live path; without what it could not touch.
    pub fn unsynced(&self) -> BTreeMap<PathBuf, Unsynced> {
        let state = self.state();
        let durable: BTreeMap<PathBuf, InodeId> = state.tree.walk_durable().into_iter().collect();
        let mut found = BTreeMap::new();
        for (path, inode) in live_files(&state) {
            let Some(file) = state.tree.file(inode) else {
                continue;
            };
            let entry_unsynced = durable.get(&path) != Some(&inode);
            if entry_unsynced || !file.data.is_settled() {
                found.insert(path, describe(&file.data, entry_unsynced));
            }
        }
        found
    }

    /// Bytes in live files.
    pub fn used_bytes(&self) -> u64 {
        self.state().tree.used
    }

    /// FNV-1a over every live path and byte, for state hashes.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325;
        for (path, bytes) in self.snapshot() {
            for byte in path.to_string_lossy().bytes().chain([0]).chain(bytes) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        hash
    }

    /// Writes the live files below a real directory, for other tools to read.
    #[expect(
        clippy::disallowed_methods,
        reason = "leaves the simulation on purpose, after it"
    )]
    pub fn dump_to(&self, directory: &Path) -> std::io::Result<()> {
        for (path, bytes) in self.snapshot() {
            let target = directory.join(path);
            if let Some(parent) = target.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(target, bytes)?;
        }
        Ok(())
    }
}

fn live_files(state: &State) -> Vec<(PathBuf, InodeId)> {
    let mut found = state.tree.walk();
    found.retain(|(_, inode)| state.tree.file(*inode).is_some());
    found
}

fn content(data: &FileData) -> Vec<u8> {
    let mut bytes =
        vec![0; usize::try_from(data.length()).expect("simulated files fit the address space")];
    data.pages.read(&mut bytes, 0);
    bytes
}

fn describe(data: &FileData, entry_unsynced: bool) -> Unsynced {
    let durable_length = data.durable_length();
    let kept = data
        .layers
        .iter()
        .flat_map(|layer| layer.old.keys())
        .chain(data.lost.keys());
    let overwritten: std::collections::BTreeSet<u64> = kept
        .copied()
        .filter(|sector| sector * SECTOR < durable_length)
        .collect();
    Unsynced {
        durable_length,
        length: data.length(),
        sectors_overwritten: u64::try_from(overwritten.len()).expect("fits"),
        entry_unsynced,
    }
}
