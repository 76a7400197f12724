//! Connections and metadata against scripted brokers.

#[path = "support/script.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod script;

use std::collections::BTreeSet;
use std::time::Duration;

use broker_client::admin::NewTopic;
use broker_client::{
    Admin, AdminError, CallError, Client, ClientConfig, ErrorCode, OffsetSpec, TopicPartition,
};
use broker_env::Address;
use broker_protocol::ApiKey;
use broker_protocol::api as wire;
use broker_protocol::frame::encode_response;
use broker_protocol::ids::NodeId;
use script::{Brokers, Reply, TOPIC, versions};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn any_living_bootstrap_server_will_do() {
    let brokers = Brokers::start(1, |_| None).await;
    let mut addresses: Vec<Address> = (1..4).map(|port| Address::new("127.0.0.1", port)).collect();
    addresses.extend(brokers.addresses());
    let client = Client::new(brokers.env.clone(), ClientConfig::new(addresses));
    let topic = client
        .topic(TOPIC, SECOND)
        .await
        .expect("found by the one that lives");
    assert_eq!(topic.partitions[&0].leader, Some(NodeId(1)));
}

#[tokio::test]
async fn without_any_broker_the_time_limit_holds() {
    let env = broker_env::production::env();
    let client = Client::new(
        env.clone(),
        ClientConfig::new(vec![Address::new("127.0.0.1", 1)]),
    );
    let before = env.now();
    let (error, _) = client
        .topic(TOPIC, SECOND / 2)
        .await
        .expect_err("nobody answers");
    assert_eq!(error, ErrorCode::NetworkException);
    assert!(env.now().saturating_since(before) < SECOND * 2);
}

#[tokio::test]
async fn a_broker_with_an_older_api_versions_is_understood() {
    let brokers = Brokers::start(1, |asked| {
        (asked.header.api_key == ApiKey::ApiVersions.code() && asked.header.api_version > 2).then(
            || {
                let mut refusal = versions();
                refusal.error_code = ErrorCode::UnsupportedVersion.code();
                refusal
                    .api_keys
                    .retain(|api| api.api_key == ApiKey::ApiVersions.code());
                refusal.api_keys[0].max_version = 2;
                let frame = encode_response::<wire::ApiVersionsRequest>(
                    &refusal,
                    0,
                    asked.header.correlation_id,
                );
                Reply::Frame(frame.expect("a sound answer").freeze())
            },
        )
    })
    .await;
    brokers
        .client()
        .topic(TOPIC, SECOND)
        .await
        .expect("negotiated down");
}

#[tokio::test]
async fn requests_share_a_connection_and_a_late_answer_ends_it() {
    let mut connections = 0;
    let brokers = Brokers::start(1, move |asked| {
        match ApiKey::from_code(asked.header.api_key) {
            Some(ApiKey::ApiVersions) => {
                connections += 1;
                assert!(
                    connections <= 2,
                    "one connection, and one after the timeout"
                );
                None
            }
            Some(ApiKey::DescribeCluster) => Some(Reply::Silent),
            _ => None,
        }
    })
    .await;
    let client = brokers.client();
    let topics = BTreeSet::from([TOPIC.to_string()]);
    client.refresh_metadata(&topics).await.expect("answered");
    let request = wire::DescribeClusterRequest::default();
    let (silent, other, beside) = tokio::join!(
        client.call(NodeId(1), &request, SECOND / 5),
        client.call(NodeId(1), &request, SECOND * 5),
        client.refresh_metadata(&topics),
    );
    beside.expect("answered beside the silent ones");
    assert!(matches!(silent, Err(CallError::Timeout(_))), "{silent:?}");
    assert!(matches!(other, Err(CallError::Lost(_))), "{other:?}");
    client
        .refresh_metadata(&topics)
        .await
        .expect("answered on a new connection");
    client.close();
    assert!(client.refresh_metadata(&topics).await.is_err());
}

