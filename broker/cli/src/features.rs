//! `broker features`: feature levels of the cluster, as kafka-features shows and changes them.

use std::io::Write;

use broker_client::Admin;
use broker_client::admin::{FeatureMetadata, FeatureUpdate, UpgradeType};
use broker_server::features::{METADATA_VERSION_FEATURE, MetadataVersion, bootstrap_features};
use clap::{Args, Subcommand};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;

#[derive(Args)]
pub struct Features {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// What the broker that answers supports, and what is finalized.
    Describe {
        #[command(flatten)]
        connect: Connect,
    },
    /// Raises features to levels that all nodes support.
    Upgrade {
        #[command(flatten)]
        change: Change,
    },
    /// Lowers features.
    Downgrade {
        #[command(flatten)]
        change: Change,
        /// Also if metadata are lost by it.
        #[arg(long = "unsafe")]
        is_unsafe: bool,
    },
    /// Sets features to level 0.
    Disable {
        #[command(flatten)]
        connect: Connect,
        /// Its name. May be given several times.
        #[arg(long, value_name = "NAME", required = true)]
        feature: Vec<String>,
        /// Also if metadata are lost by it.
        #[arg(long = "unsafe")]
        is_unsafe: bool,
        /// Says whether it could be done, and does not.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Args)]
struct Change {
    #[command(flatten)]
    connect: Connect,
    /// A feature and its level. May be given several times.
    #[arg(long, value_name = "NAME=LEVEL", value_parser = level, required_unless_present_any = ["metadata", "release_version"])]
    feature: Vec<(String, i16)>,
    /// metadata.version by its name, e.g. 4.0 or 4.0-IV2.
    #[arg(long, value_name = "RELEASE", value_parser = release)]
    metadata: Option<MetadataVersion>,
    /// Every feature at the level a new cluster of this release starts with.
    #[arg(long, value_name = "RELEASE", value_parser = release, conflicts_with_all = ["feature", "metadata"])]
    release_version: Option<MetadataVersion>,
    /// Says whether it could be done, and does not.
    #[arg(long)]
    dry_run: bool,
}

impl Features {
    pub fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Describe { connect } => block_on(|env| async move {
                let admin = Admin::new(connect.client(&env));
                let features = admin.describe_features(connect.limit()).await;
                print(
                    &mut std::io::stdout().lock(),
                    &features.map_err(Failure::failed)?,
                )?;
                Ok(())
            }),
            Action::Upgrade { change } => change.make(UpgradeType::Upgrade),
            Action::Downgrade { change, is_unsafe } => change.make(downgrade(is_unsafe)),
            Action::Disable {
                connect,
                feature,
                is_unsafe,
                dry_run,
            } => {
                let levels = feature.into_iter().map(|name| (name, 0)).collect();
                update(connect, levels, downgrade(is_unsafe), dry_run)
            }
        }
    }
}

impl Change {
    fn make(self, upgrade_type: UpgradeType) -> Result<(), Failure> {
        let mut levels = self.feature;
        if let Some(version) = self.metadata {
            levels.push((METADATA_VERSION_FEATURE.to_owned(), version.level()));
        }
        if let Some(release) = self.release_version {
            levels.extend(bootstrap_features(release));
        }
        update(self.connect, levels, upgrade_type, self.dry_run)
    }
}

fn downgrade(is_unsafe: bool) -> UpgradeType {
    if is_unsafe {
        UpgradeType::UnsafeDowngrade
    } else {
        UpgradeType::SafeDowngrade
    }
}

fn update(
    connect: Connect,
    levels: Vec<(String, i16)>,
    upgrade_type: UpgradeType,
    dry_run: bool,
) -> Result<(), Failure> {
    let update = |(feature, level)| FeatureUpdate {
        feature,
        level,
        upgrade_type,
    };
    let updates: Vec<FeatureUpdate> = levels.into_iter().map(update).collect();
    block_on(|env| async move {
        let admin = Admin::new(connect.client(&env));
        let done = admin
            .update_features(&updates, dry_run, connect.limit())
            .await;
        done.map_err(Failure::failed)?;
        let mut out = std::io::stdout().lock();
        let verb = if dry_run {
            "can be changed"
        } else {
            "was changed"
        };
        for update in &updates {
            writeln!(out, "{} {verb} to {}.", update.feature, update.level)?;
        }
        Ok(())
    })
}

/// One line per feature, as kafka-features has them.
fn print(out: &mut impl Write, features: &FeatureMetadata) -> std::io::Result<()> {
    for (name, (min, max)) in &features.supported {
        let finalized = features.finalized.get(name).copied().unwrap_or(0);
        writeln!(
            out,
            "Feature: {name}\tSupportedMinVersion: {}\tSupportedMaxVersion: {}\tFinalizedVersionLevel: {}\tEpoch: {}",
            shown(name, *min),
            shown(name, *max),
            shown(name, finalized),
            features.finalized_epoch,
        )?;
    }
    Ok(())
}

/// metadata.version has names for its levels.
fn shown(feature: &str, level: i16) -> String {
    match MetadataVersion::from_level(level).filter(|_| feature == METADATA_VERSION_FEATURE) {
        Some(version) => version.to_string(),
        None => level.to_string(),
    }
}

fn level(text: &str) -> Result<(String, i16), String> {
    let (name, level) = text.split_once('=').ok_or("expected NAME=LEVEL")?;
    let level = level
        .parse()
        .map_err(|_| format!("'{level}' is no level"))?;
    Ok((name.to_owned(), level))
}

fn release(text: &str) -> Result<MetadataVersion, String> {
    MetadataVersion::from_release(text).ok_or_else(|| {
        format!(
            "no release; known: {}",
            MetadataVersion::releases().join(", ")
        )
    })
}
