//! InitProducerId. Without a transactional id: always a new producer id, whatever the producer had before.

use std::sync::Arc;

use broker_core::transaction::{InitRequest, Producer, Reply, Request};
use broker_protocol::ErrorCode;
use broker_protocol::api::{InitProducerIdRequest, InitProducerIdResponse};

use super::Api;

/// The first version that knows PRODUCER_FENCED (KIP-588).
const FENCED_SINCE: i16 = 4;

pub async fn handle(
    api: Arc<Api>,
    request: InitProducerIdRequest,
    version: i16,
) -> InitProducerIdResponse {
    match init(&api, &request).await {
        Ok(producer) => InitProducerIdResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..Default::default()
        },
        Err(error) => InitProducerIdResponse {
            error_code: super::transactions::fenced_as(error, version >= FENCED_SINCE).code(),
            producer_epoch: -1,
            ..Default::default()
        },
    }
}

async fn init(api: &Api, request: &InitProducerIdRequest) -> Result<Producer, ErrorCode> {
    // Both or neither.
    if (request.producer_id < 0) != (request.producer_epoch < 0) {
        return Err(ErrorCode::InvalidRequest);
    }
    let (Some(producer_ids), Some(transactions)) = (&api.producer_ids, &api.transactions) else {
        return Err(ErrorCode::UnsupportedVersion);
    };
    let transactional_id = match request.transactional_id.as_deref() {
        None => {
            let id = producer_ids.next().await?;
            return Ok(Producer { id, epoch: 0 });
        }
        Some("") => return Err(ErrorCode::InvalidRequest),
        Some(transactional_id) => transactional_id,
    };
    let expected = (request.producer_id >= 0).then_some(Producer {
        id: request.producer_id,
        epoch: request.producer_epoch,
    });
    let asked = |fresh_producer_id| {
        Request::InitProducerId(InitRequest {
            transactional_id: transactional_id.to_string(),
            timeout_ms: request.transaction_timeout_ms,
            expected,
            fresh_producer_id,
        })
    };
    match transactions
        .call_with_producer_id(transactional_id, producer_ids, asked)
        .await?
    {
        Reply::InitProducerId(result) => result,
        // Another one came between the two requests.
        Reply::NeedsProducerId => Err(ErrorCode::ConcurrentTransactions),
        other => panic!("InitProducerId was answered with {other:?}"),
    }
}
