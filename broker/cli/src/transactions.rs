//! `broker transactions` (KIP-664).

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use broker_client::admin::{
    AbortTransaction, ProducerState, TransactionDescription, TransactionFilter,
};
use broker_client::{Admin, ErrorCode, TopicPartition};
use broker_env::Env;
use clap::{Args, Subcommand};

use crate::connect::{Connect, block_on};
use crate::failure::Failure;

#[derive(Args)]
pub struct Transactions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// All transactional ids with coordinator, producer and state, one a line.
    List(List),
    /// A transactional id: who owns it, and the partitions of its transaction.
    Describe {
        #[command(flatten)]
        connect: Connect,
        #[arg(long)]
        transactional_id: String,
    },
    /// The producers that a partition's leader knows, and where their open transactions begin.
    DescribeProducers {
        #[command(flatten)]
        connect: Connect,
        #[command(flatten)]
        partition: Partition,
    },
    /// Aborts one transaction in one partition by a marker of its own. Only for transactions that hang: what the
    /// coordinator decides of the others is undone.
    Abort(Abort),
    /// Transactions that are open in a partition, and that no coordinator knows any more.
    FindHanging(FindHanging),
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    connect: Connect,
    /// Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit or CompleteAbort; may be given several times.
    #[arg(long)]
    state: Vec<String>,
    #[arg(long)]
    producer_id: Vec<i64>,
    /// Only transactions that run for longer, in milliseconds.
    #[arg(long, value_name = "MS")]
    duration_filter: Option<u64>,
    /// A regular expression for the whole transactional id.
    #[arg(long)]
    transactional_id_pattern: Option<String>,
}

#[derive(Args)]
struct Partition {
    #[arg(long)]
    topic: String,
    #[arg(long)]
    partition: i32,
}

#[derive(Args)]
struct Abort {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    partition: Partition,
    /// The first offset of the transaction, as describe-producers and find-hanging show it.
    #[arg(long, required_unless_present = "producer_id")]
    start_offset: Option<i64>,
    #[arg(long, conflicts_with = "start_offset", requires_all = ["producer_epoch", "coordinator_epoch"])]
    producer_id: Option<i64>,
    #[arg(long)]
    producer_epoch: Option<i16>,
    #[arg(long)]
    coordinator_epoch: Option<i32>,
}

#[derive(Args)]
struct FindHanging {
    #[command(flatten)]
    connect: Connect,
    /// All topics without.
    #[arg(long)]
    topic: Option<String>,
    /// All partitions of the topic without.
    #[arg(long, requires = "topic")]
    partition: Option<i32>,
    /// Only partitions that this broker leads.
    #[arg(long)]
    broker_id: Option<i32>,
    /// Transactions that are open for less cannot hang, in minutes: transaction.max.timeout.ms.
    #[arg(long, value_name = "MINUTES", default_value_t = 15)]
    max_transaction_timeout: u64,
}

impl Partition {
    fn name(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), self.partition)
    }
}

impl Transactions {
    pub fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::List(list) => block_on(|env| async move { list.run(&env).await }),
            Action::Describe {
                connect,
                transactional_id,
            } => block_on(|env| async move { describe(&env, &connect, &transactional_id).await }),
            Action::DescribeProducers { connect, partition } => {
                block_on(|env| async move { describe_producers(&env, &connect, &partition).await })
            }
            Action::Abort(abort) => block_on(|env| async move { abort.run(&env).await }),
            Action::FindHanging(find) => block_on(|env| async move { find.run(&env).await }),
        }
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_string(), |it| it.to_string())
}

impl List {
    async fn run(self, env: &Env) -> Result<(), Failure> {
        let admin = Admin::new(self.connect.client(env));
        let filter = TransactionFilter {
            states: self.state,
            producer_ids: self.producer_id,
            longer_than: self.duration_filter.map(Duration::from_millis),
            transactional_id_pattern: self.transactional_id_pattern,
        };
        let listed = admin.list_transactions(&filter, self.connect.limit()).await;
        let mut out = std::io::stdout().lock();
        writeln!(out, "TRANSACTIONAL-ID\tCOORDINATOR\tPRODUCER-ID\tSTATE")?;
        for it in listed.map_err(Failure::failed)? {
            let (id, state) = (it.transactional_id, it.state);
            writeln!(out, "{id}\t{}\t{}\t{state}", it.coordinator, it.producer_id)?;
        }
        Ok(())
    }
}

async fn describe(env: &Env, connect: &Connect, id: &str) -> Result<(), Failure> {
    let admin = Admin::new(connect.client(env));
    let described = admin.describe_transaction(id, connect.limit()).await;
    let it = described.map_err(|error| Failure::failed(format!("{id}: {error}")))?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "transactional id {id}: {}, coordinator {}, producer {} epoch {}, timeout {} ms",
        it.state,
        it.coordinator,
        it.producer_id,
        it.producer_epoch,
        it.timeout.as_millis()
    )?;
    let runs_for = it.start_ms.map(|start| env.clock.wall().0 - start);
    let is_open = !it.partitions.is_empty();
    writeln!(
        out,
        "started\t{}\nruns for ms\t{}",
        or_dash(it.start_ms),
        or_dash(runs_for.filter(|_| is_open))
    )?;
    writeln!(out, "PARTITION")?;
    for partition in it.partitions {
        writeln!(out, "{partition}")?;
    }
    Ok(())
}

