//! Listening and connecting.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use broker_env::{Address, BoxConnection, BoxFuture, Listener, Network, NetworkError};
use sim_faults::Direction;

use super::connection::{Connection, Handshake, Side, SideState};
use super::stream::Stream;
use super::{Port, courier};
use crate::state::{Shared, State};

/// The network as one incarnation of a node sees it.
pub(crate) struct HostNetwork {
    pub(crate) shared: Arc<Shared>,
    pub(crate) host: u32,
    pub(crate) incarnation: u32,
}

impl Network for HostNetwork {
    fn listen(
        &self,
        address: &Address,
    ) -> BoxFuture<'static, Result<Box<dyn Listener>, NetworkError>> {
        let result = self.bind(address);
        Box::pin(std::future::ready(result))
    }

    fn connect(
        &self,
        address: &Address,
    ) -> BoxFuture<'static, Result<BoxConnection, NetworkError>> {
        let connecting = self.start(address);
        let address = address.clone();
        Box::pin(async move {
            let mut connecting = connecting?;
            poll_fn(move |context| connecting.poll(context, &address)).await
        })
    }
}

impl HostNetwork {
    fn bind(&self, address: &Address) -> Result<Box<dyn Listener>, NetworkError> {
        let mut state = self.shared.lock();
        let (port, serial) = state.bind(self.host, self.incarnation, address)?;
        Ok(Box::new(Listening {
            shared: self.shared.clone(),
            host: self.host,
            port,
            serial,
            address: Address::new(address.host.clone(), port),
        }))
    }

    fn start(&self, address: &Address) -> Result<Connecting, NetworkError> {
        let mut state = self.shared.lock();
        let number = state.start_connect(self.host, self.incarnation, address)?;
        let carry = courier::carry(self.shared.clone(), self.host, number, 0, None);
        state.machines[crate::index(self.host)].push(Box::pin(carry));
        Ok(Connecting {
            shared: self.shared.clone(),
            number: Some(number),
        })
    }
}

/// A bound port.
struct Listening {
    shared: Arc<Shared>,
    host: u32,
    port: u16,
    serial: u64,
    address: Address,
}

impl Listener for Listening {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, Result<(BoxConnection, String), NetworkError>> {
        Box::pin(poll_fn(|context| self.poll_accept(context)))
    }
}

impl Listening {
    fn poll_accept(
        &self,
        context: &Context<'_>,
    ) -> Poll<Result<(BoxConnection, String), NetworkError>> {
        let mut state = self.shared.lock();
        let port = state
            .network
            .ports
            .get_mut(&(self.host, self.port))
            .filter(|port| port.serial == self.serial);
        let Some(port) = port else {
            return Poll::Ready(Err(NetworkError::Accept {
                reason: "the process is gone".into(),
            }));
        };
        let Some(number) = port.backlog.pop_front() else {
            port.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let peer = state.peer_name(number);
        drop(state);
        let stream = Stream {
            shared: self.shared.clone(),
            number,
            side: 1,
        };
        Poll::Ready(Ok((Box::new(stream), peer)))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shared.lock().unbind(self.host, self.port, self.serial);
    }
}

/// A connect in progress; dropping it gives up.
struct Connecting {
    shared: Arc<Shared>,
    number: Option<u64>,
}

impl Connecting {
    fn poll(
        &mut self,
        context: &Context<'_>,
        address: &Address,
    ) -> Poll<Result<BoxConnection, NetworkError>> {
        let number = self.number.expect("polled after completion");
        let mut state = self.shared.lock();
        let Some(connection) = state.network.get(number) else {
            return Poll::Pending;
        };
        match (connection.sides[0].state, connection.handshake) {
            // The process is dead; what still holds this future will be dropped.
            (SideState::Gone | SideState::Absent, _) => Poll::Pending,
            (SideState::Open, Handshake::Connecting) => {
                connection.connector = Some(context.waker().clone());
                Poll::Pending
            }
            (SideState::Open, Handshake::Established) => {
                self.number = None;
                drop(state);
                Poll::Ready(Ok(Box::new(Stream {
                    shared: self.shared.clone(),
                    number,
                    side: 0,
                })))
            }
            (SideState::Reset, _) => Poll::Ready(Err(refused(address, "connection reset"))),
            (SideState::Open, Handshake::Refused) => {
                Poll::Ready(Err(refused(address, "connection refused")))
            }
        }
    }
}

fn refused(address: &Address, reason: &str) -> NetworkError {
    NetworkError::Connect {
        address: address.clone(),
        reason: reason.into(),
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.lock().close(number, 0);
        }
    }
}

impl State {
    fn bind(
        &mut self,
        host: u32,
        incarnation: u32,
        address: &Address,
    ) -> Result<(u16, u64), NetworkError> {
        let fail = |reason: &str| NetworkError::Listen {
            address: address.clone(),
            reason: reason.into(),
        };
        if !self.is_alive(host, incarnation) {
            return Err(fail("the process is gone"));
        }
        if self.resolve(host, &address.host) != Some(host) {
            return Err(fail("cannot assign requested address"));
        }
        let port = if address.port == 0 {
            self.network.ephemeral_port()
        } else {
            address.port
        };
        if self.network.ports.contains_key(&(host, port)) {
            return Err(fail("address already in use"));
        }
        self.network.listeners += 1;
        let serial = self.network.listeners;
        let entry = Port {
            incarnation,
            serial,
            backlog: Default::default(),
            waker: None,
        };
        self.network.ports.insert((host, port), entry);
        Ok((port, serial))
    }

    fn unbind(&mut self, host: u32, port: u16, serial: u64) {
        let bound = self.network.ports.get(&(host, port));
        if bound.is_none_or(|entry| entry.serial != serial) {
            return;
        }
        let entry = self.network.ports.remove(&(host, port));
        for number in entry.into_iter().flat_map(|entry| entry.backlog) {
            self.send_reset(number, 0);
            self.close(number, 1);
        }
    }

    fn start_connect(
        &mut self,
        host: u32,
        incarnation: u32,
        address: &Address,
    ) -> Result<u64, NetworkError> {
        let Some(target) = self.resolve(host, &address.host) else {
            return Err(refused(address, "unknown host"));
        };
        let alive = self.is_alive(host, incarnation);
        self.network.opened += 1;
        let number = self.network.opened;
        let mut connection = Connection::default();
        connection.sides[0] = Side {
            host,
            incarnation,
            port: self.network.ephemeral_port(),
            state: if alive {
                SideState::Open
            } else {
                SideState::Gone
            },
            held: true,
            reset_at: None,
        };
        connection.sides[1] = Side {
            host: target,
            port: address.port,
            ..Side::default()
        };
        connection.pipes[0].tap = self.wires.tap(number, (host, target), Direction::Request);
        connection.pipes[1].tap = self.wires.tap(number, (target, host), Direction::Response);
        self.network.connections.insert(number, connection);
        if alive {
            self.send_syn(number);
        }
        Ok(number)
    }

    fn peer_name(&mut self, number: u64) -> String {
        let Some(connection) = self.network.get(number) else {
            return String::new();
        };
        let Side { host, port, .. } = connection.sides[0];
        format!("{}:{port}", self.nodes[crate::index(host)].name)
    }
}
