//! WriteTxnMarkers: the coordinator ends a transaction in the partitions that belong to it.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(WriteTxnMarkers, WriteTxnMarkersRequest => WriteTxnMarkersResponse, 1..=1);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "1", flexible = "1+")]
pub struct WriteTxnMarkersRequest {
    #[field(versions = "0+")]
    pub markers: Vec<WritableTxnMarker>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "1+")]
pub struct WritableTxnMarker {
    #[field(versions = "0+")]
    pub producer_id: i64,
    #[field(versions = "0+")]
    pub producer_epoch: i16,
    #[field(versions = "0+")]
    pub transaction_result: bool,
    #[field(versions = "0+")]
    pub topics: Vec<WritableTxnMarkerTopic>,
    #[field(versions = "0+")]
    pub coordinator_epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "1+")]
pub struct WritableTxnMarkerTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partition_indexes: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "1", flexible = "1+")]
pub struct WriteTxnMarkersResponse {
    #[field(versions = "0+")]
    pub markers: Vec<WritableTxnMarkerResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "1+")]
pub struct WritableTxnMarkerResult {
    #[field(versions = "0+")]
    pub producer_id: i64,
    #[field(versions = "0+")]
    pub topics: Vec<WritableTxnMarkerTopicResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "1+")]
pub struct WritableTxnMarkerTopicResult {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<WritableTxnMarkerPartitionResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "1+")]
pub struct WritableTxnMarkerPartitionResult {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
