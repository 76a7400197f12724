//! A connection to another node: one request at a time, each with a time limit.
//!
//! What needs two things under way at once uses two peers. Any failure drops the connection, so that a
//! late answer can never be taken for the next one.

use std::time::Duration;

use broker_env::time::timeout;
use broker_env::{Address, BoxConnection, Env, NetworkError};
use broker_protocol::Request;
use broker_protocol::codec::{DecodeError, EncodeError};
use broker_protocol::frame::{FrameError, decode_response, encode_request, take_frame};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers of peers may be as large as a fetch response with its limits raised.
const RESPONSE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why a call has no answer. The request may have been carried out unless it is `Connect` or `Encode`.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Connect(#[from] NetworkError),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("connection lost: {0}")]
    Lost(#[from] std::io::Error),
    #[error("connection closed by the peer")]
    Closed,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("answer to request {received} while waiting for {expected}")]
    Correlation { expected: i32, received: i32 },
}

/// The other end of inter-node requests.
pub struct Peer {
    env: Env,
    address: Address,
    client_id: String,
    connection: Option<BoxConnection>,
    buffer: BytesMut,
    correlation_id: i32,
}

impl Peer {
    pub fn new(env: Env, address: Address, client_id: String) -> Peer {
        Peer {
            env,
            address,
            client_id,
            connection: None,
            buffer: BytesMut::new(),
            correlation_id: 0,
        }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request and waits for its answer, connecting first if need be.
    ///
    /// # Errors
    /// See [`CallError`]; the connection is dropped.
    pub async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        let env = self.env.clone();
        let result = match timeout(&env, limit, self.call_unlimited(request, version)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Timeout(limit)),
        };
        if result.is_err() {
            self.disconnect();
        }
        result
    }

    pub fn disconnect(&mut self) {
        self.connection = None;
        self.buffer.clear();
    }

    async fn call_unlimited<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, CallError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let expected = self.correlation_id;
        let frame = encode_request(request, version, expected, Some(&self.client_id))?;
        if self.connection.is_none() {
            self.buffer.clear();
            self.connection = Some(self.env.network.connect(&self.address).await?);
        }
        let connection = self.connection.as_mut().expect("connected above");
        connection.write_all(&frame).await?;
        connection.flush().await?;
        let frame = read_frame(connection, &mut self.buffer).await?;
        let (header, response) = decode_response::<R>(frame, version)?;
        if header.correlation_id != expected {
            return Err(CallError::Correlation {
                expected,
                received: header.correlation_id,
            });
        }
        Ok(response)
    }
}

async fn read_frame(
    connection: &mut BoxConnection,
    buffer: &mut BytesMut,
) -> Result<Bytes, CallError> {
    loop {
        if let Some(frame) = take_frame(buffer, RESPONSE_BYTES_MAX)? {
            return Ok(frame);
        }
        if connection.read_buf(buffer).await? == 0 {
            return Err(CallError::Closed);
        }
    }
}
