//! FindCoordinator: no coordinators yet, so clients are told to try again.

use broker_protocol::ErrorCode;
use broker_protocol::api::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

pub fn handle(request: &FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    let code = ErrorCode::CoordinatorNotAvailable.code();
    if version < 4 {
        return FindCoordinatorResponse {
            error_code: code,
            node_id: -1,
            port: -1,
            ..Default::default()
        };
    }
    let coordinator = |key: &String| Coordinator {
        key: key.clone(),
        node_id: -1,
        port: -1,
        error_code: code,
        ..Default::default()
    };
    FindCoordinatorResponse {
        coordinators: request.coordinator_keys.iter().map(coordinator).collect(),
        ..Default::default()
    }
}
