//! Workloads against real nodes.

#[path = "support/cluster.rs"]
mod cluster;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker_client::{
    Client, ClientConfig, Consumer, ConsumerConfig, OffsetReset, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};
use cluster::Cluster;
use sim_checkers::client::{Promise, check};
use sim_checkers::history::{Action, History};
use sim_engine::{Death, Options};
use sim_faults::{Fault, NetworkFault, World};
use sim_workloads::{FinalRead, TopicSpec, WorkloadKind, WorkloadSpec};

fn topic(partitions: i32, replication_factor: i16) -> TopicSpec {
    TopicSpec {
        name: "workload".into(),
        partitions,
        replication_factor,
        assignment: Vec::new(),
        configs: Default::default(),
    }
}

fn create(cluster: &mut Cluster, topic: TopicSpec) {
    let context = cluster.context("setup");
    let env = context.env.clone();
    let created =
        Box::pin(
            async move { sim_workloads::setup(&context, &[topic], Duration::from_secs(30)).await },
        );
    assert_eq!(cluster.finish(&env, created, 60), Some(Ok(())));
}

fn end(cluster: &mut Cluster, spec: &Arc<WorkloadSpec>) -> (FinalRead, History) {
    cluster.stop.stop();
    cluster.run(Duration::from_secs(2));
    let context = cluster.context("final");
    let env = context.env.clone();
    let read = cluster.finish(&env, sim_workloads::finish(context, spec.clone()), 120);
    (
        read.expect("the final read ends by itself"),
        cluster.recorder.finish(),
    )
}

fn promise(spec: &WorkloadSpec) -> Promise {
    Promise {
        durable: true,
        idempotent: spec.is_idempotent(),
        ordered_sends: spec.orders_sends(),
        complete_final_reads: true,
        create_time: true,
        retention: false,
        quiet: None,
    }
}

fn violations(history: &History, spec: &WorkloadSpec) -> Vec<String> {
    check(history, promise(spec))
        .violations
        .iter()
        .map(|violation| format!("{violation:?}"))
        .collect()
}

#[test]
fn one_node_produce_and_consume() {
    let mut cluster = Cluster::new(Options::new(7), 1, &[]);
    create(&mut cluster, topic(3, 1));
    let spec = Arc::new(WorkloadSpec {
        producers: 2,
        consumers: 2,
        observers: 1,
        ..WorkloadSpec::default()
    });
    cluster.start_workload(&spec);
    cluster.run(Duration::from_secs(10));
    let (read, history) = end(&mut cluster, &spec);
    let stats = cluster.recorder.stats();
    assert_eq!((read.complete, read.stuck), (3, vec![]));
    assert_eq!(violations(&history, &spec), [""; 0]);
    assert!((1_800..=2_200).contains(&stats.acked), "{stats:?}");
    assert_eq!(
        (stats.failed, stats.unknown, stats.errors.len()),
        (0, 0, 0),
        "{stats:?}"
    );
    assert_eq!(
        stats.consumed,
        3 * stats.acked,
        "two consumers and the final read: {stats:?}"
    );
    let listed = history
        .operations
        .iter()
        .filter(|one| matches!(one.action, Action::ListOffsets { .. }));
    assert!(listed.count() >= 27);
}

const FAST: &[(&str, &str)] = &[
    ("min.insync.replicas", "2"),
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
];

fn three_nodes(seed: u64, partitions: i32) -> Cluster {
    let mut cluster = Cluster::new(Options::new(seed), 3, FAST);
    create(&mut cluster, topic(partitions, 3));
    cluster
}

#[test]
fn three_nodes_hold_the_rate() {
    let mut cluster = three_nodes(1, 6);
    let spec = WorkloadSpec {
        producers: 2,
        rate: 200,
        max_in_flight: 1,
        observers: 1,
        ..WorkloadSpec::default()
    };
    let spec = Arc::new(spec);
    cluster.start_workload(&spec);
    cluster.run(Duration::from_secs(10));
    let (read, history) = end(&mut cluster, &spec);
    let stats = cluster.recorder.stats();
    assert_eq!((read.complete, read.stuck), (6, vec![]));
    assert_eq!(violations(&history, &spec), [""; 0]);
    assert!((3_600..=4_400).contains(&stats.acked), "{stats:?}");
    assert_eq!((stats.failed, stats.unknown), (0, 0), "{stats:?}");
}

fn survive(seed: u64, strike: impl FnOnce(&mut Cluster)) {
    let mut cluster = three_nodes(seed, 4);
    let spec = WorkloadSpec {
        producers: 2,
        consumers: 2,
        observers: 1,
        request_timeout_ms: 2_000,
        delivery_timeout_ms: 15_000,
        ..WorkloadSpec::default()
    };
    let spec = Arc::new(spec);
    cluster.start_workload(&spec);
    cluster.run(Duration::from_secs(5));
    strike(&mut cluster);
    cluster.run(Duration::from_secs(20));
    let (read, history) = end(&mut cluster, &spec);
    let stats = cluster.recorder.stats();
    assert_eq!(
        (read.complete, read.stuck),
        (4, vec![]),
        "seed {seed}: {stats:?}"
    );
    assert_eq!(violations(&history, &spec), [""; 0], "seed {seed}");
    assert!(stats.acked > 3_000, "seed {seed}: {stats:?}");
}

