//! Malformed frames and impolite connections. Whatever comes, a good client is served as before, and nothing
//! acknowledged is lost.

mod support;

use std::time::{Duration, Instant};

use broker_protocol::api as wire;
use broker_protocol::codec::arbitrary::Generator;
use broker_protocol::frame::{decode_response, encode_request};
use broker_protocol::{ApiKey, ErrorCode};
use support::code;
use support::good::Good;
use support::node::Node;
use support::wire::{Answer, Wire, batch, fetch_request, produce_request};

const SOON: Duration = Duration::from_secs(10);

/// A request header: key, version, correlation id 1, null client id.
fn header(key: i16, version: i16) -> Vec<u8> {
    [
        &key.to_be_bytes()[..],
        &version.to_be_bytes(),
        &1_i32.to_be_bytes(),
        &(-1_i16).to_be_bytes(),
    ]
    .concat()
}

#[test]
fn wrong_frame_sizes_end_the_connection_and_nothing_else() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    for size in [-1, i32::MIN, i32::MAX, 104_857_601] {
        let mut wire = node.connect();
        wire.send(&size.to_be_bytes());
        assert_eq!(wire.answer(SOON), Answer::Closed, "size {size}");
    }
    good.check(&mut node);
}

#[test]
fn frames_too_short_for_a_header_end_the_connection() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let whole = header(ApiKey::Metadata.code(), 5);
    for length in 0..whole.len() {
        let mut wire = node.connect();
        wire.send_frame(&whole[..length]);
        assert_eq!(
            wire.answer(SOON),
            Answer::Closed,
            "{length} bytes of a header"
        );
    }
    good.check(&mut node);
}

/// Each request cut at every byte, and with a byte too many.
#[test]
fn cut_and_padded_requests_end_the_connection() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let produce = encode_request(
        &produce_request("good", 0, -1, batch(&["never"])),
        9,
        1,
        Some("test"),
    );
    let fetch = encode_request(&fetch_request("good", &[(0, 0)], 0), 12, 1, Some("test"));
    for frame in [produce.expect("valid"), fetch.expect("valid")] {
        let body = &frame[4..];
        for length in (8..body.len()).step_by(3) {
            let mut wire = node.connect();
            wire.send_frame(&body[..length]);
            assert_eq!(
                wire.answer(SOON),
                Answer::Closed,
                "{length} of {} bytes",
                body.len()
            );
        }
        let mut wire = node.connect();
        wire.send_frame(&[body, &[0]].concat());
        assert_eq!(wire.answer(SOON), Answer::Closed, "a byte too many");
    }
    good.check(&mut node);
}

#[test]
fn random_bytes_do_no_harm() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut generator = Generator::new(11);
    for round in 0..300 {
        let mut bytes: Vec<u8> = (0..generator.below(600))
            .map(|_| generator.next_u64().to_le_bytes()[0])
            .collect();
        let mut wire = node.connect();
        if round % 3 == 0 {
            wire.send(&bytes);
        } else {
            // Past the first look: a real key and version, then anything.
            let key = ApiKey::ALL[generator.below(ApiKey::ALL.len())];
            let version = i16::try_from(generator.below(14)).expect("small");
            bytes.splice(0..0, header(key.code(), version));
            wire.send_frame(&bytes);
        }
        if round % 50 == 0 {
            node.assert_alive();
        }
    }
    good.check(&mut node);
}

#[test]
fn unknown_and_unserved_api_keys_end_the_connection() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    // 17: SASL is not configured. 52: a vote belongs on the controller's listener. 58: so does an envelope.
    for key in [-1, 4, 17, 52, 58, 93, 1000, i16::MAX, i16::MIN] {
        let mut wire = node.connect();
        wire.send_frame(&header(key, 0));
        assert_eq!(wire.answer(SOON), Answer::Closed, "key {key}");
    }
    good.check(&mut node);
}

#[test]
fn unsupported_versions_end_the_connection() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let advertised = node
        .connect()
        .call(&wire::ApiVersionsRequest::default(), 0)
        .api_keys;
    for api in advertised
        .iter()
        .filter(|api| api.api_key != ApiKey::ApiVersions.code())
    {
        for version in [api.min_version - 1, api.max_version + 1, i16::MAX, i16::MIN] {
            let mut wire = node.connect();
            wire.send_frame(&header(api.api_key, version));
            assert_eq!(
                wire.answer(SOON),
                Answer::Closed,
                "key {} version {version}",
                api.api_key
            );
        }
    }
    good.check(&mut node);
}