#[tokio::test]
async fn an_older_leader_epoch_does_not_replace_a_newer_one() {
    let brokers = Brokers::start(2, |_| None).await;
    let client = brokers.client();
    let topics = BTreeSet::from([TOPIC.to_string()]);
    for (told, expected) in [((1, 5), 1), ((2, 4), 1), ((2, 6), 2)] {
        brokers.world().leaders.insert(0, told);
        client.refresh_metadata(&topics).await.expect("answered");
        let leader =
            client.metadata(|metadata| metadata.partition(TOPIC, 0).and_then(|known| known.leader));
        assert_eq!(leader, Some(NodeId(expected)));
    }
}

#[tokio::test]
async fn list_offsets_follows_the_leader() {
    let brokers = Brokers::start(2, |asked| {
        (asked.header.api_key == ApiKey::ListOffsets.code()).then(|| {
            let mut request: wire::ListOffsetsRequest = asked.decode();
            let wanted = request.topics.remove(0).partitions.remove(0);
            let moved = asked.node == 1;
            let partition = wire::ListOffsetsPartitionResponse {
                error_code: if moved {
                    ErrorCode::NotLeaderOrFollower.code()
                } else {
                    0
                },
                offset: if wanted.timestamp == -1 { 9 } else { 3 },
                ..Default::default()
            };
            let topic = wire::ListOffsetsTopicResponse {
                name: TOPIC.to_string(),
                partitions: vec![partition],
                ..Default::default()
            };
            asked.answer::<wire::ListOffsetsRequest>(&wire::ListOffsetsResponse {
                topics: vec![topic],
                ..Default::default()
            })
        })
    })
    .await;
    let client = brokers.client();
    client.topic(TOPIC, SECOND).await.expect("known");
    brokers.world().leaders.insert(0, (2, 2));
    let partition = TopicPartition::new(TOPIC, 0);
    let one = std::slice::from_ref(&partition);
    let latest = client
        .list_offsets(one, OffsetSpec::Latest, SECOND)
        .await
        .expect("from the new leader");
    assert_eq!(latest[&partition].offset, 9);
    let earliest = client
        .list_offsets(one, OffsetSpec::Earliest, SECOND)
        .await
        .expect("from the new leader");
    assert_eq!(earliest[&partition].offset, 3);
}

#[tokio::test]
async fn admin_retries_what_may_pass_and_tells_what_may_not() {
    let mut attempts = 0;
    let brokers = Brokers::start(1, move |asked| {
        (asked.header.api_key == ApiKey::CreateTopics.code()).then(|| {
            attempts += 1;
            let request: wire::CreateTopicsRequest = asked.decode();
            let result = |topic: wire::CreatableTopic| {
                let error = match topic.name.as_str() {
                    "taken" => ErrorCode::TopicAlreadyExists,
                    _ if attempts == 1 => ErrorCode::NotController,
                    _ => ErrorCode::None,
                };
                wire::CreatableTopicResult {
                    name: topic.name,
                    error_code: error.code(),
                    error_message: Some("as scripted".to_string()),
                    ..Default::default()
                }
            };
            asked.answer::<wire::CreateTopicsRequest>(&wire::CreateTopicsResponse {
                topics: request.topics.into_iter().map(result).collect(),
                ..Default::default()
            })
        })
    })
    .await;
    let admin = Admin::new(brokers.client());
    let topics = [NewTopic::new("taken", 1, 1), NewTopic::new("new", 1, 1)];
    let results = admin
        .create_topics(&topics, false, SECOND)
        .await
        .expect("answered");
    assert!(results["new"].is_ok());
    let refused = AdminError::Api {
        error: ErrorCode::TopicAlreadyExists,
        message: "as scripted".to_string(),
    };
    assert_eq!(results["taken"], Err(refused));
    assert_eq!(brokers.count(ApiKey::CreateTopics), 2);
}
