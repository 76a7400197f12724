//! Records about brokers and controllers.

use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

/// A broker incarnation registers.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-3", flexible = "0+")]
pub struct RegisterBrokerRecord {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "2+")]
    pub is_migrating_zk_broker: bool,
    #[field(versions = "0+")]
    pub incarnation_id: Uuid,
    #[field(versions = "0+")]
    pub broker_epoch: i64,
    #[field(versions = "0+")]
    pub end_points: Vec<BrokerEndpoint>,
    #[field(versions = "0+")]
    pub features: Vec<BrokerFeature>,
    #[field(versions = "0+", nullable = "0+")]
    pub rack: Option<String>,
    #[field(versions = "0+", default = true)]
    pub fenced: bool,
    #[field(versions = "1+")]
    pub in_controlled_shutdown: bool,
    #[field(tag = 0, tagged = "3+")]
    pub log_dirs: Vec<Uuid>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A listener of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct BrokerEndpoint {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub host: String,
    #[field(versions = "0+")]
    pub port: u16,
    #[field(versions = "0+")]
    pub security_protocol: i16,
    pub unknown_tagged_fields: TaggedFields,
}

/// A feature range that a broker supports.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct BrokerFeature {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub min_supported_version: i16,
    #[field(versions = "0+")]
    pub max_supported_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

/// A broker is removed from the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterBrokerRecord {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "0+")]
    pub broker_epoch: i64,
    pub unknown_tagged_fields: TaggedFields,
}

/// Superseded by [`BrokerRegistrationChangeRecord`]; only in old logs.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct FenceBrokerRecord {
    #[field(versions = "0+")]
    pub id: i32,
    #[field(versions = "0+")]
    pub epoch: i64,
    pub unknown_tagged_fields: TaggedFields,
}

/// Superseded by [`BrokerRegistrationChangeRecord`]; only in old logs.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UnfenceBrokerRecord {
    #[field(versions = "0+")]
    pub id: i32,
    #[field(versions = "0+")]
    pub epoch: i64,
    pub unknown_tagged_fields: TaggedFields,
}

/// A registration changes: fencing, controlled shutdown, log directories.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct BrokerRegistrationChangeRecord {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "0+")]
    pub broker_epoch: i64,
    /// -1: unfenced; 0: unchanged; 1: fenced.
    #[field(tag = 0, tagged = "0+")]
    pub fenced: i8,
    /// 0: unchanged; 1: in controlled shutdown.
    #[field(tag = 1, tagged = "1+")]
    pub in_controlled_shutdown: i8,
    #[field(tag = 2, tagged = "2+")]
    pub log_dirs: Vec<Uuid>,
    pub unknown_tagged_fields: TaggedFields,
}

impl BrokerRegistrationChangeRecord {
    /// The lowest version that holds the fields that are set.
    pub(super) fn lowest_version(&self) -> i16 {
        match (self.log_dirs.is_empty(), self.in_controlled_shutdown) {
            (false, _) => 2,
            (true, 0) => 0,
            (true, _) => 1,
        }
    }
}

/// A controller incarnation registers (KIP-919).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct RegisterControllerRecord {
    #[field(versions = "0+")]
    pub controller_id: i32,
    #[field(versions = "0+")]
    pub incarnation_id: Uuid,
    #[field(versions = "0+")]
    pub zk_migration_ready: bool,
    #[field(versions = "0+")]
    pub end_points: Vec<ControllerEndpoint>,
    #[field(versions = "0+")]
    pub features: Vec<ControllerFeature>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A listener of a controller.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ControllerEndpoint {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub host: String,
    #[field(versions = "0+")]
    pub port: u16,
    #[field(versions = "0+")]
    pub security_protocol: i16,
    pub unknown_tagged_fields: TaggedFields,
}

/// A feature range that a controller supports.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ControllerFeature {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub min_supported_version: i16,
    #[field(versions = "0+")]
    pub max_supported_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}
