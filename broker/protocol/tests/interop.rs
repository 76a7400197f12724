//! Every advertised version of every message against the crate kafka-protocol, which is generated from
//! Kafka's own schemas, both ways.

use broker_protocol::api::Request;
use broker_protocol::api_versions::{self, ListenerKind, MIN_PRODUCE_VERSION};
use broker_protocol::codec::arbitrary::{Arbitrary, Generator};
use broker_protocol::codec::{Decode, DecodeErrorKind, Encode, Reader, Writer};
use broker_protocol::{ApiKey, ErrorCode};
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request as TheirRequest,
};
use proptest::prelude::*;

fn ours_to_bytes(message: &impl Encode, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .unwrap_or_else(|error| panic!("encode v{version}: {error}"));
    writer.into_bytes().freeze()
}

fn ours_from_bytes<T: Decode>(bytes: &Bytes, version: i16) -> T {
    let mut reader = Reader::new(bytes.clone());
    let message = T::decode(&mut reader, version)
        .unwrap_or_else(|error| panic!("decode v{version}: {error}"));
    reader
        .finish()
        .unwrap_or_else(|error| panic!("decode v{version}: {error}"));
    message
}

fn theirs_to_bytes(message: &impl Encodable, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    message
        .encode(&mut bytes, version)
        .unwrap_or_else(|error| panic!("their encode v{version}: {error}"));
    bytes.freeze()
}

fn theirs_from_bytes<T: Decodable>(bytes: &Bytes, version: i16) -> T {
    let mut rest = bytes.clone();
    let message = T::decode(&mut rest, version)
        .unwrap_or_else(|error| panic!("their decode v{version}: {error}"));
    assert!(
        rest.is_empty(),
        "they left {} bytes at v{version}",
        rest.len()
    );
    message
}

/// ours -> bytes -> theirs -> the same bytes -> the same value.
fn check_value<O, T>(version: i16, seed: u64)
where
    O: Encode + Decode + Arbitrary + PartialEq + std::fmt::Debug,
    T: Encodable + Decodable,
{
    let original = O::arbitrary(&mut Generator::new(seed), version);
    let bytes = ours_to_bytes(&original, version);
    let theirs: T = theirs_from_bytes(&bytes, version);
    assert_eq!(
        theirs_to_bytes(&theirs, version),
        bytes,
        "v{version} {original:?}"
    );
    assert_eq!(
        ours_from_bytes::<O>(&bytes, version),
        original,
        "v{version}"
    );
}

/// Bytes nobody of us chose: a valid message with bytes overwritten, where it is still valid for ours.
fn check_mutation<O, T>(version: i16, seed: u64)
where
    O: Encode + Decode + Arbitrary + PartialEq + std::fmt::Debug,
    T: Encodable + Decodable,
{
    let mut generator = Generator::new(seed);
    let mut bytes = ours_to_bytes(&O::arbitrary(&mut generator, version), version).to_vec();
    for _ in 0..generator.below(3) {
        let at = generator.below(bytes.len().max(1));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = u8::arbitrary_byte(&mut generator);
        }
    }
    let bytes = Bytes::from(bytes);
    let mut reader = Reader::new(bytes.clone());
    let Ok(ours) = O::decode(&mut reader, version) else {
        return;
    };
    if reader.remaining() > 0 {
        return;
    }
    // They refuse a tag that exists only in other versions; for us it is one more unknown tag.
    let Ok(theirs) = T::decode(&mut bytes.clone(), version) else {
        return;
    };
    assert_eq!(
        theirs_to_bytes(&theirs, version),
        ours_to_bytes(&ours, version),
        "v{version} {ours:?}"
    );
}

/// Where we refuse a null, they do too. Only at the highest version: they have nulls per field, not per
/// version of a field.
fn check_nulls<O, T>(version: i16, seed: u64)
where
    O: Encode + Decode + Arbitrary,
    T: Decodable,
{
    const EMPTY_AND_NULL: [(&[u8], &[u8]); 3] =
        [(&[1], &[0]), (&[0; 2], &[0xff; 2]), (&[0; 4], &[0xff; 4])];
    let valid = ours_to_bytes(&O::arbitrary(&mut Generator::new(seed), version), version);
    for (empty, null) in EMPTY_AND_NULL {
        for at in 0..valid.len().saturating_sub(empty.len()) {
            if valid[at..].starts_with(empty) {
                let mut bytes = valid.to_vec();
                bytes[at..at + null.len()].copy_from_slice(null);
                check_null::<O, T>(bytes.into(), version);
            }
        }
    }
}

fn check_null<O: Decode, T: Decodable>(bytes: Bytes, version: i16) {
    let Err(error) = O::decode(&mut Reader::new(bytes.clone()), version) else {
        return;
    };
    if error.kind() == DecodeErrorKind::UnexpectedNull {
        assert!(
            T::decode(&mut bytes.clone(), version).is_err(),
            "they accept: {error} v{version}"
        );
    }
}

