//! The produce load.

use std::time::Duration;

use broker_client::config::Acks;
use broker_client::{Compression, Delivery, Producer, ProducerConfig, ProducerRecord};
use broker_env::{Env, Instant, Stream};
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};

use super::Common;
use super::report::{Latencies, Report};
use crate::failure::Failure;
use crate::produce::{acks, compression};

/// Values are slices of this many random bytes, so that making them costs nothing.
const POOL_BYTES: usize = 1 << 20;

#[derive(clap::Args, Clone)]
pub struct Produce {
    #[command(flatten)]
    common: Common,
    /// Bytes of a record's value; random.
    #[arg(long, default_value_t = 100)]
    record_size: usize,
    /// Whose acknowledgement counts: 0, 1 or all.
    #[arg(long, default_value = "all", value_parser = acks)]
    acks: Acks,
    /// Requests under way per client.
    #[arg(long, default_value_t = 5)]
    in_flight: usize,
    /// Bytes of a batch.
    #[arg(long, default_value_t = 16_384)]
    batch_size: u32,
    /// How long a batch may wait to fill.
    #[arg(long, default_value_t = 0)]
    linger_ms: u64,
    /// none, gzip, snappy, lz4 or zstd.
    #[arg(long, default_value = "none", value_parser = compression)]
    compression: Compression,
    /// Sends in transactions of this many records, each client with a transactional id of its own.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    transaction_records: Option<u64>,
    /// Records per second of all clients together; as fast as it goes without.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    latencies: Latencies,
    commits: Latencies,
    acked: u64,
    failed: u64,
    first_error: Option<String>,
}

impl Produce {
    pub async fn run(self, env: Env) -> Result<(), Failure> {
        let targets = self
            .common
            .targets(&self.common.connect.client(&env))
            .await?;
        let pool = pool(&env, self.record_size);
        let process = self.common.process();
        let start = env.now();
        let mut clients = Vec::new();
        for (number, (target, records)) in targets.iter().zip(self.common.shares()).enumerate() {
            let (done, result) = oneshot::channel();
            let client = LoadingClient {
                load: self.clone(),
                env: env.clone(),
                pool: pool.clone(),
                partition: target.partition,
                records,
                number,
            };
            env.spawn("perf client", async move {
                let _caller_waits = done.send(client.run().await);
            });
            clients.push(result);
        }
        let mut all = Seen::default();
        for client in clients {
            all.merge(
                client
                    .await
                    .map_err(|_| Failure::failed("a client ended early"))??,
            );
        }
        let report = Report {
            load: "produce",
            records: all.acked,
            bytes: all.acked * u64::try_from(self.record_size).unwrap_or(u64::MAX),
            failed: all.failed,
            elapsed: env.now().saturating_since(start),
            latencies: all.latencies,
            commits: self.transaction_records.map(|_| all.commits),
            usage: process.and_then(|process| process.since()),
        };
        report.print(self.common.json)?;
        all.first_error.map_or(Ok(()), |error| {
            Err(Failure::failed(format!(
                "{} records failed: {error}",
                all.failed
            )))
        })
    }

    fn producer_config(&self, number: usize) -> ProducerConfig {
        let largest = u32::try_from(self.record_size + 1024).unwrap_or(u32::MAX);
        let default = ProducerConfig::default();
        ProducerConfig {
            acks: self.acks,
            linger: Duration::from_millis(self.linger_ms),
            batch_size: self.batch_size,
            max_in_flight: self.in_flight.max(1),
            compression: self.compression,
            max_request_size: default.max_request_size.max(largest),
            delivery_timeout: default
                .delivery_timeout
                .max(2 * self.common.connect.limit()),
            request_timeout: self.common.connect.limit(),
            transactional_id: self
                .transaction_records
                .map(|_| format!("perf-{}-{number}", self.common.topic)),
            ..default
        }
    }

