//! Replication throttles (KIP-73) with a clock and a lock, for both sides of replication.

use std::sync::{Arc, Mutex};

use broker_core::replication_quota::{ReplicationQuota, is_listed};
use broker_env::Env;
use broker_protocol::ids::NodeId;

use crate::config::{BrokerConfig, TopicConfig};
use crate::metadata_cache::MetadataCache;

/// Which side of replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Leader,
    Follower,
}

/// Which of the two throttles apply to a replica on this broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttled {
    pub leader: bool,
    pub follower: bool,
}

impl Throttled {
    pub fn of(config: &TopicConfig, partition: i32, broker: NodeId) -> Throttled {
        let listed = |list: &str| is_listed(list, partition, broker.0);
        Throttled {
            leader: listed(&config.leader_replication_throttled_replicas),
            follower: listed(&config.follower_replication_throttled_replicas),
        }
    }
}

/// What throttled replicas moved through this broker lately.
pub struct ReplicationQuotas {
    env: Env,
    config: Arc<BrokerConfig>,
    metadata: Arc<MetadataCache>,
    leader: Mutex<ReplicationQuota>,
    follower: Mutex<ReplicationQuota>,
}

impl ReplicationQuotas {
    pub fn new(
        env: Env,
        config: Arc<BrokerConfig>,
        metadata: Arc<MetadataCache>,
    ) -> ReplicationQuotas {
        ReplicationQuotas {
            env,
            config,
            metadata,
            leader: Mutex::default(),
            follower: Mutex::default(),
        }
    }

    /// Counts what throttled replicas moved.
    pub fn record(&self, side: Side, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let now_ms = self.now_ms();
        self.with(side, |quota| quota.record(now_ms, bytes));
    }

    /// Whether throttled replicas that lag have to wait now.
    pub fn is_exceeded(&self, side: Side) -> bool {
        let (rate, now_ms) = (self.rate(side), self.now_ms());
        self.with(side, |quota| quota.is_exceeded(now_ms, rate))
    }

    /// As set at run time, else as in the properties file.
    fn rate(&self, side: Side) -> u64 {
        let (name, fixed) = match side {
            Side::Leader => (
                "leader.replication.throttled.rate",
                self.config.leader_replication_throttled_rate,
            ),
            Side::Follower => (
                "follower.replication.throttled.rate",
                self.config.follower_replication_throttled_rate,
            ),
        };
        let broker = NodeId(self.config.node_id);
        let dynamic = self.metadata.read(|image| {
            let value = image.broker_config(broker, name)?;
            value.trim().parse().ok()
        });
        u64::try_from(dynamic.unwrap_or(fixed)).unwrap_or(0)
    }

    fn with<T>(&self, side: Side, act: impl FnOnce(&mut ReplicationQuota) -> T) -> T {
        let quota = match side {
            Side::Leader => &self.leader,
            Side::Follower => &self.follower,
        };
        act(&mut quota.lock().expect("no panic under this lock"))
    }

    fn now_ms(&self) -> u64 {
        self.env.now().0 / 1_000_000
    }
}
