//! Forwarding to the active controller in an Envelope (KIP-590), and unpacking it there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_env::Env;
use broker_protocol::api::{EnvelopeRequest, EnvelopeResponse};
use broker_protocol::frame::{decode_response, encode_request};
use broker_protocol::header::peek;
use broker_protocol::{ApiKey, ErrorCode, Request};
use bytes::{BufMut, Bytes, BytesMut};

use super::{Api, CONTROLLER_APIS, RawRequest, controller_request};
use crate::connection::Answer;
use crate::controller_channel::ControllerChannel;

/// How long a request may look for an active controller.
const FORWARD_LIMIT: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(100);

/// Sends clients' requests on, each on a line of its own; lines are kept for the next.
pub struct Forwarder {
    env: Env,
    make_channel: Box<dyn Fn() -> ControllerChannel + Send + Sync>,
    idle: Mutex<Vec<ControllerChannel>>,
}

impl Forwarder {
    pub fn new(
        env: Env,
        make_channel: impl Fn() -> ControllerChannel + Send + Sync + 'static,
    ) -> Forwarder {
        Forwarder {
            env,
            make_channel: Box::new(make_channel),
            idle: Mutex::default(),
        }
    }

    /// Forwards a client's request and gives the controller's answer as it is.
    pub async fn forward(&self, request: RawRequest) -> Answer {
        match self.enveloped(request.frame).await {
            Some(response) => Answer::Frame(framed(&response)),
            None => Answer::Close(format!("no active controller answered {:?}", request.key)),
        }
    }

    /// Sends a request of this broker's own to the controller; `None` if there is no answer in time.
    pub async fn call<R: Request>(&self, request: &R, version: i16) -> Option<R::Response> {
        let mut frame = encode_request(request, version, 0, Some("broker"))
            .ok()?
            .freeze();
        let body = frame.split_off(4);
        let response = self.enveloped(body).await?;
        decode_response::<R>(response, version)
            .ok()
            .map(|(_, response)| response)
    }

    async fn enveloped(&self, frame: Bytes) -> Option<Bytes> {
        let envelope = EnvelopeRequest {
            request_data: frame,
            request_principal: Some(Bytes::new()),
            client_host_address: Bytes::from_static(&[127, 0, 0, 1]),
            ..Default::default()
        };
        let deadline = self.env.now() + FORWARD_LIMIT;
        let idle = self.idle.lock().expect("no panic under this lock").pop();
        let mut channel = idle.unwrap_or_else(|| (self.make_channel)());
        let mut answer = None;
        while answer.is_none() && self.env.now() < deadline {
            match channel.call(&envelope, 0, FORWARD_LIMIT).await {
                Ok(EnvelopeResponse {
                    error_code: 0,
                    response_data: Some(data),
                    ..
                }) => answer = Some(data),
                Ok(_) => channel.leadership_changed(RETRY).await,
                Err(error) => {
                    tracing::debug!(%error, "forwarding failed");
                    channel.leadership_changed(RETRY).await;
                }
            }
        }
        self.idle
            .lock()
            .expect("no panic under this lock")
            .push(channel);
        answer
    }
}

fn framed(response: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(4 + response.len());
    frame.put_i32(i32::try_from(response.len()).expect("an answer fits a frame"));
    frame.extend_from_slice(response);
    frame.freeze()
}

/// The controller's side: runs the request inside and wraps its answer.
pub async fn open_envelope(api: Arc<Api>, envelope: EnvelopeRequest) -> EnvelopeResponse {
    let failed = |code: ErrorCode| EnvelopeResponse {
        error_code: code.code(),
        response_data: None,
        ..Default::default()
    };
    if !api.quorum.status.get().active_here {
        return failed(ErrorCode::NotController);
    }
    let Ok(header) = peek(&envelope.request_data) else {
        return failed(ErrorCode::InvalidRequest);
    };
    let key = ApiKey::from_code(header.api_key)
        .filter(|key| *key != ApiKey::Envelope && CONTROLLER_APIS.contains(key));
    let Some(key) = key else {
        return failed(ErrorCode::InvalidRequest);
    };
    let request = RawRequest {
        key,
        version: header.api_version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        frame: envelope.request_data,
    };
    match controller_request(api.clone(), request).await {
        Answer::Frame(frame) => EnvelopeResponse {
            response_data: Some(frame.slice(4..)),
            ..Default::default()
        },
        Answer::Chunks(_) | Answer::Silent | Answer::Close(_) => failed(ErrorCode::InvalidRequest),
    }
}
