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
    /// Records per second of all clients together; as fast as it goes without.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    latencies: Latencies,
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
        for (target, records) in targets.iter().zip(self.common.shares()) {
            let (done, result) = oneshot::channel();
            let (load, env_, pool, partition) =
                (self.clone(), env.clone(), pool.clone(), target.partition);
            env.spawn("perf client", async move {
                let _caller_waits = done.send(load.client(&env_, partition, records, pool).await);
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

    async fn client(
        &self,
        env: &Env,
        partition: i32,
        records: u64,
        pool: Bytes,
    ) -> Result<Seen, Failure> {
        let producer = Producer::new(self.common.connect.client(env), self.producer_config());
        let (deliveries, outcomes) = mpsc::unbounded_channel();
        let (sent, seen) = tokio::join!(
            self.send_all(env, &producer, partition, records, &pool, deliveries),
            collect(env, outcomes)
        );
        producer.close(self.common.connect.limit()).await;
        sent.map(|()| seen)
    }

    fn producer_config(&self) -> ProducerConfig {
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
            ..default
        }
    }

    async fn send_all(
        &self,
        env: &Env,
        producer: &Producer,
        partition: i32,
        records: u64,
        pool: &Bytes,
        deliveries: mpsc::UnboundedSender<(Instant, Delivery)>,
    ) -> Result<(), Failure> {
        let start = env.now();
        let spread = pool.len() - self.record_size;
        let mut at = 0;
        for number in 0..records {
            self.wait_for_turn(env, start, number).await;
            at = (at + 97) % (spread + 1);
            let record = ProducerRecord {
                topic: self.common.topic.clone(),
                partition: Some(partition),
                value: Some(pool.slice(at..at + self.record_size)),
                ..ProducerRecord::default()
            };
            let sent_at = env.now();
            let delivery = producer.send(record).await.map_err(Failure::failed)?;
            let _collector_outlives_us = deliveries.send((sent_at, delivery));
        }
        producer.flush().await;
        Ok(())
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
