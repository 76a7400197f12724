//! A scenario as the text of its file: only what differs from what a file says by saying nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use sim_disk::DiskOptions;
use sim_disk::units::show;
use sim_faults::plan::Planned;
use sim_faults::{Durability, FaultSpec, NetworkOptions};
use sim_workloads::WorkloadSpec;

use super::file::Heal;
use super::{Cluster, Layout, Scenario, Topic};

pub(super) fn text(scenario: &Scenario) -> String {
    assert!(
        scenario.chaos.is_none(),
        "{}: random faults are not written",
        scenario.name
    );
    let mut text = String::new();
    if !scenario.description.is_empty() {
        let escaped = scenario.description.replace('\\', "\\\\");
        let escaped = escaped.replace("\"\"\"", "\\\"\\\"\\\"");
        line(
            &mut text,
            &format!("description = \"\"\"\n{escaped}\n\"\"\"\n"),
        );
    }
    cluster(&mut text, &scenario.cluster);
    scenario.topics.iter().for_each(|it| topic(&mut text, it));
    for spec in &scenario.workloads {
        workload(&mut text, spec, &scenario.topics);
    }
    for spec in &scenario.faults {
        text.push_str(&fault_entry(spec));
    }
    budget(&mut text, scenario);
    run(&mut text, scenario);
    network(&mut text, &scenario.network);
    disk(&mut text, &scenario.disk);
    expect(&mut text, scenario);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// A planned fault in one line.
pub fn in_words(spec: &FaultSpec) -> String {
    let mut words = format!("{}: {}", show(spec.at), spec.planned);
    if let Some(every) = spec.every {
        let _never = write!(words, ", every {}", show(every));
    }
    if let Some(lasts) = spec.lasts {
        let _never = write!(words, ", for {}", show(lasts));
    }
    words
}

/// One `[[fault]]`.
pub(crate) fn fault_entry(spec: &FaultSpec) -> String {
    let mut entry = format!("[[fault]]\nat = \"{}\"\n", show(spec.at));
    if let Some(every) = spec.every {
        line(&mut entry, &format!("every = \"{}\"", show(every)));
    }
    if let Some(times) = spec.times {
        line(&mut entry, &format!("times = {times}"));
    }
    match &spec.planned {
        Planned::Fault(fault) => line(&mut entry, &format!("fault = {}", inline(fault))),
        Planned::On(target, action) => {
            line(&mut entry, &format!("target = {}", inline(target)));
            line(&mut entry, &format!("action = {}", inline(action)));
        }
    }
    if let Some(lasts) = spec.lasts {
        line(&mut entry, &format!("lasts = \"{}\"", show(lasts)));
    }
    entry.push('\n');
    entry
}

fn line(text: &mut String, line: &str) {
    let _never = writeln!(text, "{line}");
}

fn inline(value: &impl serde::Serialize) -> String {
    toml::Value::try_from(value)
        .expect("parts of scenarios are made of tables, texts and numbers")
        .to_string()
}

/// A heading with what differs; nothing if nothing does.
fn section(text: &mut String, heading: &str, lines: &[String]) {
    if !lines.is_empty() {
        line(text, &format!("{heading}\n{}\n", lines.join("\n")));
    }
}

fn cluster(text: &mut String, cluster: &Cluster) {
    let mut lines = match cluster.layout {
        Layout::Combined(nodes) => vec![format!("nodes = {nodes}")],
        Layout::Separate {
            brokers,
            controllers,
        } => vec![
            format!("brokers = {brokers}"),
            format!("controllers = {controllers}"),
        ],
    };
    let count = |lines: &mut Vec<String>, name: &str, count: u32, standard: u32| {
        if count != standard {
            lines.push(format!("{name} = {count}"));
        }
    };
    count(&mut lines, "log_dirs", cluster.log_dirs, 1);
    count(&mut lines, "spare_brokers", cluster.spare_brokers, 0);
    count(
        &mut lines,
        "spare_controllers",
        cluster.spare_controllers,
        0,
    );
    if cluster.dynamic_quorum {
        lines.push("dynamic_quorum = true".to_owned());
    }
    if !cluster.racks.is_empty() {
        lines.push(format!("racks = {}", inline(&cluster.racks)));
    }
    if !cluster.releases.is_empty() {
        lines.push(format!("releases = {}", inline(&cluster.releases)));
    }
    section(text, "[cluster]", &lines);
    let told = cluster
        .config
        .iter()
        .filter(|(name, value)| (name.as_str(), value.as_str()) != super::STANDARD_PROPERTY);
    let told: Vec<String> = told.map(property).collect();
    section(text, "[cluster.config]", &told);
}

/// Numbers and booleans without quotes, as people write them.
fn property((name, value): (&String, &String)) -> String {
    let number = value
        .parse::<i64>()
        .is_ok_and(|it| it.to_string() == *value);
    let plain = number || value == "true" || value == "false";
    let value = match plain {
        true => value.clone(),
        false => inline(value),
    };
    format!("\"{name}\" = {value}")
}

fn topic(text: &mut String, topic: &Topic) {
    let mut lines = vec![format!("name = {}", inline(&topic.name))];
    if topic.partitions != 1 {
        lines.push(format!("partitions = {}", topic.partitions));
    }
    lines.push(format!("replicas = {}", topic.replicas));
    if !topic.assignment.is_empty() {
        lines.push(format!("assignment = {}", inline(&topic.assignment)));
    }
    if !topic.config.is_empty() {
        let config: Vec<String> = topic.config.iter().map(property).collect();
        lines.push(format!("config = {{ {} }}", config.join(", ")));
    }
    section(text, "[[topic]]", &lines);
}

fn workload(text: &mut String, spec: &WorkloadSpec, topics: &[Topic]) {
    let standard = WorkloadSpec::default();
    let kind = inline(&spec.kind).replace('_', "-");
    let mut lines = vec![format!("kind = {kind}")];
    if !spec
        .topics
        .iter()
        .eq(topics.iter().map(|topic| &topic.name))
    {
        lines.push(format!("topics = {}", inline(&spec.topics)));
    }
    let (own, standard) = (fields(spec), fields(&standard));
    for (name, value) in &own {
        if standard.get(name) != Some(value) {
            lines.push(format!("{name} = {value}"));
        }
    }
    section(text, "[[workload]]", &lines);
}

/// All but kind and topics, by their keys in a file.
fn fields(spec: &WorkloadSpec) -> BTreeMap<&'static str, String> {
    let ms = |ms: u64| inline(&show(Duration::from_millis(ms)));
    let bytes = |bytes: u32| format!("\"{bytes}B\"");
    let acks = match spec.acks {
        -1 => "\"all\"".to_owned(),
        acks => acks.to_string(),
    };
    BTreeMap::from([
        ("producers", spec.producers.to_string()),
        ("consumers", spec.consumers.to_string()),
        ("observers", spec.observers.to_string()),
        ("rate", spec.rate.to_string()),
        ("operations", spec.operations.to_string()),
        ("outstanding", spec.outstanding.to_string()),
        ("record_size", bytes(spec.record_size)),
        ("keys", spec.keys.to_string()),
        ("headers", spec.headers.to_string()),
        ("acks", acks),
        ("linger", ms(spec.linger_ms)),
        ("batch_size", bytes(spec.batch_size)),
        ("max_in_flight", spec.max_in_flight.to_string()),
        ("compression", inline(&spec.compression)),
        ("idempotence", spec.idempotence.to_string()),
        ("read_committed", spec.read_committed.to_string()),
        ("transaction_timeout", ms(spec.transaction_timeout_ms)),
        ("client_rack", inline(&spec.client_rack)),
        ("group_protocol", inline(&spec.group_protocol)),
        ("request_timeout", ms(spec.request_timeout_ms)),
        ("delivery_timeout", ms(spec.delivery_timeout_ms)),
        ("max_poll_records", spec.max_poll_records.to_string()),
        ("fetch_max_wait", ms(spec.fetch_max_wait_ms)),
        ("observe_interval", ms(spec.observe_interval_ms)),
        ("finish_timeout", ms(spec.finish_timeout_ms)),
    ])
}

