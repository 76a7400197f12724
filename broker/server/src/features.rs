//! The features this node supports and what a new cluster starts with.
//!
//! What there is to support is `broker_core`'s table. A configuration can narrow it to an older release, or
//! single features to lower levels, so that a cluster of several releases can be tested with one program.

use std::collections::BTreeMap;

use broker_core::metadata::{self as core, ELR_FEATURE, MetadataImage, Record, VersionRange};
pub use broker_core::metadata::{METADATA_VERSION_FEATURE, MetadataVersion, bootstrap_features};

use crate::config::BrokerConfig;

/// The group protocol of KIP-848.
pub const GROUP_VERSION_FEATURE: &str = "group.version";

/// Levels of each feature that a node can run at.
pub type Supported = BTreeMap<String, VersionRange>;

/// A finalized level that a node cannot run at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster runs at {feature} {level}, but this node supports {}-{} only: start it as a newer release",
    .supported.min, .supported.max
)]
pub struct UnsupportedLevel {
    pub feature: String,
    pub level: i16,
    pub supported: VersionRange,
}

/// Features whose code this node has; a new cluster does not start with the others.
const BUILT: [&str; 3] = [METADATA_VERSION_FEATURE, ELR_FEATURE, GROUP_VERSION_FEATURE];

/// What the node supports: its release's features, narrowed by `internal.supported.feature.levels`.
pub fn supported(config: &BrokerConfig) -> Supported {
    let release = MetadataVersion::from_release(&config.internal_supported_release);
    let mut supported = core::supported_features(release.unwrap_or(MetadataVersion::LATEST));
    for entry in &config.internal_supported_feature_levels {
        if let Ok((name, level)) = feature_level(entry)
            && let Some(range) = supported.get_mut(name)
        {
            range.max = range.max.min(level);
        }
    }
    supported.retain(|_, range| range.max > 0);
    supported
}

/// What the first active controller of a new cluster writes: each feature at the level that its release
/// starts with, as `kafka-storage format --release-version` does.
pub fn bootstrap(config: &BrokerConfig) -> Vec<Record> {
    let supported = supported(config);
    let highest = supported
        .get(METADATA_VERSION_FEATURE)
        .and_then(|range| MetadataVersion::from_level(range.max))
        .unwrap_or(MetadataVersion::MINIMUM);
    let asked = MetadataVersion::from_release(&config.internal_bootstrap_release);
    let levels = core::bootstrap_features(asked.unwrap_or(highest).min(highest));
    let records = levels.into_iter().filter_map(|(name, level)| {
        let highest = supported.get(&name)?.max;
        let level = level.min(highest);
        let built = BUILT.contains(&name.as_str());
        built.then_some(Record::FeatureLevel { name, level })
    });
    records.collect()
}

/// Whether the node can run at all levels that the cluster has finalized.
///
/// # Errors
/// The first that it cannot.
pub fn check(supported: &Supported, image: &MetadataImage) -> Result<(), UnsupportedLevel> {
    for (feature, &level) in image.features() {
        let disabled = VersionRange { min: 0, max: 0 };
        let range = supported.get(feature).copied().unwrap_or(disabled);
        if !range.contains(level) {
            return Err(UnsupportedLevel {
                feature: feature.clone(),
                level,
                supported: range,
            });
        }
    }
    Ok(())
}

/// `NAME:LEVEL`.
fn feature_level(entry: &str) -> Result<(&str, i16), String> {
    let wrong = || format!("'{entry}' is not NAME:LEVEL");
    let (name, level) = entry.split_once(':').ok_or_else(wrong)?;
    let level = level.trim().parse().map_err(|_| wrong())?;
    Ok((name.trim(), level))
}

/// The check of `internal.supported.feature.levels`.
pub(crate) fn check_levels(entries: &[String]) -> Result<(), String> {
    let known = core::supported_features(MetadataVersion::LATEST);
    for entry in entries {
        let (name, level) = feature_level(entry)?;
        let Some(range) = known.get(name) else {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            return Err(format!("no feature '{name}'; known: {}", names.join(", ")));
        };
        if !range.contains(level) {
            return Err(format!(
                "{name} has the levels {} to {}",
                range.min, range.max
            ));
        }
    }
    Ok(())
}