async fn describe_producers(
    env: &Env,
    connect: &Connect,
    partition: &Partition,
) -> Result<(), Failure> {
    let admin = Admin::new(connect.client(env));
    let described = admin
        .describe_producers(&partition.name(), connect.limit())
        .await;
    let producers = described.map_err(Failure::failed)?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "PRODUCER-ID\tEPOCH\tCOORDINATOR-EPOCH\tLAST-SEQUENCE\tLAST-TIMESTAMP\tTRANSACTION-START"
    )?;
    for it in producers.values() {
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{}\t{}",
            it.producer_id,
            it.producer_epoch,
            or_dash(it.coordinator_epoch),
            it.last_sequence,
            it.last_timestamp_ms,
            or_dash(it.transaction_start)
        )?;
    }
    Ok(())
}

impl Abort {
    async fn run(self, env: &Env) -> Result<(), Failure> {
        let admin = Admin::new(self.connect.client(env));
        let partition = self.partition.name();
        let limit = self.connect.limit();
        let abort = match (
            self.producer_id,
            self.producer_epoch,
            self.coordinator_epoch,
        ) {
            (Some(producer_id), Some(producer_epoch), Some(coordinator_epoch)) => {
                AbortTransaction {
                    partition,
                    producer_id,
                    producer_epoch,
                    coordinator_epoch,
                }
            }
            _ => {
                let start = self.start_offset.unwrap_or(-1);
                let producers = admin.describe_producers(&partition, limit).await;
                let producers = producers.map_err(Failure::failed)?;
                started_at(partition, producers, start)?
            }
        };
        let aborted = admin.abort_transaction(&abort, limit).await;
        aborted.map_err(|error| Failure::failed(format!("{}: {error}", abort.partition)))
    }
}

fn started_at(
    partition: TopicPartition,
    producers: BTreeMap<i64, ProducerState>,
    start: i64,
) -> Result<AbortTransaction, Failure> {
    let mut producers = producers.into_values();
    let Some(found) = producers.find(|it| it.transaction_start == Some(start)) else {
        return Err(Failure::failed(format!(
            "{partition}: no transaction is open since offset {start}"
        )));
    };
    Ok(AbortTransaction {
        partition,
        producer_id: found.producer_id,
        producer_epoch: i16::try_from(found.producer_epoch).map_err(Failure::failed)?,
        // Before its first marker a partition knows no coordinator.
        coordinator_epoch: found.coordinator_epoch.unwrap_or(0),
    })
}

impl FindHanging {
    async fn run(self, env: &Env) -> Result<(), Failure> {
        let admin = Admin::new(self.connect.client(env));
        let limit = self.connect.limit();
        let mut open = Vec::new();
        for partition in self.partitions(&admin).await? {
            let producers = admin.describe_producers(&partition, limit).await;
            let producers =
                producers.map_err(|error| Failure::failed(format!("{partition}: {error}")))?;
            let late = producers.into_values().filter(|it| self.is_late(env, it));
            open.extend(late.map(|producer| (partition.clone(), producer)));
        }
        let known = known(&admin, &open, limit).await?;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "PARTITION\tPRODUCER-ID\tEPOCH\tCOORDINATOR-EPOCH\tSTART-OFFSET\tLAST-TIMESTAMP"
        )?;
        for (partition, it) in open {
            let transaction = known.get(&it.producer_id);
            if transaction.is_some_and(|transaction| transaction.partitions.contains(&partition)) {
                continue;
            }
            writeln!(
                out,
                "{partition}\t{}\t{}\t{}\t{}\t{}",
                it.producer_id,
                it.producer_epoch,
                or_dash(it.coordinator_epoch),
                or_dash(it.transaction_start),
                it.last_timestamp_ms
            )?;
        }
        Ok(())
    }

    async fn partitions(&self, admin: &Admin) -> Result<Vec<TopicPartition>, Failure> {
        let topics = admin.list_topics(self.connect.limit()).await;
        let topics = topics.map_err(Failure::failed)?;
        let mut partitions = Vec::new();
        for (name, topic) in topics {
            if self.topic.as_ref().is_some_and(|wanted| *wanted != name) {
                continue;
            }
            for (index, partition) in topic.partitions {
                let is_wanted = self.partition.is_none_or(|wanted| wanted == index);
                let leader = partition.leader.map(|leader| leader.0);
                if is_wanted && self.broker_id.is_none_or(|broker| leader == Some(broker)) {
                    partitions.push(TopicPartition::new(name.as_str(), index));
                }
            }
        }
        if partitions.is_empty() && self.topic.is_some() {
            return Err(Failure::failed(ErrorCode::UnknownTopicOrPartition));
        }
        Ok(partitions)
    }

    fn is_late(&self, env: &Env, producer: &ProducerState) -> bool {
        let limit_ms = self.max_transaction_timeout.saturating_mul(60_000);
        let limit_ms = i64::try_from(limit_ms).unwrap_or(i64::MAX);
        let open_for = env
            .clock
            .wall()
            .0
            .saturating_sub(producer.last_timestamp_ms);
        producer.transaction_start.is_some() && open_for >= limit_ms
    }
}

/// What coordinators know of these producers' transactions.
async fn known(
    admin: &Admin,
    open: &[(TopicPartition, ProducerState)],
    limit: Duration,
) -> Result<BTreeMap<i64, TransactionDescription>, Failure> {
    let mut known = BTreeMap::new();
    if open.is_empty() {
        return Ok(known);
    }
    let filter = TransactionFilter {
        producer_ids: open.iter().map(|(_, it)| it.producer_id).collect(),
        ..TransactionFilter::default()
    };
    let listed = admin.list_transactions(&filter, limit).await;
    for it in listed.map_err(Failure::failed)? {
        match admin
            .describe_transaction(&it.transactional_id, limit)
            .await
        {
            Ok(described) => drop(known.insert(it.producer_id, described)),
            Err(error) if error.code() == Some(ErrorCode::TransactionalIdNotFound) => {}
            Err(error) => return Err(Failure::failed(error)),
        }
    }
    Ok(known)
}
