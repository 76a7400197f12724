//! Frames, headers and the advertised table.

use broker_protocol::api::{
    ApiVersionsRequest, ApiVersionsResponse, FetchPartitionData, FetchRequest, FetchResponse,
    FetchableTopicResponse, MetadataRequest, Request,
};
use broker_protocol::api_versions::{self, ListenerKind, VersionRange};
use broker_protocol::frame::{self, FrameError};
use broker_protocol::header::{self, RequestHeader};
use broker_protocol::{ApiKey, ErrorCode};
use bytes::{Bytes, BytesMut};

fn without_size(mut frame: BytesMut) -> Bytes {
    frame::take_frame(&mut frame, usize::MAX)
        .expect("a lawful size")
        .expect("a whole frame")
}

#[test]
fn a_request_frame_comes_back() {
    let request = MetadataRequest {
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    for version in [4, 8, 9, 13] {
        let frame = frame::encode_request(&request, version, 77, Some("client")).expect("valid");
        let frame = without_size(frame);
        let peek = header::peek(&frame).expect("long enough");
        assert_eq!(
            (peek.api_key, peek.api_version, peek.correlation_id),
            (3, version, 77)
        );
        assert_eq!(peek.client_id.as_deref(), Some("client"));
        let (header, decoded) =
            frame::decode_request::<MetadataRequest>(frame, version).expect("valid");
        assert_eq!(header.client_id.as_deref(), Some("client"));
        assert_eq!(decoded, request);
    }
}

#[test]
fn a_frame_arrives_in_any_pieces() {
    let whole = frame::encode_request(&MetadataRequest::default(), 9, 1, None)
        .expect("valid")
        .freeze();
    let mut buffer = BytesMut::new();
    for (index, byte) in whole.iter().enumerate() {
        assert_eq!(
            frame::take_frame(&mut buffer, 1000),
            Ok(None),
            "after {index} bytes"
        );
        buffer.extend_from_slice(&[*byte]);
    }
    assert_eq!(
        frame::take_frame(&mut buffer, 1000),
        Ok(Some(whole.slice(4..)))
    );
    assert!(buffer.is_empty());
}

#[test]
fn sizes_are_limited() {
    assert_eq!(frame::parse_size([0, 0, 0, 10], 10), Ok(10));
    assert_eq!(
        frame::parse_size([0, 0, 0, 11], 10),
        Err(FrameError::TooLarge { size: 11, max: 10 })
    );
    assert_eq!(
        frame::parse_size([0xff, 0xff, 0xff, 0xff], 10),
        Err(FrameError::Negative(-1))
    );
}

#[test]
fn a_short_or_odd_header_is_safe_to_peek() {
    assert!(header::peek(&Bytes::from_static(&[0, 18, 0, 3, 0, 0, 0])).is_err());
    let bare = header::peek(&Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 5])).expect("8 bytes");
    assert_eq!(
        (bare.api_version, bare.correlation_id, bare.client_id),
        (99, 5, None)
    );
    let lying = header::peek(&Bytes::from_static(&[
        0, 18, 0, 99, 0, 0, 0, 5, 0x7f, 0xff, 1,
    ]));
    assert_eq!(lying.expect("8 bytes").client_id, None);
}

#[test]
fn trailing_bytes_are_refused() {
    let mut frame = frame::encode_request(&MetadataRequest::default(), 9, 1, None).expect("valid");
    frame.extend_from_slice(&[0]);
    let frame = frame.freeze().slice(4..);
    assert!(frame::decode_request::<MetadataRequest>(frame, 9).is_err());
}

#[test]
fn header_version_zero_has_no_client_id() {
    use broker_protocol::codec::{Decode, Encode, Reader, Writer};
    let header = RequestHeader {
        request_api_key: 7,
        correlation_id: 4,
        ..RequestHeader::default()
    };
    let mut writer = Writer::new();
    header.encode(&mut writer, 0).expect("valid");
    let bytes = writer.into_bytes().freeze();
    assert_eq!(bytes.len(), 8);
    assert_eq!(
        RequestHeader::decode(&mut Reader::new(bytes), 0),
        Ok(header)
    );
}

#[test]
fn the_header_of_api_versions_responses_is_never_flexible() {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        ..Default::default()
    };
    for version in ApiVersionsRequest::MIN_VERSION..=ApiVersionsRequest::MAX_VERSION {
        let frame =
            frame::encode_response::<ApiVersionsRequest>(&response, version, 9).expect("valid");
        assert_eq!(&frame[4..10], &[0, 0, 0, 9, 0, 35], "v{version}");
    }
}

