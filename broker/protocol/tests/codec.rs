//! The codec's own rules: primitives at their limits, Kafka's rule for fields a version lacks, nulls, and
//! unknown tagged fields.

use broker_protocol::api::{
    CreateTopicsRequest, FetchRequest, MetadataRequest, MetadataRequestTopic, ProduceRequest,
    TopicProduceData, VoteRequest,
};
use broker_protocol::codec::{
    Decode, DecodeErrorKind, Encode, EncodeErrorKind, Message, Reader, TaggedField, TaggedFields,
    Writer,
};
use broker_protocol::ids::Uuid;
use bytes::Bytes;
use proptest::prelude::*;

fn written(write: impl FnOnce(&mut Writer)) -> Bytes {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.into_bytes().freeze()
}

fn encode_error(
    message: &impl Encode,
    version: i16,
) -> (EncodeErrorKind, &'static str, &'static str) {
    let error = message
        .encode(&mut Writer::new(), version)
        .expect_err("must not be written");
    (error.kind(), error.structure(), error.field())
}

fn reader(bytes: &[u8]) -> Reader {
    Reader::new(Bytes::copy_from_slice(bytes))
}

proptest! {
    #[test]
    fn variable_length_integers_come_back(small: i32, large: i64) {
        let bytes = written(|writer| {
            writer.varint(small);
            writer.varlong(large);
            writer.unsigned_varint(small.cast_unsigned());
            writer.unsigned_varlong(large.cast_unsigned());
        });
        let mut reader = Reader::new(bytes);
        prop_assert_eq!(reader.varint(), Ok(small));
        prop_assert_eq!(reader.varlong(), Ok(large));
        prop_assert_eq!(reader.unsigned_varint(), Ok(small.cast_unsigned()));
        prop_assert_eq!(reader.unsigned_varlong(), Ok(large.cast_unsigned()));
        prop_assert_eq!(reader.finish(), Ok(()));
    }
}

#[test]
fn variable_length_integers_have_kafkas_bytes() {
    for (value, bytes) in [
        (0, &[0][..]),
        (-1, &[1]),
        (1, &[2]),
        (63, &[0x7e]),
        (-64, &[0x7f]),
        (64, &[0x80, 1]),
    ] {
        assert_eq!(written(|writer| writer.varint(value)), bytes);
    }
    assert_eq!(
        written(|writer| writer.varint(i32::MIN)),
        &[0xff, 0xff, 0xff, 0xff, 0x0f][..]
    );
    let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(written(|writer| writer.varlong(i64::MIN)), &longest[..]);
}

#[test]
fn too_long_variable_length_integers_are_refused() {
    let invalid = |error: Option<broker_protocol::codec::DecodeError>| {
        assert_eq!(
            error.expect("refused").kind(),
            DecodeErrorKind::InvalidVarint
        );
    };
    invalid(
        reader(&[0xff, 0xff, 0xff, 0xff, 0x1f])
            .unsigned_varint()
            .err(),
    );
    invalid(
        reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0])
            .unsigned_varint()
            .err(),
    );
    invalid(reader(&[0xff; 10]).unsigned_varlong().err());
    let mut too_wide = [0xff; 10];
    too_wide[9] = 0x02;
    invalid(reader(&too_wide).unsigned_varlong().err());
}

#[test]
fn lengths_are_checked_before_they_are_believed() {
    let huge = reader(&[0x7f, 0xff, 0xff, 0xff, 1, 2])
        .array_length(false)
        .expect_err("too long");
    assert_eq!(
        huge.kind(),
        DecodeErrorKind::Underflow {
            needed: 0x7fff_ffff,
            remaining: 2
        }
    );
    let negative = reader(&[0xff, 0xff, 0xff, 0xfe])
        .bytes(false)
        .expect_err("only -1 is null");
    assert_eq!(negative.kind(), DecodeErrorKind::InvalidLength(-2));
    let compact = reader(&[0xff, 0xff, 0xff, 0xff, 0x0f])
        .bytes(true)
        .expect_err("beyond 31 bits");
    assert_eq!(compact.kind(), DecodeErrorKind::InvalidLength(0xffff_ffff));
    assert_eq!(reader(&[0xff, 0xff, 0xff, 0xff]).bytes(false), Ok(None));
    assert_eq!(reader(&[0]).bytes(true), Ok(None));
    assert_eq!(reader(&[1]).bytes(true), Ok(Some(Bytes::new())));
}

