//! AllocateProducerIds (KIP-730): blocks of ids, each given out once.

use broker_probe::mutant;
use broker_protocol::ids::{BrokerEpoch, NodeId};

use super::cluster::check_broker_epoch;
use super::error::ErrorCode;
use super::image::MetadataImage;
use super::record::Record;
use super::reply::{ApiError, Output, ProducerIdsBlock, Reply};
use crate::Ticket;

/// Producer ids per block.
pub const PRODUCER_ID_BLOCK_SIZE: i32 = 1000;

pub(super) fn allocate_producer_ids(
    hard: &MetadataImage,
    ticket: Ticket,
    broker: NodeId,
    broker_epoch: BrokerEpoch,
    out: &mut Vec<Output>,
) {
    let result = allocate(hard, broker, broker_epoch, out);
    out.push(Output::Reply(ticket, Reply::AllocateProducerIds(result)));
}

/// The record names the block after the one given out: replay alone keeps a block from being given
/// twice (KAFKA-15552).
fn allocate(
    hard: &MetadataImage,
    broker: NodeId,
    broker_epoch: BrokerEpoch,
    out: &mut Vec<Output>,
) -> Result<ProducerIdsBlock, ApiError> {
    check_broker_epoch(hard, broker, broker_epoch)?;
    let first = hard.producer_ids().next_producer_id;
    let Some(next) = first.checked_add(i64::from(PRODUCER_ID_BLOCK_SIZE)) else {
        let message = "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit";
        return Err(ApiError::new(ErrorCode::UnknownServerError, message));
    };
    let next_producer_id = if mutant!(M_07) { first } else { next };
    out.push(Output::Records(vec![Record::ProducerIds {
        broker,
        broker_epoch,
        next_producer_id,
    }]));
    Ok(ProducerIdsBlock {
        first,
        length: PRODUCER_ID_BLOCK_SIZE,
    })
}