/// The check of properties that name a release such as 4.0 or 4.0-IV2; empty where the property may be.
pub(crate) fn check_release(text: &str) -> Result<(), String> {
    match MetadataVersion::from_release(text) {
        Some(_) => Ok(()),
        None => Err(format!(
            "no release; known: {}",
            MetadataVersion::releases().join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> BrokerConfig {
        BrokerConfig::from_pairs(pairs.iter().copied()).expect("a valid configuration")
    }

    fn bootstrapped(pairs: &[(&str, &str)]) -> Vec<(String, i16)> {
        let records = bootstrap(&config(pairs)).into_iter();
        let levels = records.map(|record| match record {
            Record::FeatureLevel { name, level } => (name, level),
            other => panic!("{other:?}"),
        });
        levels.collect()
    }

    #[test]
    fn a_node_may_play_an_older_release() {
        let of = |pairs: &[(&str, &str)]| {
            let supported = supported(&config(pairs)).into_iter();
            supported
                .map(|(name, range)| (name, range.max))
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(of(&[])[METADATA_VERSION_FEATURE], 27);
        let old = of(&[("internal.supported.release", "3.9")]);
        assert_eq!(
            old,
            BTreeMap::from([("kraft.version".into(), 1), ("metadata.version".into(), 21)])
        );
        let narrow = of(&[(
            "internal.supported.feature.levels",
            "transaction.version:1,group.version:0,metadata.version:24",
        )]);
        assert_eq!(narrow["transaction.version"], 1);
        assert_eq!(narrow[METADATA_VERSION_FEATURE], 24);
        assert!(!narrow.contains_key("group.version"));
    }

    #[test]
    fn a_new_cluster_starts_with_what_its_release_has() {
        let elr = (ELR_FEATURE.to_owned(), 1);
        let groups = (GROUP_VERSION_FEATURE.to_owned(), 1);
        let version = |level| (METADATA_VERSION_FEATURE.to_owned(), level);
        let all = [elr.clone(), groups.clone(), version(27)];
        assert_eq!(bootstrapped(&[]), all);
        assert_eq!(
            bootstrapped(&[("internal.bootstrap.release", "4.0")]),
            [groups.clone(), version(25)]
        );
        assert_eq!(
            bootstrapped(&[("internal.supported.release", "3.8")]),
            [version(20)]
        );
        // No cluster starts above what its first controller supports.
        let both = [
            ("internal.supported.release", "4.0"),
            ("internal.bootstrap.release", "4.1"),
        ];
        assert_eq!(bootstrapped(&both), [groups, version(25)]);
    }

    #[test]
    fn unknown_releases_features_and_levels_are_refused() {
        for (name, value, wrong) in [
            ("internal.supported.release", "5.0", "4.1"),
            ("internal.bootstrap.release", "4", "4.0"),
            (
                "internal.supported.feature.levels",
                "warp.version:1",
                "transaction.version",
            ),
            (
                "internal.supported.feature.levels",
                "group.version:2",
                "0 to 1",
            ),
            (
                "internal.supported.feature.levels",
                "group.version",
                "NAME:LEVEL",
            ),
        ] {
            let error = BrokerConfig::from_pairs([(name, value)])
                .unwrap_err()
                .to_string();
            assert!(error.contains(name) && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_finalized_level_above_the_supported_ones_is_named() {
        let mut image = MetadataImage::default();
        image.apply(&Record::FeatureLevel {
            name: METADATA_VERSION_FEATURE.into(),
            level: 27,
        });
        assert_eq!(check(&supported(&config(&[])), &image), Ok(()));
        let old = supported(&config(&[("internal.supported.release", "4.0")]));
        let error = check(&old, &image).unwrap_err().to_string();
        assert!(
            error.contains("metadata.version 27") && error.contains("7-25"),
            "{error}"
        );
    }
}
