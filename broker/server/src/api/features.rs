//! UpdateFeatures at the active controller (KIP-584).

use std::collections::BTreeSet;
use std::sync::Arc;

use broker_core::metadata::{self as core, FeatureUpdate, Input, Reply, UpgradeType};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;

use super::Api;

pub async fn update_features(
    api: Arc<Api>,
    request: wire::UpdateFeaturesRequest,
    version: i16,
) -> wire::UpdateFeaturesResponse {
    let updates = updates(&request, version);
    let names: Vec<String> = updates.iter().map(|update| update.name.clone()).collect();
    let request = core::UpdateFeaturesRequest {
        updates,
        validate_only: request.validate_only,
        kraft_version: 0,
        kraft_refusal: None,
    };
    let reply = api
        .quorum
        .controller(move |ticket, _| Input::UpdateFeatures(ticket, request))
        .await;
    match reply {
        Ok(Reply::UpdateFeatures(Ok(()))) => wire::UpdateFeaturesResponse {
            results: names.into_iter().map(updated).collect(),
            error_message: None,
            ..Default::default()
        },
        Ok(Reply::UpdateFeatures(Err(refused))) => {
            let reason = refused.message.unwrap_or_default();
            let message = format!(
                "The update failed for all features since the following feature had an error: {reason}"
            );
            failed(refused.code, Some(message))
        }
        Ok(other) => panic!("the controller answered UpdateFeatures with {other:?}"),
        Err(_) => failed(ErrorCode::NotController, None),
    }
}

/// Of a feature named twice the first counts. Version 0 has a flag instead of three ways.
fn updates(request: &wire::UpdateFeaturesRequest, version: i16) -> Vec<FeatureUpdate> {
    let mut seen = BTreeSet::new();
    let keys = request.feature_updates.iter();
    let first = keys.filter(|key| seen.insert(&key.feature));
    let update = |key: &wire::FeatureUpdateKey| FeatureUpdate {
        name: key.feature.clone(),
        level: key.max_version_level,
        upgrade_type: match (version, key.allow_downgrade) {
            (0, true) => UpgradeType::SafeDowngrade,
            (0, false) => UpgradeType::Upgrade,
            _ => UpgradeType::from_code(key.upgrade_type),
        },
    };
    first.map(update).collect()
}

fn updated(feature: String) -> wire::UpdatableFeatureResult {
    wire::UpdatableFeatureResult {
        feature,
        error_message: None,
        ..Default::default()
    }
}

fn failed(code: ErrorCode, message: Option<String>) -> wire::UpdateFeaturesResponse {
    wire::UpdateFeaturesResponse {
        error_code: code.code(),
        error_message: message,
        ..Default::default()
    }
}
