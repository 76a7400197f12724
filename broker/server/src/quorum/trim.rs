//! Keeping snapshots, loading them, and trimming the log before them (KIP-630).

use std::time::Duration;

use broker_core::metadata::MetadataImage;
use broker_core::raft::{Input, OffsetAndEpoch, Snapshot, VoterSet};
use broker_env::DiskError;
use broker_protocol::ids::Offset;
use broker_storage::snapshot::SnapshotHeader;

use super::snapshots::{Fetched, Finished, core_id, storage_id};
use super::{Event, FollowUp, MetadataUpdate, Quorum, TimerName, voters};
use crate::observe::Observation;

/// How often retention is looked at, as Kafka does.
const RETENTION_CHECK: Duration = Duration::from_secs(60);

/// An image of everything committed below `end`.
#[derive(Clone, Debug)]
pub struct SnapshotRequest {
    pub end: Offset,
    /// Append time in ms of the last record below.
    pub timestamp: i64,
    pub image: MetadataImage,
}

impl Quorum {
    /// What was committed when this node last kept it is committed for good.
    pub(super) fn load_latest_snapshot(&mut self) -> Result<(), DiskError> {
        match self.snapshots.latest_up_to(Offset::MAX) {
            Some(id) => self.load_snapshot(core_id(id), Offset::MAX),
            None => Ok(()),
        }
    }

    /// The state machines go on from a snapshot.
    fn load_snapshot(
        &mut self,
        id: OffsetAndEpoch,
        high_watermark: Offset,
    ) -> Result<(), DiskError> {
        let loaded = self.snapshots.load(storage_id(id))?;
        tracing::info!(node = %self.node, snapshot = %loaded.id, "metadata snapshot loaded");
        self.published_end = id.offset;
        self.observer
            .observe(|| Observation::MetadataSnapshotLoaded {
                end: id.offset,
                epoch: id.epoch,
                hash: loaded.image.hash(),
                topics: loaded.image.topics().map(|topic| topic.id).collect(),
            });
        self.controller_load(&loaded.image);
        let update = MetadataUpdate::Snapshot {
            loaded: Box::new(loaded),
            high_watermark,
        };
        let _broker_has_stopped = self.committed.send(update);
        Ok(())
    }

    /// The log is replaced by a snapshot that was fetched.
    pub(super) async fn start_log_at(&mut self, id: OffsetAndEpoch) -> Result<(), DiskError> {
        assert!(
            id.offset >= self.high_watermark,
            "metadata log of node {} replaced by snapshot {} below its high watermark {}",
            self.node,
            storage_id(id),
            self.high_watermark
        );
        // Also when it fails: it may then be done in part.
        self.observer.observe(|| Observation::MetadataLogReplaced {
            end: id.offset,
            epoch: id.epoch,
        });
        self.log.start_over_at(id.offset).await?;
        self.snapshots.remove_before(storage_id(id))?;
        self.load_snapshot(id, id.offset)
    }

    pub(super) fn raise_log_start(&mut self, id: OffsetAndEpoch) -> Result<(), DiskError> {
        let removal = self.log.raise_start(id.offset, self.env.clock.wall().0)?;
        self.observer
            .observe(|| Observation::MetadataLogStartAdvanced {
                log_start: id.offset,
            });
        self.snapshots.remove_before(storage_id(id))?;
        let events = self.handle.events.clone();
        self.env.spawn("metadata log trim", async move {
            if let Err(error) = removal.await {
                let _member_has_stopped = events.send(Event::DiskFailed(error));
            }
        });
        Ok(())
    }

    /// The core decides whether the image is worth a snapshot.
    pub(super) async fn offer_snapshot(
        &mut self,
        request: SnapshotRequest,
    ) -> Result<(), DiskError> {
        let end = request.end;
        self.offered = Some(request);
        self.step(Input::CreateSnapshot { end }).await?;
        self.offered = None;
        Ok(())
    }

    pub(super) fn write_snapshot(
        &mut self,
        id: OffsetAndEpoch,
        kraft_version: i16,
        voters: Option<&VoterSet>,
    ) {
        let offered = self.offered.take();
        let offered = offered.expect("the core asks for a snapshot of what it was offered");
        let header = SnapshotHeader {
            last_contained_log_timestamp: offered.timestamp,
            kraft_version,
            voters: voters.map(voters::to_record),
        };
        let now = self.env.clock.wall();
        let writing = self
            .snapshots
            .write(storage_id(id), header, offered.image, now);
        let events = self.handle.events.clone();
        self.env.spawn("metadata snapshot", async move {
            let written = writing.await;
            let _member_has_stopped = events.send(Event::SnapshotWritten(written));
        });
    }

    pub(super) async fn snapshot_written(&mut self, written: Finished) -> Result<(), DiskError> {
        let Snapshot { id, size, .. } = written.described();
        tracing::info!(node = %self.node, snapshot = %written.id(), size, "metadata snapshot written");
        self.observer
            .observe(|| Observation::MetadataSnapshotWritten {
                end: id.offset,
                epoch: id.epoch,
            });
        self.snapshots.add(written);
        self.step(Input::SnapshotWritten { id, size }).await?;
        if let Some(oldest) = self.snapshots.first_from(self.log.start()) {
            // One that was fetched meanwhile may have replaced the log behind it.
            self.snapshots.remove_before(oldest)?;
        }
        self.apply_retention().await
    }

    pub(super) fn finish_snapshot(&mut self, id: OffsetAndEpoch) -> Result<(), DiskError> {
        match self.snapshots.finish_fetched(storage_id(id))? {
            Fetched::Whole(finishing) => {
                let events = self.handle.events.clone();
                self.env.spawn("fetched snapshot", async move {
                    let finished = finishing.await;
                    let _member_has_stopped = events.send(Event::SnapshotFetched(finished));
                });
            }
            Fetched::Damaged => self.follow_ups.push_back(FollowUp::SnapshotDamaged(id)),
        }
        Ok(())
    }

    pub(super) async fn snapshot_fetched(&mut self, fetched: Finished) -> Result<(), DiskError> {
        let snapshot = fetched.described();
        self.observer
            .observe(|| Observation::MetadataSnapshotWritten {
                end: snapshot.id.offset,
                epoch: snapshot.id.epoch,
            });
        self.snapshots.add(fetched);
        self.step(Input::SnapshotFetched(snapshot)).await
    }

    pub(super) async fn retain(&mut self) -> Result<(), DiskError> {
        self.arm_retention();
        self.apply_retention().await
    }

    async fn apply_retention(&mut self) -> Result<(), DiskError> {
        let now = self.env.clock.wall();
        let log_bytes = self.log.size_bytes();
        match self.snapshots.expired(self.retention, log_bytes, now) {
            Some(id) => {
                let snapshot = core_id(id);
                self.step(Input::DeleteBefore { snapshot }).await
            }
            None => Ok(()),
        }
    }

    pub(super) fn arm_retention(&mut self) {
        let ms = u64::try_from(RETENTION_CHECK.as_millis()).expect("a minute");
        self.timers.arm(TimerName::Retention, ms, ms);
    }
}