fn budget(text: &mut String, scenario: &Scenario) {
    let mut lines = Vec::new();
    if scenario.durability != Durability::default() {
        lines.push(format!("durability = {}", inline(&scenario.durability)));
    }
    if let Some(max_down) = scenario.max_down {
        lines.push(format!("max_down = {max_down}"));
    }
    if scenario.skips_refused {
        lines.push("refused = \"skip\"".to_owned());
    }
    section(text, "[budget]", &lines);
}

fn run(text: &mut String, scenario: &Scenario) {
    let mut lines = vec![format!("duration = \"{}\"", show(scenario.duration))];
    if scenario.quiet != Duration::from_secs(60) {
        lines.push(format!("quiet = \"{}\"", show(scenario.quiet)));
    }
    if scenario.heal == Heal::Core {
        lines.push("heal = \"core\"".to_owned());
    }
    if scenario.restart_delay != Duration::from_secs(1) {
        lines.push(format!(
            "restart_delay = \"{}\"",
            show(scenario.restart_delay)
        ));
    }
    if let Some(seed) = scenario.seed {
        lines.push(format!("seed = {seed}"));
    }
    section(text, "[run]", &lines);
}

fn network(text: &mut String, network: &NetworkOptions) {
    let standard = NetworkOptions::default();
    let mut lines = Vec::new();
    if network.latency != standard.latency {
        lines.push(format!("latency = {}", inline(&network.latency)));
    }
    if network.bandwidth != standard.bandwidth {
        lines.push(format!("bandwidth = \"{}B\"", network.bandwidth));
    }
    if network.fragment != standard.fragment {
        lines.push(format!("fragment = {}", network.fragment));
    }
    if network.refuse_when_cut != standard.refuse_when_cut {
        lines.push(format!("refuse_when_cut = {}", network.refuse_when_cut));
    }
    section(text, "[network]", &lines);
}

