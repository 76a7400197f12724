//! TCP without Nagle's delay.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use crate::{Address, BoxConnection, BoxFuture, Listener, Network, NetworkError};

pub(super) struct TcpNetwork;

impl Network for TcpNetwork {
    fn listen(
        &self,
        address: &Address,
    ) -> BoxFuture<'static, Result<Box<dyn Listener>, NetworkError>> {
        let address = address.clone();
        Box::pin(async move {
            let bound = bind(&address).await;
            bound.map_err(|error| NetworkError::Listen {
                address,
                reason: error.to_string(),
            })
        })
    }

    fn connect(
        &self,
        address: &Address,
    ) -> BoxFuture<'static, Result<BoxConnection, NetworkError>> {
        let address = address.clone();
        Box::pin(async move {
            let connected = open(&address).await;
            connected.map_err(|error| NetworkError::Connect {
                address,
                reason: error.to_string(),
            })
        })
    }
}

/// Connections that may wait to be accepted; the system's own limit (`net.core.somaxconn`) cuts it. When all
/// clients come back at once, each one over it waits a second or more to try again.
const BACKLOG: u32 = 4096;

async fn bind(address: &Address) -> io::Result<Box<dyn Listener>> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for resolved in lookup_host((address.host.as_str(), address.port)).await? {
        match listen_on(resolved) {
            Ok(listener) => {
                let port = listener.local_addr()?.port();
                let address = Address::new(address.host.clone(), port);
                return Ok(Box::new(BoundListener { listener, address }));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restarted broker must not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn open(address: &Address) -> io::Result<BoxConnection> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

struct BoundListener {
    listener: TcpListener,
    address: Address,
}

impl Listener for BoundListener {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, Result<(BoxConnection, String), NetworkError>> {
        Box::pin(async move {
            let accepted = self.listener.accept().await;
            let (stream, peer) = accepted.map_err(|error| NetworkError::Accept {
                reason: error.to_string(),
            })?;
            // Fails only if the peer is gone already, which the first read will tell.
            let _peer_gone = stream.set_nodelay(true);
            let connection: BoxConnection = Box::new(stream);
            Ok((connection, peer.to_string()))
        })
    }
}
