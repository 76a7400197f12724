//! Records about configurations, quotas, feature levels and producer ids.

use crate::codec::{Message, TaggedFields};

/// A configuration value is set or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ConfigRecord {
    #[field(versions = "0+")]
    pub resource_type: i8,
    #[field(versions = "0+")]
    pub resource_name: String,
    #[field(versions = "0+")]
    pub name: String,
    /// `None` deletes.
    #[field(versions = "0+", nullable = "0+")]
    pub value: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A client quota is set or removed (KIP-546).
#[derive(Clone, Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ClientQuotaRecord {
    #[field(versions = "0+")]
    pub entity: Vec<EntityData>,
    #[field(versions = "0+")]
    pub key: String,
    #[field(versions = "0+")]
    pub value: f64,
    #[field(versions = "0+")]
    pub remove: bool,
    pub unknown_tagged_fields: TaggedFields,
}

/// One part of the quota entity.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct EntityData {
    #[field(versions = "0+")]
    pub entity_type: String,
    /// `None` is the default entity.
    #[field(versions = "0+", nullable = "0+")]
    pub entity_name: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A feature is finalized at a level (KIP-584); a log begins with metadata.version.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct FeatureLevelRecord {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub feature_level: i16,
    pub unknown_tagged_fields: TaggedFields,
}

/// A block of producer ids is given to a broker (KIP-730).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ProducerIdsRecord {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "0+", default = -1)]
    pub broker_epoch: i64,
    /// The first id of the next block.
    #[field(versions = "0+")]
    pub next_producer_id: i64,
    pub unknown_tagged_fields: TaggedFields,
}

/// Nothing; keeps the high watermark moving.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct NoOpRecord {
    pub unknown_tagged_fields: TaggedFields,
}
