//! Topics that belong to the broker: which partition has a key, and how they are created on first use.

use broker_core::metadata::MetadataImage;
use broker_probe::mutant;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;

use crate::api::Forwarder;
use crate::config::BrokerConfig;

pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
pub const TRANSACTION_STATE: &str = "__transaction_state";

pub fn is_internal(topic: &str) -> bool {
    matches!(topic, CONSUMER_OFFSETS | TRANSACTION_STATE)
}

/// Which partition of an internal topic coordinates a key; `None` until the topic is there.
pub fn partition_for(image: &MetadataImage, topic: &str, key: &str) -> Option<i32> {
    let partitions = i32::try_from(image.topic(topic)?.partitions.len()).ok()?;
    (partitions > 0).then(|| java_hash(key).checked_abs().unwrap_or(0) % partitions)
}

/// Java's `String.hashCode`, over UTF-16.
fn java_hash(text: &str) -> i32 {
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    text.encode_utf16().fold(0, step)
}

/// Asks the controller for an internal topic. Whoever needs it asks again: it takes a moment to be led.
///
/// # Errors
/// Why it was not created, as the controller says, or that none answered.
pub async fn create(
    config: &BrokerConfig,
    forwarder: &Forwarder,
    topic: &str,
) -> Result<(), String> {
    let request = wire::CreateTopicsRequest {
        topics: vec![creatable(config, topic)],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let response = forwarder.call(&request, 7).await;
    let response = response.ok_or("no controller answered")?;
    let Some(result) = response.topics.first() else {
        return Err("the controller left the topic out".into());
    };
    match ErrorCode::from_code(result.error_code) {
        Some(ErrorCode::None | ErrorCode::TopicAlreadyExists) => Ok(()),
        error => {
            let reason = result.error_message.clone().unwrap_or_default();
            let code = result.error_code;
            Err(error.map_or(format!("{code}: {reason}"), |error| {
                format!("{error}: {reason}")
            }))
        }
    }
}

fn creatable(config: &BrokerConfig, topic: &str) -> wire::CreatableTopic {
    let property = |name: &str, value: String| wire::CreatableTopicConfig {
        name: name.to_string(),
        value: Some(value),
        ..Default::default()
    };
    let is_offsets = topic == CONSUMER_OFFSETS;
    let (partitions, replicas, segment_bytes) = if is_offsets {
        (
            config.offsets_topic_num_partitions,
            config.offsets_topic_replication_factor,
            config.offsets_topic_segment_bytes,
        )
    } else {
        (
            config.transaction_state_log_num_partitions,
            config.transaction_state_log_replication_factor,
            config.transaction_state_log_segment_bytes,
        )
    };
    let mut configs = vec![
        property("cleanup.policy", "compact".into()),
        property("segment.bytes", segment_bytes.to_string()),
    ];
    if !is_offsets {
        // A decision that is lost cannot be made again.
        let min_isr = if mutant!(P_16) {
            1
        } else {
            config.transaction_state_log_min_isr
        };
        configs.push(property("min.insync.replicas", min_isr.to_string()));
        configs.push(property("unclean.leader.election.enable", "false".into()));
    }
    wire::CreatableTopic {
        name: topic.to_string(),
        num_partitions: partitions,
        replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        configs,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(topic: &wire::CreatableTopic, name: &str) -> Option<String> {
        let found = topic.configs.iter().find(|config| config.name == name);
        found.and_then(|config| config.value.clone())
    }

    #[test]
    fn decisions_of_transactions_are_on_two_replicas() {
        let topic = creatable(&BrokerConfig::default(), TRANSACTION_STATE);
        assert_eq!((topic.num_partitions, topic.replication_factor), (50, 3));
        assert_eq!(value(&topic, "min.insync.replicas"), Some("2".into()));
        assert_eq!(value(&topic, "cleanup.policy"), Some("compact".into()));
        assert_eq!(
            value(&topic, "unclean.leader.election.enable"),
            Some("false".into())
        );
        if broker_probe::MUTANTS_BUILT {
            broker_probe::set_mutant(Some("P_16"));
            let topic = creatable(&BrokerConfig::default(), TRANSACTION_STATE);
            broker_probe::set_mutant(None);
            assert_eq!(value(&topic, "min.insync.replicas"), Some("1".into()));
        }
    }

    #[test]
    fn keys_hash_as_in_java() {
        let cases = [
            ("", 0),
            ("a", 97),
            ("group", 98_629_247),
            ("my-consumer-group", 1_513_705_513),
            ("größe", 98_762_257),
            ("😀", 1_772_899),
        ];
        for (text, hash) in cases {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }
}
