//! A broker's standing with the controller: registration, heartbeats, controlled shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use broker_core::metadata::VersionRange;
use broker_env::{Env, time};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{BrokerEpoch, NodeId, Uuid};

use crate::config::{BrokerConfig, Listener};
use crate::controller_channel::ControllerChannel;
use crate::features;
use crate::log_directories::LogDirectories;
use crate::metadata_cache::MetadataCache;
use crate::waiters::Waiter;

const REGISTRATION_VERSION: i16 = 4;
const HEARTBEAT_VERSION: i16 = 1;
/// Pause before a failed registration or heartbeat is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What the controller last told this broker.
#[derive(Debug)]
pub struct Standing {
    epoch: AtomicI64,
    fenced: AtomicBool,
    may_stop: AtomicBool,
    stopping: AtomicBool,
    wake: tokio::sync::Notify,
}

impl Default for Standing {
    fn default() -> Standing {
        Standing {
            epoch: AtomicI64::new(-1),
            fenced: AtomicBool::new(true),
            may_stop: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            wake: tokio::sync::Notify::new(),
        }
    }
}

impl Standing {
    /// -1 until registered.
    pub fn epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.epoch.load(Ordering::Acquire))
    }

    /// The next heartbeat has something to say.
    pub fn hurry(&self) {
        self.wake.notify_one();
    }

    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }
}

/// The task that keeps the broker registered.
pub struct Lifecycle {
    pub env: Env,
    pub config: Arc<BrokerConfig>,
    pub cluster_id: String,
    pub directories: Arc<LogDirectories>,
    /// This process, as opposed to earlier ones of the same id.
    pub incarnation: Uuid,
    /// From the clean-shutdown marker; -1 after an unclean stop (KIP-966).
    pub previous_broker_epoch: BrokerEpoch,
    pub metadata: Arc<MetadataCache>,
    pub controller: ControllerChannel,
    pub standing: Arc<Standing>,
}

/// The cluster runs at feature levels that this broker does not support.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the controller refused to register broker {node}: UNSUPPORTED_VERSION; it supports {supported}"
)]
pub struct Unregistrable {
    node: i32,
    /// Features with their levels.
    supported: String,
}

impl Lifecycle {
    /// Registers, then sends heartbeats until the broker may stop.
    ///
    /// # Errors
    /// The cluster has no place for a broker of this release.
    pub async fn run(mut self) -> Result<(), Unregistrable> {
        self.register().await?;
        while !self.standing.may_stop.load(Ordering::Acquire) {
            if self.must_tell_directories() {
                self.register().await?;
            }
            match self.heartbeat().await {
                Some(ErrorCode::None) => self.pause().await,
                Some(ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered) => {
                    // Another incarnation or an operator removed this one.
                    self.register().await?;
                }
                Some(_) | None => self.retry().await,
            }
        }
        Ok(())
    }

    /// The registration was made at a `metadata.version` without directories, which has grown since (KIP-858).
    fn must_tell_directories(&self) -> bool {
        let me = NodeId(self.config.node_id);
        self.metadata.read(|image| {
            let registered = image
                .broker(me)
                .filter(|it| it.epoch == self.standing.epoch());
            image.metadata_version().has_directories()
                && registered.is_some_and(|it| it.log_directories.is_empty())
        })
    }

    async fn register(&mut self) -> Result<(), Unregistrable> {
        loop {
            if self.standing.stopping.load(Ordering::Acquire) {
                self.standing.may_stop.store(true, Ordering::Release);
                return Ok(());
            }
            let request = self.registration();
            match self
                .controller
                .call(&request, REGISTRATION_VERSION, self.limit())
                .await
            {
                Ok(response) if response.error_code == 0 => {
                    self.standing
                        .epoch
                        .store(response.broker_epoch, Ordering::Release);
                    tracing::info!(
                        node = self.config.node_id,
                        epoch = response.broker_epoch,
                        "registered"
                    );
                    return Ok(());
                }
                Ok(response) => {
                    let code = ErrorCode::from_code(response.error_code);
                    if code == Some(ErrorCode::UnsupportedVersion) {
                        return Err(self.unregistrable());
                    }
                    tracing::debug!(node = self.config.node_id, ?code, "registration refused");
                }
                Err(error) => {
                    tracing::debug!(node = self.config.node_id, %error, "registration failed")
                }
            }
            self.retry().await;
        }
    }

