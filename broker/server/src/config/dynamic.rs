//! Broker properties that change while the broker runs: of one broker, or as the default of all (KIP-226).

use super::BrokerConfig;

/// Each with the topic property that it is the default of.
const DYNAMIC: [(&str, &str); 13] = [
    ("log.cleaner.delete.retention.ms", "delete.retention.ms"),
    (
        "log.cleaner.min.cleanable.ratio",
        "min.cleanable.dirty.ratio",
    ),
    ("log.flush.interval.messages", "flush.messages"),
    ("log.flush.interval.ms", "flush.ms"),
    ("log.index.interval.bytes", "index.interval.bytes"),
    ("log.index.size.max.bytes", "segment.index.bytes"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.retention.ms", "retention.ms"),
    ("log.roll.ms", "segment.ms"),
    ("log.segment.bytes", "segment.bytes"),
    ("message.max.bytes", "max.message.bytes"),
    ("min.insync.replicas", "min.insync.replicas"),
    (
        "unclean.leader.election.enable",
        "unclean.leader.election.enable",
    ),
];

pub fn is_dynamic_config(name: &str) -> bool {
    topic_synonym(name).is_some()
}

/// The topic property that a dynamic broker property is the default of.
pub fn topic_synonym(name: &str) -> Option<&'static str> {
    let found = DYNAMIC.iter().find(|(broker, _)| *broker == name);
    found.map(|(_, topic)| *topic)
}

/// Says why a broker property cannot be changed at run time, or not to this value; none unsets it.
pub fn validate_dynamic_config(name: &str, value: Option<&str>) -> Result<(), String> {
    if !is_dynamic_config(name) {
        return Err(format!("Cannot update these configs dynamically: {name}"));
    }
    match value {
        Some(value) => BrokerConfig::default()
            .set(name, value)
            .map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::validate_topic_config;

    #[test]
    fn every_dynamic_property_is_one_of_broker_and_topic() {
        for (broker, topic) in DYNAMIC {
            assert!(BrokerConfig::names().contains(&broker), "{broker}");
            let value = match topic {
                "unclean.leader.election.enable" => "true",
                "min.cleanable.dirty.ratio" => "0.1",
                _ => "1000",
            };
            assert_eq!(validate_dynamic_config(broker, Some(value)), Ok(()));
            assert_eq!(validate_topic_config(topic, value), Ok(()));
            assert!(validate_dynamic_config(broker, Some("?")).is_err());
        }
        assert!(validate_dynamic_config("node.id", Some("2")).is_err());
        assert!(validate_dynamic_config("node.id", None).is_err());
    }
}
