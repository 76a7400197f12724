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
//!   (`next_offset` of a request must be that end) and applied record by record; a `Reply` goes out
//!   when all that was appended before it is committed;
//! - on lost leadership it drops image and `Soft`, fails the parked tickets with NOT_CONTROLLER, and
//!   rebuilds the image from what is committed (M-10).
//!
//! Every record leaves an image for which [`invariants`] hold; so does every batch boundary.
//!
//! Map: `record` (log) → `image` (state) · `request`, `reply`, `error` (edges) · `soft` ·
//! `cluster` (registration), `heartbeat` (fencing, shutdown) · `topics`, `create_topics`,
//! `create_partitions`, `placement`, `topic_name` · `alter_partition` · `directories` · `elections` ·
//! `partition_change` (elects, bumps epochs) · `configs` · `draft` (changes in the making).

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
mod partition;
mod partition_change;
mod placement;
mod producer_ids;
mod record;
mod reply;
mod request;
mod soft;
mod topic_name;
mod topics;

pub use configs::TOPIC_CONFIG_NAMES;
pub use draft::MAX_RECORDS_PER_BATCH;
pub use error::*;
pub use image::*;
pub use partition::*;
pub use producer_ids::PRODUCER_ID_BLOCK_SIZE;
pub use record::*;
pub use reply::*;
pub use request::*;
pub use soft::{ControllerConfig, Soft};
pub use topic_name::topic_name_problem;

/// What the active controller does about one input. Never writes `hard`: the shell appends and applies
/// the records that come out.
pub fn decide(hard: &MetadataImage, soft: &mut Soft, input: Input, out: &mut Vec<Output>) {
    match input {
        Input::Activated { bootstrap } => {
            features::bootstrap(hard, soft, bootstrap, out);
            heartbeat::begin_sessions(hard, soft, out);
        }
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
            cluster::register_controller(ticket, record, out)
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
        Input::NoOpTimer => out.push(Output::Records(vec![Record::NoOp])),
        Input::LeaderBalanceTimer => elections::balance_leaders(hard, soft, out),
    }
}

#[cfg(test)]
mod tests;
