//! `broker consume`: records to standard output.

mod print;

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::time::Duration;

use broker_client::{
    Client, Consumer, ConsumerConfig, ConsumerRecord, ConsumerRecords, GroupConfig, GroupConsumer,
    IsolationLevel, OffsetReset, TopicPartition,
};
use broker_env::{Env, Instant};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;
use print::Printer;

/// How long one poll waits; only for how soon the time limit is noticed.
const POLL: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub struct Consume {
    #[command(flatten)]
    connect: Connect,
    #[arg(long)]
    topic: String,
    /// All records of the log, not only those that come from now on.
    #[arg(long)]
    from_beginning: bool,
    /// One partition; all without.
    #[arg(long)]
    partition: Option<i32>,
    /// Where to begin in the partition.
    #[arg(long, requires = "partition", conflicts_with = "from_beginning")]
    offset: Option<i64>,
    /// Reads as a member of this group: the partitions it is assigned, from where the group is; what was printed is
    /// committed.
    #[arg(long, conflicts_with_all = ["partition", "offset"])]
    group: Option<String>,
    /// read_uncommitted or read_committed: only what transactions have committed, up to the first open one.
    #[arg(long, default_value = "read_uncommitted", value_parser = isolation_level)]
    isolation_level: IsolationLevel,
    /// Ends after this many records; without, at an interrupt.
    #[arg(long)]
    max_messages: Option<u64>,
    /// Ends when no record has come for this long.
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// print.key, print.value, print.offset, print.partition, print.timestamp, print.headers (true or false),
    /// key.separator, line.separator, null.literal. May be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    property: Vec<String>,
}

/// By Kafka's name.
pub fn isolation_level(name: &str) -> Result<IsolationLevel, String> {
    match name {
        "read_uncommitted" => Ok(IsolationLevel::ReadUncommitted),
        "read_committed" => Ok(IsolationLevel::ReadCommitted),
        other => Err(format!(
            "{other:?} is neither read_uncommitted nor read_committed"
        )),
    }
}

impl Consume {
    pub fn run(self) -> Result<(), Failure> {
        let printer = Printer::from_properties(&self.property).map_err(Failure::Usage)?;
        block_on(|env| async move {
            let mut consumer = self.source(&env).await?;
            let mut session = Session {
                out: BufWriter::new(std::io::stdout()),
                printer,
                count: 0,
            };
            let result = tokio::select! {
                result = self.print_all(&env, &mut consumer, &mut session) => result,
                _ = tokio::signal::ctrl_c() => Ok(()),
            };
            session.out.flush()?;
            consumer.close().await;
            eprintln!("{} records", session.count);
            result
        })
    }

    async fn source(&self, env: &Env) -> Result<Source, Failure> {
        let client = self.connect.client(env);
        match &self.group {
            Some(group) => {
                let (group, topics) = (GroupConfig::new(group), [self.topic.clone()]);
                let member = GroupConsumer::new(client, self.config(), group, &topics);
                Ok(Source::Group(Box::new(member)))
            }
            None => Ok(Source::Alone(self.consumer(client).await?)),
        }
    }

    async fn consumer(&self, client: Client) -> Result<Consumer, Failure> {
        let partitions = self.partitions(&client).await?;
        let consumer = Consumer::new(client, self.config());
        consumer
            .assign(&partitions)
            .await
            .map_err(Failure::failed)?;
        if let Some(offset) = self.offset {
            partitions
                .iter()
                .try_for_each(|partition| consumer.seek(partition, offset))
                .map_err(Failure::failed)?;
        }
        Ok(consumer)
    }

    fn config(&self) -> ConsumerConfig {
        let reset = if self.from_beginning {
            OffsetReset::Earliest
        } else {
            OffsetReset::Latest
        };
        // No more than is printed may be committed.
        let most = self
            .max_messages
            .and_then(|most| usize::try_from(most).ok());
        let standard = ConsumerConfig::default();
        ConsumerConfig {
            auto_offset_reset: Some(reset),
            isolation_level: self.isolation_level,
            max_poll_records: most
                .unwrap_or(standard.max_poll_records)
                .clamp(1, standard.max_poll_records),
            ..standard
        }
    }

    async fn partitions(&self, client: &Client) -> Result<Vec<TopicPartition>, Failure> {
        let found = client.topic(&self.topic, self.connect.limit()).await;
        let topic = found.map_err(|(_, reason)| Failure::failed(reason))?;
        let known: BTreeSet<i32> = topic.partitions.keys().copied().collect();
        let partition = |index| TopicPartition::new(self.topic.as_str(), index);
        match self.partition {
            None => Ok(known.into_iter().map(partition).collect()),
            Some(index) if known.contains(&index) => Ok(vec![partition(index)]),
            Some(index) => {
                let count = known.len();
                Err(Failure::failed(format!(
                    "topic {} has no partition {index}, only {count}",
                    self.topic
                )))
            }
        }
    }

    async fn print_all(
        &self,
        env: &Env,
        consumer: &mut Source,
        session: &mut Session,
    ) -> Result<(), Failure> {
        let mut last = env.now();
        while !self.has_enough(session.count) {
            let records = consumer.poll(self.left(env, last).min(POLL)).await?;
            for record in records.iter() {
                session.print(record)?;
                if self.has_enough(session.count) {
                    break;
                }
            }
            session.out.flush()?;
            if records.count() > 0 {
                consumer.commit().await;
                last = env.now();
            } else if self.left(env, last).is_zero() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn has_enough(&self, count: u64) -> bool {
        self.max_messages.is_some_and(|max| count >= max)
    }

    fn left(&self, env: &Env, last: Instant) -> Duration {
        let limit = self.timeout_ms.map_or(Duration::MAX, Duration::from_millis);
        limit.saturating_sub(env.now().saturating_since(last))
    }
}

/// Who reads.
enum Source {
    Alone(Consumer),
    Group(Box<GroupConsumer>),
}

impl Source {
    async fn poll(&mut self, limit: Duration) -> Result<ConsumerRecords, Failure> {
        match self {
            Source::Alone(consumer) => consumer.poll(limit).await.map_err(Failure::failed),
            Source::Group(member) => member.poll(limit).await.map_err(Failure::failed),
        }
    }

    /// What could not be committed is read again by somebody.
    async fn commit(&mut self) {
        if let Source::Group(member) = self
            && let Err(error) = member.commit().await
        {
            eprintln!("broker: not committed: {error}");
        }
    }

    async fn close(self) {
        match self {
            Source::Alone(consumer) => consumer.close(),
            Source::Group(member) => member.close().await,
        }
    }
}

struct Session {
    out: BufWriter<std::io::Stdout>,
    printer: Printer,
    count: u64,
}

impl Session {
    fn print(&mut self, record: &ConsumerRecord) -> std::io::Result<()> {
        self.printer.print(&mut self.out, record)?;
        self.count += 1;
        Ok(())
    }
}
