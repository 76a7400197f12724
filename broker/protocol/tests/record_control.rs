//! Control batches against the bytes that Kafka 4.1 writes.

use broker_protocol::ids::Uuid;
use broker_protocol::record::{
    BatchError, BatchOptions, ControlRecord, ControlRecordType, EndTxnMarker, KRaftVersionFeature,
    KRaftVersionRecord, LeaderChangeMessage, LeaderChangeVoter, Record, RecordBatch,
    SnapshotFooterRecord, SnapshotHeaderRecord, Voter, VoterEndpoint, VotersRecord, control_batch,
};
use bytes::Bytes;

const HEADER_HEX: usize = 2 * 61;

#[test]
fn transaction_markers_are_kafkas() {
    let commit = concat!(
        "00000000000000030000004200000007029de24d5b00300000000000000000000004d200000000000004d2",
        "00000000000000090002ffffffff000000012000000008000000010c00000000000400"
    );
    let abort = concat!(
        "000000000000000300000042000000070269dc9b1300300000000000000000000004d200000000000004d2",
        "00000000000000090002ffffffff000000012000000008000000000c00000000000400"
    );
    for (hex, committed) in [(commit, true), (abort, false)] {
        let marker = EndTxnMarker {
            committed,
            coordinator_epoch: 4,
        };
        let mut bytes = marker.batch(9, 2, 1234).into_bytes().to_vec();
        let mut batch = broker_protocol::record::Batch::new(bytes.as_mut_slice()).unwrap();
        batch.set_base_offset(3);
        batch.set_partition_leader_epoch(7);
        assert_eq!(bytes, from_hex(hex));
        assert_eq!(decode_only(from_hex(hex)), ControlRecord::EndTxn(marker));
    }
}

#[test]
fn quorum_records_are_kafkas() {
    let cases = [
        (
            leader_change(0),
            3,
            concat!(
                "0000000000000003000000540000000702cb271d5a00200000000000000000000004d200000000000004d2",
                "ffffffffffffffffffffffffffff000000014400000008000000023000000000000203000000010000000002",
                "000200000002000000"
            ),
        ),
        (
            ControlRecord::SnapshotHeader(SnapshotHeaderRecord {
                last_contained_log_timestamp: 99,
                ..SnapshotHeaderRecord::default()
            }),
            0,
            concat!(
                "000000000000000000000047000000070261aa308400200000000000000000000004d200000000000004d2",
                "ffffffffffffffffffffffffffff000000012a000000080000000316000000000000000000630000"
            ),
        ),
        (
            ControlRecord::SnapshotFooter(SnapshotFooterRecord::default()),
            1,
            concat!(
                "00000000000000010000003f0000000702f72f479d00200000000000000000000004d200000000000004d2",
                "ffffffffffffffffffffffffffff000000011a00000008000000040600000000"
            ),
        ),
        (
            ControlRecord::KRaftVersion(KRaftVersionRecord {
                k_raft_version: 1,
                ..KRaftVersionRecord::default()
            }),
            1,
            concat!(
                "0000000000000001000000410000000702a15eb3f100200000000000000000000004d200000000000004d2",
                "ffffffffffffffffffffffffffff000000011e00000008000000050a000000010000"
            ),
        ),
        (
            voters(),
            1,
            concat!(
                "00000000000000010000006e0000000702417a034000200000000000000000000004d200000000000004d2",
                "ffffffffffffffffffffffffffff00000001780000000800000006640000020000000100000000000000010000",
                "000000000002020b434f4e54524f4c4c455205686f73742385000000000100000000"
            ),
        ),
    ];
    for (record, base_offset, hex) in cases {
        let options = BatchOptions {
            base_offset,
            partition_leader_epoch: 7,
            ..BatchOptions::default()
        };
        let batch = control_batch(options, 1234, std::slice::from_ref(&record)).unwrap();
        assert_eq!(batch.as_bytes(), from_hex(hex), "{record:?}");
        assert_eq!(decode_only(from_hex(hex)), record);
    }
}

