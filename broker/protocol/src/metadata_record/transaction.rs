//! Records that mark metadata transactions (KIP-868), and the end of the ZooKeeper migration.

use crate::codec::{Message, TaggedFields};

/// The records that follow apply only with [`EndTransactionRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct BeginTransactionRecord {
    #[field(tag = 0, tagged = "0+", nullable = "0+", default = null)]
    pub name: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

/// The transaction applies.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct EndTransactionRecord {
    pub unknown_tagged_fields: TaggedFields,
}

/// The records since [`BeginTransactionRecord`] do not apply.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AbortTransactionRecord {
    #[field(tag = 0, tagged = "0+", nullable = "0+", default = null)]
    pub reason: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

/// State of the migration from ZooKeeper; read only.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ZkMigrationStateRecord {
    #[field(versions = "0+")]
    pub zk_migration_state: i8,
    pub unknown_tagged_fields: TaggedFields,
}
