//! `broker produce`: lines in, records out.

use std::io::BufRead;
use std::time::Duration;

use broker_client::config::Acks;
use broker_client::{Compression, Delivery, Producer, ProducerConfig, ProducerRecord};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::connect::{Connect, block_on};
use crate::failure::Failure;

/// Lines read ahead of the producer.
const LINES_AHEAD: usize = 1024;

#[derive(clap::Args)]
pub struct Produce {
    #[command(flatten)]
    connect: Connect,
    #[arg(long)]
    topic: String,
    /// Splits a line into key and value; a line without it is an error.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// By key, or one after the other, if not given.
    #[arg(long)]
    partition: Option<i32>,
    /// Whose acknowledgement counts: 0, 1 or all.
    #[arg(long, default_value = "all", value_parser = acks)]
    acks: Acks,
    /// none, gzip, snappy, lz4 or zstd.
    #[arg(long, default_value = "none", value_parser = compression)]
    compression: Compression,
}

/// `0`, `1`, `all` or `-1`.
pub fn acks(text: &str) -> Result<Acks, String> {
    let code = if text == "all" {
        Some(-1)
    } else {
        text.parse().ok()
    };
    code.and_then(Acks::from_code)
        .ok_or_else(|| "must be 0, 1 or all".into())
}

/// A name in `compression.type`.
pub fn compression(text: &str) -> Result<Compression, String> {
    Compression::from_name(text).ok_or_else(|| "must be none, gzip, snappy, lz4 or zstd".into())
}

impl Produce {
    pub fn run(self) -> Result<(), Failure> {
        block_on(|env| async move {
            let config = ProducerConfig {
                acks: self.acks,
                compression: self.compression,
                // Lines of a pipe share batches; a person does not notice.
                linger: Duration::from_millis(5),
                delivery_timeout: self.connect.limit(),
                request_timeout: self.connect.limit(),
                max_block: self.connect.limit(),
                ..ProducerConfig::default()
            };
            let producer = Producer::new(self.connect.client(&env), config);
            let (outcomes, outcome) = mpsc::unbounded_channel();
            let (sent, failed) = tokio::join!(
                self.send_lines(&producer, outcomes),
                count_failures(outcome)
            );
            producer.close(self.connect.limit()).await;
            sent?;
            if failed > 0 {
                Err(Failure::Reported)
            } else {
                Ok(())
            }
        })
    }

    /// Ends at the end of standard input, or at the first line that cannot be sent.
    async fn send_lines(
        &self,
        producer: &Producer,
        outcomes: mpsc::UnboundedSender<(u64, Delivery)>,
    ) -> Result<(), Failure> {
        let mut lines = read_lines();
        let mut number = 0;
        while let Some(line) = lines.recv().await {
            number += 1;
            let line = line.map_err(|error| Failure::failed(format!("standard input: {error}")))?;
            let (key, value) = self
                .split(line)
                .map_err(|reason| Failure::failed(format!("line {number}: {reason}")))?;
            let record = ProducerRecord {
                topic: self.topic.clone(),
                partition: self.partition,
                key,
                value: Some(value),
                ..ProducerRecord::default()
            };
            let sent = producer.send(record).await;
            let delivery =
                sent.map_err(|error| Failure::failed(format!("line {number}: {error}")))?;
            let _counter_outlives_us = outcomes.send((number, delivery));
        }
        producer.flush().await;
        Ok(())
    }

    fn split(&self, line: Bytes) -> Result<(Option<Bytes>, Bytes), String> {
        let Some(separator) = self
            .key_separator
            .as_deref()
            .filter(|separator| !separator.is_empty())
        else {
            return Ok((None, line));
        };
        let mut places = line.windows(separator.len());
        let place = places.position(|window| window == separator.as_bytes());
        let place = place.ok_or_else(|| format!("no key separator '{separator}'"))?;
        Ok((
            Some(line.slice(..place)),
            line.slice(place + separator.len()..),
        ))
    }
}

/// Standard input can only be waited for by a thread.
fn read_lines() -> mpsc::Receiver<std::io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n') {
            let line = line.map(|line| {
                Bytes::from(
                    line.strip_suffix(b"\r")
                        .map_or(line.clone(), <[u8]>::to_vec),
                )
            });
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn count_failures(mut outcomes: mpsc::UnboundedReceiver<(u64, Delivery)>) -> u64 {
    let mut failed = 0;
    while let Some((number, delivery)) = outcomes.recv().await {
        if let Err(error) = delivery.await {
            failed += 1;
            eprintln!("broker: line {number}: {error}");
        }
    }
    failed
}
