//! TCP without Nagle's delay.

use std::io;

use tokio::net::{TcpListener, TcpStream};

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

async fn bind(address: &Address) -> io::Result<Box<dyn Listener>> {
    let listener = TcpListener::bind((address.host.as_str(), address.port)).await?;
    let port = listener.local_addr()?.port();
    Ok(Box::new(BoundListener {
        listener,
        address: Address::new(address.host.clone(), port),
    }))
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
