//! Checks of what a scenario says about members, releases and feature levels.

use std::collections::{BTreeMap, BTreeSet};

use broker_server::features::{METADATA_VERSION_FEATURE, MetadataVersion, bootstrap_features};
use sim_faults::{Action, Fault, Operation, Target};
use toml::Spanned;

use super::error::At;
use super::file::ClusterTable;
use super::parse::topic_known;
use super::{Cluster, NodeSpec, Topic};

/// More spares of a kind than this are a mistake, not a test.
const MOST_SPARES: u32 = 16;

pub(super) fn spares(count: Option<&Spanned<u32>>, of: &str) -> Result<u32, At> {
    let Some(count) = count else {
        return Ok(0);
    };
    if *count.get_ref() > MOST_SPARES {
        let message = format!("a cluster has 0 to {MOST_SPARES} spare {of}");
        return Err(At::new(count.span(), message));
    }
    Ok(*count.get_ref())
}

/// Nodes of several releases need a common level to begin with, or the older ones could not start.
pub(super) fn releases(
    table: &ClusterTable,
    cluster: &Cluster,
) -> Result<BTreeMap<String, String>, At> {
    const BOOTSTRAP: &str = "internal.bootstrap.release";
    let bootstrap = cluster.config.get(BOOTSTRAP);
    let level = bootstrap.and_then(|text| MetadataVersion::from_release(text));
    let mut releases = BTreeMap::new();
    for (node, release) in &table.releases {
        let known = cluster.nodes();
        if !known.iter().any(|spec| spec.name == *node) {
            let names: Vec<String> = known.into_iter().map(|spec| spec.name).collect();
            let message = format!("no node \"{node}\" in this cluster ({})", names.join(", "));
            return Err(
                At::new(release.span(), message).suggesting(node, names.iter().map(String::as_str))
            );
        }
        let version = release_known(release)?;
        if level.is_none_or(|level| level > version) {
            let message = format!(
                "{node} of release {} cannot run at the levels a newer node starts the cluster with; \
                 set \"{BOOTSTRAP}\" in [cluster.config] to {} or an older release",
                release.get_ref(),
                release.get_ref()
            );
            return Err(At::new(release.span(), message));
        }
        releases.insert(node.clone(), release.get_ref().clone());
    }
    Ok(releases)
}

pub(super) fn chaos_releases(given: &[Spanned<String>]) -> Result<Vec<String>, At> {
    given
        .iter()
        .map(|release| release_known(release).map(|_| release.get_ref().clone()))
        .collect()
}

fn release_known(release: &Spanned<String>) -> Result<MetadataVersion, At> {
    MetadataVersion::from_release(release.get_ref())
        .ok_or_else(|| unknown_release(release.get_ref(), release.span()))
}

fn unknown_release(release: &str, span: std::ops::Range<usize>) -> At {
    let known = MetadataVersion::releases();
    let message = format!("no release \"{release}\"; known: {}", known.join(", "));
    At::new(span, message).suggesting(release, known)
}

/// An action with the target it is to strike.
pub(super) fn check_action(
    action: &Spanned<Action>,
    target: &Target,
    cluster: &Cluster,
) -> Result<(), At> {
    match action.get_ref() {
        Action::RollingRestart(restart) => match &restart.release {
            Some(release) if MetadataVersion::from_release(release).is_none() => {
                Err(unknown_release(release, action.span()))
            }
            _ => Ok(()),
        },
        Action::AddVoter | Action::RemoveVoter => match target {
            Target::Node(node) => check_controller(node, action.span(), cluster),
            Target::Random | Target::Controller => Ok(()),
            _ => {
                let message =
                    "who becomes or ceases to be a voter is a node, \"random\" or \"controller\"";
                Err(At::new(action.span(), message))
            }
        },
        Action::AddBroker | Action::RemoveBroker => {
            let node = match target {
                Target::Node(node) => Some(node.as_str()),
                Target::Random => None,
                _ => {
                    let message = "who is added or removed is a node, or \"random\"";
                    return Err(At::new(action.span(), message));
                }
            };
            check_broker(node, action.span(), cluster)
        }
        _ => Ok(()),
    }
}

