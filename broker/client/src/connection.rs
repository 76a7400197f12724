//! One connection: frames out, answers in by correlation id, several requests under way.
//!
//! Two tasks per connection, because a peer that waits for us to read must not be waited for. A request
//! that gets no answer in time ends the connection, and with it everything under way: its answer would
//! block all later ones.

mod state;

use std::sync::Arc;
use std::time::Duration;

use broker_env::time::timeout;
use broker_env::{Address, BoxConnection, Env, select};
use broker_protocol::api::{ApiVersionsRequest, ApiVersionsResponse};
use broker_protocol::frame::{decode_response, encode_request, take_frame};
use broker_protocol::{ErrorCode, Request, api_versions};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::error::CallError;
use state::{Expected, State};

/// Answers may be as large as a fetch answer with its limits raised.
const RESPONSE_BYTES_MAX: usize = 256 * 1024 * 1024;
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// The feature that decides how transactions are made.
const TRANSACTION_VERSION: &str = "transaction.version";

/// An open connection with negotiated versions; dropping it closes it.
pub(crate) struct Connection {
    env: Env,
    client_id: String,
    state: Arc<State>,
    /// By API key: what the broker takes.
    versions: Vec<(i16, i16, i16)>,
    /// Finalized level of `transaction.version` (KIP-890); 0 if the broker names none.
    transaction_version: i16,
}

impl Connection {
    /// Connects and negotiates; no time limit of its own.
    pub async fn open(
        env: Env,
        address: &Address,
        client_id: String,
    ) -> Result<Connection, CallError> {
        let stream = env.network.connect(address).await?;
        let state = Arc::new(State::default());
        start(&env, stream, &state);
        let mut connection = Connection {
            env,
            client_id,
            state,
            versions: Vec::new(),
            transaction_version: 0,
        };
        let negotiated = connection.negotiate().await?;
        let features = negotiated.finalized_features.iter();
        connection.transaction_version = features
            .filter(|feature| feature.name == TRANSACTION_VERSION)
            .map(|feature| feature.max_version_level)
            .next()
            .unwrap_or(0);
        let versions = negotiated.api_keys.iter();
        connection.versions = versions
            .map(|api| (api.api_key, api.min_version, api.max_version))
            .collect();
        Ok(connection)
    }

    pub fn transaction_version(&self) -> i16 {
        self.transaction_version
    }

    pub fn is_open(&self) -> bool {
        self.state.is_open()
    }

    /// Fails what is under way.
    pub fn close(&self) {
        self.state.close("closed by the client");
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// After any but `UnsupportedVersion` and `Encode` the connection is closed.
    pub async fn call<R: Request>(
        &self,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        self.call_up_to(request, i16::MAX, limit).await
    }

    /// As `call`, in no version above `max`.
    pub async fn call_up_to<R: Request>(
        &self,
        request: &R,
        max: i16,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        let version = self.version_of::<R>(max)?;
        let frame = self.exchange(request, version, limit).await?;
        decode_response::<R>(frame, version)
            .map(|(_, response)| response)
            .map_err(|error| {
                self.state.close(&format!("malformed answer: {error}"));
                CallError::Decode(error)
            })
    }

    /// Sends a request that is not answered (produce with acks=0); complete when it is written.
    pub async fn send<R: Request>(&self, request: &R, limit: Duration) -> Result<(), CallError> {
        let version = self.version_of::<R>(i16::MAX)?;
        let frame = |correlation_id| {
            encode_request(request, version, correlation_id, Some(&self.client_id))
        };
        let written = self.state.enqueue(frame, Expected::written)?;
        self.within(limit, written).await.map(drop)
    }

    async fn exchange<R: Request>(
        &self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> Result<Bytes, CallError> {
        let frame = |correlation_id| {
            encode_request(request, version, correlation_id, Some(&self.client_id))
        };
        let answer = self.state.enqueue(frame, Expected::answer)?;
        self.within(limit, answer).await
    }

    async fn within(&self, limit: Duration, answer: state::Answer) -> Result<Bytes, CallError> {
        match timeout(&self.env, limit, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_dropped)) => Err(CallError::Lost("client dropped".to_string())),
            Err(_) => {
                self.state.close("a request got no answer in time");
                Err(CallError::Timeout(limit))
            }
        }
    }

