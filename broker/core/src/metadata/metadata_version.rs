//! `metadata.version`: what the metadata log of a cluster may hold (KIP-778), as Kafka's `MetadataVersion` has it.
//!
//! The controller writes only what every node of the finalized level reads. [`MetadataVersion::lower`] is
//! applied to all that [`decide`](super::decide) emits and to snapshots, so that the image, which applies
//! records and not bytes, never holds what the log does not.

use std::fmt;

use super::image::MetadataImage;
use super::record::Record;

/// The feature's name.
pub const METADATA_VERSION_FEATURE: &str = "metadata.version";

/// A level of `metadata.version`, one of [`MetadataVersion::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetadataVersion(i16);

/// Level, release, version within the release, and whether it brought records or fields that an older level
/// does not have.
const TABLE: [(i16, &str, u8, bool); 21] = [
    (7, "3.3", 3, true),
    (8, "3.4", 0, true),
    (9, "3.5", 0, false),
    (10, "3.5", 1, false),
    (11, "3.5", 2, true),
    (12, "3.6", 0, false),
    (13, "3.6", 1, true),
    (14, "3.6", 2, true),
    (15, "3.7", 0, true),
    (16, "3.7", 1, false),
    (17, "3.7", 2, true),
    (18, "3.7", 3, false),
    (19, "3.7", 4, false),
    (20, "3.8", 0, false),
    (21, "3.9", 0, false),
    (22, "4.0", 0, false),
    (23, "4.0", 1, true),
    (24, "4.0", 2, false),
    (25, "4.0", 3, false),
    (26, "4.1", 0, false),
    (27, "4.1", 1, false),
];

impl MetadataVersion {
    /// 3.3-IV3: the oldest that Kafka 4 reads.
    pub const MINIMUM: MetadataVersion = MetadataVersion(7);
    /// 4.1-IV1.
    pub const LATEST: MetadataVersion = MetadataVersion(27);

    /// None for a level that this version of the software does not know.
    pub fn from_level(level: i16) -> Option<MetadataVersion> {
        let known = TABLE.iter().any(|row| row.0 == level);
        known.then_some(MetadataVersion(level))
    }

    /// The highest of a release such as "4.0", or exactly one such as "4.0-IV2".
    pub fn from_release(text: &str) -> Option<MetadataVersion> {
        let named = |row: &&(i16, &str, u8, bool)| {
            row.1 == text || MetadataVersion(row.0).to_string() == text
        };
        let found = TABLE.iter().rev().find(named);
        found.map(|row| MetadataVersion(row.0))
    }