#[test]
fn leader_change_is_read_at_the_version_it_names() {
    let mut message = leader_change(1);
    let ControlRecord::LeaderChange(change) = &mut message else {
        panic!("built as LeaderChange")
    };
    change.voters[0].voter_directory_id = Uuid([7; 16]);
    let batch = control_batch(BatchOptions::default(), 1, std::slice::from_ref(&message)).unwrap();
    assert_eq!(decode_only(batch.into_bytes()), message);
}

#[test]
fn later_types_are_skipped_and_damaged_ones_refused() {
    let record = |key: &'static [u8], value: &'static [u8]| Record {
        key: Some(Bytes::from_static(key)),
        value: Some(Bytes::from_static(value)),
        ..Record::default()
    };
    assert_eq!(ControlRecord::decode(&record(&[0, 0, 0, 7], &[])), Ok(None));
    assert_eq!(
        ControlRecord::decode(&record(&[0, 0, 0xff, 0xff], &[])),
        Ok(None)
    );
    // A later key or value version with more fields: what is known is read.
    let marker = ControlRecord::EndTxn(EndTxnMarker {
        committed: true,
        coordinator_epoch: 5,
    });
    assert_eq!(
        ControlRecord::decode(&record(&[0, 1, 0, 1, 9], &[0, 1, 0, 0, 0, 5, 9])),
        Ok(Some(marker))
    );
    let damaged = [
        record(&[0, 0, 0], &[]),
        record(&[0x80, 0, 0, 1], &[0, 0, 0, 0, 0, 5]),
        record(&[0, 0, 0, 1], &[0, 0, 0, 0, 0]),
        record(&[0, 0, 0, 2], &[0]),
        record(
            &[0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ),
        record(&[0, 0, 0, 6], &[0xff, 0xff, 1]),
        Record::default(),
    ];
    for record in damaged {
        let refused = matches!(
            ControlRecord::decode(&record),
            Err(BatchError::MalformedControl(_))
        );
        assert!(refused, "{record:?}");
    }
    assert_eq!(
        ControlRecordType::from_key(&ControlRecordType::KRaftVoters.key()),
        Ok(Some(ControlRecordType::KRaftVoters))
    );
}

fn leader_change(version: i16) -> ControlRecord {
    let voter = |voter_id| LeaderChangeVoter {
        voter_id,
        ..LeaderChangeVoter::default()
    };
    ControlRecord::LeaderChange(LeaderChangeMessage {
        version,
        leader_id: 2,
        voters: vec![voter(1), voter(2)],
        granting_voters: vec![voter(2)],
        ..LeaderChangeMessage::default()
    })
}

fn voters() -> ControlRecord {
    let endpoint = VoterEndpoint {
        name: "CONTROLLER".to_owned(),
        host: "host".to_owned(),
        port: 9093,
        ..VoterEndpoint::default()
    };
    let range = KRaftVersionFeature {
        max_supported_version: 1,
        ..KRaftVersionFeature::default()
    };
    let voter = Voter {
        voter_id: 1,
        voter_directory_id: Uuid(((1_u128 << 64) | 2).to_be_bytes()),
        endpoints: vec![endpoint],
        k_raft_version_feature: range,
        ..Voter::default()
    };
    ControlRecord::KRaftVoters(VotersRecord {
        voters: vec![voter],
        ..VotersRecord::default()
    })
}

fn decode_only(bytes: Bytes) -> ControlRecord {
    let batch = RecordBatch::new(bytes).unwrap();
    assert_eq!(batch.validate(), Ok(()));
    assert!(batch.is_control());
    assert_eq!(
        batch.validate_produced(),
        Err(BatchError::ControlFromClient)
    );
    let records: Vec<_> = batch.records(0).unwrap().collect::<Result<_, _>>().unwrap();
    let [record] = records.as_slice() else {
        panic!("one record expected, found {}", records.len())
    };
    ControlRecord::decode(record).unwrap().unwrap()
}

fn from_hex(text: &str) -> Bytes {
    assert!(text.len() >= HEADER_HEX);
    let digits = (0..text.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