    /// The highest version both sides speak, up to `max`.
    fn version_of<R: Request>(&self, max: i16) -> Result<i16, CallError> {
        let unsupported = CallError::UnsupportedVersion {
            api: R::API_KEY.name(),
        };
        let ours = api_versions::range_of(api_versions::ListenerKind::Broker, R::API_KEY);
        let our_max = ours.map_or(R::MAX_VERSION, |range| range.max.min(R::MAX_VERSION));
        let our_max = our_max.min(max);
        let theirs = self
            .versions
            .iter()
            .find(|(key, ..)| *key == R::API_KEY.code());
        match theirs {
            Some(&(_, min, max)) if our_max.min(max) >= R::MIN_VERSION.max(min) => {
                Ok(our_max.min(max))
            }
            _ => Err(unsupported),
        }
    }

    /// A broker that does not know our version of ApiVersions answers in version 0, with what it knows.
    async fn negotiate(&self) -> Result<ApiVersionsResponse, CallError> {
        let request = ApiVersionsRequest {
            client_software_name: "trial".to_string(),
            client_software_version: env!("CARGO_PKG_VERSION").to_string(),
            ..Default::default()
        };
        // The whole of `open` has a limit.
        let limit = Duration::from_secs(3600);
        let mut version = ApiVersionsRequest::MAX_VERSION;
        loop {
            let frame = self.exchange(&request, version, limit).await?;
            let refused = is_unsupported(&frame);
            let (_, response) =
                decode_response::<ApiVersionsRequest>(frame, if refused { 0 } else { version })?;
            if refused && version > 0 {
                let known = response
                    .api_keys
                    .iter()
                    .find(|api| api.api_key == ApiVersionsRequest::API_KEY.code());
                version = known.map_or(0, |api| api.max_version.clamp(0, version - 1));
                continue;
            }
            return match ErrorCode::from_code_or_unknown(response.error_code) {
                ErrorCode::None => Ok(response),
                error => Err(CallError::Refused(error)),
            };
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// The error code follows the correlation id in every version.
fn is_unsupported(frame: &Bytes) -> bool {
    let mut fields = frame.clone();
    fields.len() >= 6 && {
        fields.advance(4);
        fields.get_i16() == ErrorCode::UnsupportedVersion.code()
    }
}

fn start(env: &Env, stream: BoxConnection, state: &Arc<State>) {
    let (reader, writer) = tokio::io::split(stream);
    let (for_reader, for_writer) = (state.clone(), state.clone());
    env.spawn("client reader", async move {
        let reason = select! {
            () = for_reader.reader_stop.notified() => return,
            reason = read(reader, &for_reader) => reason,
        };
        for_reader.close(&reason);
    });
    env.spawn("client writer", async move {
        let reason = select! {
            () = for_writer.writer_stop.notified() => return,
            reason = write(writer, &for_writer) => reason,
        };
        for_writer.close(&reason);
    });
}

/// Ends with the reason.
async fn read(mut reader: ReadHalf<BoxConnection>, state: &State) -> String {
    let mut buffer = BytesMut::with_capacity(READ_BUFFER_BYTES);
    loop {
        match take_frame(&mut buffer, RESPONSE_BYTES_MAX) {
            Ok(Some(frame)) => {
                if let Err(reason) = state.answered(frame) {
                    return reason;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => return error.to_string(),
        }
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return "closed by the broker".to_string(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// Ends with the reason.
async fn write(mut writer: WriteHalf<BoxConnection>, state: &State) -> String {
    loop {
        let Some(frame) = state.next_frame() else {
            if let Err(error) = writer.flush().await {
                return error.to_string();
            }
            state.flushed();
            state.queued.notified().await;
            continue;
        };
        if let Err(error) = writer.write_all(&frame).await {
            return error.to_string();
        }
    }
}
