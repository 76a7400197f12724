//! Batches of a segment or snapshot.

use std::io::Write;
use std::path::Path;

use broker_env::Disk;
use broker_protocol::record::{RecordBatch, TimestampType};
use broker_storage::dump::{BatchDump, DumpError, DumpedBatch};

use super::{DECOMPRESSED_BYTES_MAX, Damages, View, base_offset};
use crate::failure::Failure;

pub fn dump(
    disk: &dyn Disk,
    path: &Path,
    view: View,
    out: &mut impl Write,
) -> Result<Damages, Failure> {
    let mut batches = BatchDump::open(disk, path).map_err(Failure::failed)?;
    if let Some(offset) = base_offset(path) {
        writeln!(out, "Log starting offset: {offset}")?;
    }
    let (mut damages, mut count, mut records) = (0, 0_u64, 0_i64);
    for found in &mut batches {
        match found {
            Ok(batch) => {
                count += 1;
                records += i64::from(batch.batch.count());
                damages += dump_batch(&batch, view, out)?;
            }
            Err(DumpError::Corrupt(corruption)) => {
                damages += 1;
                writeln!(
                    out,
                    "DAMAGED at position {}: {}",
                    corruption.position, corruption.damage
                )?;
            }
            Err(DumpError::Disk(error)) => return Err(Failure::failed(error)),
        }
    }
    let (read, size) = batches.progress();
    writeln!(
        out,
        "{count} batches, {records} records, {read} of {size} bytes readable"
    )?;
    Ok(damages)
}

fn dump_batch(dumped: &DumpedBatch, view: View, out: &mut impl Write) -> Result<Damages, Failure> {
    let DumpedBatch {
        position,
        batch,
        damage,
        ..
    } = dumped;
    if !view.verify {
        print_header(batch, *position, damage.is_none(), out)?;
    }
    if let Some(damage) = damage {
        writeln!(out, "DAMAGED at position {position}: {damage}")?;
        return Ok(1);
    }
    match dump_records(batch, view, out)? {
        Ok(damages) => Ok(damages),
        Err(reason) => {
            writeln!(out, "DAMAGED at position {position}: {reason}")?;
            Ok(1)
        }
    }
}

/// As kafka-dump-log prints a batch.
fn print_header(
    batch: &RecordBatch,
    position: u64,
    is_valid: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let horizon = batch
        .delete_horizon()
        .map_or("OptionalLong.empty".into(), |at| {
            format!("OptionalLong[{at}]")
        });
    let time = match batch.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    let codec = batch
        .compression()
        .map_or("unknown".to_string(), |codec| codec.to_string());
    write!(
        out,
        "baseOffset: {} lastOffset: {} count: {} ",
        batch.base_offset(),
        batch.last_offset(),
        batch.count()
    )?;
    write!(
        out,
        "baseSequence: {} lastSequence: {} ",
        batch.base_sequence(),
        batch.last_sequence()
    )?;
    write!(
        out,
        "producerId: {} producerEpoch: {} ",
        batch.producer_id(),
        batch.producer_epoch()
    )?;
    write!(
        out,
        "partitionLeaderEpoch: {} ",
        batch.partition_leader_epoch()
    )?;
    write!(
        out,
        "isTransactional: {} isControl: {} ",
        batch.is_transactional(),
        batch.is_control()
    )?;
    write!(
        out,
        "deleteHorizonMs: {horizon} position: {position} {time}: {} ",
        batch.max_timestamp()
    )?;
    write!(
        out,
        "size: {} magic: {} compresscodec: {codec} ",
        batch.size(),
        batch.magic()
    )?;
    writeln!(out, "crc: {} isvalid: {is_valid}", batch.crc())
}

/// The inner error is why the records cannot be read.
fn dump_records(
    batch: &RecordBatch,
    view: View,
    out: &mut impl Write,
) -> Result<Result<Damages, String>, Failure> {
    let records = match batch.records(DECOMPRESSED_BYTES_MAX) {
        Ok(records) => records,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut damages = 0;
    for record in records {
        match record {
            Ok(record) => damages += view.content.print(batch, &record, view.verify, out)?,
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    Ok(Ok(damages))
}
