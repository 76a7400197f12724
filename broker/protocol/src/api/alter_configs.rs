//! AlterConfigs: replaces all that is set on a resource (KIP-133); [`super::incremental_alter_configs`]
//! took its place.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(AlterConfigs, AlterConfigsRequest => AlterConfigsResponse, 0..=2);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsRequest {
    #[field(versions = "0+")]
    pub resources: Vec<AlterConfigsRequestResource>,
    #[field(versions = "0+")]
    pub validate_only: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "2+")]
pub struct AlterConfigsRequestResource {
    #[field(versions = "0+")]
    pub resource_type: i8,
    #[field(versions = "0+")]
    pub resource_name: String,
    #[field(versions = "0+")]
    pub configs: Vec<AlterConfigsRequestConfig>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "2+")]
pub struct AlterConfigsRequestConfig {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+", nullable = "0+")]
    pub value: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub responses: Vec<AlterConfigsResponseResource>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "2+")]
pub struct AlterConfigsResponseResource {
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    #[field(versions = "0+")]
    pub resource_type: i8,
    #[field(versions = "0+")]
    pub resource_name: String,
    pub unknown_tagged_fields: TaggedFields,
}
