//! From a file's text to a scenario: what types cannot check is checked here, with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use broker_server::internal_topics::is_internal;
use sim_faults::chaos::{Aim, Lasts};
use sim_faults::plan::Planned;
use sim_faults::{Chaos, Fault, FaultSpec, NetworkOptions, Target};
use sim_workloads::WorkloadSpec;
use toml::Spanned;

use super::error::{At, ScenarioError};
use super::file::{
    ChaosTable, ClusterTable, DiskTable, FaultTable, File, NetworkTable, Property, Refused,
    TopicTable, WorkloadTable,
};
use super::members;
use super::strict::{find_word, improve};
use super::{
    Cluster, Expect, Layout, NodeSpec, RESERVED_PROPERTIES, STANDARD_PROPERTY, Scenario, Topic,
};
use sim_disk::DiskOptions;

/// More nodes than this are a mistake, not a test.
const MOST_NODES: u32 = 64;

pub(super) fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let parsed: Result<File, At> = toml::from_str(text).map_err(|error| improve(&error, text));
    parsed
        .and_then(|parsed| scenario(parsed, file, text))
        .map_err(|at| at.in_text(file, text))
}

fn scenario(parsed: File, file: &str, text: &str) -> Result<Scenario, At> {
    let stem = file_stem(file);
    if let Some(name) = &parsed.name
        && name.get_ref() != &stem
        && !stem.is_empty()
    {
        let message = format!("name is \"{}\", the file is {stem}.toml", name.get_ref());
        return Err(At::new(name.span(), message));
    }
    let cluster = cluster(&parsed.cluster, text)?;
    let topics = topics(&parsed.topic, &cluster)?;
    let workloads = workloads(&parsed.workload, &topics)?;
    let faults = faults(&parsed.fault, &cluster, &topics)?;
    let chaos = parsed.chaos.as_ref().map(|table| chaos(table, text));
    let run = parsed.run.get_ref();
    if run.duration.is_zero() {
        return Err(At::new(
            parsed.run.span(),
            "[run] duration must be longer than 0",
        ));
    }
    for invariant in &parsed.expect.invariants {
        check_invariant(invariant)?;
    }
    Ok(Scenario {
        name: stem,
        description: parsed.description.trim().to_owned(),
        cluster,
        topics,
        workloads,
        faults,
        chaos: chaos.transpose()?,
        durability: parsed.budget.durability,
        max_down: parsed.budget.max_down,
        skips_refused: parsed.budget.refused == Refused::Skip,
        duration: run.duration,
        quiet: run.quiet,
        heal: run.heal,
        restart_delay: run.restart_delay,
        seed: run.seed,
        network: network(&parsed.network),
        disk: disk(&parsed.disk),
        expect: Expect {
            invariants: parsed
                .expect
                .invariants
                .into_iter()
                .map(Spanned::into_inner)
                .collect(),
            probes: parsed.expect.probes,
        },
        applications: Vec::new(),
        checks: Vec::new(),
    })
}

