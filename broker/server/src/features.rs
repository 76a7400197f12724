//! The features this version supports and what a new cluster starts with.

use std::collections::BTreeMap;

use broker_core::metadata::{ControllerConfig, Record};

/// Lowest and highest level of each feature this node can run at.
pub fn supported() -> BTreeMap<String, (i16, i16)> {
    let highest = ControllerConfig::default().supported_features;
    highest
        .into_iter()
        .map(|(name, level)| (name, (0, level)))
        .collect()
}

/// What the first active controller of a new cluster writes: metadata.version and eligible
/// leader replicas (KIP-966) at their highest, as Kafka 4.1 does. The others stay off until what they need is
/// built.
pub fn bootstrap() -> Vec<Record> {
    let levels = ControllerConfig::default().supported_features;
    let level = |name: &str| Record::FeatureLevel {
        name: name.into(),
        level: *levels
            .get(name)
            .expect("the controller supports what it bootstraps"),
    };
    vec![
        level("metadata.version"),
        level("eligible.leader.replicas.version"),
    ]
}
