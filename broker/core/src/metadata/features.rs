//! Features (KIP-584): what this software supports, what a new cluster starts with, UpdateFeatures.

use std::collections::BTreeMap;

use broker_probe::probe;
use broker_protocol::ids::NodeId;

use super::error::ErrorCode;
use super::image::{ELR_FEATURE, MIN_INSYNC_REPLICAS, MetadataImage};
use super::metadata_version::{METADATA_VERSION_FEATURE, MetadataVersion};
use super::record::{ConfigResource, Record, VersionRange};
use super::reply::{ApiError, Output, Reply};
use super::request::{FeatureUpdate, UpdateFeaturesRequest, UpgradeType};
use super::soft::{ControllerConfig, Soft};
use crate::Ticket;

/// Feature that turns on dynamic quorums (KIP-853). Its level is a control record of the quorum's log, not of
/// the controller's (KAFKA-18979).
pub const KRAFT_VERSION_FEATURE: &str = "kraft.version";

/// A feature beside `metadata.version`. Level n is at index n-1 of each list.
struct Known {
    name: &'static str,
    /// The first `metadata.version` whose release has the level.
    since: &'static [i16],
    /// The lowest finalized `metadata.version` that the level needs; 0 for any.
    needs: &'static [i16],
    /// The lowest `metadata.version` at which a new cluster starts with the level.
    bootstrap: &'static [i16],
}

const KNOWN: [Known; 4] = [
    Known {
        name: ELR_FEATURE,
        since: &[23],
        needs: &[23],
        bootstrap: &[26],
    },
    Known {
        name: "group.version",
        since: &[22],
        needs: &[0],
        bootstrap: &[22],
    },
    Known {
        name: KRAFT_VERSION_FEATURE,
        since: &[21],
        needs: &[21],
        bootstrap: &[21],
    },
    Known {
        name: "transaction.version",
        since: &[24, 24],
        needs: &[0, 0],
        bootstrap: &[24, 24],
    },
];

/// The levels of each feature that a node of a release supports; a feature it does not know is absent.
pub fn supported_features(release: MetadataVersion) -> BTreeMap<String, VersionRange> {
    let mut supported = BTreeMap::from([(
        METADATA_VERSION_FEATURE.to_owned(),
        VersionRange {
            min: MetadataVersion::MINIMUM.level(),
            max: release.level(),
        },
    )]);
    for known in &KNOWN {
        let max = highest(known.since, release);
        if max > 0 {
            supported.insert(known.name.to_owned(), VersionRange { min: 0, max });
        }
    }
    supported
}

/// The levels that a new cluster of a release starts with: `metadata.version` always, others above 0.
pub fn bootstrap_features(release: MetadataVersion) -> BTreeMap<String, i16> {
    let others = KNOWN.iter().map(|known| {
        let level = highest(known.bootstrap, release);
        (known.name.to_owned(), level)
    });
    let mut levels: BTreeMap<String, i16> = others.filter(|(_, level)| *level > 0).collect();
    levels.insert(METADATA_VERSION_FEATURE.to_owned(), release.level());
    levels
}

/// The highest level that a version has reached.
fn highest(reached_at: &[i16], version: MetadataVersion) -> i16 {
    let reached = reached_at.iter().filter(|at| **at <= version.level());
    i16::try_from(reached.count()).expect("a handful of levels")
}

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

/// All updates or none; the first that cannot be is the answer.
pub(super) fn update_features(
    hard: &MetadataImage,
    soft: &Soft,
    ticket: Ticket,
    request: UpdateFeaturesRequest,
    out: &mut Vec<Output>,
) {
    let check = Check {
        hard,
        config: &soft.config,
        kraft_version: request.kraft_version,
        kraft_refusal: request.kraft_refusal.as_ref(),
        updates: &request.updates,
    };
    let checked = request.updates.iter().try_for_each(|it| check.update(it));
    if checked.is_ok() && !request.validate_only {
        out.extend(kraft_upgrade(&request).map(Output::UpgradeKraftVersion));
        let records: Vec<Record> = request
            .updates
            .iter()
            .flat_map(|update| records_of(hard, &soft.config, update))
            .collect();
        if !records.is_empty() {
            out.push(Output::Records(records));
        }
    }
    out.push(Output::Reply(ticket, Reply::UpdateFeatures(checked)));
}