fn file_stem(file: &str) -> String {
    let stem = std::path::Path::new(file).file_stem();
    stem.map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn cluster(table: &Spanned<ClusterTable>, text: &str) -> Result<Cluster, At> {
    let layout = layout(table)?;
    let (name, value) = STANDARD_PROPERTY;
    let mut config = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    for (name, value) in &table.get_ref().config {
        if RESERVED_PROPERTIES.contains(&name.as_str()) {
            let place = key_place(text, table.span(), name, value.span());
            let message = format!("`{name}` follows from the cluster's layout and cannot be set");
            return Err(At::new(place, message));
        }
        config.insert(name.clone(), value.get_ref().text());
    }
    let log_dirs = table.get_ref().log_dirs.as_ref();
    if let Some(wrong) = log_dirs.filter(|count| !(1..=MOST_LOG_DIRS).contains(count.get_ref())) {
        let message = format!(
            "a node has 1 to {MOST_LOG_DIRS} log directories, not {}",
            wrong.get_ref()
        );
        return Err(At::new(wrong.span(), message));
    }
    let mut cluster = Cluster {
        layout,
        config,
        log_dirs: log_dirs.map_or(1, |count| *count.get_ref()),
        racks: table.get_ref().racks.clone(),
        spare_brokers: members::spares(table.get_ref().spare_brokers.as_ref(), "brokers")?,
        spare_controllers: members::spares(
            table.get_ref().spare_controllers.as_ref(),
            "controllers",
        )?,
        dynamic_quorum: table.get_ref().dynamic_quorum,
        releases: BTreeMap::new(),
    };
    cluster.releases = members::releases(table.get_ref(), &cluster)?;
    for node in cluster.nodes() {
        check_config(&cluster, &node, table, text)?;
    }
    Ok(cluster)
}

const MOST_LOG_DIRS: u32 = 8;

fn layout(table: &Spanned<ClusterTable>) -> Result<Layout, At> {
    let ClusterTable {
        nodes,
        brokers,
        controllers,
        ..
    } = table.get_ref();
    let layout = match (nodes, brokers, controllers) {
        (Some(nodes), None, None) => Layout::Combined(*nodes.get_ref()),
        (None, Some(brokers), Some(controllers)) => Layout::Separate {
            brokers: *brokers.get_ref(),
            controllers: *controllers.get_ref(),
        },
        (Some(nodes), _, _) => {
            let message = "`nodes` are brokers and controllers at once; give either `nodes` or both `brokers` and `controllers`";
            return Err(At::new(nodes.span(), message));
        }
        _ => {
            let message = "[cluster] needs `nodes`, or `brokers` and `controllers`";
            return Err(At::new(table.span(), message));
        }
    };
    for count in [nodes, brokers, controllers].into_iter().flatten() {
        if !(1..=MOST_NODES).contains(count.get_ref()) {
            let message = format!(
                "a cluster has 1 to {MOST_NODES} nodes of a kind, not {}",
                count.get_ref()
            );
            return Err(At::new(count.span(), message));
        }
    }
    Ok(layout)
}

/// The broker's own checks; the property its message names tells the place.
fn check_config(
    cluster: &Cluster,
    node: &NodeSpec,
    table: &Spanned<ClusterTable>,
    text: &str,
) -> Result<(), At> {
    let Err(error) = cluster.broker_config(node) else {
        return Ok(());
    };
    let message = error.to_string();
    let named = table
        .get_ref()
        .config
        .iter()
        .find(|(name, _)| message.contains(&format!("'{name}'")));
    let span = named.map_or(table.span(), |(name, value)| {
        key_place(text, table.span(), name, value.span())
    });
    let unknown = named.filter(|_| message.starts_with("unknown property"));
    match unknown {
        None => Err(At::new(span, message)),
        Some((name, _)) => {
            let known = broker_server::config::BrokerConfig::names();
            Err(At::new(span, format!("unknown broker property `{name}`")).suggesting(name, known))
        }
    }
}

/// Where a key stands whose value's place is known: before it, on its line if it is there.
fn key_place(text: &str, table: Range<usize>, key: &str, value: Range<usize>) -> Range<usize> {
    let line = text[..value.start].rfind('\n').map_or(0, |at| at + 1);
    let from = line.max(table.start.min(value.start));
    match find_word(&text[from..value.start], key) {
        Some(at) => from + at..from + at + key.len(),
        None => value,
    }
}

fn topics(tables: &[Spanned<TopicTable>], cluster: &Cluster) -> Result<Vec<Topic>, At> {
    let brokers = cluster.brokers().len();
    let mut names = BTreeSet::new();
    let mut topics = Vec::new();
    for table in tables {
        let table = table.get_ref();
        let name = table.name.get_ref();
        if !names.insert(name) {
            let message = format!("two topics are named \"{name}\"");
            return Err(At::new(table.name.span(), message));
        }
        let replicas = *table.replicas.get_ref();
        if replicas < 1 || usize::try_from(replicas).is_ok_and(|replicas| replicas > brokers) {
            let message =
                format!("topic \"{name}\" wants {replicas} replicas of {brokers} brokers");
            return Err(At::new(table.replicas.span(), message));
        }
        let partitions = *table.partitions.get_ref();
        if !(1..=10_000).contains(&partitions) {
            let message =
                format!("topic \"{name}\" wants {partitions} partitions: 1 to 10000 are possible");
            return Err(At::new(table.partitions.span(), message));
        }
        topics.push(Topic {
            name: name.clone(),
            partitions,
            replicas,
            assignment: members::assignment(
                table.assignment.as_ref(),
                partitions,
                replicas,
                cluster,
            )?,
            config: topic_config(&table.config, replicas)?,
        });
    }
    Ok(topics)
}

fn topic_config(
    config: &BTreeMap<String, Spanned<Property>>,
    replicas: i16,
) -> Result<BTreeMap<String, String>, At> {
    let mut texts = BTreeMap::new();
    for (name, value) in config {
        let text = value.get_ref().text();
        if !broker_server::config::is_topic_config(name) {
            let at = At::new(value.span(), format!("unknown topic property `{name}`"));
            return Err(at.suggesting(name, broker_server::config::TOPIC_CONFIG_NAMES));
        }
        if let Err(error) = broker_server::config::validate_topic_config(name, &text) {
            return Err(At::new(value.span(), error.to_string()));
        }
        let wanted = text.parse::<i16>().unwrap_or(0);
        if name == "min.insync.replicas" && wanted > replicas {
            let message =
                format!("min.insync.replicas {wanted} can never be reached by {replicas} replicas");
            return Err(At::new(value.span(), message));
        }
        texts.insert(name.clone(), text);
    }
    Ok(texts)
}

fn workloads(tables: &[Spanned<WorkloadTable>], topics: &[Topic]) -> Result<Vec<WorkloadSpec>, At> {
    tables.iter().map(|table| workload(table, topics)).collect()
}

fn workload(table: &Spanned<WorkloadTable>, topics: &[Topic]) -> Result<WorkloadSpec, At> {
    let span = table.span();
    let table = table.get_ref();
    for topic in &table.topics {
        topic_known(topic.get_ref(), topic.span(), topics)?;
    }
    if topics.is_empty() {
        return Err(At::new(span, "a workload needs a [[topic]]"));
    }
    let spec = workload_spec(table, topics);
    match spec.check() {
        Ok(()) => Ok(spec),
        Err(message) => Err(At::new(span, format!("[[workload]] {message}"))),
    }
}

fn workload_spec(table: &WorkloadTable, topics: &[Topic]) -> WorkloadSpec {
    let standard = WorkloadSpec::default();
    let given: Vec<String> = table
        .topics
        .iter()
        .map(|topic| topic.get_ref().clone())
        .collect();
    let all = || topics.iter().map(|topic| topic.name.clone()).collect();
    let ms = |duration: Option<Duration>, standard: u64| {
        duration.map_or(standard, |duration| {
            u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
        })
    };
    let bytes = |size: Option<u64>, standard: u32| {
        size.map_or(standard, |size| u32::try_from(size).unwrap_or(u32::MAX))
    };
    WorkloadSpec {
        kind: table.kind.get_ref().spec(),
        topics: if given.is_empty() { all() } else { given },
        producers: table.producers.unwrap_or(standard.producers),
        consumers: table.consumers.unwrap_or(standard.consumers),
        observers: table.observers.unwrap_or(standard.observers),
        rate: table.rate.unwrap_or(standard.rate),
        operations: table.operations.unwrap_or(standard.operations),
        outstanding: table.outstanding.unwrap_or(standard.outstanding),
        record_size: bytes(table.record_size, standard.record_size),
        keys: table.keys.unwrap_or(standard.keys),
        headers: table.headers.unwrap_or(standard.headers),
        acks: table.acks.map_or(standard.acks, |acks| acks.0),
        linger_ms: ms(table.linger, standard.linger_ms),
        batch_size: bytes(table.batch_size, standard.batch_size),
        max_in_flight: table.max_in_flight.unwrap_or(standard.max_in_flight),
        compression: table.compression.clone().unwrap_or(standard.compression),
        idempotence: table.idempotence.unwrap_or(standard.idempotence),
        read_committed: table.read_committed.unwrap_or(standard.read_committed),
        transaction_timeout_ms: ms(table.transaction_timeout, standard.transaction_timeout_ms),
        client_rack: table.client_rack.clone().unwrap_or(standard.client_rack),
        group_protocol: table
            .group_protocol
            .clone()
            .unwrap_or(standard.group_protocol),
        request_timeout_ms: ms(table.request_timeout, standard.request_timeout_ms),
        delivery_timeout_ms: ms(table.delivery_timeout, standard.delivery_timeout_ms),
        max_poll_records: table.max_poll_records.unwrap_or(standard.max_poll_records),
        fetch_max_wait_ms: ms(table.fetch_max_wait, standard.fetch_max_wait_ms),
        observe_interval_ms: ms(table.observe_interval, standard.observe_interval_ms),
        finish_timeout_ms: ms(table.finish_timeout, standard.finish_timeout_ms),
    }
}

/// Internal topics are created when they are needed, so no scenario lists them.
pub(super) fn topic_known(name: &str, span: Range<usize>, topics: &[Topic]) -> Result<(), At> {
    if topics.iter().any(|topic| topic.name == name) || is_internal(name) {
        return Ok(());
    }
    let known = topics.iter().map(|topic| topic.name.as_str());
    Err(At::new(span, format!("no topic \"{name}\" in this scenario")).suggesting(name, known))
}

fn faults(
    tables: &[Spanned<FaultTable>],
    cluster: &Cluster,
    topics: &[Topic],
) -> Result<Vec<FaultSpec>, At> {
    tables
        .iter()
        .map(|table| fault(table, cluster, topics))
        .collect()
}

fn fault(
    table: &Spanned<FaultTable>,
    cluster: &Cluster,
    topics: &[Topic],
) -> Result<FaultSpec, At> {
    let span = table.span();
    let table = table.get_ref();
    let planned = match (&table.target, &table.action, &table.fault) {
        (Some(target), Some(action), None) => {
            check_target(target, cluster, topics)?;
            members::check_action(action, target.get_ref(), cluster)?;
            Planned::On(target.get_ref().clone(), action.get_ref().clone())
        }
        (None, None, Some(fault)) => {
            check_fault(fault, cluster)?;
            members::check_operation(fault, cluster, topics)?;
            Planned::Fault(fault.get_ref().clone())
        }
        _ => {
            let message = "a [[fault]] needs `target` and `action`, or `fault` alone";
            return Err(At::new(span, message));
        }
    };
    if table.times.is_some() && table.every.is_none() {
        return Err(At::new(
            span,
            "`times` needs `every`: how long between them",
        ));
    }
    Ok(FaultSpec {
        at: table.at,
        every: table.every,
        times: table.times,
        lasts: table.lasts,
        planned,
    })
}

fn check_target(target: &Spanned<Target>, cluster: &Cluster, topics: &[Topic]) -> Result<(), At> {
    match target.get_ref() {
        Target::Node(node) => node_known(node, target.span(), cluster),
        Target::Leader { topic, partition } | Target::Follower { topic, partition } => {
            if is_internal(topic) {
                return Ok(());
            }
            members::check_partition(topic, *partition, target.span(), topics)
        }
        _ => Ok(()),
    }
}

fn check_fault(fault: &Spanned<Fault>, cluster: &Cluster) -> Result<(), At> {
    match fault.get_ref().node() {
        Some(node) => node_known(node, fault.span(), cluster),
        None => Ok(()),
    }
}

fn node_known(node: &str, span: Range<usize>, cluster: &Cluster) -> Result<(), At> {
    let nodes = cluster.nodes();
    if nodes.iter().any(|known| known.name == node) {
        return Ok(());
    }
    let known: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let message = format!("no node \"{node}\" in this cluster ({})", known.join(", "));
    Err(At::new(span, message).suggesting(node, known))
}

fn chaos(table: &Spanned<ChaosTable>, text: &str) -> Result<Chaos, At> {
    let given = table.get_ref().clone();
    let standard = Chaos::standard();
    if let Some(weights) = &given.weights {
        check_kinds(weights)?;
    }
    let weights = given.weights.map(|weights| {
        let plain = weights.into_iter();
        plain
            .map(|(kind, weight)| (kind.into_inner(), weight))
            .collect()
    });
    let lasts: Lasts = given.lasts.unwrap_or(standard.lasts);
    let aim: Aim = given.aim.unwrap_or(standard.aim);
    let chaos = Chaos {
        mean_interval: given.mean_interval.unwrap_or(standard.mean_interval),
        weights: weights.unwrap_or(standard.weights),
        lasts,
        lasts_of: given.lasts_of,
        aim,
        frames: given.frames,
        data_files: given.data_files.unwrap_or(standard.data_files),
        releases: members::chaos_releases(&given.releases)?,
    };
    chaos.validate().map_err(|message| {
        let word = message.split('"').nth(1).map(str::to_owned);
        let within = text.get(table.span()).unwrap_or_default();
        let at = word.and_then(|word| find_word(within, &word).map(|at| (at, word.len())));
        let start = table.span().start;
        let span = at.map_or(table.span(), |(at, length)| start + at..start + at + length);
        At::new(span, format!("[chaos] {message}"))
    })?;
    Ok(chaos)
}

fn check_kinds(weights: &BTreeMap<Spanned<String>, u32>) -> Result<(), At> {
    let known = || sim_faults::draw::KINDS.iter().map(|(kind, _)| *kind);
    for kind in weights.keys() {
        if !known().any(|known| known == kind.get_ref()) {
            let message = format!("unknown kind of fault `{}` in [chaos]", kind.get_ref());
            return Err(At::new(kind.span(), message).suggesting(kind.get_ref(), known()));
        }
    }
    Ok(())
}

fn check_invariant(id: &Spanned<String>) -> Result<(), At> {
    let known = super::super::invariants::IDS;
    if known.contains(&id.get_ref().as_str()) {
        return Ok(());
    }
    let message = format!("no invariant is named {}", id.get_ref());
    Err(At::new(id.span(), message).suggesting(id.get_ref(), known.iter().copied()))
}

fn network(table: &NetworkTable) -> NetworkOptions {
    let standard = NetworkOptions::default();
    NetworkOptions {
        latency: table.latency.unwrap_or(standard.latency),
        bandwidth: table.bandwidth.unwrap_or(standard.bandwidth),
        fragment: table.fragment.unwrap_or(standard.fragment),
        refuse_when_cut: table.refuse_when_cut.unwrap_or(standard.refuse_when_cut),
        ..standard
    }
}

fn disk(table: &DiskTable) -> DiskOptions {
    let standard = DiskOptions::default();
    let shortest = table.sync_min.unwrap_or(standard.sync.0);
    let longest = table.sync_max.unwrap_or(standard.sync.1);
    DiskOptions {
        sync: (shortest, longest.max(shortest)),
        operation: table.operation.unwrap_or(standard.operation),
        capacity: table.capacity.or(standard.capacity),
    }
}
