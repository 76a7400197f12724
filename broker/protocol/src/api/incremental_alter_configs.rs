//! IncrementalAlterConfigs: sets, deletes, appends to and subtracts from configurations (KIP-339).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(IncrementalAlterConfigs, IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, 0..=1);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsRequest {
    #[field(versions = "0+")]
    pub resources: Vec<AlterConfigsResource>,
    #[field(versions = "0+")]
    pub validate_only: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "1+")]
pub struct AlterConfigsResource {
    #[field(versions = "0+")]
    pub resource_type: i8,
    #[field(versions = "0+")]
    pub resource_name: String,
    #[field(versions = "0+")]
    pub configs: Vec<AlterableConfig>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "1+")]
pub struct AlterableConfig {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub config_operation: i8,
    #[field(versions = "0+", nullable = "0+")]
    pub value: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub responses: Vec<AlterConfigsResourceResponse>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "1+")]
pub struct AlterConfigsResourceResponse {
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
