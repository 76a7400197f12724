//! Typed rules on a toy protocol: byte 0 is the API key, byte 1 the epoch.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use sim_faults::{
    Direction, FrameAction, FrameClassifier, FrameInfo, FrameRule, FrameRules, FrameTap,
};

use crate::support::rng;

#[derive(Default)]
struct Toy {
    seen: Mutex<u64>,
}

impl FrameClassifier for Toy {
    fn classify(&self, _: u64, _: Direction, frame: &[u8]) -> Option<FrameInfo> {
        *self.seen.lock().unwrap() += 1;
        let epoch = frame.get(1).map(|&byte| i32::from(byte));
        Some(FrameInfo {
            api_key: i16::from(*frame.first()?),
            epoch,
            ..FrameInfo::default()
        })
    }

    fn closed(&self, _: u64) {}
}

fn rules() -> FrameRules {
    FrameRules::new(Arc::new(Toy::default()))
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn only_the_nth_frame_of_the_api_and_epoch_is_caught() {
    let mut rules = rules();
    let rule = FrameRule {
        epochs: Some((3, 5)),
        nth: Some(2),
        from: Some("node1".into()),
        ..FrameRule::each(26, Direction::Request, FrameAction::DropConnection)
    };
    rules.inject(&rule);
    let mut tap = FrameTap::new(1, "node1", "node2", Direction::Request);
    let bodies: [&[u8]; 5] = [&[26, 2], &[26, 3], &[1, 4], &[26, 5], &[26, 5]];
    let bytes: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
    let out = tap.push(&bytes, &mut rules, &mut rng(1));
    let actions: Vec<bool> = out.iter().map(|tapped| tapped.action.is_some()).collect();
    assert_eq!(actions, [false, false, false, true, false]);
    assert_eq!(out[3].leaves_at(7), None);
    let mut answers = FrameTap::new(1, "node2", "node1", Direction::Response);
    assert_eq!(
        answers.push(&frame(&[26, 4]), &mut rules, &mut rng(1))[0].action,
        None
    );
    assert_eq!(rules.fault_counts()["frame-drop-connection"], 1);
    assert!(rules.heal(&rule) && !rules.is_active());
}

#[test]
fn delays_and_holds_say_when_the_frame_leaves() {
    let mut rules = rules();
    rules.inject(&FrameRule::each(
        0,
        Direction::Request,
        FrameAction::Delay(Duration::from_millis(5)),
    ));
    rules.inject(&FrameRule::each(
        1,
        Direction::Request,
        FrameAction::HoldUntil(Duration::from_secs(2)),
    ));
    let mut tap = FrameTap::new(1, "client1", "node1", Direction::Request);
    let mut leaves =
        |body: &[u8], now| tap.push(&frame(body), &mut rules, &mut rng(1))[0].leaves_at(now);
    assert_eq!(leaves(&[0], 1_000), Some(5_001_000));
    assert_eq!(leaves(&[1], 1_000), Some(2_000_000_000));
    assert_eq!(leaves(&[1], 3_000_000_000), Some(3_000_000_000));
    assert_eq!(leaves(&[2], 1_000), Some(1_000));
}

#[test]
fn what_is_no_kafka_passes_as_it_is() {
    let mut rules = rules();
    let mut tap = FrameTap::new(1, "client1", "node1", Direction::Request);
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1];
    let out = tap.push(&hello, &mut rules, &mut rng(1));
    assert_eq!(out[0].bytes[..], hello);
    assert_eq!(
        tap.push(b"more", &mut rules, &mut rng(1))[0].bytes[..],
        *b"more"
    );
}

proptest! {
    /// However the bytes come in, they leave unchanged and in order, whole frames at a time.
    #[test]
    fn a_tap_changes_no_bytes(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..10),
                              cuts in prop::collection::vec(1..20usize, 1..60)) {
        let bytes: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        let mut rules = rules();
        let mut tap = FrameTap::new(1, "client1", "node1", Direction::Request);
        let mut out = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            rest = after;
            for tapped in tap.push(piece, &mut rules, &mut rng(1)) {
                prop_assert_eq!(&tapped.bytes[..], &frame(&tapped.bytes[4..])[..]);
                out.extend_from_slice(&tapped.bytes);
            }
        }
        out.extend_from_slice(&tap.finish());
        out.extend_from_slice(rest);
        prop_assert_eq!(out, bytes);
    }
}
