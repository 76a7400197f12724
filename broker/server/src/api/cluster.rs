//! DescribeCluster (KIP-700, KIP-919).

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::api_versions::ListenerKind;

use super::Api;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub fn handle(
    api: &Api,
    listener: ListenerKind,
    request: &wire::DescribeClusterRequest,
    version: i16,
) -> wire::DescribeClusterResponse {
    let expected = match listener {
        ListenerKind::Broker => BROKERS,
        ListenerKind::Controller => CONTROLLERS,
    };
    let mut response = wire::DescribeClusterResponse {
        endpoint_type: request.endpoint_type,
        cluster_id: api.cluster_id.clone(),
        controller_id: api.quorum.status.get().leader.map_or(-1, |leader| leader.0),
        error_message: None,
        ..Default::default()
    };
    if request.endpoint_type != expected {
        response.error_code = ErrorCode::MismatchedEndpointType.code();
        response.error_message = Some(format!("this listener serves endpoint type {expected}"));
        return response;
    }
    response.brokers = match listener {
        ListenerKind::Broker => brokers(api, version >= 2 && request.include_fenced_brokers),
        ListenerKind::Controller => controllers(api),
    };
    response
}

fn brokers(api: &Api, include_fenced: bool) -> Vec<wire::DescribeClusterBroker> {
    let listener = api.config.inter_broker_listener();
    api.metadata.read(|image| {
        let listed = image
            .brokers()
            .values()
            .filter(|broker| include_fenced || !broker.fenced);
        let described = listed.filter_map(|broker| {
            let endpoint = broker.endpoint(&listener)?;
            Some(wire::DescribeClusterBroker {
                broker_id: broker.id.0,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
                is_fenced: broker.fenced,
                ..Default::default()
            })
        });
        described.collect()
    })
}

fn controllers(api: &Api) -> Vec<wire::DescribeClusterBroker> {
    let listed = api.quorum.addresses.controllers().into_iter();
    let described = listed.map(|(id, address)| wire::DescribeClusterBroker {
        broker_id: id.0,
        host: address.host,
        port: i32::from(address.port),
        ..Default::default()
    });
    described.collect()
}