/// The `kraft.version` to be finalized, if a checked request has one above that in force. It is a record of the
/// quorum, so it cannot be in the same batch as other features; but it is only written if all are accepted, and
/// before them (Kafka upgrades it while it still checks the features that follow).
fn kraft_upgrade(request: &UpdateFeaturesRequest) -> Option<i16> {
    let mut levels = request
        .updates
        .iter()
        .filter(|it| it.name == KRAFT_VERSION_FEATURE)
        .map(|it| it.level);
    levels.find(|level| *level > request.kraft_version)
}

/// What writes a checked update; nothing for a level that is there already.
fn records_of(
    hard: &MetadataImage,
    config: &ControllerConfig,
    update: &FeatureUpdate,
) -> Vec<Record> {
    let FeatureUpdate { name, level, .. } = update;
    if name == KRAFT_VERSION_FEATURE || hard.feature_level(name) == *level {
        return Vec::new();
    }
    if *level < hard.feature_level(name) {
        probe!("metadata: feature downgraded");
    } else {
        probe!("metadata: feature upgraded");
    }
    let mut records = Vec::new();
    if name == ELR_FEATURE {
        records.extend(elr_switch_records(hard, config, *level));
    }
    records.push(Record::FeatureLevel {
        name: name.clone(),
        level: *level,
    });
    records
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

/// What updates are judged by.
struct Check<'a> {
    hard: &'a MetadataImage,
    config: &'a ControllerConfig,
    /// Finalized by the quorum's log.
    kraft_version: i16,
    /// Why the quorum would not finalize a higher one.
    kraft_refusal: Option<&'a ApiError>,
    updates: &'a [FeatureUpdate],
}

