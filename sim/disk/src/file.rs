//! One file: its live bytes, and for each sync still to come what the disk held when the one before began.
//!
//! Bytes past a layer's base were never on the disk, so appends, the whole life of a log, keep no copies.

use std::collections::BTreeMap;

use crate::SECTOR;
use crate::pages::Pages;

pub const SECTOR_BYTES: usize = 512;

pub type Sector = Box<[u8; SECTOR_BYTES]>;

/// The changes made between two syncs.
#[derive(Clone)]
pub struct Layer {
    id: u64,
    /// The file's length when the layer began.
    pub base: u64,
    /// The shortest the file was since.
    pub shortest: u64,
    /// What a sector below the base held when the layer began, for each changed since.
    pub old: BTreeMap<u64, Sector>,
}

impl Layer {
    fn new(id: u64, base: u64) -> Layer {
        Layer {
            id,
            base,
            shortest: base,
            old: BTreeMap::new(),
        }
    }
}

/// Names the writes a sync covers: all that came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncTicket(u64);

/// A file's content, live and durable.
#[derive(Clone)]
pub struct FileData {
    pub pages: Pages,
    /// Never empty; the last one takes the changes made now.
    pub layers: Vec<Layer>,
    /// Sectors a sync claimed or gave up without writing: the disk still holds this (none: zeros).
    pub lost: BTreeMap<u64, Option<Sector>>,
    /// The length on the disk where it is not the first layer's base, for the same reason.
    pub lost_length: Option<u64>,
}

impl Default for FileData {
    fn default() -> FileData {
        FileData::settled(Pages::default())
    }
}

impl FileData {
    /// A file the disk holds as it is.
    pub fn settled(pages: Pages) -> FileData {
        let layers = vec![Layer::new(0, pages.length())];
        FileData {
            pages,
            layers,
            lost: BTreeMap::new(),
            lost_length: None,
        }
    }

    pub fn length(&self) -> u64 {
        self.pages.length()
    }

    /// The length a power loss cannot take, unless the file was cut since.
    pub fn durable_length(&self) -> u64 {
        self.lost_length.unwrap_or(self.layers[0].base)
    }

    pub fn write(&mut self, bytes: &[u8], offset: u64) {
        let end = offset + u64::try_from(bytes.len()).expect("fits");
        self.preserve(offset, end);
        self.pages.write(bytes, offset);
    }

    pub fn truncate(&mut self, length: u64) {
        if length < self.length() {
            self.preserve(length, self.length());
            let layer = self.current();
            layer.shortest = layer.shortest.min(length);
        }
        self.pages.set_length(length);
    }

    /// Whether the disk holds the file as it is.
    pub fn is_settled(&self) -> bool {
        self.lost.is_empty()
            && self.lost_length.is_none()
            && (0..self.layers.len()).all(|at| self.layer_is_empty(at))
    }

    /// A sync was called: later changes are not its business.
    pub fn begin_sync(&mut self) -> SyncTicket {
        let (id, length) = (self.current().id, self.length());
        self.layers.push(Layer::new(id + 1, length));
        SyncTicket(id)
    }

    /// The sync succeeded: what it covers is durable.
    pub fn complete_sync(&mut self, ticket: SyncTicket) {
        let covered = self.covered(ticket);
        if covered == 0 {
            return;
        }
        if !self.lost.is_empty() || self.lost_length.is_some() {
            self.rewrite_lost(covered);
        }
        self.layers.drain(..covered);
    }

    /// The sync did not write, and nobody will try again: the cache keeps what the disk will never have.
    pub fn abandon_sync(&mut self, ticket: SyncTicket) {
        let covered = self.covered(ticket);
        if covered == 0 {
            return;
        }
        let base = self.layers[0].base;
        for position in 0..covered {
            let (start, end) = (self.layers[position].base, self.layers[position + 1].base);
            for sector in start / SECTOR..end.div_ceil(SECTOR) {
                if !self.layers[position].old.contains_key(&sector)
                    && !self.lost.contains_key(&sector)
                {
                    let was =
                        (sector * SECTOR < start).then(|| self.version(sector, position, start));
                    self.lost.insert(sector, was);
                }
            }
            for (sector, was) in std::mem::take(&mut self.layers[position].old) {
                self.lost.entry(sector).or_insert(Some(was));
            }
        }
        self.lost_length.get_or_insert(base);
        self.layers.drain(..covered);
    }

    /// What a sector held when layer `position` began, zeros past `length`.
    pub fn version(&self, sector: u64, position: usize, length: u64) -> Sector {
        let kept = self.layers[position..]
            .iter()
            .find_map(|layer| layer.old.get(&sector));
        let mut bytes = kept.cloned().unwrap_or_else(|| self.live_sector(sector));
        let keep = usize::try_from(length.saturating_sub(sector * SECTOR).min(SECTOR))
            .expect("at most a sector");
        bytes[keep..].fill(0);
        bytes
    }

    pub fn live_sector(&self, sector: u64) -> Sector {
        let mut bytes = Box::new([0; SECTOR_BYTES]);
        self.pages.read(&mut bytes[..], sector * SECTOR);
        bytes
    }

    /// Whether the disk's length may differ from the live one.
    pub fn length_is_unsynced(&self) -> bool {
        let length = self.length();
        self.layers
            .iter()
            .any(|layer| layer.base != length || layer.shortest != layer.base)
    }

    fn current(&mut self) -> &mut Layer {
        self.layers.last_mut().expect("never empty")
    }

    fn covered(&self, ticket: SyncTicket) -> usize {
        self.layers
            .iter()
            .take_while(|layer| layer.id <= ticket.0)
            .count()
    }

    fn layer_is_empty(&self, position: usize) -> bool {
        let next = self
            .layers
            .get(position + 1)
            .map_or(self.length(), |layer| layer.base);
        let layer = &self.layers[position];
        layer.old.is_empty() && layer.base == next && layer.shortest == layer.base
    }

    /// Keeps the old content of the durable sectors in a range that is about to change.
    fn preserve(&mut self, start: u64, end: u64) {
        let base = self.layers.last().expect("never empty").base;
        let end = end.min(base);
        if start >= end {
            return;
        }
        for sector in start / SECTOR..end.div_ceil(SECTOR) {
            if !self
                .layers
                .last()
                .expect("never empty")
                .old
                .contains_key(&sector)
            {
                let bytes = self.live_sector(sector);
                self.current().old.insert(sector, bytes);
            }
        }
    }

    /// A later, honest sync wrote its own sectors and the length, not those given up before it.
    fn rewrite_lost(&mut self, covered: usize) {
        if (0..covered).all(|position| self.layer_is_empty(position)) {
            return;
        }
        for position in 0..covered {
            let layer = &self.layers[position];
            let next = self
                .layers
                .get(position + 1)
                .map_or(self.pages.length(), |layer| layer.base);
            let grown = layer.base / SECTOR..next.div_ceil(SECTOR);
            let appended = if next > layer.base { grown } else { 0..0 };
            for sector in layer.old.keys().copied().chain(appended) {
                self.lost.remove(&sector);
            }
        }
        self.lost_length = None;
    }
}
