//! UpdateFeatures: raises, lowers or disables finalized features (KIP-584, KIP-778).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(UpdateFeatures, UpdateFeaturesRequest => UpdateFeaturesResponse, 0..=2);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesRequest {
    #[field(versions = "0+", default = 60000)]
    pub timeout_ms: i32,
    #[field(versions = "0+")]
    pub feature_updates: Vec<FeatureUpdateKey>,
    #[field(versions = "1+")]
    pub validate_only: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct FeatureUpdateKey {
    #[field(versions = "0+")]
    pub feature: String,
    /// 0 disables the feature.
    #[field(versions = "0+")]
    pub max_version_level: i16,
    /// Superseded by `upgrade_type`.
    #[field(versions = "0")]
    pub allow_downgrade: bool,
    /// 1 upgrade, 2 safe downgrade, 3 unsafe downgrade.
    #[field(versions = "1+", default = 1)]
    pub upgrade_type: i8,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    #[field(versions = "0-1", ignorable)]
    pub results: Vec<UpdatableFeatureResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct UpdatableFeatureResult {
    #[field(versions = "0+")]
    pub feature: String,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
