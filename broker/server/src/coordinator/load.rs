//! Loading: the whole log, in order, record by record.

use std::time::Duration;

use broker_probe::{mutant, probe};
use broker_protocol::record::{ControlRecord, RecordBatches};
use bytes::Bytes;

use super::Coordinator;
use super::shard::Shard;
use crate::waiters::Waiter;

/// Bytes read at once (`offsets.load.buffer.size`).
const READ_BYTES: usize = 5 * 1024 * 1024;
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why a log was not loaded.
pub enum LoadError {
    /// Another leader epoch has begun.
    Fenced,
    /// The log cannot be read now.
    Log(String),
}

impl<C: Coordinator> Shard<C> {
    /// A core that knows the log, all of which is committed.
    pub async fn load(&self) -> Result<C, LoadError> {
        let mut core = (self.factory)();
        let mut from = self.partition.with_log(|log| log.log_start());
        loop {
            let read = self.partition.with_log(|log| {
                let end = log.log_end();
                (from < end).then(|| log.read(from, READ_BYTES, end, true))
            });
            let Some(read) = read else {
                break;
            };
            let read = read.map_err(|error| LoadError::Log(error.to_string()))?;
            if read.records.is_empty() {
                break;
            }
            from = read.next_offset;
            replay(&mut core, read.records)?;
            // Others have work to do, too.
            self.env.sleep(Duration::ZERO).await;
        }
        self.committed(from).await?;
        Ok(core)
    }

    /// Who asks must not be told what may still be lost.
    async fn committed(&self, end: i64) -> Result<(), LoadError> {
        let waiter = Waiter::new();
        loop {
            self.partition.wait_for_high_watermark(&waiter);
            if !self.leads() {
                return Err(LoadError::Fenced);
            }
            if self.partition.high_watermark() >= end {
                return Ok(());
            }
            probe!("coordinator: loaded before its log was committed");
            waiter.woken().await;
        }
    }
}

fn replay<C: Coordinator>(core: &mut C, bytes: Bytes) -> Result<(), LoadError> {
    let damaged = |error: broker_protocol::record::BatchError| LoadError::Log(error.to_string());
    for batch in RecordBatches::new(bytes) {
        let batch = batch.map_err(damaged)?;
        let producer_id = batch.producer_id();
        let (is_control, is_transactional) = (batch.is_control(), batch.is_transactional());
        let records = batch.records(DECOMPRESSED_BYTES_MAX).map_err(damaged)?;
        let mut records: Vec<_> = records.collect::<Result<_, _>>().map_err(damaged)?;
        if is_control {
            for record in &records {
                if let Some(ControlRecord::EndTxn(marker)) =
                    ControlRecord::decode(record).map_err(damaged)?
                {
                    core.replay_marker(producer_id, marker.committed);
                }
            }
            continue;
        }
        if mutant!(G_08) {
            records = records.pop().into_iter().collect();
        }
        for record in records {
            match record.key {
                Some(key) if is_transactional => {
                    core.replay_transactional(producer_id, key, record.value);
                }
                Some(key) => core.replay(key, record.value),
                None => {}
            }
        }
    }
    Ok(())
}
