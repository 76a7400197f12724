//! The layering, checked against cargo's own view: what each crate of this workspace may use of it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Normal dependencies inside the workspace; `broker-probe` may be used by every crate. Recorded
/// deviations from the design's table: faults use the disk's fault type, workloads speak protocol ids,
/// `sim-hosted` holds what madsim and turmoil share.
const ALLOWED: &[(&str, &[&str])] = &[
    ("broker-probe", &[]),
    ("broker-protocol", &["broker-protocol-derive"]),
    ("broker-protocol-derive", &[]),
    ("broker-core", &["broker-protocol"]),
    ("broker-env", &[]),
    ("broker-storage", &["broker-env", "broker-protocol"]),
    (
        "broker-server",
        &[
            "broker-core",
            "broker-storage",
            "broker-env",
            "broker-protocol",
        ],
    ),
    (
        "broker-client",
        &["broker-core", "broker-env", "broker-protocol"],
    ),
    (
        "broker-cli",
        &[
            "broker-server",
            "broker-client",
            "broker-env",
            "broker-storage",
            "broker-protocol",
            "broker-core",
        ],
    ),
    ("sim-disk", &["broker-env"]),
    ("sim-faults", &["broker-env", "sim-disk"]),
    ("sim-engine", &["broker-env", "sim-disk", "sim-faults"]),
    (
        "sim-hosted",
        &["broker-env", "sim-disk", "sim-faults", "sim-engine"],
    ),
    (
        "sim-madsim",
        &[
            "broker-env",
            "sim-disk",
            "sim-faults",
            "sim-engine",
            "sim-hosted",
        ],
    ),
    (
        "sim-turmoil",
        &[
            "broker-env",
            "sim-disk",
            "sim-faults",
            "sim-engine",
            "sim-hosted",
        ],
    ),
    ("sim-checkers", &[]),
    (
        "sim-workloads",
        &[
            "broker-client",
            "broker-env",
            "broker-protocol",
            "sim-checkers",
        ],
    ),
    ("models", &["broker-core", "broker-protocol"]),
    ("reports", &["sim-checkers"]),
    (
        "sim-runner",
        &[
            "broker-client",
            "broker-core",
            "broker-env",
            "broker-protocol",
            "broker-server",
            "broker-storage",
            "sim-disk",
            "sim-faults",
            "sim-engine",
            "sim-hosted",
            "sim-madsim",
            "sim-turmoil",
            "sim-checkers",
            "sim-workloads",
            "models",
            "reports",
        ],
    ),
    // As somebody outside: what a service needs in production.
    ("sim-example", &["broker-client", "broker-env"]),
];

/// Workspace packages with their normal dependencies inside the workspace.
fn metadata() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("an array");
    let name = |value: &serde_json::Value| value["name"].as_str().expect("a name").to_owned();
    let members: BTreeSet<String> = packages.iter().map(name).collect();
    let uses = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().expect("an array").iter();
        let normal = all.filter(|dependency| dependency["kind"].is_null());
        normal
            .map(name)
            .filter(|name| members.contains(name))
            .collect()
    };
    packages
        .iter()
        .map(|package| (name(package), uses(package)))
        .collect()
}

#[test]
fn every_crate_uses_only_what_its_layer_allows() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    for (package, uses) in metadata() {
        let Some(may) = allowed.get(package.as_str()) else {
            panic!("{package} has no row in this table: which layer is it?");
        };
        for used in uses {
            assert!(
                used == "broker-probe" || may.contains(&used.as_str()),
                "{package} must not use {used}"
            );
        }
    }
}
