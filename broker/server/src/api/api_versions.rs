//! ApiVersions: what this listener speaks.

use broker_protocol::api::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use broker_protocol::api_versions::{ListenerKind, advertised, range_of};
use broker_protocol::frame::decode_request;
use broker_protocol::{ApiKey, ErrorCode};

use super::{Api, RawRequest, encode, handled, raft_wire};
use crate::connection::Answer;
use crate::features;

pub fn answer(api: &Api, listener: ListenerKind, request: &RawRequest) -> Answer {
    let range =
        range_of(listener, ApiKey::ApiVersions).expect("every listener advertises ApiVersions");
    if !(range.min..=range.max).contains(&request.version) {
        // A newer client learns from version 0 what it may use.
        let response = ApiVersionsResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            api_keys: vec![ApiVersion {
                api_key: ApiKey::ApiVersions.code(),
                min_version: range.min,
                max_version: range.max,
                ..Default::default()
            }],
            ..Default::default()
        };
        return encode::<ApiVersionsRequest>(&response, 0, request.correlation_id);
    }
    let error_code =
        match decode_request::<ApiVersionsRequest>(request.frame.clone(), request.version) {
            Ok((_, body)) if request.version >= 3 && !is_software_name(&body) => {
                ErrorCode::InvalidRequest
            }
            Ok(_) => ErrorCode::None,
            Err(error) => return Answer::Close(format!("malformed ApiVersions request: {error}")),
        };
    let response = response(api, listener, request.version, error_code);
    encode::<ApiVersionsRequest>(&response, request.version, request.correlation_id)
}

/// KIP-511: letters, digits, dots and dashes, starting and ending with a letter or digit.
fn is_software_name(request: &ApiVersionsRequest) -> bool {
    let is_name = |text: &str| {
        let inner = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        inner && edge(text.chars().next()) && edge(text.chars().last())
    };
    is_name(&request.client_software_name) && is_name(&request.client_software_version)
}

fn response(
    api: &Api,
    listener: ListenerKind,
    version: i16,
    error: ErrorCode,
) -> ApiVersionsResponse {
    let served = advertised(listener)
        .iter()
        .filter(|range| handled(listener).contains(&range.api_key));
    let api_keys = served.map(|range| ApiVersion {
        api_key: range.api_key.code(),
        min_version: range.min,
        max_version: range.max,
        ..Default::default()
    });
    // Before version 4 a feature whose lowest level is 0 cannot be told (KAFKA-17492).
    let supported = features::supported(&api.config)
        .into_iter()
        .filter(|(_, range)| version >= 4 || range.min > 0);
    let epoch = api.metadata.last_offset();
    let level = |(name, level): (&String, &i16)| FinalizedFeatureKey {
        name: name.clone(),
        max_version_level: *level,
        min_version_level: *level,
        ..Default::default()
    };
    let mut finalized: Vec<FinalizedFeatureKey> = api
        .metadata
        .read(|image| image.features().iter().map(level).collect());
    // This one is in the quorum's own records.
    let kraft_version = api.quorum.status.kraft_version();
    if kraft_version > 0 {
        finalized.push(level((&raft_wire::KRAFT_VERSION.into(), &kraft_version)));
    }
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: api_keys.collect(),
        supported_features: supported
            .map(|(name, range)| SupportedFeatureKey {
                name,
                min_version: range.min,
                max_version: range.max,
                ..Default::default()
            })
            .collect(),
        finalized_features_epoch: epoch,
        finalized_features: finalized,
        ..Default::default()
    }
}
