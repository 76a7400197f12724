//! The published schema has the parser's keys, and every published scenario is valid.

use std::collections::BTreeSet;
use std::path::Path;

use sim_runner::Scenario;
use sim_runner::scenario::find;

fn scenarios() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

/// A table with a key nobody knows, and where the schema describes that table.
const TABLES: &[(&str, &str)] = &[
    (
        "zz = 1\n[cluster]\nnodes = 1\n[run]\nduration = \"1s\"",
        "/properties",
    ),
    (
        "[cluster]\nzz = 1\n[run]\nduration = \"1s\"",
        "/$defs/cluster/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[[topic]]\nzz = 1",
        "/$defs/topic/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[[workload]]\nzz = 1",
        "/$defs/workload/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[[fault]]\nzz = 1",
        "/$defs/fault/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[chaos]\nzz = 1",
        "/$defs/chaos/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[chaos.aim]\nzz = 1",
        "/$defs/chaos/properties/aim/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[chaos.lasts]\nzz = 1",
        "/$defs/lasts/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[budget]\nzz = 1",
        "/$defs/budget/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[run]\nzz = 1",
        "/$defs/run/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[network]\nzz = 1",
        "/$defs/network/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[network.latency]\nzz = 1",
        "/$defs/latency/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[disk]\nzz = 1",
        "/$defs/disk/properties",
    ),
    (
        "[cluster]\nnodes = 1\n[expect]\nzz = 1",
        "/$defs/expect/properties",
    ),
];

#[test]
fn the_schema_has_the_parser_s_keys() {
    let text = std::fs::read_to_string(scenarios().join("schema.json")).expect("published");
    let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (toml, pointer) in TABLES {
        let error = Scenario::parse("s.toml", toml).expect_err("zz is unknown");
        let listed = error.message.split("possible: ").nth(1);
        let listed = listed.unwrap_or_else(|| panic!("{toml}: {error}"));
        let parser: BTreeSet<&str> = listed.trim_end_matches(')').split(", ").collect();
        let described = schema.pointer(pointer).and_then(|keys| keys.as_object());
        let described = described.unwrap_or_else(|| panic!("no {pointer} in the schema"));
        let described: BTreeSet<&str> = described.keys().map(String::as_str).collect();
        assert_eq!(parser, described, "{pointer}");
    }
}

#[test]
fn every_published_scenario_is_valid_and_says_what_it_is_for() {
    let places = find::all(&scenarios());
    assert!(places.len() >= 16, "{} scenarios", places.len());
    for place in places {
        let scenario = find::load(&place.path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!scenario.description.is_empty(), "{}", place.path.display());
        assert!(["smoke", "nightly", "endurance", "regressions"].contains(&place.tier.as_str()));
    }
}

#[test]
fn names_are_unique_over_all_tiers() {
    let places = find::all(&scenarios());
    let names: BTreeSet<&str> = places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(names.len(), places.len());
}