    /// The releases there are, oldest first.
    pub fn releases() -> Vec<&'static str> {
        let mut releases: Vec<&str> = TABLE.iter().map(|row| row.1).collect();
        releases.dedup();
        releases
    }

    pub fn level(self) -> i16 {
        self.0
    }

    /// Kafka refuses to go down past a level that changed the log: what it brought could not be kept.
    pub(super) fn loses_metadata(self, down_to: MetadataVersion) -> bool {
        let between = |row: &&(i16, &str, u8, bool)| row.0 > down_to.0 && row.0 <= self.0;
        TABLE.iter().filter(between).any(|row| row.3)
    }

    /// KIP-868: metadata transactions.
    pub fn has_transactions(self) -> bool {
        self.0 >= 12
    }

    /// KIP-858: log directories in registrations and partitions.
    pub fn has_directories(self) -> bool {
        self.0 >= 17
    }

    /// KIP-919: controllers register.
    pub fn has_controller_registration(self) -> bool {
        self.0 >= 15
    }

    /// KIP-966: eligible leader replicas in partitions.
    pub fn has_eligible_replicas(self) -> bool {
        self.0 >= 23
    }

    /// Until KAFKA-15021 (3.6-IV0) a smaller ISR also meant a new leader epoch.
    pub fn bumps_leader_epoch_on_shrink(self) -> bool {
        self.0 < 12
    }

    /// Version of RegisterBrokerRecord; 2 and 3 brought migration from ZooKeeper and directories.
    pub fn register_broker_record_version(self) -> i16 {
        match self.0 {
            17.. => 3,
            8.. => 2,
            _ => 1,
        }
    }

    /// Version of PartitionRecord and PartitionChangeRecord.
    pub fn partition_record_version(self) -> i16 {
        match self.0 {
            23.. => 2,
            17.. => 1,
            _ => 0,
        }
    }

    /// Version of the Fetch requests of followers: leaders of older releases know no higher one.
    pub fn fetch_request_version(self) -> i16 {
        match self.0 {
            27.. => 18,
            21.. => 17,
            19.. => 16,
            10.. => 15,
            9.. => 14,
            _ => 13,
        }
    }

    /// The record without the fields that this version lacks. None if it is a record that this version lacks,
    /// or one that would change nothing.
    pub fn lower(self, record: Record) -> Option<Record> {
        if self.has_directories() {
            return Some(record);
        }
        Some(match record {
            Record::RegisterBroker(mut record) => {
                record.log_directories.clear();
                Record::RegisterBroker(record)
            }
            Record::BrokerRegistrationChange(mut record) => {
                record.log_directories = None;
                let changes = record.fenced.is_some() || record.in_controlled_shutdown;
                return changes.then_some(Record::BrokerRegistrationChange(record));
            }
            Record::Partition(mut record) => {
                record.directories.clear();
                Record::Partition(record)
            }
            Record::PartitionChange(mut record) => {
                record.directories = None;
                return (!record.is_no_op()).then_some(Record::PartitionChange(record));
            }
            Record::RegisterController(_) if !self.has_controller_registration() => return None,
            other => other,
        })
    }
}

impl fmt::Display for MetadataVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = TABLE.iter().find(|row| row.0 == self.0);
        let row = row.expect("made from the table");
        write!(formatter, "{}-IV{}", row.1, row.2)
    }
}

impl MetadataImage {
    /// The finalized level; the lowest before the first records of a log said more.
    pub fn metadata_version(&self) -> MetadataVersion {
        let level = self.feature_level(METADATA_VERSION_FEATURE);
        MetadataVersion::from_level(level).unwrap_or(MetadataVersion::MINIMUM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_name_their_highest_level() {
        let level = |text| MetadataVersion::from_release(text).map(MetadataVersion::level);
        assert_eq!(level("3.3"), Some(7));
        assert_eq!(level("3.9"), Some(21));
        assert_eq!(level("4.0"), Some(25));
        assert_eq!(level("4.0-IV2"), Some(24));
        assert_eq!(level("4.1"), Some(27));
        assert_eq!(level("4.2"), None);
        assert_eq!(MetadataVersion::LATEST.to_string(), "4.1-IV1");
        assert_eq!(MetadataVersion::from_level(6), None);
    }

    #[test]
    fn going_down_past_a_level_with_new_records_loses_metadata() {
        let loses = |from, to| MetadataVersion(from).loses_metadata(MetadataVersion(to));
        assert!(!loses(27, 23) && !loses(22, 17) && !loses(16, 15));
        assert!(loses(27, 22) && loses(23, 22) && loses(17, 16) && loses(8, 7));
    }

    #[test]
    fn record_versions_are_those_of_kafka() {
        let versions = |level| {
            let version = MetadataVersion(level);
            (
                version.register_broker_record_version(),
                version.partition_record_version(),
                version.fetch_request_version(),
            )
        };
        assert_eq!(versions(7), (1, 0, 13));
        assert_eq!(versions(8), (2, 0, 13));
        assert_eq!(versions(16), (2, 0, 15));
        assert_eq!(versions(17), (3, 1, 15));
        assert_eq!(versions(19), (3, 1, 16));
        assert_eq!(versions(22), (3, 1, 17));
        assert_eq!(versions(23), (3, 2, 17));
        assert_eq!(versions(27), (3, 2, 18));
    }
}
