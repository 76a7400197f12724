//! Records of the metadata log `__cluster_metadata`: all 26 types of Kafka 4.1.
//!
//! Map: one struct per record by Kafka's name, grouped by what they describe: `broker` (brokers and
//! controllers) · `topic` (topics, partitions) · `cluster` (configs, quotas, features, producer ids, no-op) ·
//! `security` (ACLs, SCRAM, delegation tokens) · `transaction` (KIP-868, migration). [`MetadataRecord`] is any
//! of them in its frame: frame version 1, type and version as unsigned varints, then the body.
//!
//! Contract: every version of 4.1 is decoded; [`MetadataRecord::write_version`] is what a cluster at
//! metadata.version 4.1 writes.

mod broker;
mod cluster;
mod frame;
mod security;
mod topic;
mod transaction;

pub use broker::{
    BrokerEndpoint, BrokerFeature, BrokerRegistrationChangeRecord, ControllerEndpoint,
    ControllerFeature, FenceBrokerRecord, RegisterBrokerRecord, RegisterControllerRecord,
    UnfenceBrokerRecord, UnregisterBrokerRecord,
};
pub use cluster::{
    ClientQuotaRecord, ConfigRecord, EntityData, FeatureLevelRecord, NoOpRecord, ProducerIdsRecord,
};
pub use frame::{MetadataRecord, MetadataRecordError};
pub use security::{
    AccessControlEntryRecord, DelegationTokenRecord, RemoveAccessControlEntryRecord,
    RemoveDelegationTokenRecord, RemoveUserScramCredentialRecord, UserScramCredentialRecord,
};
pub use topic::{
    ClearElrRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};
pub use transaction::{
    AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord, ZkMigrationStateRecord,
};

#[cfg(test)]
mod tests;
