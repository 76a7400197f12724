//! Kafka's server-side assignors: who should have what.
//!
//! `range` gives each member a run of every topic, so that partitions of one number meet at one member; it moves
//! much. `uniform` spreads all partitions evenly and moves as little as it can.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::Uuid;

use super::{Partitions, Topic, contains, each};

pub const UNIFORM: &str = "uniform";
pub const RANGE: &str = "range";

/// A member, as far as assignors look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignee<'a> {
    pub id: &'a str,
    pub instance_id: Option<&'a str>,
    pub topics: BTreeSet<Uuid>,
    /// Its target until now.
    pub before: Option<&'a Partitions>,
}

/// The partitions of each member, in the order of `members`.
///
/// # Panics
/// If there is no such assignor: heartbeats that name one are refused.
pub fn assign(name: &str, members: &[Assignee<'_>], topics: &[Topic]) -> Vec<Partitions> {
    match name {
        RANGE => range(members, topics),
        UNIFORM => Uniform::new(members, topics).assign(),
        other => panic!("no assignor {other}"),
    }
}

fn range(members: &[Assignee<'_>], topics: &[Topic]) -> Vec<Partitions> {
    let mut assigned = vec![Partitions::new(); members.len()];
    let mut order: Vec<usize> = (0..members.len()).collect();
    // Static members come first, so that their partitions do not depend on who comes and goes.
    order.sort_by_key(|index| {
        let member = &members[*index];
        (member.instance_id.is_none(), member.instance_id, member.id)
    });
    for topic in topics {
        let wants = |index: &&usize| members[**index].topics.contains(&topic.id);
        let subscribers: Vec<usize> = order.iter().filter(wants).copied().collect();
        let Ok(count) = i32::try_from(subscribers.len()) else {
            continue;
        };
        let mut next = 0;
        for (position, member) in (0..count).zip(subscribers) {
            let share = topic.partitions / count + i32::from(position < topic.partitions % count);
            let partitions = next..next + share;
            next = partitions.end;
            if share > 0 {
                assigned[member].insert(topic.id, partitions.collect());
            }
        }
    }
    assigned
}

struct Uniform<'a> {
    members: &'a [Assignee<'a>],
    assigned: Vec<Partitions>,
    /// How many partitions a member has, and which it is.
    loads: BTreeSet<(usize, usize)>,
    free: Vec<(Uuid, i32)>,
}

