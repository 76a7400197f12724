//! What producer, consumer and admin share: connections and cluster metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_env::random::{Stream, in_range};
use broker_env::time::timeout;
use broker_env::{Address, Env};
use broker_protocol::api as wire;
use broker_protocol::ids::NodeId;
use broker_protocol::{ErrorCode, Request};

use crate::config::{ClientConfig, backoff};
use crate::connections::{Connections, Lane};
use crate::error::CallError;
use crate::metadata::{ClusterMetadata, TopicMetadata};
use crate::tasks::lock;

/// Clones are the same client. All connections close with the last clone, or by [`Client::close`].
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    config: Arc<ClientConfig>,
    connections: Connections,
    metadata: Mutex<ClusterMetadata>,
}

impl Client {
    /// Connects to nobody yet.
    pub fn new(env: Env, config: ClientConfig) -> Client {
        let config = Arc::new(config);
        let connections = Connections::new(env.clone(), config.clone());
        Client {
            shared: Arc::new(Shared {
                env,
                config,
                connections,
                metadata: Mutex::default(),
            }),
        }
    }

    pub fn env(&self) -> &Env {
        &self.shared.env
    }

    pub fn config(&self) -> &ClientConfig {
        &self.shared.config
    }

    /// Closes all connections for good; what is under way fails.
    pub fn close(&self) {
        self.shared.connections.close();
    }

    /// Looks into the cached metadata.
    pub fn metadata<T>(&self, look: impl FnOnce(&ClusterMetadata) -> T) -> T {
        look(&lock(&self.shared.metadata))
    }

    pub(crate) fn with_metadata<T>(&self, change: impl FnOnce(&mut ClusterMetadata) -> T) -> T {
        change(&mut lock(&self.shared.metadata))
    }

    /// Sends a request to a broker of the metadata.
    ///
    /// # Errors
    /// See [`CallError`]; nothing is retried.
    pub async fn call<R: Request>(
        &self,
        node: NodeId,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        self.call_on(node, Lane::General, request, limit).await
    }

    pub(crate) async fn call_on<R: Request>(
        &self,
        node: NodeId,
        lane: Lane,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        let address = self.address(node)?;
        self.call_address(&address, lane, request, limit).await
    }

    /// As [`Client::call`], in no version of the request above `max`.
    pub(crate) async fn call_up_to<R: Request>(
        &self,
        node: NodeId,
        request: &R,
        max: i16,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        let address = self.address(node)?;
        let connection = self.connection(&address, Lane::General, limit).await?;
        connection.call_up_to(request, max, limit).await
    }

    /// The `transaction.version` that a broker takes for finalized.
    pub(crate) async fn transaction_version(
        &self,
        node: NodeId,
        limit: Duration,
    ) -> Result<i16, CallError> {
        let address = self.address(node)?;
        let connection = self.connection(&address, Lane::General, limit).await?;
        Ok(connection.transaction_version())
    }

    /// Sends a request that is not answered.
    pub(crate) async fn send<R: Request>(
        &self,
        node: NodeId,
        request: &R,
        limit: Duration,
    ) -> Result<(), CallError> {
        let address = self.address(node)?;
        let connection = self.connection(&address, Lane::General, limit).await?;
        connection.send(request, limit).await
    }

    /// Asks any broker, in random order, those first that were not unreachable just now; each one once.
    ///
    /// # Errors
    /// `NoBroker` with the last error if none gave an answer.
    pub async fn call_any<R: Request>(
        &self,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        let deadline = self.env().now() + limit;
        let mut last = CallError::Timeout(limit);
        for address in self.candidates() {
            let left = deadline.saturating_since(self.env().now());
            if left.is_zero() {
                break;
            }
            let limit = left.min(self.config().request_timeout);
            match self
                .call_address(&address, Lane::General, request, limit)
                .await
            {
                Ok(response) => return Ok(response),
                Err(CallError::Closed) => return Err(CallError::Closed),
                Err(error) => last = error,
            }
        }
        Err(CallError::NoBroker(Box::new(last)))
    }