#[test]
fn strings_are_limited_and_utf8() {
    let longest = "x".repeat(32767);
    for flexible in [false, true] {
        let mut writer = Writer::new();
        writer
            .string(Some(&longest), flexible)
            .expect("the longest string");
        let mut reader = Reader::new(writer.into_bytes().freeze());
        assert_eq!(
            reader.string(flexible).expect("valid").as_deref(),
            Some(longest.as_str())
        );
        let error = Writer::new()
            .string(Some(&"x".repeat(32768)), flexible)
            .expect_err("too long");
        assert_eq!(error.kind(), EncodeErrorKind::TooLong(32768));
    }
    let mut compact = vec![0x81, 0x80, 0x02];
    compact.resize(40_000, b'x');
    let error = reader(&compact).string(true).expect_err("too long");
    assert_eq!(error.kind(), DecodeErrorKind::InvalidLength(32768));
    let error = reader(&[0, 2, 0xc3, 0x28])
        .string(false)
        .expect_err("not UTF-8");
    assert_eq!(error.kind(), DecodeErrorKind::InvalidUtf8);
}

#[test]
fn byte_fields_share_the_input() {
    let input = Bytes::from(vec![0, 0, 0, 3, 7, 8, 9]);
    let slice = Reader::new(input.clone())
        .bytes(false)
        .expect("valid")
        .expect("not null");
    assert_eq!(slice.as_ptr(), input[4..].as_ptr());
}

#[test]
fn a_value_that_the_version_lacks_is_an_error_unless_ignorable() {
    let mut fetch = FetchRequest {
        rack_id: "a".into(),
        ..FetchRequest::default()
    };
    fetch
        .encode(&mut Writer::new(), 10)
        .expect("rack_id is ignorable");
    fetch.replica_id = 3;
    let expected = (
        EncodeErrorKind::NotInVersion(15),
        "FetchRequest",
        "replica_id",
    );
    assert_eq!(encode_error(&fetch, 15), expected);
    fetch
        .encode(&mut Writer::new(), 14)
        .expect("14 has replica_id");
}

#[test]
fn null_needs_a_version_that_has_it() {
    let all = MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let expected = (
        EncodeErrorKind::UnexpectedNull(0),
        "MetadataRequest",
        "topics",
    );
    assert_eq!(encode_error(&all, 0), expected);
    all.encode(&mut Writer::new(), 1).expect("1 has null");
    let error = MetadataRequest::decode(&mut reader(&[0xff; 4]), 0).expect_err("null");
    assert_eq!(
        (error.kind(), error.field()),
        (DecodeErrorKind::UnexpectedNull, "topics")
    );
    assert_eq!(
        MetadataRequest::decode(&mut reader(&[0xff; 4]), 1)
            .expect("null")
            .topics,
        None
    );
}

#[test]
fn other_versions_are_errors() {
    for version in [-1, 1, 8, i16::MAX] {
        let (kind, structure, _) = encode_error(&CreateTopicsRequest::default(), version);
        assert_eq!(
            (kind, structure),
            (
                EncodeErrorKind::UnsupportedVersion(version),
                "CreateTopicsRequest"
            )
        );
    }
}

#[test]
fn an_error_names_its_place() {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("topic".into()),
            ..MetadataRequestTopic::default()
        }]),
        ..MetadataRequest::default()
    };
    let bytes = written(|writer| request.encode(writer, 1).expect("valid"));
    let error = MetadataRequest::decode(&mut Reader::new(bytes.slice(..8)), 1).expect_err("cut");
    assert_eq!(
        error.to_string(),
        "5 bytes needed, 2 left at byte 6 in MetadataRequestTopic.name"
    );
    assert_eq!(error.offset(), 6);
}