fn fetch_response(record_sizes: &[usize]) -> FetchResponse {
    let partitions = record_sizes.iter().map(|&size| FetchPartitionData {
        records: Some(Bytes::from(vec![0xab; size])),
        ..FetchPartitionData::default()
    });
    let topic = FetchableTopicResponse {
        partitions: partitions.collect(),
        ..FetchableTopicResponse::default()
    };
    FetchResponse {
        responses: vec![topic],
        ..FetchResponse::default()
    }
}

#[test]
fn chunks_are_the_frame_without_copies() {
    let response = fetch_response(&[10, 5000, 0, 70_000]);
    for version in [4, 11, 12, 18] {
        let whole = frame::encode_response::<FetchRequest>(&response, version, 3).expect("valid");
        let chunks =
            frame::encode_response_chunks::<FetchRequest>(&response, version, 3).expect("valid");
        assert_eq!(whole, chunks.concat());
        let records = response.responses[0].partitions[3]
            .records
            .as_ref()
            .expect("set above");
        assert!(
            chunks
                .iter()
                .any(|chunk| chunk.as_ptr() == records.as_ptr()),
            "copied at v{version}"
        );
        let (header, decoded) =
            frame::decode_response::<FetchRequest>(without_size(whole), version).expect("valid");
        assert_eq!((header.correlation_id, decoded), (3, response.clone()));
    }
}

macro_rules! implemented {
    ($($key:ident $request:ident;)*) => {
        fn implemented(api_key: ApiKey) -> Option<(i16, i16)> {
            match api_key {
                $(ApiKey::$key => {
                    type Implemented = broker_protocol::api::$request;
                    Some((Implemented::MIN_VERSION, Implemented::MAX_VERSION))
                })*
                _ => None,
            }
        }
    };
}
broker_protocol::for_each_api!(implemented);

/// All keys that have messages here; a new one cannot be forgotten in the table.
#[test]
fn every_implemented_api_is_advertised() {
    for &key in ApiKey::ALL {
        let advertised = [ListenerKind::Broker, ListenerKind::Controller]
            .iter()
            .any(|&listener| api_versions::range_of(listener, key).is_some());
        assert_eq!(advertised, implemented(key).is_some(), "{key}");
    }
}

#[test]
fn what_is_advertised_can_be_read_and_written() {
    for listener in [ListenerKind::Broker, ListenerKind::Controller] {
        let table = api_versions::advertised(listener);
        assert!(
            table
                .windows(2)
                .all(|pair| pair[0].api_key < pair[1].api_key),
            "sorted by key"
        );
        for &VersionRange { api_key, min, max } in table {
            let (lowest, highest) = implemented(api_key).expect("implemented");
            assert!(max <= highest, "{api_key}");
            for version in min..=max {
                assert_eq!(
                    api_versions::is_accepted(listener, api_key, version),
                    version >= lowest,
                    "{api_key} v{version}"
                );
            }
            assert!(!api_versions::is_accepted(listener, api_key, max + 1));
            assert!(!api_versions::is_accepted(listener, api_key, -1));
        }
    }
}

/// librdkafka reads features off the lowest advertised version (KAFKA-18659).
#[test]
fn produce_is_advertised_from_zero_and_accepted_from_three() {
    let range = api_versions::range_of(ListenerKind::Broker, ApiKey::Produce).expect("advertised");
    assert_eq!((range.min, range.max), (0, 13));
    let accepted =
        |version| api_versions::is_accepted(ListenerKind::Broker, ApiKey::Produce, version);
    assert!(!accepted(2) && accepted(3));
}

#[test]
fn error_codes_have_kafkas_numbers_and_retriability() {
    assert_eq!(ErrorCode::NotLeaderOrFollower.code(), 6);
    assert!(ErrorCode::NotLeaderOrFollower.is_retriable());
    assert!(ErrorCode::ConcurrentTransactions.is_retriable());
    assert!(!ErrorCode::ProducerFenced.is_retriable());
    assert!(!ErrorCode::None.is_error());
    assert_eq!(
        ErrorCode::from_code_or_unknown(9999),
        ErrorCode::UnknownServerError
    );
    assert_eq!(
        ErrorCode::ALL
            .iter()
            .map(|error| error.code())
            .collect::<Vec<_>>(),
        (-1..=133).collect::<Vec<_>>()
    );
}
