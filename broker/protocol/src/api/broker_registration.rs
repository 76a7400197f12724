//! BrokerRegistration: a broker's incarnation registers with the controller (KIP-631).

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(BrokerRegistration, BrokerRegistrationRequest => BrokerRegistrationResponse, 0..=4);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "0+")]
pub struct BrokerRegistrationRequest {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "0+")]
    pub cluster_id: String,
    #[field(versions = "0+")]
    pub incarnation_id: Uuid,
    #[field(versions = "0+")]
    pub listeners: Vec<BrokerRegistrationListener>,
    #[field(versions = "0+")]
    pub features: Vec<BrokerRegistrationFeature>,
    #[field(versions = "0+", nullable = "0+")]
    pub rack: Option<String>,
    #[field(versions = "1+")]
    pub is_migrating_zk_broker: bool,
    #[field(versions = "2+", ignorable)]
    pub log_dirs: Vec<Uuid>,
    #[field(versions = "3+", default = -1, ignorable)]
    pub previous_broker_epoch: i64,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct BrokerRegistrationListener {
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

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct BrokerRegistrationFeature {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub min_supported_version: i16,
    #[field(versions = "0+")]
    pub max_supported_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "0+")]
pub struct BrokerRegistrationResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", default = -1)]
    pub broker_epoch: i64,
    pub unknown_tagged_fields: TaggedFields,
}
