//! One replica's log over time, thinned so that all of them together stay below a bound.

use std::collections::{BTreeMap, BTreeSet};

use broker_server::observe::BatchSummary;
use reports::recording::{LaneId, Moment, Offsets, PartitionIndex, ReplicaSeries};

use super::super::Limits;

/// Finer than a plot of a minute shows.
const INTERVAL_US: u64 = 10_000;

pub type Key = (PartitionIndex, LaneId);

/// All replicas.
pub struct Tracks {
    tracks: BTreeMap<Key, Track>,
    points: usize,
    interval_us: u64,
    limits: Limits,
    /// Replicas that are not kept.
    pub without_room: u64,
    unkept: BTreeSet<Key>,
}

/// One replica.
#[derive(Debug, Default)]
pub struct Track {
    pub log_start: i64,
    pub log_end: i64,
    pub high_watermark: i64,
    /// (epoch, first offset), ascending.
    pub epochs: Vec<(i32, i64)>,
    /// Transactions that are not decided below the high watermark: producer, first offset, offset of the marker.
    unstable: Vec<(i64, i64, Option<i64>)>,
    points: Vec<Offsets>,
    is_deleted: bool,
}

impl Tracks {
    pub fn new(limits: Limits) -> Tracks {
        Tracks {
            tracks: BTreeMap::new(),
            points: 0,
            interval_us: INTERVAL_US,
            limits,
            without_room: 0,
            unkept: BTreeSet::new(),
        }
    }

    pub fn appended(&mut self, key: Key, at: Moment, batch: &BatchSummary) {
        self.change(key, at, |track| track.append(batch));
    }

    pub fn truncated(&mut self, key: Key, at: Moment, log_end: i64) {
        self.change(key, at, |track| track.truncate(log_end));
    }

    pub fn loaded(
        &mut self,
        key: Key,
        at: Moment,
        (log_start, log_end): (i64, i64),
        batches: &[BatchSummary],
    ) {
        self.change(key, at, |track| {
            let points = std::mem::take(&mut track.points);
            *track = Track {
                log_start,
                points,
                ..Track::default()
            };
            batches.iter().for_each(|batch| track.append(batch));
            track.log_end = log_end;
        });
    }

    pub fn epochs(&mut self, key: Key, epochs: Vec<(i32, i64)>) {
        if let Some(track) = self.tracks.get_mut(&key) {
            track.epochs = epochs;
        }
    }

    pub fn high_watermark(&mut self, key: Key, at: Moment, high_watermark: i64) {
        self.change(key, at, |track| track.commit(high_watermark));
    }

    pub fn starts(&mut self, key: Key, log_start: i64) {
        if let Some(track) = self.tracks.get_mut(&key) {
            track.log_start = log_start;
        }
    }

    pub fn deleted(&mut self, key: Key) {
        if let Some(track) = self.tracks.get_mut(&key) {
            let points = std::mem::take(&mut track.points);
            *track = Track {
                points,
                is_deleted: true,
                ..Track::default()
            };
        }
    }

    fn change(&mut self, key: Key, at: Moment, change: impl FnOnce(&mut Track)) {
        if self.tracks.len() == self.limits.replicas && !self.tracks.contains_key(&key) {
            if self.unkept.len() < self.limits.entries && self.unkept.insert(key) {
                self.without_room += 1;
            }
            return;
        }
        let track = self.tracks.entry(key).or_default();
        let before = track.log_end;
        change(track);
        let point = track.point(at);
        let is_cut = track.log_end < before;
        match track.points.last_mut() {
            // Between two points of the grid only the latest counts.
            Some(last) if !is_cut && at.us / self.interval_us == last.at.us / self.interval_us => {
                *last = point;
            }
            _ => {
                track.points.push(point);
                self.points += 1;
            }
        }
        while self.points > self.limits.points {
            self.thin();
        }
    }

    fn thin(&mut self) {
        self.interval_us = self.interval_us.saturating_mul(2);
        self.points = 0;
        for track in self.tracks.values_mut() {
            track.thin(self.interval_us);
            self.points += track.points.len();
        }
        if self.interval_us > 1 << 50 {
            // One point each, and still too many.
            self.limits.points = self.limits.points.max(self.points * 2);
        }
    }

    /// Offsets closer together than this are left out; 0: none are.
    pub fn thinned_us(&self) -> u64 {
        self.interval_us
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &Track)> {
        let there = self.tracks.iter().filter(|(_, track)| !track.is_deleted);
        there.map(|(key, track)| (*key, track))
    }

    pub fn finish(&mut self) -> Vec<ReplicaSeries> {
        let tracks = std::mem::take(&mut self.tracks).into_iter();
        tracks
            .map(|((partition, lane), track)| ReplicaSeries {
                partition,
                lane,
                points: track.points,
            })
            .collect()
    }
}

impl Track {
    fn append(&mut self, batch: &BatchSummary) {
        let epoch = batch.leader_epoch.0;
        if self.epochs.last().is_none_or(|(last, _)| *last != epoch) {
            self.epochs.push((epoch, batch.base_offset));
        }
        self.log_end = batch.last_offset + 1;
        let Some(transaction) = batch.transaction else {
            return;
        };
        let producer = transaction.producer_id;
        let open = |entry: &&mut (i64, i64, Option<i64>)| entry.0 == producer && entry.2.is_none();
        let open = self.unstable.iter_mut().find(open);
        match (transaction.marker, open) {
            (Some(_), Some(entry)) => entry.2 = Some(batch.last_offset),
            (None, None) => self.unstable.push((producer, batch.base_offset, None)),
            (Some(_), None) | (None, Some(_)) => {}
        }
        self.settle();
    }