    async fn wait_for_turn(&self, env: &Env, start: Instant, number: u64) {
        let Some(rate) = self.rate else { return };
        let nanos = u128::from(number) * u128::from(self.common.concurrency) * 1_000_000_000
            / u128::from(rate);
        let due = start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let early = due.saturating_since(env.now());
        if !early.is_zero() {
            env.sleep(early).await;
        }
    }
}

/// One of the clients.
struct LoadingClient {
    load: Produce,
    env: Env,
    pool: Bytes,
    partition: i32,
    records: u64,
    number: usize,
}

impl LoadingClient {
    async fn run(self) -> Result<Seen, Failure> {
        let connect = &self.load.common.connect;
        let config = self.load.producer_config(self.number);
        let producer = Producer::new(connect.client(&self.env), config);
        let (deliveries, outcomes) = mpsc::unbounded_channel();
        let (commits, mut seen) = tokio::join!(
            self.send_all(&producer, deliveries),
            collect(&self.env, outcomes)
        );
        producer.close(connect.limit()).await;
        seen.commits = commits?;
        Ok(seen)
    }

    /// How long commits took.
    async fn send_all(
        &self,
        producer: &Producer,
        deliveries: mpsc::UnboundedSender<(Instant, Delivery)>,
    ) -> Result<Latencies, Failure> {
        let mut commits = Latencies::default();
        let size = self.load.transaction_records;
        if size.is_some() {
            let ready = producer.init_transactions().await;
            ready.map_err(Failure::failed)?;
        }
        let start = self.env.now();
        for number in 0..self.records {
            let place = size.map(|size| (number % size, size));
            if matches!(place, Some((0, _))) {
                producer
                    .begin_transaction()
                    .await
                    .map_err(Failure::failed)?;
            }
            self.load.wait_for_turn(&self.env, start, number).await;
            let sent_at = self.env.now();
            let delivery = producer
                .send(self.record(number))
                .await
                .map_err(Failure::failed)?;
            let _collector_outlives_us = deliveries.send((sent_at, delivery));
            let last = number + 1 == self.records;
            if place.is_some_and(|(at, size)| last || at + 1 == size) {
                let asked = self.env.now();
                producer
                    .commit_transaction()
                    .await
                    .map_err(Failure::failed)?;
                commits.record(self.env.now().saturating_since(asked));
            }
        }
        producer.flush().await;
        Ok(commits)
    }

    fn record(&self, number: u64) -> ProducerRecord {
        let size = self.load.record_size;
        let starts = u64::try_from(self.pool.len() - size + 1).expect("a length");
        let at = usize::try_from(number.wrapping_mul(97) % starts).expect("below a length");
        ProducerRecord {
            topic: self.load.common.topic.clone(),
            partition: Some(self.partition),
            value: Some(self.pool.slice(at..at + size)),
            ..ProducerRecord::default()
        }
    }
}

/// In the order of sending: a client has one partition, where acknowledgements come in order.
async fn collect(env: &Env, mut outcomes: mpsc::UnboundedReceiver<(Instant, Delivery)>) -> Seen {
    let mut seen = Seen::default();
    while let Some((sent_at, delivery)) = outcomes.recv().await {
        match delivery.await {
            Ok(_) => {
                seen.acked += 1;
                seen.latencies.record(env.now().saturating_since(sent_at));
            }
            Err(error) => {
                seen.failed += 1;
                seen.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    seen
}

impl Seen {
    fn merge(&mut self, other: Seen) {
        self.latencies.merge(&other.latencies);
        self.commits.merge(&other.commits);
        self.acked += other.acked;
        self.failed += other.failed;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

fn pool(env: &Env, record_size: usize) -> Bytes {
    let bytes = POOL_BYTES.max(record_size + 1);
    let mut pool = BytesMut::with_capacity(bytes + 8);
    while pool.len() < bytes {
        pool.extend_from_slice(&env.random.next_u64(Stream::Client).to_ne_bytes());
    }
    pool.freeze()
}
