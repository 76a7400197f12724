//! Accepts connections on one listener, within limits, and closes idle ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_env::{Env, Listener as Socket, select};
use tokio::sync::Notify;

use crate::connection::{self, ConnectionControl, Service};

/// Limits of a listener's connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    pub request_bytes_max: usize,
    pub connections_max: usize,
    /// `None`: idle connections stay.
    pub idle_max: Option<Duration>,
}

/// The open connections of a listener.
#[derive(Default)]
pub struct Connections {
    open: Mutex<BTreeMap<u64, Arc<ConnectionControl>>>,
    stop: Notify,
}

impl Connections {
    /// Accepts until [`Connections::close`]; one task per connection.
    pub async fn accept(
        self: Arc<Self>,
        env: Env,
        mut socket: Box<dyn Socket>,
        service: Arc<dyn Service>,
        limits: ConnectionLimits,
    ) {
        if let Some(idle_max) = limits.idle_max {
            env.spawn("idle connections", self.clone().reap(env.clone(), idle_max));
        }
        let mut next_id = 0;
        loop {
            let accepted = select! {
                () = self.stop.notified() => return,
                accepted = socket.accept() => accepted,
            };
            let (connection, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    env.sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            if self.count() >= limits.connections_max {
                tracing::warn!(%peer, limit = limits.connections_max, "max.connections reached: refused");
                continue;
            }
            next_id += 1;
            let id = next_id;
            let control = Arc::new(ConnectionControl::default());
            self.open
                .lock()
                .expect("no panic under this lock")
                .insert(id, control.clone());
            let (all, service, serve_env) = (self.clone(), service.clone(), env.clone());
            env.spawn("connection", async move {
                let limit = limits.request_bytes_max;
                let why =
                    connection::serve(serve_env, connection, peer.clone(), service, limit, control)
                        .await;
                tracing::debug!(%peer, why, "connection ended");
                all.open
                    .lock()
                    .expect("no panic under this lock")
                    .remove(&id);
            });
        }
    }

    pub fn count(&self) -> usize {
        self.open.lock().expect("no panic under this lock").len()
    }

    /// Stops accepting and closes every connection.
    pub fn close(&self) {
        self.stop.notify_one();
        for control in self.open.lock().expect("no panic under this lock").values() {
            control.close();
        }
    }

    async fn reap(self: Arc<Self>, env: Env, idle_max: Duration) {
        loop {
            env.sleep(idle_max / 2).await;
            let now = env.now();
            for control in self.open.lock().expect("no panic under this lock").values() {
                if now.saturating_since(control.last_active()) > idle_max {
                    control.close();
                }
            }
        }
    }
}
