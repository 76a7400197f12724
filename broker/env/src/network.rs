//! Byte-stream connections: tokio's `AsyncRead + AsyncWrite`, so TLS and codecs work on them unchanged.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::BoxFuture;

/// Where to listen or connect. Host is a name or an address; in simulation it is the node's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    pub fn new(host: impl Into<String>, port: u16) -> Address {
        Address {
            host: host.into(),
            port,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// A reliable ordered byte stream. Reads and writes may be short. **Flush after each frame**: an
/// implementation may hold written bytes until then. `shutdown` sends end-of-stream to the peer while
/// this side can still read. Dropping closes both directions.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

pub type BoxConnection = Box<dyn Connection>;

/// Why a network call failed. Errors on an open connection are `std::io::Error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: Address, reason: String },
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: Address, reason: String },
    #[error("listener failed: {reason}")]
    Accept { reason: String },
}

/// Accepts connections; dropping it closes the port.
pub trait Listener: Send {
    /// The address bound, with the real port if port 0 was asked for.
    fn address(&self) -> Address;
    /// The next connection and a printable peer address.
    fn accept(&mut self) -> BoxFuture<'_, Result<(BoxConnection, String), NetworkError>>;
}

/// A node's network.
pub trait Network: Send + Sync {
    fn listen(
        &self,
        address: &Address,
    ) -> BoxFuture<'static, Result<Box<dyn Listener>, NetworkError>>;
    /// Never completes on a silent network: give every connect a timeout.
    fn connect(&self, address: &Address)
    -> BoxFuture<'static, Result<BoxConnection, NetworkError>>;
}
