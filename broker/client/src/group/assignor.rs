//! The range assignor, as Kafka's: of each topic every member gets a stretch of partitions.

use std::collections::BTreeMap;

use broker_protocol::ids::TopicPartition;

/// `members`: the topics each one wants. `partitions`: how many there are of each. Members in the order of their
/// ids; the first ones of a topic get one more if it does not come out even.
pub fn range(
    members: &BTreeMap<String, Vec<String>>,
    partitions: &BTreeMap<String, i32>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut assigned: BTreeMap<String, Vec<TopicPartition>> = members
        .keys()
        .map(|member| (member.clone(), Vec::new()))
        .collect();
    for (topic, count) in partitions {
        let wants = members.iter().filter(|(_, topics)| topics.contains(topic));
        let wants: Vec<&String> = wants.map(|(member, _)| member).collect();
        let Some(each) = i32::try_from(wants.len()).ok().filter(|wants| *wants > 0) else {
            continue;
        };
        let mut next = 0;
        for (index, member) in (0..each).zip(wants) {
            let share = count / each + i32::from(index < count % each);
            let stretch = (next..next + share).map(|index| TopicPartition::new(topic, index));
            assigned.entry(member.clone()).or_default().extend(stretch);
            next += share;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_even_and_cover_every_topic() {
        let wants = |topics: &[&str]| topics.iter().map(ToString::to_string).collect();
        let members = BTreeMap::from([
            ("a".to_string(), wants(&["t", "u"])),
            ("b".to_string(), wants(&["t"])),
            ("c".to_string(), wants(&["t", "gone"])),
        ]);
        let partitions = BTreeMap::from([("t".to_string(), 7), ("u".to_string(), 1)]);
        let assigned = range(&members, &partitions);
        let of = |member: &str| -> Vec<String> {
            assigned[member].iter().map(ToString::to_string).collect()
        };
        assert_eq!(of("a"), ["t-0", "t-1", "t-2", "u-0"]);
        assert_eq!(of("b"), ["t-3", "t-4"]);
        assert_eq!(of("c"), ["t-5", "t-6"]);
    }
}