impl Check<'_> {
    fn update(&self, update: &FeatureUpdate) -> Result<(), ApiError> {
        let FeatureUpdate {
            name,
            level,
            upgrade_type,
        } = update;
        let refuse = |reason: &str| {
            probe!("metadata: feature update refused");
            let message = format!("Invalid update version {level} for feature {name}. {reason}");
            Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message))
        };
        if *upgrade_type == UpgradeType::Unknown {
            return refuse("The controller does not support the given upgrade type.");
        }
        if *level < 0 {
            return refuse("A feature version cannot be less than 0.");
        }
        if let Some(reason) = self.unsupported(name, *level) {
            return refuse(&reason);
        }
        let current = self.current(name);
        if *level < current && *upgrade_type == UpgradeType::Upgrade {
            return refuse(
                "Can't downgrade the version of this feature without setting the upgrade type to either \
                 safe or unsafe downgrade.",
            );
        }
        if *level > current && *upgrade_type != UpgradeType::Upgrade {
            return refuse("Can't downgrade to a newer version.");
        }
        match name.as_str() {
            METADATA_VERSION_FEATURE => self.metadata_version(*level, *upgrade_type),
            KRAFT_VERSION_FEATURE if *level < current => {
                refuse("Can't downgrade the version of this feature.")
            }
            KRAFT_VERSION_FEATURE if *level > current => {
                self.kraft_refusal.map_or(Ok(()), |refusal| {
                    probe!("metadata: the quorum refuses kraft.version");
                    Err(refusal.clone())
                })
            }
            _ => match self.missing_dependency(name, *level) {
                Some(reason) => refuse(&reason),
                None => Ok(()),
            },
        }
    }

    fn current(&self, name: &str) -> i16 {
        match name {
            METADATA_VERSION_FEATURE => self.hard.metadata_version().level(),
            KRAFT_VERSION_FEATURE => self.kraft_version,
            name => self.hard.feature_level(name),
        }
    }

    /// A level that changed the log is not left again: neither way of a downgrade keeps what it brought.
    fn metadata_version(&self, level: i16, upgrade_type: UpgradeType) -> Result<(), ApiError> {
        let current = self.hard.metadata_version();
        let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidUpdateVersion, message));
        let Some(next) = MetadataVersion::from_level(level) else {
            let (min, max) = (MetadataVersion::MINIMUM, MetadataVersion::LATEST);
            let range = format!(
                "Valid versions are from {} to {}.",
                min.level(),
                max.level()
            );
            return refuse(format!("Invalid metadata.version {level}. {range}"));
        };
        if next >= current || !current.loses_metadata(next) {
            return Ok(());
        }
        let reason = match upgrade_type {
            UpgradeType::UnsafeDowngrade => {
                "Unsafe metadata downgrade is not supported in this version."
            }
            _ => {
                "Refusing to perform the requested downgrade because it might delete metadata information."
            }
        };
        refuse(format!(
            "Unsupported metadata.version downgrade from {} to {level}. {reason}",
            current.level()
        ))
    }

    /// What a level needs of `metadata.version`, as it will be after all updates.
    fn missing_dependency(&self, name: &str, level: i16) -> Option<String> {
        let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
            return Some(format!("Feature {name} not found."));
        };
        let index = usize::try_from(level).ok()?.checked_sub(1)?;
        let needed = *known.needs.get(index)?;
        let updated = self
            .updates
            .iter()
            .find(|it| it.name == METADATA_VERSION_FEATURE);
        let proposed = updated.map_or(self.current(METADATA_VERSION_FEATURE), |it| it.level);
        (proposed < needed).then(|| {
            format!(
                "{name} could not be set to {level} because it depends on metadata.version level {needed}"
            )
        })
    }

    /// Everybody who is registered must run at the level, and every voter must be.
    fn unsupported(&self, name: &str, level: i16) -> Option<String> {
        let me = self.config.node_id;
        let unless = |who: String, features: &BTreeMap<String, VersionRange>| {
            reason_not_supported(&who, features, name, level)
        };
        let local = unless(
            format!("Local controller {me}"),
            &self.config.supported_features,
        );
        let brokers = self.hard.brokers().values();
        let mut brokers = brokers.map(|it| unless(format!("Broker {}", it.id), &it.features));
        local
            .or_else(|| brokers.find_map(|reason| reason))
            .or_else(|| self.unsupported_by_controllers(name, level))
    }

    fn unsupported_by_controllers(&self, name: &str, level: i16) -> Option<String> {
        if !self.hard.metadata_version().has_controller_registration() {
            return None;
        }
        let others = |id: &NodeId| *id != self.config.node_id;
        let registered = self.hard.controllers();
        let mut reasons = registered
            .values()
            .filter(|it| others(&it.controller))
            .map(|it| {
                let who = format!("Controller {}", it.controller);
                reason_not_supported(&who, &it.features, name, level)
            });
        if let Some(reason) = reasons.find_map(|reason| reason) {
            return Some(reason);
        }
        let mut voters = self.config.voters.iter().filter(|id| others(id));
        let missing = voters.find(|id| !registered.contains_key(id))?;
        Some(format!(
            "controller {missing} has not registered, and may not support this feature"
        ))
    }
}

fn reason_not_supported(
    who: &str,
    features: &BTreeMap<String, VersionRange>,
    name: &str,
    level: i16,
) -> Option<String> {
    let disabled = VersionRange { min: 0, max: 0 };
    let range = features.get(name).copied().unwrap_or(disabled);
    if range.contains(level) {
        None
    } else if range.max == 0 {
        Some(format!("{who} does not support this feature."))
    } else {
        Some(format!(
            "{who} only supports versions {}-{}",
            range.min, range.max
        ))
    }
}
