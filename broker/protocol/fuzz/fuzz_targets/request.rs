//! A frame without its size prefix, as a server gets it: the header decides which request follows. What
//! decodes must survive another round trip.
//! Run: `cargo +nightly fuzz run request` in `broker/protocol`.

#![no_main]

use broker_protocol::api::{self, Request};
use broker_protocol::codec::{Decode, Encode, Reader, Writer};
use broker_protocol::{frame, header};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// A request, and the bytes behind the header as its response.
fn request_and_response<R: Request>(frame: &Bytes, version: i16) {
    if let Ok((_, request)) = frame::decode_request::<R>(frame.clone(), version) {
        round_trip(&request, version);
    }
    let mut reader = Reader::new(frame.slice(8..));
    if let Ok(response) = R::Response::decode(&mut reader, version) {
        round_trip(&response, version);
    }
}

fn round_trip<T: Encode + Decode + PartialEq + std::fmt::Debug>(message: &T, version: i16) {
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .expect("what was read can be written");
    let mut reader = Reader::new(writer.into_bytes().freeze());
    let again = T::decode(&mut reader, version).expect("what was written can be read");
    assert_eq!(&again, message);
    assert_eq!(reader.remaining(), 0);
}

macro_rules! dispatch {
    ($($key:ident $request:ident;)*) => {
        fn dispatch(key: broker_protocol::ApiKey, frame: &Bytes, version: i16) {
            match key {
                $(broker_protocol::ApiKey::$key => {
                    request_and_response::<api::$request>(frame, version);
                })*
                _ => {}
            }
        }
    };
}
broker_protocol::for_each_api!(dispatch);

fuzz_target!(|data: &[u8]| {
    let frame = Bytes::copy_from_slice(data);
    let Ok(peek) = header::peek(&frame) else {
        return;
    };
    if let Some(key) = broker_protocol::ApiKey::from_code(peek.api_key) {
        dispatch(key, &frame, peek.api_version);
    }
});
