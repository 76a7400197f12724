//! Every version of every API that a listener advertises is served: a valid request is answered, the answer
//! decodes without a byte too many, and says no error where none is due. Then any well-formed request at all.

#[path = "versions/requests.rs"]
mod requests;
mod support;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use broker_protocol::api as wire;
use broker_protocol::api_versions::MIN_PRODUCE_VERSION;
use broker_protocol::codec::arbitrary::{Arbitrary, Generator};
use broker_protocol::frame::decode_response;
use broker_protocol::ids::Uuid;
use broker_protocol::{ApiKey, ErrorCode, Request, for_each_api};
use requests::{Case, Valid};
use support::good::Good;
use support::node::Node;
use support::wire::{Answer, Wire};

const TOPIC: &str = "served";

/// Sends the valid request; on the broker's listener its errors count too.
fn exercise<R: Valid>(wire: &mut Wire, case: &Case, judged: bool) -> Result<(), String>
where
    R::Response: Debug,
{
    let response = wire.try_call(&R::valid(case), case.version)?;
    let errors: Vec<ErrorCode> = R::codes(&response)
        .into_iter()
        .map(ErrorCode::from_code_or_unknown)
        .filter(|code| code.is_error())
        .collect();
    match errors.as_slice() {
        [..] if !judged => Ok(()),
        [] => Ok(()),
        errors => Err(format!(
            "{} v{}: {errors:?} in {response:?}",
            R::API_KEY,
            case.version
        )),
    }
}

macro_rules! dispatch {
    ($($key:ident $request:ident;)*) => {
        fn exercise_api(key: ApiKey, wire: &mut Wire, case: &Case, judged: bool) -> Result<(), String> {
            match key {
                $(ApiKey::$key => exercise::<wire::$request>(wire, case, judged),)*
                other => Err(format!("{other} is advertised, but its messages are not in the protocol crate")),
            }
        }

        fn send_anything(key: ApiKey, wire: &mut Wire, version: i16, generator: &mut Generator) -> Result<(), String> {
            match key {
                $(ApiKey::$key => anything::<wire::$request>(wire, version, generator),)*
                other => Err(format!("{other} is advertised, but its messages are not in the protocol crate")),
            }
        }
    };
}
for_each_api!(dispatch);

fn advertised(wire: &mut Wire) -> Vec<wire::ApiVersion> {
    let response = wire.call(&wire::ApiVersionsRequest::default(), 0);
    assert_eq!(response.error_code, 0);
    response.api_keys
}

fn each_advertised_version(port: u16, topic_id: &Uuid, judged: bool) -> usize {
    let (mut served, mut wrong) = (0, Vec::new());
    for api in advertised(&mut Wire::connect(port)) {
        let key = ApiKey::from_code(api.api_key).expect("a key of Kafka 4.1");
        for version in api.min_version..=api.max_version {
            if key == ApiKey::Produce && version < MIN_PRODUCE_VERSION {
                continue;
            }
            let case = Case { version, topic_id };
            match exercise_api(key, &mut Wire::connect(port), &case, judged) {
                Ok(()) => served += 1,
                Err(error) => wrong.push(error),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    served
}

#[test]
fn every_advertised_version_gets_a_well_formed_answer_without_error() {
    let mut node = Node::start("");
    let topic_id = node.connect().create_topic(TOPIC, 1, &[]);
    let mut good = Good::start(&node);
    let served = each_advertised_version(node.port, &topic_id, true);
    assert!(served > 60, "only {served} versions");
    good.check(&mut node);
}

#[test]
fn every_version_a_controller_advertises_gets_a_well_formed_answer() {
    let mut node = Node::start("");
    let topic_id = node.connect().create_topic(TOPIC, 1, &[]);
    let mut good = Good::start(&node);
    let served = each_advertised_version(node.controller_port, &topic_id, false);
    assert!(served > 40, "only {served} versions");
    good.check(&mut node);
}

#[test]
fn what_is_advertised_is_in_order_and_once() {
    let node = Node::start("");
    for port in [node.port, node.controller_port] {
        let keys: Vec<i16> = advertised(&mut Wire::connect(port))
            .iter()
            .map(|api| api.api_key)
            .collect();
        let sorted: BTreeSet<i16> = keys.iter().copied().collect();
        assert_eq!(keys, Vec::from_iter(sorted));
    }
}

#[test]
fn produce_below_3_is_advertised_for_librdkafka_and_refused() {
    let node = Node::start("");
    for version in 0..MIN_PRODUCE_VERSION {
        let mut wire = node.connect();
        // Key, version, correlation id, null client id, acks, timeout, no topics.
        let frame = [
            &[0, 0, 0],
            &[u8::try_from(version).expect("small")][..],
            &[0, 0, 0, 1, 0xff, 0xff, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0],
        ]
        .concat();
        wire.send_frame(&frame);
        assert_eq!(
            wire.answer(Duration::from_secs(5)),
            Answer::Closed,
            "v{version}"
        );
    }
}

/// Long enough for an answer, short enough for those that have none: acks=0, a fetch that waits.
const ANSWER_LIMIT: Duration = Duration::from_millis(150);

fn anything<R: Request + Arbitrary>(
    wire: &mut Wire,
    version: i16,
    generator: &mut Generator,
) -> Result<(), String> {
    wire.send_request(&R::arbitrary(generator, version), version);
    match wire.answer(ANSWER_LIMIT) {
        Answer::Frame(frame) => match decode_response::<R>(frame, version) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{} v{version}: {error}", R::API_KEY)),
        },
        Answer::Closed | Answer::Nothing => Ok(()),
    }
}

/// Hostile to itself, not to the quorum: only what clients may send.
#[test]
fn any_well_formed_request_leaves_the_broker_well() {
    let mut node = Node::start("auto.create.topics.enable=false");
    let mut good = Good::start(&node);
    let mut generator = Generator::new(7);
    let mut wrong = Vec::new();
    for api in advertised(&mut node.connect()) {
        let key = ApiKey::from_code(api.api_key).expect("a key of Kafka 4.1");
        let first = if key == ApiKey::Produce {
            MIN_PRODUCE_VERSION
        } else {
            api.min_version
        };
        for version in first..=api.max_version {
            for _ in 0..4 {
                let mut wire = node.connect();
                wrong.extend(send_anything(key, &mut wire, version, &mut generator).err());
            }
        }
        node.assert_alive();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    good.check(&mut node);
}
