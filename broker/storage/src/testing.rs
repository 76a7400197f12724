//! What the tests share: an in-memory disk with power loss and failures (`disk`), and logs made of synthetic
//! batches.

mod disk;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use broker_env::Disk;
use broker_protocol::ids::{LeaderEpoch, Offset, TopicPartition};
use broker_protocol::record::{Batch, EndTxnMarker, RecordBatch, crc32c};
use bytes::{Bytes, BytesMut};

pub(crate) use disk::MemoryDisk;

use crate::{
    AbortedTxn, BatchInfo, DirectoryHealth, Log, LogConfig, LogError, LogOptions, OffsetCheckpoint,
};

/// Runs a future that never waits for anything outside of it.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Bytes of one batch of `count` offsets with `payload` bytes of content.
pub(crate) fn batch(base: Offset, count: i32, epoch: i32, timestamp: i64, payload: usize) -> Bytes {
    let mut bytes = vec![0; 61];
    let fill = base.to_be_bytes();
    bytes.extend((0..payload).map(|at| fill[at % 8] ^ at.to_be_bytes()[7]));
    let length = i32::try_from(bytes.len() - 12).expect("small");
    bytes[0..8].copy_from_slice(&base.to_be_bytes());
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
    bytes[16] = 2;
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[27..35].copy_from_slice(&timestamp.to_be_bytes());
    bytes[35..43].copy_from_slice(&timestamp.to_be_bytes());
    bytes[43..57].fill(0xff);
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(bytes)
}

pub(crate) fn info(bytes: &Bytes) -> BatchInfo {
    BatchInfo::of(&RecordBatch::new(bytes.clone()).expect("a whole batch"))
}

/// Infos of concatenated batches.
pub(crate) fn infos(bytes: &Bytes) -> Vec<BatchInfo> {
    broker_protocol::record::RecordBatches::new(bytes.clone())
        .map(|batch| BatchInfo::of(&batch.expect("whole batches")))
        .collect()
}

/// Appends a batch at the log end.
pub(crate) fn append(
    log: &mut Log,
    count: i32,
    epoch: i32,
    timestamp: i64,
    payload: usize,
) -> Result<Bytes, LogError> {
    let bytes = batch(log.log_end(), count, epoch, timestamp, payload);
    log.append(&bytes, &[info(&bytes)], timestamp)?;
    Ok(bytes)
}

/// Appends the marker that aborts a transaction, and tells the log.
pub(crate) fn abort(log: &mut Log, epoch: i32, first_offset: Offset) -> (Bytes, AbortedTxn) {
    let bytes = marker(log.log_end(), epoch, 7);
    log.append(&bytes, &[info(&bytes)], 1).expect("an append");
    let last_offset = log.log_end() - 1;
    let txn = AbortedTxn {
        producer_id: 7,
        first_offset,
        last_offset,
        last_stable_offset: last_offset + 1,
    };
    log.append_aborted(txn).expect("a healthy disk");
    (bytes, txn)
}

/// A batch that aborts a producer's transaction.
pub(crate) fn marker(base: Offset, epoch: i32, producer_id: i64) -> Bytes {
    let marker = EndTxnMarker {
        committed: false,
        coordinator_epoch: 0,
    };
    let batch = marker.batch(producer_id, 0, 1);
    let mut batch = Batch::new(BytesMut::from(batch.as_bytes())).expect("a whole batch");
    batch.set_base_offset(base);
    batch.set_partition_leader_epoch(epoch);
    batch.into_bytes().freeze()
}

/// All batches of the log, read from its start.
pub(crate) fn content(log: &Log) -> Vec<BatchInfo> {
    let mut all = Vec::new();
    let mut offset = log.log_start();
    while offset < log.log_end() {
        let read = log
            .read(offset, 1 << 20, log.log_end(), true)
            .expect("a readable log");
        assert!(read.next_offset > offset, "stuck at {offset} of {log:?}");
        all.extend(infos(&read.records));
        offset = read.next_offset;
    }
    all
}

pub(crate) fn flush(log: &mut Log) {
    if let Some(job) = log.start_flush() {
        let done = block_on(job.run()).expect("a healthy disk");
        log.finish_flush(done);
    }
}

/// One log in a data directory of its own, over restarts.
pub(crate) struct Fixture {
    pub(crate) disk: MemoryDisk,
    pub(crate) config: LogConfig,
    pub(crate) recovery_points: OffsetCheckpoint,
}

pub(crate) fn partition() -> TopicPartition {
    TopicPartition::new("topic", 0)
}

impl Fixture {
    /// Segments of about `segment_bytes`, an index entry every `interval` bytes, no tail cache.
    pub(crate) fn new(segment_bytes: u32, interval: u32) -> Fixture {
        let config = LogConfig {
            segment_bytes,
            index_interval_bytes: interval,
            tail_cache_bytes: 0,
            ..LogConfig::default()
        };
        let disk = MemoryDisk::new();
        disk.create_directory(Path::new("/data"))
            .expect("a healthy disk");
        let recovery_points = read_recovery_points(&disk);
        Fixture {
            disk,
            config,
            recovery_points,
        }
    }

    pub(crate) fn directory() -> PathBuf {
        PathBuf::from("/data/topic-0")
    }

    pub(crate) fn file(base: Offset, extension: &str) -> PathBuf {
        Fixture::directory().join(format!("{base:020}.{extension}"))
    }

    pub(crate) fn try_open(&self, clean: bool) -> Result<Log, LogError> {
        Log::open(LogOptions {
            disk: Arc::new(self.disk.clone()),
            directory: Fixture::directory(),
            partition: partition(),
            config: self.config.clone(),
            health: DirectoryHealth::new(),
            recovery_points: self.recovery_points.clone(),
            log_start: 0,
            cleaned_to: 0,
            clean,
            now_ms: 0,
        })
    }

    /// Opens, recovers and makes durable, names in the data directory included.
    pub(crate) fn open(&self, clean: bool) -> Log {
        let mut log = self.try_open(clean).expect("a log that opens");
        flush(&mut log);
        block_on(self.disk.sync_directory(Path::new("/data"))).expect("a healthy disk");
        log
    }

    /// The next process: only files are left.
    pub(crate) fn restart(&mut self) {
        self.recovery_points = read_recovery_points(&self.disk);
    }
}

fn read_recovery_points(disk: &MemoryDisk) -> OffsetCheckpoint {
    let path = Path::new("/data/recovery-point-offset-checkpoint");
    OffsetCheckpoint::read(Arc::new(disk.clone()), path).expect("a well-formed checkpoint")
}

pub(crate) fn epoch(number: i32) -> LeaderEpoch {
    LeaderEpoch(number)
}