    fn unregistrable(&self) -> Unregistrable {
        let features = features::supported(&self.config).into_iter();
        let supported = features.map(|(name, range)| format!("{name} {}-{}", range.min, range.max));
        Unregistrable {
            node: self.config.node_id,
            supported: supported.collect::<Vec<String>>().join(", "),
        }
    }

    fn registration(&self) -> wire::BrokerRegistrationRequest {
        let listener = |listener: Listener| wire::BrokerRegistrationListener {
            name: listener.name,
            host: listener.host,
            port: listener.port,
            ..Default::default()
        };
        let feature = |(name, range): (String, VersionRange)| wire::BrokerRegistrationFeature {
            name,
            min_supported_version: range.min,
            max_supported_version: range.max,
            ..Default::default()
        };
        let features = features::supported(&self.config);
        wire::BrokerRegistrationRequest {
            broker_id: self.config.node_id,
            cluster_id: self.cluster_id.clone(),
            incarnation_id: self.incarnation,
            listeners: self.config.advertised().into_iter().map(listener).collect(),
            features: features.into_iter().map(feature).collect(),
            rack: (!self.config.broker_rack.is_empty()).then(|| self.config.broker_rack.clone()),
            log_dirs: self.directories.online_ids(),
            previous_broker_epoch: self.previous_broker_epoch.0,
            ..Default::default()
        }
    }

    async fn heartbeat(&mut self) -> Option<ErrorCode> {
        let request = wire::BrokerHeartbeatRequest {
            broker_id: self.config.node_id,
            broker_epoch: self.standing.epoch().0,
            current_metadata_offset: self.metadata.last_offset(),
            want_fence: false,
            want_shut_down: self.standing.stopping.load(Ordering::Acquire),
            offline_log_dirs: self.directories.offline_ids(),
            ..Default::default()
        };
        let response = self
            .controller
            .call(&request, HEARTBEAT_VERSION, self.limit())
            .await
            .ok()?;
        let code = ErrorCode::from_code(response.error_code)?;
        if code == ErrorCode::None {
            self.standing
                .fenced
                .store(response.is_fenced, Ordering::Release);
            if response.should_shut_down {
                self.standing.may_stop.store(true, Ordering::Release);
                self.standing.wake.notify_waiters();
            }
        }
        Some(code)
    }

    /// Until the next heartbeat: sooner while fenced or stopping, since both want an answer.
    async fn pause(&mut self) {
        let interval = Duration::from_millis(
            u64::try_from(self.config.broker_heartbeat_interval_ms).unwrap_or(0),
        );
        let urgent = self.standing.is_fenced() || self.standing.stopping.load(Ordering::Acquire);
        let pause = if urgent {
            interval.min(RETRY)
        } else {
            interval
        };
        let _either_way = time::timeout(&self.env, pause, self.standing.wake.notified()).await;
    }

    async fn retry(&mut self) {
        let waiter = Waiter::new();
        self.metadata.wait(&waiter);
        self.controller.leadership_changed(RETRY).await;
    }

    /// A heartbeat that takes longer than the interval is as good as lost.
    fn limit(&self) -> Duration {
        let interval = u64::try_from(self.config.broker_heartbeat_interval_ms).unwrap_or(0);
        Duration::from_millis(interval.max(1_000))
    }
}

/// Asks the controller to move leaders away; completes when it did, or after the limit.
pub async fn controlled_shutdown(env: &Env, standing: &Standing, config: &BrokerConfig) {
    standing.stopping.store(true, Ordering::Release);
    standing.wake.notify_waiters();
    if !config.controlled_shutdown_enable {
        return;
    }
    let limit =
        Duration::from_millis(u64::try_from(config.controlled_shutdown_max_wait_ms).unwrap_or(0));
    let waited = time::timeout(env, limit, async {
        while !standing.may_stop.load(Ordering::Acquire) {
            env.sleep(Duration::from_millis(20)).await;
        }
    });
    if waited.await.is_err() {
        tracing::warn!(
            node = config.node_id,
            "controlled shutdown took too long; stopping anyway"
        );
    }
}