#[test]
fn a_killed_node_comes_back() {
    for seed in 1..=3 {
        survive(seed, |cluster| {
            let (handle, node) = (cluster.engine.handle(), cluster.nodes[0]);
            handle.kill(node, Death::Reset);
            cluster.run(Duration::from_secs(10));
            handle.restart(node);
        });
    }
}

#[test]
fn a_silent_node_comes_back() {
    for seed in 4..=6 {
        survive(seed, |cluster| {
            let others = ["node2", "node3"].into_iter().map(str::to_string);
            let clients = (0..5).map(|number| format!("client{number}"));
            let sides = vec![vec!["node1".to_string()], others.chain(clients).collect()];
            let fault = Fault::Network(NetworkFault::Partition { sides });
            cluster
                .engine
                .handle()
                .apply(&fault)
                .expect("partitions are supported");
            cluster.run(Duration::from_secs(10));
            cluster
                .engine
                .handle()
                .apply(&Fault::HealAll)
                .expect("healing is supported");
        });
    }
}

#[test]
fn topics_come_and_go() {
    let mut cluster = three_nodes(9, 2);
    let churn = WorkloadSpec {
        kind: WorkloadKind::CreateDeleteTopics,
        rate: 5,
        ..WorkloadSpec::default()
    };
    cluster.start_workload(&Arc::new(churn));
    cluster.run(Duration::from_secs(20));
    cluster.stop.stop();
    cluster.run(Duration::from_secs(5));
    let stats = cluster.recorder.stats();
    assert!(stats.topics_created > 20, "{stats:?}");
    assert_eq!(
        (stats.topics_created, stats.errors.len()),
        (stats.topics_deleted, 0),
        "{stats:?}"
    );
}

/// The whole run, clients included, is a function of its seed.
#[test]
fn the_same_seed_is_the_same_run() {
    let run = || {
        let mut cluster = three_nodes(11, 3);
        let spec = Arc::new(WorkloadSpec {
            consumers: 2,
            observers: 1,
            ..WorkloadSpec::default()
        });
        cluster.start_workload(&spec);
        cluster.run(Duration::from_secs(5));
        let (_, history) = end(&mut cluster, &spec);
        (cluster.engine.handle().trace_hash(), history)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_stopped_workload_leaves_no_tasks() {
    let mut cluster = three_nodes(12, 3);
    let handle = cluster.engine.handle();
    cluster.run(Duration::from_secs(2));
    let before: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| handle.incarnation(*node))
        .collect();
    let tasks = handle.live_tasks();
    let spec = Arc::new(WorkloadSpec {
        consumers: 3,
        observers: 1,
        producers: 3,
        ..WorkloadSpec::default()
    });
    cluster.start_workload(&spec);
    cluster.run(Duration::from_secs(5));
    assert!(handle.live_tasks() > tasks + 20, "the clients run");
    cluster.stop.stop();
    cluster.run(Duration::from_secs(10));
    assert_eq!(handle.live_tasks(), tasks);
    let after: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| handle.incarnation(*node))
        .collect();
    assert_eq!(before, after);
}

/// Steps that tasks of the host make in a minute.
fn steps_of(cluster: &mut Cluster, host: &str) -> u64 {
    let wanted = cluster.engine.handle().host(host);
    let steps = Arc::new(AtomicU64::new(0));
    let counted = steps.clone();
    cluster.engine.on_step(move |info| {
        counted.fetch_add(u64::from(info.host == wanted), Ordering::Relaxed);
    });
    cluster.run(Duration::from_secs(60));
    steps.load(Ordering::Relaxed)
}

#[test]
fn an_idle_client_costs_its_long_poll_and_nothing_else() {
    let mut cluster = three_nodes(13, 3);
    let context = cluster.context("idle");
    let env = context.env.clone();
    let client = Client::new(env.clone(), ClientConfig::new(context.bootstrap.clone()));
    let (producer, consumer) = (
        Producer::new(client.clone(), ProducerConfig::default()),
        Consumer::new(
            client,
            ConsumerConfig {
                auto_offset_reset: Some(OffsetReset::Earliest),
                ..Default::default()
            },
        ),
    );
    let (sender, reader) = (producer.clone(), Arc::new(consumer));
    let polled = reader.clone();
    let used = Box::pin(async move {
        let record = ProducerRecord {
            topic: "workload".into(),
            partition: Some(0),
            ..Default::default()
        };
        let delivery = sender.send(record).await.expect("queued");
        delivery.await.expect("acknowledged");
        let partitions: Vec<_> = (0..3)
            .map(|index| TopicPartition::new("workload", index))
            .collect();
        polled.assign(&partitions).await.expect("known");
        polled
            .poll(Duration::from_secs(10))
            .await
            .expect("a record")
            .count()
    });
    assert_eq!(cluster.finish(&env, used, 60), Some(1));
    cluster.run(Duration::from_secs(130));
    let polling = steps_of(&mut cluster, "idle");
    // Two a second to each leader; a few steps each.
    assert!((100..360 * 12).contains(&polling), "{polling} steps");
    reader.close();
    cluster.run(Duration::from_secs(1));
    assert_eq!(steps_of(&mut cluster, "idle"), 0, "an idle producer");
    drop(producer);
}
