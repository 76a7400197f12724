//! A controller tells the cluster what it supports and where it listens (KIP-919).

use std::sync::Arc;
use std::time::Duration;

use broker_env::{Env, time};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{NodeId, Uuid};

use crate::config::{BrokerConfig, Listener};
use crate::controller_channel::ControllerChannel;
use crate::features;
use crate::metadata_cache::MetadataCache;
use crate::waiters::Waiter;

const REGISTRATION_VERSION: i16 = 0;
/// Pause before a failed registration is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long an answer may take, and its record afterwards.
const LIMIT: Duration = Duration::from_secs(5);

/// The task that keeps the metadata true about this controller.
pub struct ControllerRegistration {
    pub env: Env,
    pub config: Arc<BrokerConfig>,
    /// This process, as opposed to earlier ones of the same id.
    pub incarnation: Uuid,
    pub metadata: Arc<MetadataCache>,
    pub controller: ControllerChannel,
}

impl ControllerRegistration {
    /// Registers once the metadata know registrations, and again should they forget this process.
    pub async fn run(mut self) {
        let (metadata, me) = (self.metadata.clone(), NodeId(self.config.node_id));
        loop {
            until_due(&metadata, me, self.incarnation, true).await;
            if self.register().await {
                let registered = until_due(&metadata, me, self.incarnation, false);
                let _either_way = time::timeout(&self.env, LIMIT, registered).await;
            } else {
                self.controller.leadership_changed(RETRY).await;
            }
        }
    }

    /// Whether the active controller took it.
    async fn register(&mut self) -> bool {
        let (request, node) = (self.request(), self.config.node_id);
        match self
            .controller
            .call(&request, REGISTRATION_VERSION, LIMIT)
            .await
        {
            Ok(response) => {
                let code = ErrorCode::from_code_or_unknown(response.error_code);
                if code.is_error() {
                    tracing::debug!(node, ?code, "controller registration refused");
                }
                !code.is_error()
            }
            Err(error) => {
                tracing::debug!(node, %error, "controller registration failed");
                false
            }
        }
    }

    fn request(&self) -> wire::ControllerRegistrationRequest {
        let listener = |listener: Listener| wire::ControllerRegistrationListener {
            host: listener.host,
            port: listener.port,
            name: listener.name,
            ..Default::default()
        };
        let supported = features::supported(&self.config).into_iter();
        let feature = |(name, range): (String, broker_core::metadata::VersionRange)| {
            wire::ControllerRegistrationFeature {
                name,
                min_supported_version: range.min,
                max_supported_version: range.max,
                ..Default::default()
            }
        };
        wire::ControllerRegistrationRequest {
            controller_id: self.config.node_id,
            incarnation_id: self.incarnation,
            listeners: self
                .config
                .controller_listener()
                .map(Listener::reachable)
                .into_iter()
                .map(listener)
                .collect(),
            features: supported.map(feature).collect(),
            ..Default::default()
        }
    }
}

/// Completes when this process has, or has not any more, to be registered.
async fn until_due(metadata: &MetadataCache, me: NodeId, incarnation: Uuid, due: bool) {
    loop {
        let waiter = Waiter::new();
        metadata.wait(&waiter);
        let is_due = metadata.read(|image| {
            let known = image.controllers().get(&me);
            let known = known.is_some_and(|it| it.incarnation_id == incarnation);
            image.metadata_version().has_controller_registration() && !known
        });
        if is_due == due {
            return;
        }
        waiter.woken().await;
    }
}
