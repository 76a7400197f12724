//! Finalized features (KIP-584): bootstrap at first activation, UpdateFeatures.

use broker_protocol::ids::NodeId;

use super::error::ErrorCode;
use super::image::{ELR_FEATURE, MIN_INSYNC_REPLICAS, MetadataImage};
use super::record::{ConfigResource, Record, VersionRange};
use super::reply::{ApiError, Output, Reply};
use super::request::UpdateFeaturesRequest;
use super::soft::{ControllerConfig, Soft};
use crate::Ticket;

/// What a controller of this version supports, with the highest level.
pub(super) const SUPPORTED: [(&str, i16); 5] = [
    (ELR_FEATURE, 1),
    ("group.version", 1),
    ("kraft.version", 1),
    // 4.1-IV1.
    ("metadata.version", 27),
    ("transaction.version", 2),
];

/// Writes the first records of an empty log.
pub(super) fn bootstrap(
    hard: &MetadataImage,
    soft: &Soft,
    records: Vec<Record>,
    out: &mut Vec<Output>,
) {
    if *hard != MetadataImage::default() || records.is_empty() {
        return;
    }
    let elr = |record: &Record| matches!(record, Record::FeatureLevel { name, level: 1.. } if name == ELR_FEATURE);
    let elr_enabled = records.iter().any(elr);
    let mut records = records;
    if elr_enabled {
        records.extend(replicated_min_insync_replicas(hard, &soft.config));
    }
    out.push(Output::Records(records));
}

/// With eligible replicas, all nodes must agree on the cluster's `min.insync.replicas`, so it is taken
/// from the static configuration once and then from the log.
fn replicated_min_insync_replicas(
    hard: &MetadataImage,
    config: &ControllerConfig,
) -> Option<Record> {
    let resource = ConfigResource::cluster();
    hard.config(&resource, MIN_INSYNC_REPLICAS)
        .is_none()
        .then(|| Record::Config {
            resource,
            name: MIN_INSYNC_REPLICAS.to_owned(),
            value: Some(config.min_insync_replicas.to_string()),
        })
}

/// All updates or none.
pub(super) fn update_features(
    hard: &MetadataImage,
    soft: &Soft,
    ticket: Ticket,
    request: UpdateFeaturesRequest,
    out: &mut Vec<Output>,
) {
    let mut records = Vec::new();
    let mut results = Vec::new();
    for (name, level) in request.updates {
        let result = check_level(hard, &soft.config, &name, level);
        if result.is_ok() && hard.feature_level(&name) != level {
            if name == ELR_FEATURE {
                records.extend(elr_switch_records(hard, &soft.config, level));
            }
            records.push(Record::FeatureLevel {
                name: name.clone(),
                level,
            });
        }
        results.push((name, result));
    }
    let all_good = results.iter().all(|(_, result)| result.is_ok());
    if all_good && !request.validate_only && !records.is_empty() {
        out.push(Output::Records(records));
    }
    out.push(Output::Reply(ticket, Reply::UpdateFeatures(results)));
}

fn elr_switch_records(
    hard: &MetadataImage,
    config: &ControllerConfig,
    level: i16,
) -> Option<Record> {
    match level {
        0 => Some(Record::ClearElr { topic_name: None }),
        _ => replicated_min_insync_replicas(hard, config),
    }
}

fn check_level(
    hard: &MetadataImage,
    config: &ControllerConfig,
    name: &str,
    level: i16,
) -> Result<(), ApiError> {
    let refuse = |code, message| Err(ApiError::new(code, message));
    let Some(&highest) = config.supported_features.get(name) else {
        let message = format!("The controller does not support the given feature {name}.");
        return refuse(ErrorCode::FeatureUpdateFailed, message);
    };
    if !(0..=highest).contains(&level) {
        let message = format!(
            "Level {level} of {name} is not supported: it must be between 0 and {highest}."
        );
        return refuse(ErrorCode::FeatureUpdateFailed, message);
    }
    match broker_without(hard, name, level) {
        Some(broker) => {
            let message = format!("Broker {broker} does not support level {level} of {name}.");
            refuse(ErrorCode::FeatureUpdateFailed, message)
        }
        None => Ok(()),
    }
}

fn broker_without(hard: &MetadataImage, name: &str, level: i16) -> Option<NodeId> {
    let unsaid = VersionRange { min: 0, max: 0 };
    let supports = |ranges: &std::collections::BTreeMap<String, VersionRange>| {
        ranges.get(name).copied().unwrap_or(unsaid).contains(level)
    };
    hard.brokers()
        .values()
        .find(|broker| !supports(&broker.features))
        .map(|broker| broker.id)
}
