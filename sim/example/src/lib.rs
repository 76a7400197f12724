//! A small service, as somebody outside of this project would write it: reads `orders`, writes an invoice for each.
//!
//! It uses the client library and the environment that it is given, and nothing else of this workspace. In production
//! that environment is `broker_env::production::env()`; `tests/simulated.rs` runs the same code in a simulated world,
//! where it and its brokers crash, and shows what goes wrong without transactions.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use broker_client::{
    Client, ConsumerConfig, ConsumerRecords, GroupConfig, GroupConsumer, IsolationLevel,
    OffsetReset, Producer, ProducerConfig, ProducerRecord, TopicPartition, TransactionError,
};
use broker_env::select;

pub const ORDERS: &str = "orders";
pub const INVOICES: &str = "invoices";

const GROUP: &str = "invoicing";
const POLL: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_millis(200);
/// Empty polls after which a service that is to stop takes the topic for read.
const POLLS_AT_THE_END: u32 = 20;

/// How invoices are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Invoices as they come, offsets by auto-commit: a crash in between writes invoices twice.
    AtLeastOnce,
    /// Invoices and offsets in one transaction.
    ExactlyOnce,
}

/// One instance of the service.
pub struct Service {
    pub client: Client,
    /// Of this instance; the next one under the same name fences it.
    pub name: String,
    pub guarantee: Guarantee,
}

/// Completes when the service is to stop.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why an attempt ended; the next one starts from what the group has committed.
#[derive(Debug)]
struct Broken(String);

impl Broken {
    fn by(error: impl std::fmt::Display) -> Broken {
        Broken(error.to_string())
    }
}

impl Service {
    /// Runs until `stop` completes and all orders are invoiced.
    pub async fn run(self, stop: Stop) {
        let mut stopping = Stopping { stop, asked: false };
        while let Err(Broken(reason)) = self.attempt(&mut stopping).await {
            // In production this would be logged.
            let _reason = reason;
            self.client.env().sleep(RETRY).await;
        }
    }

    async fn attempt(&self, stopping: &mut Stopping) -> Result<(), Broken> {
        let producer = Producer::new(self.client.clone(), self.producer());
        if self.guarantee == Guarantee::ExactlyOnce {
            init_transactions(&producer).await?;
        }
        let topics = [ORDERS.to_owned()];
        let mut orders = GroupConsumer::new(self.client.clone(), consumer(), self.group(), &topics);
        let mut empty = 0;
        while empty < POLLS_AT_THE_END {
            let records = stopping.unless_new(orders.poll(POLL)).await;
            let Some(records) = records else { continue };
            let records = records.map_err(Broken::by)?;
            if records.count() == 0 {
                empty += u32::from(stopping.asked);
                continue;
            }
            empty = 0;
            match self.guarantee {
                Guarantee::AtLeastOnce => write(&producer, &records).await?,
                Guarantee::ExactlyOnce => exactly_once(&producer, &orders, &records).await?,
            }
        }
        orders.close().await;
        producer.close(POLL).await;
        Ok(())
    }

    fn group(&self) -> GroupConfig {
        let interval = Duration::from_secs(1);
        GroupConfig {
            session_timeout: Duration::from_secs(6),
            heartbeat_interval: Duration::from_secs(1),
            rebalance_timeout: Duration::from_secs(10),
            auto_commit_interval: (self.guarantee == Guarantee::AtLeastOnce).then_some(interval),
            ..GroupConfig::new(GROUP)
        }
    }

    fn producer(&self) -> ProducerConfig {
        let transactional_id = match self.guarantee {
            Guarantee::AtLeastOnce => None,
            Guarantee::ExactlyOnce => Some(self.name.clone()),
        };
        ProducerConfig {
            transactional_id,
            transaction_timeout: Duration::from_secs(10),
            delivery_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(2),
            ..ProducerConfig::default()
        }
    }
}

/// Whether the service was asked to stop; asked once, it goes on to the end of the orders.
struct Stopping {
    stop: Stop,
    asked: bool,
}

impl Stopping {
    /// The result, or nothing when the stop comes first.
    async fn unless_new<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        if self.asked {
            return Some(future.await);
        }
        select! {
            () = self.stop.as_mut() => {
                self.asked = true;
                None
            }
            result = future => Some(result),
        }
    }
}

fn consumer() -> ConsumerConfig {
    ConsumerConfig {
        auto_offset_reset: Some(OffsetReset::Earliest),
        isolation_level: IsolationLevel::ReadCommitted,
        ..ConsumerConfig::default()
    }
}

async fn init_transactions(producer: &Producer) -> Result<(), Broken> {
    loop {
        match producer.init_transactions().await {
            Ok(_) => return Ok(()),
            Err(TransactionError::Timeout(_)) => {}
            Err(other) => return Err(Broken::by(other)),
        }
    }
}

async fn write(producer: &Producer, orders: &ConsumerRecords) -> Result<(), Broken> {
    let mut deliveries = Vec::new();
    for order in orders.iter() {
        let invoice = ProducerRecord {
            topic: INVOICES.to_owned(),
            key: order.key.clone(),
            value: order.value.clone(),
            ..ProducerRecord::default()
        };
        deliveries.push(producer.send(invoice).await.map_err(Broken::by)?);
    }
    for delivery in deliveries {
        delivery.await.map_err(Broken::by)?;
    }
    Ok(())
}

async fn exactly_once(
    producer: &Producer,
    group: &GroupConsumer,
    orders: &ConsumerRecords,
) -> Result<(), Broken> {
    let read: BTreeMap<TopicPartition, i64> = orders
        .partitions
        .iter()
        .map(|stretch| (stretch.partition.clone(), stretch.next))
        .collect();
    producer.begin_transaction().await.map_err(Broken::by)?;
    write(producer, orders).await?;
    let member = group.group_metadata();
    let sent = producer.send_offsets_to_transaction(&read, &member).await;
    sent.map_err(Broken::by)?;
    loop {
        match producer.commit_transaction().await {
            Ok(()) => return Ok(()),
            Err(TransactionError::Timeout(_)) => {}
            // The next attempt's init_transactions aborts what is left of it.
            Err(other) => return Err(Broken::by(other)),
        }
    }
}