trait ArbitraryByte {
    fn arbitrary_byte(generator: &mut Generator) -> u8;
}

impl ArbitraryByte for u8 {
    fn arbitrary_byte(generator: &mut Generator) -> u8 {
        generator.next_u64().to_le_bytes()[0]
    }
}

/// Their defaults are ours, at every version.
fn check_defaults<O, T>(version: i16)
where
    O: Encode + Decode + Default + PartialEq + std::fmt::Debug,
    T: Encodable + Default,
{
    let bytes = theirs_to_bytes(&T::default(), version);
    assert_eq!(ours_to_bytes(&O::default(), version), bytes, "v{version}");
    assert_eq!(
        ours_to_bytes(&ours_from_bytes::<O>(&bytes, version), version),
        bytes,
        "v{version}"
    );
}

fn advertised(api_key: ApiKey) -> std::ops::RangeInclusive<i16> {
    let range = api_versions::range_of(ListenerKind::Broker, api_key)
        .or_else(|| api_versions::range_of(ListenerKind::Controller, api_key))
        .expect("every API of this crate is advertised somewhere");
    let min = if api_key == ApiKey::Produce {
        MIN_PRODUCE_VERSION
    } else {
        range.min
    };
    min..=range.max
}

macro_rules! interop {
    ($($key:ident $request:ident;)*) => {
        $(#[allow(non_snake_case)]
        mod $key {
            use super::*;

            type Ours = broker_protocol::api::$request;
            type OurResponse = <Ours as Request>::Response;
            type Theirs = kafka_protocol::messages::$request;
            type TheirResponse = <Theirs as TheirRequest>::Response;

            #[test]
            fn versions_and_headers_are_theirs() {
                assert_eq!(Ours::API_KEY.code(), Theirs::KEY);
                let versions = advertised(ApiKey::$key);
                assert_eq!(*versions.start(), Theirs::VERSIONS.min);
                assert!(*versions.end() <= Theirs::VERSIONS.max, "{versions:?}");
                for version in versions {
                    assert_eq!(Ours::header_version(version), Theirs::header_version(version), "v{version}");
                    let ours = Ours::response_header_version(version);
                    assert_eq!(ours, TheirResponse::header_version(version), "v{version}");
                }
            }

            #[test]
            fn defaults_are_theirs() {
                for version in advertised(ApiKey::$key) {
                    check_defaults::<Ours, Theirs>(version);
                    check_defaults::<OurResponse, TheirResponse>(version);
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
                #[test]
                fn values_go_both_ways(seed: u64) {
                    for version in advertised(ApiKey::$key) {
                        check_value::<Ours, Theirs>(version, seed);
                        check_value::<OurResponse, TheirResponse>(version, seed);
                    }
                }

                #[test]
                fn nulls_are_theirs(seed: u64) {
                    let version = *advertised(ApiKey::$key).end();
                    check_nulls::<Ours, Theirs>(version, seed);
                    check_nulls::<OurResponse, TheirResponse>(version, seed);
                }

                #[test]
                fn foreign_bytes_mean_the_same(seed: u64) {
                    for version in advertised(ApiKey::$key) {
                        check_mutation::<Ours, Theirs>(version, seed);
                        check_mutation::<OurResponse, TheirResponse>(version, seed);
                    }
                }
            }
        })*
    };
}

broker_protocol::for_each_api!(interop);

#[test]
fn error_codes_are_theirs() {
    for &error in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_code(error.code()), Some(error));
        if error == ErrorCode::None {
            continue;
        }
        let theirs = kafka_protocol::error::ResponseError::try_from_code(error.code());
        let theirs = theirs.unwrap_or_else(|| panic!("{error} is unknown to them"));
        if matches!(theirs, kafka_protocol::error::ResponseError::Unknown(_)) {
            panic!("{error} ({}) is unknown to them", error.code());
        }
        let name = error.name().replace('_', "").to_lowercase();
        assert_eq!(format!("{theirs:?}").to_lowercase(), name);
    }
}

#[test]
fn api_keys_are_theirs() {
    for &key in ApiKey::ALL {
        assert_eq!(ApiKey::from_code(key.code()), Some(key));
        let Ok(theirs) = kafka_protocol::messages::ApiKey::try_from(key.code()) else {
            // Streams groups were unstable in 4.1.0 and left out there.
            assert!(
                matches!(
                    key,
                    ApiKey::StreamsGroupHeartbeat | ApiKey::StreamsGroupDescribe
                ),
                "{key}"
            );
            continue;
        };
        assert_eq!(format!("{theirs:?}"), key.name());
        let versions = theirs.valid_versions();
        for version in versions.min..=versions.max {
            assert_eq!(
                key.request_header_version(version),
                theirs.request_header_version(version),
                "{key} v{version}"
            );
            assert_eq!(
                key.response_header_version(version),
                theirs.response_header_version(version),
                "{key} v{version}"
            );
        }
    }
}
