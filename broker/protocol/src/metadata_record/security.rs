//! Records about access control and credentials.

use bytes::Bytes;

use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

/// An ACL is created (KIP-801).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AccessControlEntryRecord {
    #[field(versions = "0+")]
    pub id: Uuid,
    #[field(versions = "0+")]
    pub resource_type: i8,
    #[field(versions = "0+")]
    pub resource_name: String,
    #[field(versions = "0+")]
    pub pattern_type: i8,
    #[field(versions = "0+")]
    pub principal: String,
    #[field(versions = "0+")]
    pub host: String,
    #[field(versions = "0+")]
    pub operation: i8,
    #[field(versions = "0+")]
    pub permission_type: i8,
    pub unknown_tagged_fields: TaggedFields,
}

/// An ACL is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveAccessControlEntryRecord {
    #[field(versions = "0+")]
    pub id: Uuid,
    pub unknown_tagged_fields: TaggedFields,
}

/// A SCRAM credential is set (KIP-900).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UserScramCredentialRecord {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub mechanism: i8,
    #[field(versions = "0+")]
    pub salt: Bytes,
    #[field(versions = "0+")]
    pub stored_key: Bytes,
    #[field(versions = "0+")]
    pub server_key: Bytes,
    #[field(versions = "0+")]
    pub iterations: i32,
    pub unknown_tagged_fields: TaggedFields,
}

/// A SCRAM credential is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveUserScramCredentialRecord {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub mechanism: i8,
    pub unknown_tagged_fields: TaggedFields,
}

/// A delegation token is created or renewed (KIP-900).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct DelegationTokenRecord {
    #[field(versions = "0+")]
    pub owner: String,
    #[field(versions = "0+")]
    pub requester: String,
    #[field(versions = "0+")]
    pub renewers: Vec<String>,
    /// In ms.
    #[field(versions = "0+")]
    pub issue_timestamp: i64,
    /// In ms.
    #[field(versions = "0+")]
    pub max_timestamp: i64,
    /// In ms.
    #[field(versions = "0+")]
    pub expiration_timestamp: i64,
    #[field(versions = "0+")]
    pub token_id: String,
    pub unknown_tagged_fields: TaggedFields,
}

/// A delegation token expires.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveDelegationTokenRecord {
    #[field(versions = "0+")]
    pub token_id: String,
    pub unknown_tagged_fields: TaggedFields,
}
