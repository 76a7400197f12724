//! Hostile input: every request and response, at every version, on bytes that are cut, overwritten, random
//! or lie about lengths. Nothing may panic, and memory must stay a small factor of the input.

// A counting allocator cannot be written without unsafe code.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use broker_protocol::api::Request;
use broker_protocol::codec::arbitrary::{Arbitrary, Generator};
use broker_protocol::codec::{Decode, Encode, Reader, Writer};
use broker_protocol::{frame, header};
use bytes::Bytes;
use proptest::prelude::*;

/// Counts the bytes each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

fn account(freed: usize, allocated: usize) {
    let held = HELD.get().saturating_sub(freed) + allocated;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        account(0, layout.size());
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        account(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        account(layout.size(), size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Memory per byte of input. An element of an array has two bytes or more on the wire and at most a few
/// machine words per field in memory; a growing array may be twice as large as what it holds.
const FACTOR: usize = 48;
/// Errors, and what one structure needs.
const CONSTANT: usize = 4096;

fn peak_of(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

/// Decodes, checks the memory used, and returns whether it was a message.
fn attack<T: Decode>(input: &Bytes, version: i16) -> bool {
    let mut decoded = false;
    let peak = peak_of(|| decoded = T::decode(&mut Reader::new(input.clone()), version).is_ok());
    let limit = FACTOR * input.len() + CONSTANT;
    assert!(
        peak <= limit,
        "{} bytes of input took {peak} at v{version}: {input:02x?}",
        input.len()
    );
    decoded
}

fn valid<T: Encode + Arbitrary>(generator: &mut Generator, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    let message = T::arbitrary(generator, version);
    message
        .encode(&mut writer, version)
        .expect("arbitrary values exist at their version");
    writer.into_bytes().to_vec()
}

fn random_bytes(generator: &mut Generator) -> Bytes {
    let length = generator.below(120);
    (0..length).map(|_| random_byte(generator)).collect()
}

/// Small numbers and extremes are likelier to be lengths than others.
fn random_byte(generator: &mut Generator) -> u8 {
    const LIKELY: [u8; 6] = [0, 1, 2, 0x7f, 0x80, 0xff];
    match generator.below(12) {
        index @ 0..6 => LIKELY[index],
        _ => generator.next_u64().to_le_bytes()[0],
    }
}

fn attack_with_random<T: Encode + Decode + Arbitrary>(seed: u64, version: i16) {
    let mut generator = Generator::new(seed);
    attack::<T>(&random_bytes(&mut generator), version);
    let mut bytes = valid::<T>(&mut generator, version);
    for _ in 0..=generator.below(4) {
        let at = generator.below(bytes.len().max(1));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = random_byte(&mut generator);
        }
    }
    attack::<T>(&Bytes::from(bytes), version);
}

/// No proper prefix of a message is a message: every byte counts.
fn attack_with_prefixes<T: Encode + Decode + Arbitrary>(seed: u64, version: i16) {
    let bytes = Bytes::from(valid::<T>(&mut Generator::new(seed), version));
    for length in 0..bytes.len() {
        assert!(
            !attack::<T>(&bytes.slice(..length), version),
            "{length} of {} bytes",
            bytes.len()
        );
    }
}

/// Lengths that lie, at every offset: just too long, 2^31-1, negative, and the same in compact form. The
/// long run of zeros behind them is the cheapest input for real elements.
fn attack_with_lengths<T: Decode>(version: i16) {
    const LENGTHS: [&[u8]; 7] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0, 0, 0x0f, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0xff, 0x1f],
    ];
    for length in LENGTHS {
        for at in 0..48 {
            for tail in [0, 10, 4096] {
                let mut input = vec![0; at];
                input.extend_from_slice(length);
                input.resize(input.len() + tail, 0);
                attack::<T>(&Bytes::from(input), version);
            }
        }
    }
}

macro_rules! hostile {
    ($($key:ident $request:ident;)*) => {
        $(#[allow(non_snake_case)]
        mod $key {
            use super::*;

            type Input = broker_protocol::api::$request;
            type Output = <Input as Request>::Response;

            proptest! {
                #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
                #[test]
                fn random_bytes_are_survived(seed: u64) {
                    for version in Input::MIN_VERSION..=Input::MAX_VERSION {
                        for round in 0..8 {
                            attack_with_random::<Input>(seed.wrapping_add(round), version);
                            attack_with_random::<Output>(seed.wrapping_add(round), version);
                        }
                    }
                }
            }

            #[test]
            fn prefixes_are_refused() {
                for version in Input::MIN_VERSION..=Input::MAX_VERSION {
                    for seed in 0..4 {
                        attack_with_prefixes::<Input>(seed, version);
                        attack_with_prefixes::<Output>(seed, version);
                    }
                }
            }

            #[test]
            fn lying_lengths_are_refused() {
                for version in Input::MIN_VERSION..=Input::MAX_VERSION {
                    attack_with_lengths::<Input>(version);
                    attack_with_lengths::<Output>(version);
                }
            }

            #[test]
            fn other_versions_are_refused() {
                for version in [i16::MIN, -1, Input::MIN_VERSION - 1, Input::MAX_VERSION + 1, i16::MAX] {
                    assert!(!attack::<Input>(&Bytes::from_static(&[0; 200]), version));
                    assert!(!attack::<Output>(&Bytes::from_static(&[0; 200]), version));
                }
            }
        })*
    };
}

broker_protocol::for_each_api!(hostile);

proptest! {
    #[test]
    fn headers_survive_random_bytes(seed: u64) {
        let mut generator = Generator::new(seed);
        let input = random_bytes(&mut generator);
        for version in -1..=3 {
            attack::<header::RequestHeader>(&input, version);
            attack::<header::ResponseHeader>(&input, version);
        }
        prop_assert_eq!(header::peek(&input).is_ok(), input.len() >= 8);
    }

    #[test]
    fn frames_survive_random_bytes(bytes: Vec<u8>) {
        let mut buffer = bytes::BytesMut::from(bytes.as_slice());
        while let Ok(Some(frame)) = frame::take_frame(&mut buffer, 1000) {
            prop_assert!(frame.len() <= 1000);
        }
    }
}
