//! The service in a simulated world: its instances and the brokers crash, and every order has one invoice.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_client::{
    Consumer, ConsumerConfig, IsolationLevel, OffsetSpec, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};
use bytes::Bytes;
use sim_example::{Guarantee, INVOICES, ORDERS, Service};
use sim_runner::scenario::ScenarioBuilder;
use sim_runner::{Application, Check, Context, Scenario};

const PARTITIONS: i32 = 3;
const LIMIT: Duration = Duration::from_secs(30);

/// Takes orders, ten a second, until it is to stop.
async fn shop(context: Context) {
    let config = ProducerConfig {
        delivery_timeout: LIMIT,
        request_timeout: Duration::from_secs(2),
        ..ProducerConfig::default()
    };
    let producer = Producer::new(context.client(), config);
    let mut number = 0_u32;
    while !context.stop.is_stopped() {
        let order = ProducerRecord {
            topic: ORDERS.to_owned(),
            key: Some(Bytes::from(number.to_string())),
            ..ProducerRecord::default()
        };
        number += 1;
        // Whether it arrived the topic will tell.
        if let Ok(delivery) = producer.send(order).await {
            drop(delivery.await);
        }
        context.env.sleep(Duration::from_millis(100)).await;
    }
    producer.close(LIMIT).await;
}

async fn invoicing(context: Context, guarantee: Guarantee) {
    let stop = context.stop.clone();
    let service = Service {
        client: context.client(),
        name: context.name.clone(),
        guarantee,
    };
    service
        .run(Box::pin(async move { stop.stopped().await }))
        .await;
}

/// How often each key is in a topic, as readers of committed records see it.
async fn keys(context: &Context, topic: &str) -> Result<BTreeMap<String, u32>, String> {
    let partitions: Vec<TopicPartition> = (0..PARTITIONS)
        .map(|index| TopicPartition::new(topic, index))
        .collect();
    let client = context.client();
    let ends = client
        .list_offsets(&partitions, OffsetSpec::Latest, LIMIT)
        .await;
    let ends = ends.map_err(|error| error.to_string())?;
    let config = ConsumerConfig {
        isolation_level: IsolationLevel::ReadCommitted,
        ..ConsumerConfig::default()
    };
    let consumer = Consumer::new(client, config);
    let assigned = consumer.assign(&partitions).await;
    assigned.map_err(|error| error.to_string())?;
    let sought = consumer.seek_to_beginning(&partitions);
    sought.map_err(|error| error.to_string())?;
    let mut found = BTreeMap::new();
    let is_behind = |partition: &TopicPartition| {
        let end = ends.get(partition).map_or(0, |end| end.offset);
        consumer.position(partition).unwrap_or(0) < end
    };
    while partitions.iter().any(is_behind) {
        let records = consumer.poll(LIMIT).await;
        for record in records.map_err(|error| error.to_string())?.into_records() {
            let key = record.key.unwrap_or_default();
            *found
                .entry(String::from_utf8_lossy(&key).into_owned())
                .or_default() += 1;
        }
    }
    Ok(found)
}

/// Every order has an invoice, and only one.
async fn one_invoice_each(context: Context) -> Result<(), String> {
    let (orders, invoices) = (
        keys(&context, ORDERS).await?,
        keys(&context, INVOICES).await?,
    );
    if orders.len() < 50 {
        return Err(format!("only {} orders: that proves nothing", orders.len()));
    }
    for order in orders.keys() {
        match invoices.get(order) {
            Some(1) => {}
            Some(count) => return Err(format!("order {order} has {count} invoices")),
            None => return Err(format!("order {order} has no invoice")),
        }
    }
    let unfounded = invoices.keys().find(|order| !orders.contains_key(*order));
    unfounded.map_or(Ok(()), |order| Err(format!("invoice {order} has no order")))
}

fn scenario(guarantee: Guarantee) -> Scenario {
    let minutes: ScenarioBuilder = Scenario::builder("invoicing")
        .nodes(3)
        .config("min.insync.replicas", "2")
        .config("offsets.topic.num.partitions", "2")
        .config("transaction.state.log.num.partitions", "2")
        .config("broker.session.timeout.ms", "3000")
        .config("broker.heartbeat.interval.ms", "500")
        .topic(ORDERS, PARTITIONS, 3, &[])
        .topic(INVOICES, PARTITIONS, 3, &[])
        .duration(Duration::from_secs(40));
    let instance = |name: &str| {
        let crash = (Duration::from_secs(8), Duration::from_secs(1));
        Application::new(name, move |context| invoicing(context, guarantee))
            .crashing(crash.0, crash.1)
    };
    minutes
        .application(Application::new("shop", shop))
        .application(instance("invoicing1"))
        .application(instance("invoicing2"))
        .check(Check::new("one-invoice-each", one_invoice_each))
        .build()
}

#[test]
fn with_transactions_every_order_has_one_invoice() {
    for seed in 1..=5 {
        scenario(Guarantee::ExactlyOnce).run(seed).assert_held();
    }
}

/// The testbed would notice: the same service without transactions writes invoices twice.
#[test]
fn without_transactions_a_crash_writes_invoices_twice() {
    let details: Vec<String> = (1..=5)
        .flat_map(|seed| scenario(Guarantee::AtLeastOnce).run(seed).result.violations)
        .map(|violation| format!("{} {}", violation.anomaly, violation.detail))
        .collect();
    assert!(!details.is_empty(), "five runs held");
    let doubled = |detail: &String| {
        detail.starts_with("one-invoice-each order") && detail.ends_with("invoices")
    };
    assert!(details.iter().all(doubled), "{details:?}");
}

#[test]
fn a_run_is_the_same_again() {
    let hash = || scenario(Guarantee::ExactlyOnce).run(7).result.trace_hash;
    assert_eq!(hash(), hash());
}