/// KIP-511: a newer client learns from version 0 what it may use, and goes on with the same connection.
#[test]
fn api_versions_of_any_version_is_answered() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    for version in [5, 99, i16::MAX] {
        let mut wire = node.connect();
        wire.send_frame(&[header(ApiKey::ApiVersions.code(), version), vec![9; 20]].concat());
        let Answer::Frame(frame) = wire.answer(SOON) else {
            panic!("no answer to v{version}")
        };
        let (header, response) =
            decode_response::<wire::ApiVersionsRequest>(frame, 0).expect("a v0 answer");
        assert_eq!(header.correlation_id, 1);
        assert_eq!(response.error_code, code(ErrorCode::UnsupportedVersion));
        let own = response
            .api_keys
            .iter()
            .find(|api| api.api_key == ApiKey::ApiVersions.code());
        assert_eq!(
            own.map(|api| (api.min_version, api.max_version)),
            Some((0, 4))
        );
        assert_eq!(
            wire.call(&wire::ApiVersionsRequest::default(), 0)
                .error_code,
            0
        );
    }
    good.check(&mut node);
}

#[test]
fn a_client_that_has_stopped_sending_still_gets_its_answers() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut wire = node.connect();
    wire.send_request(
        &wire::MetadataRequest {
            topics: None,
            ..Default::default()
        },
        12,
    );
    wire.end_of_requests();
    let metadata = wire
        .response::<wire::MetadataRequest>(12)
        .expect("an answer");
    assert_eq!(metadata.topics.len(), 1);
    assert_eq!(wire.answer(SOON), Answer::Closed);

    // A fetch that waits, too: half a second, then an empty answer.
    let mut wire = node.connect();
    wire.send_request(&fetch_request("good", &[(0, good.end())], 500), 12);
    wire.end_of_requests();
    let asked = Instant::now();
    let fetched = wire.response::<wire::FetchRequest>(12).expect("an answer");
    assert!(
        asked.elapsed() >= Duration::from_millis(400),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(fetched.responses[0].partitions[0].error_code, 0);
    good.check(&mut node);
}

#[test]
fn a_frame_in_small_pieces_is_served_and_holds_nobody_back() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut slow = node.connect();
    let frame =
        encode_request(&wire::ApiVersionsRequest::default(), 0, 0, Some("slow")).expect("valid");
    for byte in frame.iter() {
        slow.send(&[*byte]);
        good.write(&node, 1);
    }
    let response = slow
        .response::<wire::ApiVersionsRequest>(0)
        .expect("an answer");
    assert_eq!(response.error_code, 0);
    good.check(&mut node);
}

/// What is declared is not allocated: 200 frames of 100 MB would be 20 GB.
#[test]
fn declared_sizes_cost_no_memory() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let before = node.resident();
    let declared = 104_857_600_i32.to_be_bytes();
    let loris: Vec<Wire> = (0..200)
        .map(|_| {
            let mut wire = node.connect();
            wire.send(
                &[
                    &declared[..],
                    &header(ApiKey::Produce.code(), 9),
                    &[0; 1000],
                ]
                .concat(),
            );
            wire
        })
        .collect();
    good.check(&mut node);
    let grown = node.resident().saturating_sub(before);
    assert!(grown < 20_000_000, "grew by {grown} bytes");
    drop(loris);
    good.check(&mut node);
}

/// Lengths inside of a request, too.
#[test]
fn declared_counts_cost_no_memory() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let before = node.resident();
    for version in [1, 12] {
        // Metadata with 2^31 - 1 topics: an array length, plain and compact.
        let mut frame = header(ApiKey::Metadata.code(), version);
        frame.extend(if version < 9 {
            vec![0x7f, 0xff, 0xff, 0xff]
        } else {
            vec![0, 0xff, 0xff, 0xff, 0xff, 0x07]
        });
        for _ in 0..20 {
            let mut wire = node.connect();
            wire.send_frame(&frame);
            assert_eq!(wire.answer(SOON), Answer::Closed, "v{version}");
        }
    }
    let grown = node.resident().saturating_sub(before);
    assert!(grown < 20_000_000, "grew by {grown} bytes");
    good.check(&mut node);
}

/// Answers nobody reads must not pile up without limit, nor hold others back.
#[test]
fn a_client_that_does_not_read_is_held_back_alone() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let before = node.resident();
    let value = vec![b'x'; 500_000];
    node.connect().create_topic("large", 1, &[]);
    for _ in 0..4 {
        assert_eq!(
            node.connect()
                .produce("large", 0, 1, batch(&[&value]))
                .error_code,
            0
        );
    }
    let mut deaf = node.connect();
    let request = fetch_request("large", &[(0, 0)], 0);
    for _ in 0..500 {
        deaf.send_request(&request, 12);
    }
    good.check(&mut node);
    let grown = node.resident().saturating_sub(before);
    assert!(
        grown < 200_000_000,
        "500 answers of 1 MB that nobody reads cost {grown} bytes"
    );
    drop(deaf);
    good.check(&mut node);
}

/// Requests of one connection are answered in their order, whatever each waits for.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut wire = node.connect();
    wire.send_request(&fetch_request("good", &[(0, good.end())], 300), 12);
    for _ in 0..50 {
        wire.send_request(&wire::ApiVersionsRequest::default(), 0);
    }
    for expected in 1..=51_i32 {
        let Answer::Frame(frame) = wire.answer(SOON) else {
            panic!("no answer {expected}")
        };
        assert_eq!(frame[..4], expected.to_be_bytes());
    }
    good.check(&mut node);
}
