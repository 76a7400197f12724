//! InitProducerId without a transactional id: always a new producer id, whatever the producer had before.

use std::sync::Arc;

use broker_protocol::ErrorCode;
use broker_protocol::api::{InitProducerIdRequest, InitProducerIdResponse};

use super::Api;

pub async fn handle(api: Arc<Api>, request: InitProducerIdRequest) -> InitProducerIdResponse {
    match init(&api, &request).await {
        Ok(producer_id) => InitProducerIdResponse {
            producer_id,
            producer_epoch: 0,
            ..Default::default()
        },
        Err(error) => InitProducerIdResponse {
            error_code: error.code(),
            producer_epoch: -1,
            ..Default::default()
        },
    }
}

async fn init(api: &Api, request: &InitProducerIdRequest) -> Result<i64, ErrorCode> {
    // Both or neither.
    if (request.producer_id < 0) != (request.producer_epoch < 0) {
        return Err(ErrorCode::InvalidRequest);
    }
    match request.transactional_id.as_deref() {
        None => {}
        Some("") => return Err(ErrorCode::InvalidRequest),
        // Nobody coordinates transactions here.
        Some(_) => return Err(ErrorCode::CoordinatorNotAvailable),
    }
    let Some(producer_ids) = &api.producer_ids else {
        return Err(ErrorCode::UnsupportedVersion);
    };
    producer_ids.next().await
}