    fn truncate(&mut self, log_end: i64) {
        self.log_end = log_end;
        self.epochs.retain(|(_, start)| *start < log_end);
        self.unstable.retain(|(_, first, _)| *first < log_end);
        for (_, _, marker) in &mut self.unstable {
            *marker = marker.filter(|marker| *marker < log_end);
        }
        self.high_watermark = self.high_watermark.min(log_end);
    }

    fn commit(&mut self, high_watermark: i64) {
        self.high_watermark = high_watermark;
        self.settle();
    }

    /// Forgets transactions whose end is committed.
    fn settle(&mut self) {
        let committed = self.high_watermark;
        self.unstable
            .retain(|(_, _, marker)| marker.is_none_or(|marker| marker >= committed));
    }

    /// What a reader of committed data may read up to, by this replica's own log.
    pub fn last_stable(&self) -> i64 {
        let first = self.unstable.iter().map(|(_, first, _)| *first).min();
        self.high_watermark.min(first.unwrap_or(i64::MAX))
    }

    fn point(&self, at: Moment) -> Offsets {
        Offsets {
            at,
            log_end: self.log_end,
            high_watermark: self.high_watermark,
            last_stable: self.last_stable(),
        }
    }

    /// Keeps the latest point of each interval, and both sides of each cut.
    fn thin(&mut self, interval_us: u64) {
        let mut kept: Vec<Offsets> = Vec::with_capacity(self.points.len() / 2 + 1);
        for point in &self.points {
            match kept.last_mut() {
                Some(last)
                    if last.at.us / interval_us == point.at.us / interval_us
                        && last.log_end <= point.log_end =>
                {
                    *last = *point;
                }
                _ => kept.push(*point),
            }
        }
        self.points = kept;
    }
}

#[cfg(test)]
mod tests {
    use broker_protocol::ids::LeaderEpoch;
    use broker_protocol::record::EndTxnMarker;
    use broker_server::observe::BatchTransaction;

    use super::*;

    const KEY: Key = (1, 0);

    fn at(us: u64) -> Moment {
        Moment { us, event: us }
    }

    fn batch(base: i64, last: i64, epoch: i32) -> BatchSummary {
        BatchSummary {
            base_offset: base,
            last_offset: last,
            leader_epoch: LeaderEpoch(epoch),
            crc: 0,
            producer: None,
            transaction: None,
        }
    }

    /// Of producer 7: data, or the marker that commits.
    fn transactional(offset: i64, ends: bool) -> BatchSummary {
        let marker = EndTxnMarker {
            committed: true,
            coordinator_epoch: 0,
        };
        BatchSummary {
            transaction: Some(BatchTransaction {
                producer_id: 7,
                producer_epoch: 0,
                marker: ends.then_some(marker),
            }),
            ..batch(offset, offset, 0)
        }
    }

    fn tracks(points: usize) -> Tracks {
        Tracks::new(Limits {
            points,
            ..Limits::default()
        })
    }

    fn last_stable(tracks: &Tracks) -> i64 {
        let (_, track) = tracks.iter().next().expect("one replica");
        track.last_stable()
    }

    #[test]
    fn the_last_stable_offset_waits_for_the_marker_to_be_committed() {
        let mut tracks = tracks(100);
        tracks.appended(KEY, at(1), &batch(0, 4, 0));
        tracks.appended(KEY, at(2), &transactional(5, false));
        tracks.appended(KEY, at(3), &batch(6, 9, 0));
        tracks.high_watermark(KEY, at(4), 4);
        assert_eq!(last_stable(&tracks), 4);
        tracks.high_watermark(KEY, at(5), 10);
        assert_eq!(last_stable(&tracks), 5);
        tracks.appended(KEY, at(6), &transactional(10, true));
        assert_eq!(last_stable(&tracks), 5, "the marker is not committed");
        tracks.truncated(KEY, at(7), 10);
        tracks.high_watermark(KEY, at(8), 10);
        assert_eq!(last_stable(&tracks), 5, "the marker is cut off");
        tracks.appended(KEY, at(9), &transactional(10, true));
        tracks.high_watermark(KEY, at(10), 11);
        assert_eq!(last_stable(&tracks), 11);
    }

    #[test]
    fn epochs_follow_appends_and_cuts() {
        let mut tracks = tracks(100);
        tracks.appended(KEY, at(1), &batch(0, 4, 0));
        tracks.appended(KEY, at(2), &batch(5, 6, 0));
        tracks.appended(KEY, at(3), &batch(7, 8, 2));
        tracks.truncated(KEY, at(4), 7);
        tracks.appended(KEY, at(5), &batch(7, 7, 3));
        let (_, track) = tracks.iter().next().expect("one replica");
        assert_eq!(track.epochs, [(0, 0), (3, 7)]);
        assert_eq!(track.log_end, 8);
    }

    #[test]
    fn points_are_thinned_evenly_and_cuts_stay() {
        let mut tracks = tracks(50);
        for number in 0..1_000 {
            let us = u64::try_from(number).expect("positive") * 100_000;
            tracks.appended(KEY, at(us), &batch(number, number, 0));
        }
        tracks.truncated(KEY, at(99_900_001), 400);
        assert!(tracks.thinned_us() > INTERVAL_US);
        let series = tracks.finish();
        let ends: Vec<i64> = series[0].points.iter().map(|point| point.log_end).collect();
        assert!((25..=51).contains(&ends.len()), "{ends:?}");
        assert_eq!(
            ends[ends.len() - 2..],
            [1_000, 400],
            "both sides of the cut"
        );
    }
}
