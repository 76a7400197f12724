//! Real brokers with a real client: a topic is created, records are produced and read back.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_client::admin::NewTopic;
use broker_client::{
    Admin, Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};
use broker_env::{Address, Env};
use broker_server::config::BrokerConfig;
use broker_server::node::{Node, NodeOptions};
use broker_server::observe::Observer;
use sim_engine::{Death, Outcome};
use sim_hosted::{Control, Simulation};

const SECOND: u64 = 1_000_000_000;
const RECORDS: usize = 100;
const TOPIC: &str = "numbers";

fn config(id: usize, count: usize) -> BrokerConfig {
    let voters: Vec<String> = (1..=count)
        .map(|id| format!("{id}@node{id}:9093"))
        .collect();
    let listeners = format!("PLAINTEXT://node{id}:9092,CONTROLLER://node{id}:9093");
    let pairs = [
        ("node.id", id.to_string()),
        ("listeners", listeners),
        ("controller.quorum.voters", voters.join(",")),
        ("log.dir", "/data".to_owned()),
        ("auto.create.topics.enable", "false".to_owned()),
    ];
    let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
    BrokerConfig::from_pairs(pairs).expect("a valid configuration")
}

async fn node(env: Env, config: BrokerConfig) {
    let options = NodeOptions {
        config,
        observer: Observer::none(),
        cluster_id: Some("AAAAAAAAAAAAAAAAAAAAAQ".to_owned()),
    };
    let node = Node::start(env, options).await.expect("it starts");
    node.run(std::future::pending()).await.expect("it works");
}

fn value(number: usize) -> Option<bytes::Bytes> {
    Some(format!("value {number}").into())
}

async fn create(client: &Client, replicas: usize) {
    let env = client.env().clone();
    let admin = Admin::new(client.clone());
    let replicas = i16::try_from(replicas).expect("few");
    let topic = NewTopic::new(TOPIC, 1, replicas).config("min.insync.replicas", "1");
    for _ in 0..100 {
        // Brokers may not have registered yet.
        let created =
            admin.create_topics(std::slice::from_ref(&topic), false, Duration::from_secs(10));
        if created
            .await
            .is_ok_and(|results| results.into_values().all(|result| result.is_ok()))
        {
            return in_sync(client, usize::try_from(replicas).expect("few")).await;
        }
        env.sleep(Duration::from_millis(200)).await;
    }
    panic!("the topic was not created");
}

/// Waits until all replicas are in sync: brokers that had not registered when the topic was made join
/// later, and until then the death of the leader makes the partition unavailable, lawfully.
async fn in_sync(client: &Client, replicas: usize) {
    let names = BTreeSet::from([TOPIC.to_owned()]);
    loop {
        let known = client.refresh_metadata(&names).await.is_ok();
        let isr = client.metadata(|metadata| {
            let partition = metadata
                .topic(TOPIC)
                .and_then(|topic| topic.partitions.get(&0));
            partition.map_or(0, |partition| partition.isr.len())
        });
        if known && isr == replicas {
            return;
        }
        client.env().sleep(Duration::from_millis(200)).await;
    }
}

/// Calls `halfway` before the second half.
async fn produce(client: &Client, halfway: impl FnOnce()) {
    let producer = Producer::new(client.clone(), ProducerConfig::default());
    let mut halfway = Some(halfway);
    for number in 0..RECORDS {
        if number == RECORDS / 2 {
            halfway.take().into_iter().for_each(|strike| strike());
        }
        let record = ProducerRecord {
            topic: TOPIC.to_owned(),
            partition: Some(0),
            key: None,
            value: value(number),
            headers: Vec::new(),
            timestamp: None,
        };
        let delivery = producer.send(record).await.expect("room");
        delivery.await.expect("acknowledged");
    }
    producer.close(Duration::from_secs(10)).await;
}

async fn read_back(client: &Client) -> Vec<Option<bytes::Bytes>> {
    let consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    let partition = TopicPartition::new(TOPIC, 0);
    consumer
        .assign(std::slice::from_ref(&partition))
        .await
        .expect("it exists");
    consumer.seek_to_beginning(&[partition]).expect("assigned");
    let mut values = Vec::new();
    while values.len() < RECORDS {
        // A leader that moves is no end.
        if let Ok(records) = consumer.poll(Duration::from_secs(1)).await {
            values.extend(
                records
                    .into_records()
                    .into_iter()
                    .map(|record| record.value),
            );
        }
    }
    consumer.close();
    values
}

/// Runs `count` nodes; with `kill`, the first dies in the middle and comes back. Gives the trace hash.
pub fn run<S: Simulation>(mut engine: S, count: usize, kill: bool) -> u64 {
    for id in 1..=count {
        let config = config(id, count);
        let boot = move |env| node(env, config.clone());
        engine.add_node(
            &format!("node{id}"),
            Box::new(move |env| Box::pin(boot(env))),
        );
    }
    let (host, handle) = (engine.add_host("client1"), engine.handle());
    let servers = (1..=count)
        .map(|id| Address::new(format!("node{id}"), 9092))
        .collect();
    let client = Client::new(handle.env(host), ClientConfig::new(servers));
    let (found, control) = (Arc::new(Mutex::new(Vec::new())), handle.clone());
    let values = found.clone();
    let work = async move {
        create(&client, count).await;
        let (first, controlled) = (control.host("node1").expect("added"), control.clone());
        produce(&client, move || {
            if kill {
                controlled.kill(first, Death::Reset);
            }
        })
        .await;
        control.restart(first);
        *values.lock().unwrap_or_else(PoisonError::into_inner) = read_back(&client).await;
        client.close();
        control.stop("done".into());
    };
    handle.spawn_on(host, "work", Box::pin(work));
    let outcome = engine.run_until(120 * SECOND);
    assert!(
        matches!(outcome, Outcome::Stopped { .. }),
        "{outcome:?}, {:?}",
        handle.tasks()
    );
    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted: Vec<_> = (0..RECORDS).map(value).collect();
    assert!(*found == wanted, "{found:?}");
    Control::trace_hash(&handle)
}