pub(super) fn check_operation(
    fault: &Spanned<Fault>,
    cluster: &Cluster,
    topics: &[Topic],
) -> Result<(), At> {
    let Fault::Operation(operation) = fault.get_ref() else {
        return Ok(());
    };
    match operation {
        Operation::InstallRelease { release, .. } => {
            let known = MetadataVersion::from_release(release);
            known
                .map(|_| ())
                .ok_or_else(|| unknown_release(release, fault.span()))
        }
        Operation::AddBroker { node } | Operation::RemoveBroker { node, .. } => {
            check_broker(Some(node), fault.span(), cluster)
        }
        Operation::AddVoter { node } | Operation::RemoveVoter { node } => {
            check_controller(node, fault.span(), cluster)
        }
        Operation::UpgradeFeatures { features } | Operation::DowngradeFeatures { features, .. } => {
            check_features(features, fault.span())
        }
        Operation::ElectPreferredLeader { topic, partition } => {
            check_partition(topic, *partition, fault.span(), topics)
        }
        Operation::ConfigureTopic { topic, .. } => check_partition(topic, 0, fault.span(), topics),
    }
}

/// Replicas of each partition by hand: as many as the topic has, different ones, brokers.
pub(super) fn assignment(
    given: Option<&Spanned<Vec<Vec<i32>>>>,
    partitions: i32,
    replicas: i16,
    cluster: &Cluster,
) -> Result<Vec<Vec<i32>>, At> {
    let Some(given) = given else {
        return Ok(Vec::new());
    };
    let all = given.get_ref();
    if i32::try_from(all.len()) != Ok(partitions) {
        let message = format!("assignment has {} of {partitions} partitions", all.len());
        return Err(At::new(given.span(), message));
    }
    let brokers: BTreeSet<i32> = cluster.brokers().iter().map(|spec| spec.id).collect();
    for of_one in all {
        let different: BTreeSet<i32> = of_one.iter().copied().collect();
        let fits = different.len() == of_one.len() && i16::try_from(of_one.len()) == Ok(replicas);
        if !fits || !different.is_subset(&brokers) {
            let message = format!(
                "{of_one:?} is no assignment: {replicas} different brokers of 1 to {}",
                brokers.len()
            );
            return Err(At::new(given.span(), message));
        }
    }
    Ok(all.clone())
}

/// A partition of a topic that the scenario has.
pub(super) fn check_partition(
    topic: &str,
    partition: i32,
    span: std::ops::Range<usize>,
    topics: &[Topic],
) -> Result<(), At> {
    topic_known(topic, span.clone(), topics)?;
    let found = topics.iter().find(|known| known.name == topic);
    let count = found.map_or(0, |topic| topic.partitions);
    if (0..count).contains(&partition) {
        return Ok(());
    }
    let last = count.saturating_sub(1);
    let message = format!("topic \"{topic}\" has partitions 0 to {last}");
    Err(At::new(span, message))
}

/// Some broker is no controller too: without it the quorum would lose a voter.
fn check_broker(
    node: Option<&str>,
    span: std::ops::Range<usize>,
    cluster: &Cluster,
) -> Result<(), At> {
    let fits = |spec: &NodeSpec| !spec.is_controller && node.is_none_or(|node| spec.name == node);
    if cluster.nodes().iter().any(fits) {
        return Ok(());
    }
    let who = node.unwrap_or("any node");
    let message = format!(
        "{who} is a controller too: only brokers without another role, such as spare_brokers, come and go"
    );
    Err(At::new(span, message))
}

fn check_features(
    features: &BTreeMap<String, i16>,
    span: std::ops::Range<usize>,
) -> Result<(), At> {
    let known = bootstrap_features(MetadataVersion::LATEST);
    for (feature, level) in features {
        if !known.contains_key(feature) {
            let message = format!("no feature \"{feature}\"");
            return Err(
                At::new(span, message).suggesting(feature, known.keys().map(String::as_str))
            );
        }
        if feature == METADATA_VERSION_FEATURE && MetadataVersion::from_level(*level).is_none() {
            let (min, max) = (MetadataVersion::MINIMUM, MetadataVersion::LATEST);
            let message = format!(
                "{feature} has the levels {} to {}",
                min.level(),
                max.level()
            );
            return Err(At::new(span, message));
        }
    }
    Ok(())
}

fn check_controller(node: &str, span: std::ops::Range<usize>, cluster: &Cluster) -> Result<(), At> {
    let known = cluster.nodes();
    if known
        .iter()
        .any(|spec| spec.name == node && spec.is_controller)
    {
        return Ok(());
    }
    let message =
        format!("{node} is no controller: voters are controllers, such as spare_controllers");
    Err(At::new(span, message))
}
