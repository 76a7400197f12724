//! `.index` and `.timeindex`: entries, their order, and whether the segment beside them agrees. `.txnindex`: entries
//! and their order.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use broker_env::{Disk, OpenMode};
use broker_storage::AbortedTxn;
use broker_storage::dump::BatchDump;

use super::{Damages, View, base_offset};
use crate::failure::Failure;

const OFFSET_ENTRY_BYTES: usize = 8;
const TIME_ENTRY_BYTES: usize = 12;
/// `log.index.size.max.bytes` is an i32.
const INDEX_BYTES_MAX: u64 = 1 << 31;

/// Of a batch in the segment.
struct Place {
    last_offset: i64,
    max_timestamp: i64,
}

pub fn dump_offsets(
    disk: &dyn Disk,
    path: &Path,
    view: View,
    out: &mut impl Write,
) -> Result<Damages, Failure> {
    let (base, bytes) = (base_of(path)?, read(disk, path)?);
    let batches = batches(disk, path);
    let mut previous: Option<(i64, u64)> = None;
    let mut damages = 0;
    let (entries, rest) = bytes.as_chunks::<OFFSET_ENTRY_BYTES>();
    for (number, entry) in entries.iter().enumerate() {
        let [o0, o1, o2, o3, p0, p1, p2, p3] = *entry;
        let offset = base + i64::from(u32::from_be_bytes([o0, o1, o2, o3]));
        let position = u64::from(u32::from_be_bytes([p0, p1, p2, p3]));
        if !view.verify {
            writeln!(out, "offset: {offset} position: {position}")?;
        }
        let wrong = match (previous, &batches) {
            (Some((last, at)), _) if offset <= last || position <= at => {
                Some("not after the entry before it".to_string())
            }
            (_, Some(batches)) => disagreement(batches, offset, position),
            _ => None,
        };
        damages += report(wrong, number * OFFSET_ENTRY_BYTES, out)?;
        previous = Some((offset, position));
    }
    finish(entries.len(), rest, damages, out)
}

pub fn dump_times(
    disk: &dyn Disk,
    path: &Path,
    view: View,
    out: &mut impl Write,
) -> Result<Damages, Failure> {
    let (base, bytes) = (base_of(path)?, read(disk, path)?);
    let batches = batches(disk, path);
    let mut previous: Option<(i64, i64)> = None;
    let mut damages = 0;
    let (entries, rest) = bytes.as_chunks::<TIME_ENTRY_BYTES>();
    for (number, entry) in entries.iter().enumerate() {
        let [t0, t1, t2, t3, t4, t5, t6, t7, o0, o1, o2, o3] = *entry;
        let timestamp = i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
        let offset = base + i64::from(u32::from_be_bytes([o0, o1, o2, o3]));
        if !view.verify {
            writeln!(out, "timestamp: {timestamp} offset: {offset}")?;
        }
        let wrong = match (previous, &batches) {
            (Some((time, last)), _) if timestamp <= time || offset <= last => {
                Some("not after the entry before it".to_string())
            }
            (_, Some(batches)) => time_disagreement(batches, timestamp, offset),
            _ => None,
        };
        damages += report(wrong, number * TIME_ENTRY_BYTES, out)?;
        previous = Some((timestamp, offset));
    }
    finish(entries.len(), rest, damages, out)
}

pub fn dump_aborted(
    disk: &dyn Disk,
    path: &Path,
    view: View,
    out: &mut impl Write,
) -> Result<Damages, Failure> {
    let bytes = read(disk, path)?;
    let mut previous: Option<i64> = None;
    let mut damages = 0;
    let (entries, rest) = bytes.as_chunks::<{ AbortedTxn::BYTES }>();
    for (number, entry) in entries.iter().enumerate() {
        let wrong = match AbortedTxn::decode(entry) {
            None => Some("not an entry of version 0".to_string()),
            Some(txn) => {
                if !view.verify {
                    writeln!(
                        out,
                        "version: 0 producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
                        txn.producer_id, txn.first_offset, txn.last_offset, txn.last_stable_offset
                    )?;
                }
                let follows = previous.is_none_or(|last| last < txn.last_offset);
                previous = Some(txn.last_offset);
                (!follows).then(|| "not after the entry before it".to_string())
            }
        };
        damages += report(wrong, number * AbortedTxn::BYTES, out)?;
    }
    finish(entries.len(), rest, damages, out)
}

fn disagreement(batches: &BTreeMap<u64, Place>, offset: i64, position: u64) -> Option<String> {
    match batches.get(&position) {
        Some(place) if place.last_offset == offset => None,
        Some(place) => Some(format!(
            "the batch at position {position} ends at offset {}",
            place.last_offset
        )),
        None => Some(format!("no readable batch starts at position {position}")),
    }
}

fn time_disagreement(
    batches: &BTreeMap<u64, Place>,
    timestamp: i64,
    offset: i64,
) -> Option<String> {
    let place = batches.values().find(|place| place.last_offset >= offset);
    match place {
        Some(place) if place.max_timestamp == timestamp => None,
        Some(place) => Some(format!(
            "the batch with offset {offset} has timestamp {}",
            place.max_timestamp
        )),
        None => Some(format!("no readable batch has offset {offset}")),
    }
}

fn report(
    wrong: Option<String>,
    position: usize,
    out: &mut impl Write,
) -> Result<Damages, Failure> {
    let Some(reason) = wrong else { return Ok(0) };
    writeln!(out, "DAMAGED at position {position}: {reason}")?;
    Ok(1)
}

fn finish(
    entries: usize,
    rest: &[u8],
    damages: Damages,
    out: &mut impl Write,
) -> Result<Damages, Failure> {
    writeln!(out, "{entries} entries")?;
    if rest.is_empty() {
        return Ok(damages);
    }
    writeln!(
        out,
        "DAMAGED at the end: {} bytes are less than an entry",
        rest.len()
    )?;
    Ok(damages + 1)
}

fn base_of(path: &Path) -> Result<i64, Failure> {
    base_offset(path)
        .ok_or_else(|| Failure::file(path, "an index is named by its base offset, 20 digits"))
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, Failure> {
    let file = disk.open(path, OpenMode::Read).map_err(Failure::failed)?;
    let length = file.length().map_err(Failure::failed)?;
    if length > INDEX_BYTES_MAX {
        return Err(Failure::file(
            path,
            format!("{length} bytes are more than an index can have"),
        ));
    }
    let mut bytes = vec![0; usize::try_from(length).expect("at most 2^31")];
    let read = file.read_at(&mut bytes, 0).map_err(Failure::failed)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The whole batches of the segment beside the index, by position; `None` without a segment.
fn batches(disk: &dyn Disk, index: &Path) -> Option<BTreeMap<u64, Place>> {
    let dump = BatchDump::open(disk, &index.with_extension("log")).ok()?;
    let place = |batch: broker_storage::dump::DumpedBatch| {
        let place = Place {
            last_offset: batch.info.last_offset,
            max_timestamp: batch.info.max_timestamp,
        };
        (batch.position, place)
    };
    Some(dump.map_while(Result::ok).map(place).collect())
}