fn disk(text: &mut String, disk: &DiskOptions) {
    let standard = DiskOptions::default();
    let mut lines = Vec::new();
    if disk.sync != standard.sync {
        lines.push(format!("sync_min = \"{}\"", show(disk.sync.0)));
        lines.push(format!("sync_max = \"{}\"", show(disk.sync.1)));
    }
    if disk.operation != standard.operation {
        lines.push(format!("operation = \"{}\"", show(disk.operation)));
    }
    if let Some(capacity) = disk.capacity {
        lines.push(format!("capacity = \"{capacity}B\""));
    }
    section(text, "[disk]", &lines);
}

fn expect(text: &mut String, scenario: &Scenario) {
    let expect = &scenario.expect;
    let mut lines = Vec::new();
    if !expect.invariants.is_empty() {
        lines.push(format!("invariants = {}", inline(&expect.invariants)));
    }
    if !expect.probes.is_empty() {
        lines.push(format!("probes = {}", inline(&expect.probes)));
    }
    section(text, "[expect]", &lines);
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    /// Published scenarios say nearly everything that can be said.
    #[test]
    fn what_is_written_is_read_as_the_same_scenario() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let mut read = 0;
        for place in find::all(&folder) {
            let scenario = find::load(&place.path).expect("published");
            let scenario = Scenario {
                chaos: None,
                skips_refused: read % 2 == 0,
                seed: Some(read),
                ..scenario
            };
            let text = scenario.to_toml();
            let file = format!("{}.toml", scenario.name);
            let again = Scenario::parse(&file, &text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(format!("{again:#?}"), format!("{scenario:#?}"), "{text}");
            read += 1;
        }
        assert!(read > 50, "{read}");
    }
}