#[test]
fn defaults_are_kafkas() {
    let fetch = FetchRequest::default();
    assert_eq!(
        (fetch.replica_id, fetch.max_bytes, fetch.session_epoch),
        (-1, i32::MAX, -1)
    );
    assert_eq!(fetch.cluster_id, None);
    assert_eq!(CreateTopicsRequest::default().timeout_ms, 60_000);
    assert_eq!(MetadataRequest::default().topics, Some(Vec::new()));
    assert_eq!(VoteRequest::default().voter_id, -1);
    assert_eq!(ProduceRequest::default().transactional_id, None);
    assert_eq!(TopicProduceData::default().topic_id, Uuid::ZERO);
}

/// Known tags 1 and 3, so that unknown ones stand before, between and behind.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
struct Tagged {
    #[field(versions = "1+", tag = 3, tagged = "1+", default = 7)]
    three: i32,
    #[field(versions = "1+", nullable = "1+", tag = 1, tagged = "1+", default = null)]
    one: Option<String>,
    unknown_tagged_fields: TaggedFields,
}

fn tagged_fields(tags: &[u32]) -> TaggedFields {
    let mut fields = TaggedFields::default();
    for &tag in tags {
        fields.push(TaggedField {
            tag,
            data: Bytes::from_static(b"?"),
        });
    }
    fields
}

#[test]
fn unknown_tagged_fields_are_written_back_in_tag_order() {
    let unknown_tagged_fields = tagged_fields(&[0, 2, 300]);
    let original = Tagged {
        three: 9,
        one: Some("x".into()),
        unknown_tagged_fields,
    };
    let bytes = written(|writer| original.encode(writer, 1).expect("valid"));
    let expected: &[u8] = &[
        5, 0, 1, b'?', 1, 2, 2, b'x', 2, 1, b'?', 3, 4, 0, 0, 0, 9, 0xac, 0x02, 1, b'?',
    ];
    assert_eq!(bytes, expected);
    assert_eq!(
        Tagged::decode(&mut Reader::new(bytes), 1),
        Ok(original.clone())
    );
    let (kind, _, _) = encode_error(&original, 0);
    assert_eq!(kind, EncodeErrorKind::NotInVersion(0));
}

#[test]
fn default_tagged_fields_are_not_written() {
    assert_eq!(
        written(|writer| Tagged::default().encode(writer, 1).expect("valid")),
        &[0][..]
    );
}

#[test]
fn a_long_tagged_field_gets_a_long_size() {
    let long = "x".repeat(20_000);
    let original = Tagged {
        one: Some(long),
        ..Tagged::default()
    };
    let bytes = written(|writer| original.encode(writer, 1).expect("valid"));
    assert_eq!(Tagged::decode(&mut Reader::new(bytes), 1), Ok(original));
}

#[test]
fn wrong_tags_are_refused() {
    let kind = |bytes: &[u8]| {
        Tagged::decode(&mut reader(bytes), 1)
            .expect_err("wrong")
            .kind()
    };
    assert_eq!(
        kind(&[2, 5, 0, 5, 0]),
        DecodeErrorKind::TagOrder {
            previous: 5,
            tag: 5
        }
    );
    assert_eq!(
        kind(&[2, 5, 0, 4, 0]),
        DecodeErrorKind::TagOrder {
            previous: 5,
            tag: 4
        }
    );
    assert_eq!(
        kind(&[1, 3, 5, 0, 0, 0, 1, 0]),
        DecodeErrorKind::TagSize {
            tag: 3,
            declared: 5,
            read: 4
        }
    );
    for tags in [&[3][..], &[2, 2], &[5, 4]] {
        let known = Tagged {
            three: 1,
            one: None,
            unknown_tagged_fields: tagged_fields(tags),
        };
        assert!(
            matches!(encode_error(&known, 1).0, EncodeErrorKind::TagOrder(_)),
            "{tags:?}"
        );
    }
}
