//! Jepsen's Kafka workload: transactions that mix sends and polls, some aborted, by clients that crash, come back
//! under the same transactional id and are assigned other partitions now and then. As a bank: transfers, each a
//! debit in one partition and its credit in another.

use std::sync::Arc;
use std::time::Duration;

use broker_client::{Consumer, TopicPartition};

use crate::produce_consume::{RETRY, Reading, make_record, partitions};
use crate::transactional::{Ended, Transactor, id_of};
use crate::{ClientContext, WorkloadKind, WorkloadSpec};

/// Micro-operations of a transaction.
const OPERATIONS_MAX: usize = 5;
const POLL: Duration = Duration::from_millis(20);
/// One transaction in so many is aborted, is its client's last before it crashes, or comes with a new assignment.
const ABORT_EACH: usize = 5;
const CRASH_EACH: usize = 40;
const ASSIGN_EACH: usize = 25;

/// Runs until the stop.
pub async fn transact(context: ClientContext, spec: Arc<WorkloadSpec>) {
    let mut made = Made::default();
    while !context.stop.is_stopped() && !spec.is_done_after(made.transactions) {
        let client = context.client(&spec);
        live(&context, &client, &spec, &mut made).await;
        client.close();
        context.pause(RETRY).await;
    }
}

/// What all incarnations of a client have made.
#[derive(Default)]
struct Made {
    records: u64,
    transactions: u64,
}

impl Made {
    fn transaction(&mut self, context: &ClientContext) -> u64 {
        self.transactions += 1;
        (u64::from(context.process) << 32) | self.transactions
    }

    fn record(&mut self) -> u64 {
        self.records += 1;
        self.records - 1
    }
}

/// One incarnation, to its crash or the stop.
async fn live(
    context: &ClientContext,
    client: &broker_client::Client,
    spec: &WorkloadSpec,
    made: &mut Made,
) {
    let Some(all) = partitions(context, client, spec).await else {
        return;
    };
    let id = id_of(&context.name);
    let Some(mut transactor) = Transactor::start(context, client, spec, id).await else {
        return;
    };
    let consumer = Consumer::new(client.clone(), spec.consumer_config());
    let mut reading = Reading::new(context, spec.isolation());
    if !reading.assign(&consumer, &some(context, &all)).await {
        return;
    }
    let interval = Duration::from_secs(1) / spec.rate;
    while !context.stop.is_stopped() && !spec.is_done_after(made.transactions) {
        context.pause(interval).await;
        let number = made.transaction(context);
        if transactor.begin(number).await.is_none() {
            return;
        }
        reading.transaction = Some(number);
        if spec.kind == WorkloadKind::Bank {
            transfer(context, spec, &transactor, &all, made).await;
        } else {
            operations(
                context,
                spec,
                &transactor,
                &all,
                made,
                &consumer,
                &mut reading,
            )
            .await;
        }
        if context.below(CRASH_EACH) == 0 {
            return;
        }
        let commit = context.below(ABORT_EACH) != 0;
        let ended = transactor.end(commit).await;
        reading.transaction = None;
        if ended == Ended::Dead {
            return;
        }
        if context.below(ASSIGN_EACH) == 0 {
            reading.assign(&consumer, &some(context, &all)).await;
        }
    }
    consumer.close();
    transactor.close().await;
}

/// Some partitions, one at least.
fn some(context: &ClientContext, all: &[TopicPartition]) -> Vec<TopicPartition> {
    let first = context.below(all.len());
    let chosen = all.iter().enumerate();
    chosen
        .filter(|(index, _)| *index == first || context.below(2) == 0)
        .map(|(_, partition)| partition.clone())
        .collect()
}

async fn operations(
    context: &ClientContext,
    spec: &WorkloadSpec,
    transactor: &Transactor<'_>,
    all: &[TopicPartition],
    made: &mut Made,
    consumer: &Consumer,
    reading: &mut Reading<'_>,
) {
    for _ in 0..=context.below(OPERATIONS_MAX) {
        if context.below(2) == 0 {
            reading.poll(consumer, POLL).await;
        } else {
            let partition = &all[context.below(all.len())];
            let sequence = made.record();
            let record = make_record(context, spec, partition, sequence);
            transactor.send(record, sequence).await;
        }
    }
}

async fn transfer(
    context: &ClientContext,
    spec: &WorkloadSpec,
    transactor: &Transactor<'_>,
    all: &[TopicPartition],
    made: &mut Made,
) {
    let debit = context.below(all.len());
    let credit = (debit + 1 + context.below(all.len().max(2) - 1)) % all.len();
    for account in [debit, credit] {
        let sequence = made.record();
        let record = make_record(context, spec, &all[account], sequence);
        transactor.send(record, sequence).await;
    }
}
