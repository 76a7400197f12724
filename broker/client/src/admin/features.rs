//! Features: what brokers support and what the cluster has finalized (KIP-584).

use std::collections::BTreeMap;
use std::time::Duration;

use broker_protocol::api as wire;

use super::{Admin, verdict};
use crate::error::AdminError;

/// As one broker tells it; brokers of different releases support different levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureMetadata {
    /// Lowest and highest level.
    pub supported: BTreeMap<String, (i16, i16)>,
    /// Levels above 0.
    pub finalized: BTreeMap<String, i16>,
    /// Offset of the metadata log that this is true of; -1 unknown.
    pub finalized_epoch: i64,
}

/// Which way a feature may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeType {
    Upgrade,
    /// Only if nothing is lost by it.
    SafeDowngrade,
    UnsafeDowngrade,
}

impl UpgradeType {
    fn code(self) -> i8 {
        match self {
            UpgradeType::Upgrade => 1,
            UpgradeType::SafeDowngrade => 2,
            UpgradeType::UnsafeDowngrade => 3,
        }
    }
}

/// A level that a feature is to have; 0 disables it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    pub feature: String,
    pub level: i16,
    pub upgrade_type: UpgradeType,
}

impl Admin {
    /// # Errors
    /// No broker answered within `limit`.
    pub async fn describe_features(&self, limit: Duration) -> Result<FeatureMetadata, AdminError> {
        let request = || wire::ApiVersionsRequest {
            client_software_name: "trial".into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..Default::default()
        };
        let described = |response: wire::ApiVersionsResponse| {
            verdict(response.error_code, None, || features(response))
        };
        self.one(limit, request, described).await
    }

    /// All updates or none. A retried update may find its own first attempt done, which is no error.
    ///
    /// # Errors
    /// INVALID_UPDATE_VERSION with the reason if one cannot be; otherwise no broker answered within `limit`.
    pub async fn update_features(
        &self,
        updates: &[FeatureUpdate],
        validate_only: bool,
        limit: Duration,
    ) -> Result<(), AdminError> {
        let key = |update: &FeatureUpdate| wire::FeatureUpdateKey {
            feature: update.feature.clone(),
            max_version_level: update.level,
            upgrade_type: update.upgrade_type.code(),
            ..Default::default()
        };
        let request = || wire::UpdateFeaturesRequest {
            timeout_ms: i32::try_from(limit.as_millis()).unwrap_or(i32::MAX),
            feature_updates: updates.iter().map(key).collect(),
            validate_only,
            ..Default::default()
        };
        self.one(limit, request, |response: wire::UpdateFeaturesResponse| {
            verdict(response.error_code, response.error_message, || ())
        })
        .await
    }

    /// Forgets a broker that will not come back.
    ///
    /// # Errors
    /// BROKER_ID_NOT_REGISTERED, or no broker answered within `limit`.
    pub async fn unregister_broker(&self, broker: i32, limit: Duration) -> Result<(), AdminError> {
        let request = || wire::UnregisterBrokerRequest {
            broker_id: broker,
            ..Default::default()
        };
        self.one(
            limit,
            request,
            |response: wire::UnregisterBrokerResponse| {
                verdict(response.error_code, response.error_message, || ())
            },
        )
        .await
    }
}

fn features(response: wire::ApiVersionsResponse) -> FeatureMetadata {
    let supported = response.supported_features.into_iter();
    let finalized = response.finalized_features.into_iter();
    FeatureMetadata {
        supported: supported
            .map(|it| (it.name, (it.min_version, it.max_version)))
            .collect(),
        finalized: finalized
            .map(|it| (it.name, it.max_version_level))
            .collect(),
        finalized_epoch: response.finalized_features_epoch,
    }
}
