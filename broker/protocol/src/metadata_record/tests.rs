//! Every type at every version: round trips, and what must be refused.

use bytes::Bytes;

use super::*;
use crate::codec::arbitrary::Generator;

fn for_every_type_and_version(check: impl Fn(&MetadataRecord, i16)) {
    let mut generator = Generator::new(1);
    for &(type_id, version_max) in MetadataRecord::TYPES {
        for version in 0..=version_max {
            for _ in 0..64 {
                check(
                    &MetadataRecord::arbitrary(type_id, &mut generator, version),
                    version,
                );
            }
        }
    }
}

#[test]
fn every_version_round_trips() {
    assert_eq!(MetadataRecord::TYPES.len(), 26);
    for_every_type_and_version(|record, version| {
        let bytes = record.encode(version).unwrap();
        assert_eq!(
            MetadataRecord::decode(bytes).as_ref(),
            Ok(record),
            "version {version}"
        );
    });
}

#[test]
fn the_version_written_holds_every_value() {
    for_every_type_and_version(|record, _| {
        let bytes = record.encode(record.write_version()).unwrap();
        assert_eq!(MetadataRecord::decode(bytes).as_ref(), Ok(record));
    });
}

#[test]
fn every_truncation_is_an_error() {
    for_every_type_and_version(|record, version| {
        let bytes = record.encode(version).unwrap();
        for length in 0..bytes.len().min(200) {
            let cut = MetadataRecord::decode(bytes.slice(..length));
            assert!(
                cut.is_err(),
                "{} cut to {length} of {} bytes",
                record.name(),
                bytes.len()
            );
        }
    });
}

#[test]
fn any_byte_may_be_wrong_without_a_panic() {
    for_every_type_and_version(|record, version| {
        let bytes = record.encode(version).unwrap();
        for at in 0..bytes.len().min(64) {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut wrong = bytes.to_vec();
                wrong[at] = value;
                let _ = MetadataRecord::decode(Bytes::from(wrong));
            }
        }
    });
}

#[test]
fn what_a_later_kafka_writes_is_refused_by_name() {
    let decode =
        |bytes: &'static [u8]| MetadataRecord::decode(Bytes::from_static(bytes)).unwrap_err();
    assert_eq!(decode(&[0, 0, 0]), MetadataRecordError::FrameVersion(0));
    assert_eq!(decode(&[2, 0, 0]), MetadataRecordError::FrameVersion(2));
    // UnregisterController, which 4.1 does not have.
    assert_eq!(decode(&[1, 29, 0]), MetadataRecordError::UnknownType(29));
    assert_eq!(decode(&[1, 6, 0]), MetadataRecordError::UnknownType(6));
    let newer = MetadataRecordError::UnknownVersion {
        name: "NoOpRecord",
        version: 1,
    };
    assert_eq!(decode(&[1, 20, 1, 0]), newer);
    assert!(matches!(
        decode(&[1, 20, 0, 0, 9]),
        MetadataRecordError::Malformed(_)
    ));
    assert!(matches!(
        decode(&[1, 20]),
        MetadataRecordError::Malformed(_)
    ));
}

#[test]
fn a_registration_change_is_written_no_newer_than_it_needs() {
    let version = |change| MetadataRecord::BrokerRegistrationChange(change).write_version();
    let fenced = BrokerRegistrationChangeRecord {
        fenced: 1,
        ..Default::default()
    };
    assert_eq!(version(fenced.clone()), 0);
    let shutdown = BrokerRegistrationChangeRecord {
        in_controlled_shutdown: 1,
        ..fenced
    };
    assert_eq!(version(shutdown.clone()), 1);
    let directories = vec![crate::ids::Uuid([1; 16])];
    assert_eq!(
        version(BrokerRegistrationChangeRecord {
            log_dirs: directories,
            ..shutdown
        }),
        2
    );
}
