//! ApiVersions: which versions of which API a listener speaks, and the finalized features.
//!
//! The response header is always version 0; an unknown request version is answered with a v0 body.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(ApiVersions, ApiVersionsRequest => ApiVersionsResponse, 0..=4);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsRequest {
    #[field(versions = "3+", ignorable)]
    pub client_software_name: String,
    #[field(versions = "3+", ignorable)]
    pub client_software_version: String,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsResponse {
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub api_keys: Vec<ApiVersion>,
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "3+", tag = 0, tagged = "3+", ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    #[field(versions = "3+", tag = 1, tagged = "3+", default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    #[field(versions = "3+", tag = 2, tagged = "3+", ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    #[field(versions = "3+", tag = 3, tagged = "3+", ignorable)]
    pub zk_migration_ready: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct ApiVersion {
    #[field(versions = "0+")]
    pub api_key: i16,
    #[field(versions = "0+")]
    pub min_version: i16,
    #[field(versions = "0+")]
    pub max_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct SupportedFeatureKey {
    #[field(versions = "3+")]
    pub name: String,
    #[field(versions = "3+")]
    pub min_version: i16,
    #[field(versions = "3+")]
    pub max_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct FinalizedFeatureKey {
    #[field(versions = "3+")]
    pub name: String,
    #[field(versions = "3+")]
    pub max_version_level: i16,
    #[field(versions = "3+")]
    pub min_version_level: i16,
    pub unknown_tagged_fields: TaggedFields,
}
