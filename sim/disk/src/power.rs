//! What a power loss leaves of one file.

use std::collections::BTreeSet;

use rand_core::RngCore;

use crate::file::{FileData, SECTOR_BYTES, Sector};
use crate::units::{Chance, below, between};
use crate::{SECTOR, file};

/// How one file fares: most real losses are all, nothing or a tail; the rest is for the worst case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Only what was synced.
    AllOld,
    /// Everything, as if synced.
    AllNew,
    /// A prefix of the growth; overwritten sectors each old, new or torn.
    Prefix,
    /// Any length, each sector old, new or torn.
    Mixed { new: Chance, torn: Chance },
}

impl Fate {
    pub fn draw(rng: &mut impl RngCore) -> Fate {
        match below(rng, 8) {
            0 => Fate::AllOld,
            1 => Fate::AllNew,
            2..=4 => Fate::Prefix,
            _ => Fate::Mixed {
                new: Chance::percent(
                    [10, 50, 90][usize::try_from(below(rng, 3)).expect("below 3")],
                ),
                torn: Chance::percent(10),
            },
        }
    }
}

/// What a power loss took from one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    pub length_before: u64,
    pub length_after: u64,
    /// Sectors that went back to what the last sync left.
    pub sectors_old: u64,
    /// Sectors of which a part went back.
    pub sectors_torn: u64,
}

impl Loss {
    pub fn is_nothing(&self) -> bool {
        self.length_before == self.length_after && self.sectors_old == 0 && self.sectors_torn == 0
    }
}

/// Makes of the file what the disk holds after the power came back; all of it is durable then.
pub fn settle(data: &mut FileData, fate: Fate, rng: &mut impl RngCore) -> Loss {
    let mut loss = Loss {
        length_before: data.length(),
        ..Loss::default()
    };
    let length = draw_length(data, fate, rng);
    let mut result = data.pages.clone();
    for sector in unsettled(data)
        .into_iter()
        .filter(|sector| sector * SECTOR < length)
    {
        if let Some(bytes) = draw_sector(data, sector, fate, rng, &mut loss) {
            result.write(&bytes[..], sector * SECTOR);
        }
    }
    result.set_length(length);
    loss.length_after = length;
    *data = FileData::settled(result);
    loss
}

fn draw_length(data: &FileData, fate: Fate, rng: &mut impl RngCore) -> u64 {
    let (old, new) = (data.durable_length(), data.length());
    if !data.length_is_unsynced() || fate == Fate::AllOld {
        return old;
    }
    if fate == Fate::AllNew {
        return new;
    }
    let shortest = data
        .layers
        .iter()
        .map(|layer| layer.shortest)
        .fold(old.min(new), u64::min);
    match below(rng, 6) {
        0 => old,
        1 => new,
        _ => between(rng, shortest, old.max(new)),
    }
}

/// The sectors on which disk and cache may differ.
fn unsettled(data: &FileData) -> BTreeSet<u64> {
    let overwritten = data
        .layers
        .iter()
        .flat_map(|layer| layer.old.keys().copied());
    let grown = data.durable_length() / SECTOR..data.length().div_ceil(SECTOR);
    overwritten
        .chain(data.lost.keys().copied())
        .chain(grown)
        .collect()
}

/// The sector's bytes where they differ from the live ones.
fn draw_sector(
    data: &FileData,
    sector: u64,
    fate: Fate,
    rng: &mut impl RngCore,
    loss: &mut Loss,
) -> Option<Sector> {
    let start = sector * SECTOR;
    let appended = data.layers[0].base.max(start) < data.length().min(start + SECTOR);
    let rewritten = appended
        || data
            .layers
            .iter()
            .any(|layer| layer.old.contains_key(&sector));
    let doomed = data.lost.contains_key(&sector) && !rewritten;
    let gone = start >= data.length();
    let new = if doomed || gone {
        Some(Chance::NEVER)
    } else {
        chance_of_new(fate, data, sector)
    };
    let old = || old_sector(data, sector);
    let torn = if let Fate::Mixed { torn, .. } = fate {
        torn
    } else {
        Chance::percent(5)
    };
    match new {
        None => None,
        Some(Chance::NEVER) => {
            loss.sectors_old += 1;
            Some(old())
        }
        Some(_) if torn.strikes(rng) => {
            loss.sectors_torn += 1;
            Some(tear(old(), &data.live_sector(sector), rng))
        }
        Some(chance) if chance.strikes(rng) => intermediate(data, sector, rng),
        Some(_) => {
            loss.sectors_old += 1;
            Some(old())
        }
    }
}

/// None: new for certain.
fn chance_of_new(fate: Fate, data: &FileData, sector: u64) -> Option<Chance> {
    let appended = sector * SECTOR >= data.durable_length();
    match fate {
        Fate::AllOld => Some(Chance::NEVER),
        Fate::AllNew => None,
        Fate::Prefix if appended => None,
        Fate::Prefix => Some(Chance::percent(50)),
        Fate::Mixed { new, .. } => Some(new),
    }
}

/// What the last sync left of a sector.
fn old_sector(data: &FileData, sector: u64) -> Sector {
    let zeros = || Box::new([0; file::SECTOR_BYTES]);
    match data.lost.get(&sector) {
        Some(lost) => lost.clone().unwrap_or_else(zeros),
        None => data.version(sector, 0, data.durable_length()),
    }
}

/// A sector changed again after a sync was called may have stopped at any of its versions.
fn intermediate(data: &FileData, sector: u64, rng: &mut impl RngCore) -> Option<Sector> {
    let versions: Vec<usize> = (1..data.layers.len())
        .filter(|&position| data.layers[position].old.contains_key(&sector))
        .collect();
    if versions.is_empty() || data.lost.contains_key(&sector) {
        return None;
    }
    let choices = u64::try_from(versions.len()).expect("fits") + 1;
    let choice = usize::try_from(below(rng, choices)).expect("fits");
    let position = *versions.get(choice)?;
    Some(data.version(sector, position, data.layers[position].base))
}

/// New up to a random byte, old after it, or the other way round.
fn tear(mut old: Sector, new: &Sector, rng: &mut impl RngCore) -> Sector {
    let limit = u64::try_from(SECTOR_BYTES).expect("fits");
    let cut = usize::try_from(between(rng, 1, limit - 1)).expect("below a sector");
    if below(rng, 2) == 0 {
        old[..cut].copy_from_slice(&new[..cut]);
    } else {
        old[cut..].copy_from_slice(&new[cut..]);
    }
    old
}
