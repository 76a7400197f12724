//! ControllerRegistration: a controller's endpoints and features (KIP-919).

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(ControllerRegistration, ControllerRegistrationRequest => ControllerRegistrationResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ControllerRegistrationRequest {
    #[field(versions = "0+")]
    pub controller_id: i32,
    #[field(versions = "0+")]
    pub incarnation_id: Uuid,
    #[field(versions = "0+")]
    pub zk_migration_ready: bool,
    #[field(versions = "0+")]
    pub listeners: Vec<ControllerRegistrationListener>,
    #[field(versions = "0+")]
    pub features: Vec<ControllerRegistrationFeature>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ControllerRegistrationListener {
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
pub struct ControllerRegistrationFeature {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub min_supported_version: i16,
    #[field(versions = "0+")]
    pub max_supported_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ControllerRegistrationResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
