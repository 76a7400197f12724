//! Batches of the metadata log between bytes and what the cores know.

use broker_core::metadata::{MetadataVersion, Record};
use broker_core::raft::{BatchSummary, ConfigurationChange};
use broker_env::WallTime;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};
use broker_protocol::record::{
    BatchBuilder, BatchError, BatchOptions, ControlRecord, KRaftVersionRecord, LeaderChangeMessage,
    LeaderChangeVoter, RecordBatch, RecordBatches,
};
use bytes::Bytes;

use crate::metadata_codec::{self, RecordError};

/// Most bytes the records of one batch may decompress to.
const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum BatchRecordError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("metadata record without a value")]
    NoValue,
}

pub fn decode_batch(batch: &RecordBatch) -> Result<Vec<Record>, BatchRecordError> {
    if batch.is_control() {
        return Ok(Vec::new());
    }
    let mut records = Vec::new();
    for record in batch.records(BATCH_BYTES_MAX)? {
        let value = record?.value.ok_or(BatchRecordError::NoValue)?;
        records.push(metadata_codec::decode(value)?);
    }
    Ok(records)
}

/// What the core wants to know of fetched batches; damaged ones are an error.
pub fn summarize(bytes: &Bytes) -> Result<Vec<BatchSummary>, BatchError> {
    let mut batches = Vec::new();
    for batch in RecordBatches::new(bytes.clone()) {
        let batch = batch?;
        batch.validate()?;
        batches.push(BatchSummary {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            epoch: LeaderEpoch(batch.partition_leader_epoch()),
            change: configuration_change(&batch)?,
        });
    }
    Ok(batches)
}

/// What the KRaftVersion and KRaftVoters records of a control batch say (KIP-853).
pub fn configuration_change(
    batch: &RecordBatch,
) -> Result<Option<ConfigurationChange>, BatchError> {
    if !batch.is_control() {
        return Ok(None);
    }
    let mut change = ConfigurationChange::default();
    for record in batch.records(BATCH_BYTES_MAX)? {
        match ControlRecord::decode(&record?)? {
            Some(ControlRecord::KRaftVersion(version)) => {
                change.kraft_version = Some(version.k_raft_version);
            }
            Some(ControlRecord::KRaftVoters(voters)) => {
                change.voters = Some(super::voters::from_record(&voters));
            }
            _ => {}
        }
    }
    Ok((change != ConfigurationChange::default()).then_some(change))
}

/// The bytes of the first `count` batches.
pub fn prefix(bytes: &Bytes, count: usize) -> Bytes {
    let sizes = RecordBatches::new(bytes.clone())
        .take(count)
        .map_while(Result::ok)
        .map(|batch| batch.size());
    bytes.slice(..sizes.sum::<usize>())
}

/// Records as one batch with its place in the log, as `version` has them.
pub fn record_batch(
    records: &[Record],
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: WallTime,
    version: MetadataVersion,
) -> Bytes {
    let mut builder = builder(base_offset, epoch, false);
    for record in records {
        let value = metadata_codec::encode(record, version)
            .expect("the controller checks the sizes of what it records");
        builder.append(now.0, None, Some(&value), &[]);
    }
    builder.build().into_bytes()
}

/// The control batch that opens a leader's epoch, with the configuration that so far only the bootstrap
/// snapshot held behind it.
pub fn leader_change_batch(
    change: &LeaderChangeMessage,
    configuration: Option<&ConfigurationChange>,
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: WallTime,
) -> Bytes {
    let mut records = vec![ControlRecord::LeaderChange(change.clone())];
    records.extend(configuration.into_iter().flat_map(change_records));
    control_batch(&records, base_offset, epoch, now)
}

/// The control batch that changes `kraft.version` or the voters.
pub fn change_batch(
    change: &ConfigurationChange,
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: WallTime,
) -> Bytes {
    let records: Vec<ControlRecord> = change_records(change).collect();
    control_batch(&records, base_offset, epoch, now)
}

fn change_records(change: &ConfigurationChange) -> impl Iterator<Item = ControlRecord> {
    let version = change.kraft_version.map(|version| {
        ControlRecord::KRaftVersion(KRaftVersionRecord {
            k_raft_version: version,
            ..Default::default()
        })
    });
    let voters = change.voters.as_ref().map(super::voters::to_record);
    version
        .into_iter()
        .chain(voters.map(ControlRecord::KRaftVoters))
}

fn control_batch(
    records: &[ControlRecord],
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: WallTime,
) -> Bytes {
    let mut builder = builder(base_offset, epoch, true);
    for record in records {
        let value = record
            .encode_value()
            .expect("node ids fit the schema, and endpoints were checked when they were told");
        builder.append(now.0, Some(&record.record_type().key()), Some(&value), &[]);
    }
    builder.build().into_bytes()
}

pub fn leader_change(
    leader: NodeId,
    voters: &[NodeId],
    granting_voters: &[NodeId],
) -> LeaderChangeMessage {
    let voter = |node: &NodeId| LeaderChangeVoter {
        voter_id: node.0,
        ..Default::default()
    };
    LeaderChangeMessage {
        leader_id: leader.0,
        voters: voters.iter().map(voter).collect(),
        granting_voters: granting_voters.iter().map(voter).collect(),
        ..Default::default()
    }
}

fn builder(base_offset: Offset, epoch: LeaderEpoch, is_control: bool) -> BatchBuilder {
    BatchBuilder::new(BatchOptions {
        base_offset,
        partition_leader_epoch: epoch.0,
        is_control,
        ..BatchOptions::default()
    })
}