impl<'a> Uniform<'a> {
    fn new(members: &'a [Assignee<'a>], topics: &[Topic]) -> Uniform<'a> {
        let counts: BTreeMap<Uuid, i32> = topics.iter().map(|it| (it.id, it.partitions)).collect();
        let mut taken = BTreeSet::new();
        let mut assigned = Vec::with_capacity(members.len());
        for member in members {
            let mut kept = Partitions::new();
            for (topic, partition) in member.before.into_iter().flat_map(each) {
                let is_there = counts.get(&topic).is_some_and(|count| partition < *count);
                if is_there && member.topics.contains(&topic) && taken.insert((topic, partition)) {
                    kept.entry(topic).or_default().insert(partition);
                }
            }
            assigned.push(kept);
        }
        let all = topics
            .iter()
            .flat_map(|topic| (0..topic.partitions).map(|partition| (topic.id, partition)));
        let free = all.filter(|partition| !taken.contains(partition)).collect();
        let loads = assigned.iter().enumerate();
        let loads = loads.map(|(index, partitions)| (each(partitions).count(), index));
        Uniform {
            members,
            loads: loads.collect(),
            assigned,
            free,
        }
    }

    fn assign(mut self) -> Vec<Partitions> {
        // Topics that few want first: the others can still be spread over more.
        let mut wanted: BTreeMap<Uuid, usize> = BTreeMap::new();
        for topic in self.members.iter().flat_map(|member| &member.topics) {
            *wanted.entry(*topic).or_default() += 1;
        }
        let mut free = std::mem::take(&mut self.free);
        free.sort_by_key(|(topic, partition)| (wanted.get(topic).copied(), *topic, *partition));
        for (topic, partition) in free {
            let mut least = self.loads.iter();
            let taker = least.find(|(_, member)| self.members[*member].topics.contains(&topic));
            if let Some((load, member)) = taker.copied() {
                self.give((load, member), topic, partition);
            }
        }
        while self.balance_one() {}
        self.assigned
    }

    fn give(&mut self, (load, member): (usize, usize), topic: Uuid, partition: i32) {
        self.loads.remove(&(load, member));
        self.loads.insert((load + 1, member));
        let of_topic = self.assigned[member].entry(topic).or_default();
        of_topic.insert(partition);
    }

    /// Moves one partition from who has more to who has at least two less; `false` if nobody can.
    fn balance_one(&mut self) -> bool {
        for giver in self.loads.iter().rev() {
            for taker in &self.loads {
                if giver.0 < taker.0 + 2 {
                    break;
                }
                let topics = &self.members[taker.1].topics;
                let mut given = self.assigned[giver.1].iter().rev();
                let given = given.find(|(topic, _)| topics.contains(topic));
                let last = given.and_then(|(topic, of)| Some((*topic, *of.last()?)));
                if let Some((topic, partition)) = last {
                    let (giver, taker) = (*giver, *taker);
                    self.take(giver, topic, partition);
                    self.give(taker, topic, partition);
                    return true;
                }
            }
        }
        false
    }

    fn take(&mut self, (load, member): (usize, usize), topic: Uuid, partition: i32) {
        debug_assert!(contains(&self.assigned[member], topic, partition));
        self.loads.remove(&(load, member));
        self.loads.insert((load - 1, member));
        let of_topic = self.assigned[member].entry(topic).or_default();
        of_topic.remove(&partition);
        if of_topic.is_empty() {
            self.assigned[member].remove(&topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(id: u8, partitions: i32) -> Topic {
        Topic {
            id: Uuid([id; 16]),
            partitions,
        }
    }

    fn member<'a>(id: &'a str, topics: &[u8], before: Option<&'a Partitions>) -> Assignee<'a> {
        Assignee {
            id,
            instance_id: None,
            topics: topics.iter().map(|id| Uuid([*id; 16])).collect(),
            before,
        }
    }

    fn partitions(assigned: &[(u8, &[i32])]) -> Partitions {
        let of = |(topic, partitions): &(u8, &[i32])| {
            (Uuid([*topic; 16]), partitions.iter().copied().collect())
        };
        assigned.iter().map(of).collect()
    }

    #[test]
    fn range_gives_runs_of_each_topic_static_members_first() {
        let mut members = [
            member("a", &[1, 2], None),
            member("b", &[1], None),
            member("c", &[1, 2], None),
        ];
        members[2].instance_id = Some("i");
        let assigned = assign(RANGE, &members, &[topic(1, 5), topic(2, 2)]);
        let expected = [
            partitions(&[(1, &[2, 3]), (2, &[1])]),
            partitions(&[(1, &[4])]),
            partitions(&[(1, &[0, 1]), (2, &[0])]),
        ];
        assert_eq!(assigned, expected);
    }

    #[test]
    fn uniform_keeps_what_it_can_and_is_even() {
        let before = partitions(&[(1, &[0, 1, 2, 3]), (9, &[0])]);
        let members = [
            member("a", &[1], Some(&before)),
            member("b", &[1, 2], None),
            member("c", &[1, 2], None),
        ];
        let assigned = assign(UNIFORM, &members, &[topic(1, 6), topic(2, 2)]);
        let loads: Vec<usize> = assigned.iter().map(|it| each(it).count()).collect();
        assert_eq!(loads, [3, 3, 2]);
        assert_eq!(assigned[0], partitions(&[(1, &[0, 1, 2])]));
        let mut all: Vec<(Uuid, i32)> = assigned.iter().flat_map(each).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8);
    }
}
