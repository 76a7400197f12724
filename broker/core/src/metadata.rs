//! The controller: cluster metadata as a replicated core (KRaft).
//!
//! `Hard` is [`MetadataImage`], rebuilt by replay of the metadata log; every broker keeps one too, as
//! what it publishes. `Soft` is [`Soft`], what only the active controller knows, lost with leadership.
//! [`decide`] turns an [`Input`] into [`Output`]s; [`MetadataImage::apply`] is the only writer of the
//! image.
//!
//! Contract with the shell:
//! - it feeds inputs one at a time, only while its raft node leads, after [`Input::Activated`];
//! - it carries outputs out in order: `Records` is appended as one batch at the very end of the log
//!   (`next_offset` of a request must be that end) and applied record by record, both before the next
//!   input; a `Reply` goes out when all that was appended before it is committed;
//! - what it reads from the log goes through [`Replay`], which holds back what is not complete;
//! - on lost leadership it drops image and `Soft`, fails the parked tickets with NOT_CONTROLLER, and
//!   rebuilds the image from what is committed (M-10).
//!
//! Every record leaves an image for which [`invariants`] hold; so does every batch boundary.
//!
//! Map: `record` (log) → `image` (state) · `request`, `reply`, `error` (edges) · `soft` ·
//! `cluster` (registration), `heartbeat` (fencing, shutdown) · `topics`, `create_topics`,
//! `create_partitions`, `placement`, `topic_name` · `alter_partition` · `directories` · `elections` ·
//! `reassignment` · `features`, `metadata_version` (what the cluster's nodes can read) ·
//! `partition_change` (elects, bumps epochs) · `configs` · `draft` (changes in the making) · `transaction` (changes larger than a batch).

mod alter_partition;
mod cluster;
mod configs;
mod create_topics;
mod directories;
mod draft;
mod elections;
mod error;
mod features;
mod heartbeat;
mod image;
pub mod invariants;
mod metadata_version;
mod partition;
mod partition_change;
mod placement;
mod producer_ids;
mod reassignment;
mod record;
mod reply;
mod request;
mod soft;
mod topic_name;
mod topics;
mod transaction;

pub use configs::TOPIC_CONFIG_NAMES;
pub use draft::{MAX_RECORDS_PER_BATCH, MAX_RECORDS_PER_USER_OP};
pub use error::*;
pub use features::{KRAFT_VERSION_FEATURE, bootstrap_features, supported_features};
pub use image::*;
pub use metadata_version::{METADATA_VERSION_FEATURE, MetadataVersion};
pub use partition::*;
pub use producer_ids::PRODUCER_ID_BLOCK_SIZE;
pub use record::*;
pub use reply::*;
pub use request::*;
pub use soft::{ControllerConfig, Soft};
pub use topic_name::topic_name_problem;
pub use transaction::Replay;

/// What the active controller does about one input. Never writes `hard`: the shell appends and applies
/// the records that come out.
pub fn decide(hard: &MetadataImage, soft: &mut Soft, input: Input, out: &mut Vec<Output>) {
    let mut decided = Vec::new();
    dispatch(hard, soft, input, &mut decided);
    let version = hard.metadata_version();
    let lowered = decided
        .into_iter()
        .filter_map(|output| lowered(version, output));
    for output in lowered {
        match output {
            Output::Records(records) => {
                transaction::push_atomically(hard, records, soft.config.batch_records_max, out);
            }
            output => out.push(output),
        }
    }
}

/// Only what nodes of the finalized `metadata.version` can read.
fn lowered(version: MetadataVersion, output: Output) -> Option<Output> {
    match output {
        Output::Records(records) if !version.has_directories() => {
            let records = records
                .into_iter()
                .filter_map(|record| version.lower(record));
            let records: Vec<Record> = records.collect();
            (!records.is_empty()).then_some(Output::Records(records))
        }
        output => Some(output),
    }
}

fn dispatch(hard: &MetadataImage, soft: &mut Soft, input: Input, out: &mut Vec<Output>) {
    match input {
        Input::Activated { bootstrap } => {
            features::bootstrap(hard, soft, bootstrap, out);
            heartbeat::begin_sessions(hard, soft, out);
            elections::begin_timers(soft, out);
        }
        Input::TransactionLeftOpen => transaction::abort(out),
        Input::RegisterBroker(ticket, request) => {
            cluster::register_broker(hard, soft, ticket, request, out)
        }
        Input::BrokerHeartbeat(ticket, request) => {
            heartbeat::heartbeat(hard, soft, ticket, request, out)
        }
        Input::SessionsExpired(brokers) => heartbeat::expire_sessions(hard, soft, brokers, out),
        Input::UnregisterBroker(ticket, broker) => {
            cluster::unregister_broker(hard, soft, ticket, broker, out);
        }
        Input::RegisterController(ticket, record) => {
            cluster::register_controller(hard, ticket, record, out)
        }
        Input::CreateTopics(ticket, request) => {
            create_topics::create_topics(hard, soft, ticket, request, out)
        }
        Input::DeleteTopics(ticket, topics) => topics::delete_topics(hard, ticket, topics, out),
        Input::CreatePartitions(ticket, request) => {
            topics::create_partitions(hard, ticket, request, out)
        }
        Input::AlterPartition(ticket, request) => {
            alter_partition::alter_partition(hard, soft, ticket, request, out);
        }
        Input::AssignReplicas(ticket, request) => {
            directories::assign_replicas(hard, soft, ticket, request, out);
        }
        Input::AllocateProducerIds(ticket, broker, epoch) => {
            producer_ids::allocate_producer_ids(hard, ticket, broker, epoch, out);
        }
        Input::IncrementalAlterConfigs(ticket, request) => {
            configs::incremental_alter_configs(hard, soft, ticket, request, out);
        }
        Input::UpdateFeatures(ticket, request) => {
            features::update_features(hard, soft, ticket, request, out)
        }
        Input::ElectLeaders(ticket, request) => {
            elections::elect_leaders(hard, soft, ticket, request, out)
        }
        Input::AlterConfigs(ticket, request) => {
            configs::alter_configs(hard, soft, ticket, request, out)
        }
        Input::AlterPartitionReassignments(ticket, request) => {
            reassignment::alter_partition_reassignments(hard, soft, ticket, request, out);
        }
        Input::ListPartitionReassignments(ticket, asked) => {
            reassignment::list_partition_reassignments(hard, ticket, asked, out);
        }
        Input::NoOpTimer => out.push(Output::Records(vec![Record::NoOp])),
        Input::LeaderBalanceTimer => elections::balance_leaders(hard, soft, out),
        Input::UncleanElectionTimer => elections::elect_unclean_leaders(hard, soft, out),
    }
}

#[cfg(test)]
mod tests;
