//! The fetch load.

use broker_client::{Client, IsolationLevel, OffsetSpec, TopicPartition};
use broker_env::Env;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::record::RecordBatches;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::report::{Latencies, Report};
use super::{Common, Target};
use crate::consume::isolation_level;
use crate::failure::Failure;

#[derive(clap::Args, Clone)]
pub struct Fetch {
    #[command(flatten)]
    common: Common,
    /// Most bytes of an answer; at least one batch comes.
    #[arg(long, default_value_t = 1 << 20)]
    fetch_bytes: i32,
    /// read_uncommitted or read_committed.
    #[arg(long, default_value = "read_uncommitted", value_parser = isolation_level)]
    isolation_level: IsolationLevel,
}

#[derive(Default)]
struct Seen {
    latencies: Latencies,
    records: u64,
    bytes: u64,
}

impl Fetch {
    pub async fn run(self, env: Env) -> Result<(), Failure> {
        let targets = self
            .common
            .targets(&self.common.connect.client(&env))
            .await?;
        let process = self.common.process();
        let start = env.now();
        let mut clients = Vec::new();
        for (target, records) in targets.into_iter().zip(self.common.shares()) {
            let (done, result) = oneshot::channel();
            let (load, env_) = (self.clone(), env.clone());
            env.spawn("perf client", async move {
                let _caller_waits = done.send(load.client(&env_, &target, records).await);
            });
            clients.push(result);
        }
        let mut all = Seen::default();
        for client in clients {
            all.merge(
                &client
                    .await
                    .map_err(|_| Failure::failed("a client ended early"))??,
            );
        }
        let report = Report {
            load: "fetch",
            records: all.records,
            bytes: all.bytes,
            failed: 0,
            elapsed: env.now().saturating_since(start),
            latencies: all.latencies,
            commits: None,
            usage: process.and_then(|process| process.since()),
        };
        Ok(report.print(self.common.json)?)
    }

    async fn client(&self, env: &Env, target: &Target, records: u64) -> Result<Seen, Failure> {
        let client = self.common.connect.client(env);
        // A client of its own has metadata of its own, and so learns the leader's address.
        let known = client
            .topic(&self.common.topic, self.common.connect.limit())
            .await;
        known.map_err(|(_, reason)| Failure::failed(reason))?;
        let (begin, end) = (
            self.offset(&client, target, OffsetSpec::Earliest).await?,
            self.offset(&client, target, OffsetSpec::Latest).await?,
        );
        if begin >= end {
            let Target { partition, .. } = target;
            return Err(Failure::failed(format!(
                "{}-{partition} has no records to read",
                self.common.topic
            )));
        }
        let mut seen = Seen::default();
        let mut offset = begin;
        while seen.records < records {
            let asked = env.now();
            let batches = self.fetch(&client, target, offset).await?;
            seen.latencies.record(env.now().saturating_since(asked));
            seen.bytes += u64::try_from(batches.len()).unwrap_or(u64::MAX);
            let (next, count) = count(batches)?;
            seen.records += count;
            offset = next.filter(|next| *next < end).unwrap_or(begin);
        }
        Ok(seen)
    }

    async fn offset(
        &self,
        client: &Client,
        target: &Target,
        spec: OffsetSpec,
    ) -> Result<i64, Failure> {
        let partition = TopicPartition::new(self.common.topic.as_str(), target.partition);
        let partitions = std::slice::from_ref(&partition);
        let listed = client
            .list_offsets(partitions, spec, self.common.connect.limit())
            .await;
        let listed = listed.map_err(Failure::failed)?;
        listed
            .get(&partition)
            .map(|listed| listed.offset)
            .ok_or_else(|| Failure::failed("no offset was told"))
    }

    async fn fetch(&self, client: &Client, target: &Target, offset: i64) -> Result<Bytes, Failure> {
        let request = self.request(target, offset);
        let answer = client
            .call(target.leader, &request, self.common.connect.limit())
            .await;
        let response = answer.map_err(Failure::failed)?;
        let failed = |code: i16| {
            Failure::failed(format!("fetch: {}", ErrorCode::from_code_or_unknown(code)))
        };
        if response.error_code != 0 {
            return Err(failed(response.error_code));
        }
        let partition = response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
            .next();
        match partition {
            Some(partition) if partition.error_code == 0 => {
                Ok(partition.records.unwrap_or_default())
            }
            Some(partition) => Err(failed(partition.error_code)),
            None => Err(Failure::failed(
                "fetch: the answer leaves the partition out",
            )),
        }
    }

    fn request(&self, target: &Target, fetch_offset: i64) -> wire::FetchRequest {
        let partition = wire::FetchPartition {
            partition: target.partition,
            fetch_offset,
            partition_max_bytes: self.fetch_bytes,
            ..Default::default()
        };
        wire::FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: self.fetch_bytes,
            isolation_level: self.isolation_level.code(),
            topics: vec![wire::FetchTopic {
                topic: self.common.topic.clone(),
                topic_id: target.topic_id,
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        }
    }
}

/// The offset after the last whole batch, and how many records there are, markers aside; by the batches' headers.
fn count(batches: Bytes) -> Result<(Option<i64>, u64), Failure> {
    let (mut next, mut records) = (None, 0);
    for batch in RecordBatches::new(batches) {
        let batch = batch
            .map_err(|error| Failure::failed(format!("the broker sent a bad batch: {error}")))?;
        next = Some(batch.next_offset());
        if !batch.is_control() {
            records += u64::try_from(batch.count()).unwrap_or(0);
        }
    }
    Ok((next, records))
}

impl Seen {
    fn merge(&mut self, other: &Seen) {
        self.latencies.merge(&other.latencies);
        self.records += other.records;
        self.bytes += other.bytes;
    }
}
