//! The features this version supports and what a new cluster starts with.

use std::collections::BTreeMap;

use broker_core::metadata::{ControllerConfig, Record};

/// Lowest and highest level of each feature this node can run at.
pub fn supported() -> BTreeMap<String, (i16, i16)> {
    let highest = ControllerConfig::default().supported_features;
    highest.into_iter().map(|(name, level)| (name, (0, level))).collect()
}

/// What the first active controller of a new cluster writes: metadata.version at its highest. Eligible
/// leader replicas (KIP-966) and the other features stay off until what they need is built.
pub fn bootstrap() -> Vec<Record> {
    let levels = ControllerConfig::default().supported_features;
    let level = levels.get("metadata.version").copied().expect("the controller supports a metadata.version");
    vec![Record::FeatureLevel { name: "metadata.version".into(), level }]
}
