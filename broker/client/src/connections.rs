//! Connections to brokers: one per address and lane, opened on demand, with pauses between failures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use broker_env::random::{Stream, in_range};
use broker_env::time::timeout;
use broker_env::{Address, Env, Instant};

use crate::config::{ClientConfig, backoff};
use crate::connection::Connection;
use crate::error::CallError;
use crate::tasks::lock;

/// Answers come in request order, so what may wait long goes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    General,
    /// A consumer's long polls.
    Fetch,
}

pub(crate) struct Connections {
    env: Env,
    config: Arc<ClientConfig>,
    /// None after `close`.
    slots: Mutex<Option<Slots>>,
}

type Slots = BTreeMap<(Address, Lane), Arc<Slot>>;

#[derive(Default)]
struct Slot {
    /// Held by who connects.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    connection: Option<Arc<Connection>>,
    /// In a row.
    failures: u32,
    retry_at: Instant,
    /// Finished attempts, whatever their end.
    attempts: u64,
}

impl SlotState {
    fn open(&mut self) -> Option<Arc<Connection>> {
        self.connection.take_if(|connection| !connection.is_open());
        self.connection.clone()
    }
}

impl Connections {
    pub fn new(env: Env, config: Arc<ClientConfig>) -> Connections {
        Connections {
            env,
            config,
            slots: Mutex::new(Some(BTreeMap::new())),
        }
    }

    /// The open connection, or a new one. Who comes while another connects shares its success or failure.
    ///
    /// # Errors
    /// The connection cannot be made. A pause after an earlier failure is waited for.
    pub async fn get(&self, address: &Address, lane: Lane) -> Result<Arc<Connection>, CallError> {
        let slot = self.slot(address, lane)?;
        let seen = {
            let mut state = lock(&slot.state);
            if let Some(connection) = state.open() {
                return Ok(connection);
            }
            state.attempts
        };
        let _turn = slot.turn.lock().await;
        let retry_at = {
            let mut state = lock(&slot.state);
            if let Some(connection) = state.open() {
                return Ok(connection);
            }
            if state.attempts != seen {
                return Err(CallError::BackingOff);
            }
            state.retry_at
        };
        let pause = retry_at.saturating_since(self.env.now());
        if !pause.is_zero() {
            self.env.sleep(pause).await;
        }
        let result = self.connect(address).await;
        self.note(&slot, &result);
        if lock(&self.slots).is_none() {
            return Err(CallError::Closed);
        }
        result
    }

    /// Whether a request would not have to wait for a pause to end.
    pub fn is_ready(&self, address: &Address) -> bool {
        let now = self.env.now();
        let slots = lock(&self.slots);
        let slot = slots
            .as_ref()
            .and_then(|slots| slots.get(&(address.clone(), Lane::General)));
        slot.is_none_or(|slot| lock(&slot.state).retry_at <= now)
    }

    /// Closes all connections; none will be opened.
    pub fn close(&self) {
        let slots = lock(&self.slots).take();
        for slot in slots.into_iter().flat_map(BTreeMap::into_values) {
            let connection = lock(&slot.state).connection.take();
            if let Some(connection) = connection {
                connection.close();
            }
        }
    }

    fn slot(&self, address: &Address, lane: Lane) -> Result<Arc<Slot>, CallError> {
        let mut slots = lock(&self.slots);
        let slots = slots.as_mut().ok_or(CallError::Closed)?;
        Ok(slots.entry((address.clone(), lane)).or_default().clone())
    }

    async fn connect(&self, address: &Address) -> Result<Arc<Connection>, CallError> {
        let limit = self.config.connection_setup_timeout;
        let open = Connection::open(self.env.clone(), address, self.config.client_id.clone());
        match timeout(&self.env, limit, open).await {
            Ok(result) => result.map(Arc::new),
            Err(_) => Err(CallError::ConnectTimeout(limit)),
        }
    }

    fn note(&self, slot: &Slot, result: &Result<Arc<Connection>, CallError>) {
        let mut state = lock(&slot.state);
        state.attempts += 1;
        match result {
            Ok(connection) => {
                state.connection = Some(connection.clone());
                state.failures = 0;
                state.retry_at = Instant(0);
            }
            Err(error) => {
                tracing::debug!(%error, "connection attempt failed");
                let pause = backoff(
                    self.config.reconnect_backoff,
                    self.config.reconnect_backoff_max,
                    state.failures,
                );
                // 20 % either way, so that clients of a dead broker do not come back in step.
                let percent = in_range(self.env.random.as_ref(), Stream::Client, 80, 120);
                let percent = u32::try_from(percent).expect("at most 120");
                state.failures = state.failures.saturating_add(1);
                state.retry_at = self.env.now() + pause * percent / 100;
            }
        }
    }
}