    /// Asks for these topics, once; gives those with an error.
    ///
    /// # Errors
    /// No broker answered.
    pub async fn refresh_metadata(
        &self,
        topics: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, ErrorCode>, CallError> {
        let topic = |name: &String| wire::MetadataRequestTopic {
            name: Some(name.clone()),
            ..Default::default()
        };
        self.ask_metadata(Some(topics.iter().map(topic).collect()))
            .await
    }

    /// Asks for all topics, once.
    ///
    /// # Errors
    /// No broker answered.
    pub async fn refresh_all_metadata(&self) -> Result<BTreeMap<String, ErrorCode>, CallError> {
        self.ask_metadata(None).await
    }

    async fn ask_metadata(
        &self,
        topics: Option<Vec<wire::MetadataRequestTopic>>,
    ) -> Result<BTreeMap<String, ErrorCode>, CallError> {
        let request = wire::MetadataRequest {
            topics,
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let response = self
            .call_any(&request, self.config().request_timeout * 2)
            .await?;
        let now = self.env().now();
        Ok(self.with_metadata(|metadata| metadata.update(response, now)))
    }

    /// The topic from the cache, or asked for until `limit` is over.
    ///
    /// # Errors
    /// The last error: the topic's, or `NETWORK_EXCEPTION` with a reason.
    pub async fn topic(
        &self,
        name: &str,
        limit: Duration,
    ) -> Result<TopicMetadata, (ErrorCode, String)> {
        let deadline = self.env().now() + limit;
        let wanted = BTreeSet::from([name.to_string()]);
        let mut attempt = 0;
        loop {
            if let Some(topic) = self.metadata(|metadata| metadata.topic(name).cloned()) {
                return Ok(topic);
            }
            let error = match self.refresh_metadata(&wanted).await {
                Ok(errors) => match errors.get(name) {
                    None if self.metadata(|metadata| metadata.topic(name).is_some()) => continue,
                    None => (
                        ErrorCode::UnknownTopicOrPartition,
                        "the broker left the topic out".to_string(),
                    ),
                    Some(error) => (*error, format!("topic {name}: {error}")),
                },
                Err(error) => (ErrorCode::NetworkException, error.to_string()),
            };
            if !error.0.is_retriable() {
                return Err(error);
            }
            if !self.pause_before_retry(attempt, deadline).await {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Sleeps before attempt `attempt + 1`; false, at once, if the deadline comes before its end.
    pub(crate) async fn pause_before_retry(
        &self,
        attempt: u32,
        deadline: broker_env::Instant,
    ) -> bool {
        let pause = self.retry_backoff(attempt);
        if self.env().now() + pause >= deadline {
            return false;
        }
        self.env().sleep(pause).await;
        true
    }

    pub(crate) fn retry_backoff(&self, attempt: u32) -> Duration {
        backoff(
            self.config().retry_backoff,
            self.config().retry_backoff_max,
            attempt,
        )
    }

    fn address(&self, node: NodeId) -> Result<Address, CallError> {
        let known = self.metadata(|metadata| {
            metadata
                .brokers
                .get(&node)
                .map(|broker| broker.address.clone())
        });
        known.ok_or(CallError::UnknownNode(node))
    }

    async fn call_address<R: Request>(
        &self,
        address: &Address,
        lane: Lane,
        request: &R,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        let connection = self.connection(address, lane, limit).await?;
        connection.call(request, limit).await
    }

    async fn connection(
        &self,
        address: &Address,
        lane: Lane,
        limit: Duration,
    ) -> Result<Arc<crate::connection::Connection>, CallError> {
        match timeout(
            self.env(),
            limit,
            self.shared.connections.get(address, lane),
        )
        .await
        {
            Ok(result) => result,
            Err(_) => Err(CallError::ConnectTimeout(limit)),
        }
    }

    /// Known brokers and bootstrap servers, shuffled: a broker cut off from the others must not be the
    /// one that is asked for ever.
    fn candidates(&self) -> Vec<Address> {
        let known = self.metadata(|metadata| -> Vec<Address> {
            metadata
                .brokers
                .values()
                .map(|broker| broker.address.clone())
                .collect()
        });
        let mut candidates = known;
        for address in &self.config().bootstrap_servers {
            if !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        self.shuffle(&mut candidates);
        // Stable: false, which is ready, comes first.
        candidates.sort_by_key(|address| !self.shared.connections.is_ready(address));
        candidates
    }

    fn shuffle(&self, addresses: &mut [Address]) {
        for last in (1..addresses.len()).rev() {
            let high = u64::try_from(last).expect("an index fits 64 bits");
            let drawn = in_range(self.env().random.as_ref(), Stream::Client, 0, high);
            addresses.swap(last, usize::try_from(drawn).expect("at most an index"));
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Client")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
