//! Where new replicas go: striped over racks, and within a rack over its brokers.
//!
//! Each partition starts one rack further than the one before, and takes the next broker of each rack,
//! unfenced ones first; the first replica, which will lead, is always unfenced. Randomness comes in as a
//! seed, so placing is a function of its input.

use std::collections::BTreeMap;

use broker_protocol::ids::NodeId;

use super::image::MetadataImage;

/// Replica lists for `partitions` partitions; the error is Kafka's message for
/// INVALID_REPLICATION_FACTOR.
pub(super) fn place(
    image: &MetadataImage,
    partitions: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, String> {
    let mut racks = Racks::new(image, Sequence(seed));
    if racks.unfenced_brokers == 0 {
        return Err("All brokers are currently fenced.".to_owned());
    }
    if replication_factor > racks.brokers {
        return Err(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {} \
             broker(s) are registered.",
            racks.brokers
        ));
    }
    Ok((0..partitions)
        .map(|_| racks.place(replication_factor))
        .collect())
}

/// SplitMix64: spreads one seed over the few draws that a placement takes.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A draw from `0..bound`, 0 for an empty range.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound)
            .expect("usize is at most 64 bits")
            .max(1);
        usize::try_from(self.next() % bound).expect("below a usize")
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// Brokers of one rack in one fencing state, handed out in turn.
#[derive(Default)]
struct Brokers {
    ids: Vec<NodeId>,
    given: usize,
    offset: usize,
    round: usize,
}

impl Brokers {
    /// The next one not yet given in this round.
    fn next(&mut self, round: usize) -> Option<NodeId> {
        let count = self.ids.len();
        if count > 0 && self.round != round {
            self.round = round;
            self.given = 0;
            self.offset = (self.offset + 1) % count;
        }
        if self.given >= count {
            return None;
        }
        let id = self.ids[(self.given + self.offset) % count];
        self.given += 1;
        Some(id)
    }
}

#[derive(Default)]
struct Rack {
    unfenced: Brokers,
    fenced: Brokers,
}

impl Rack {
    fn next(&mut self, round: usize) -> Option<NodeId> {
        self.unfenced
            .next(round)
            .or_else(|| self.fenced.next(round))
    }
}

struct Racks {
    racks: Vec<Rack>,
    brokers: usize,
    unfenced_brokers: usize,
    /// Partitions placed so far.
    round: usize,
    rounds_until_shuffle: usize,
    offset: usize,
    sequence: Sequence,
}

impl Racks {
    /// Brokers that shut down are no place for a new replica.
    fn new(image: &MetadataImage, mut sequence: Sequence) -> Racks {
        let mut by_name: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        let (mut brokers, mut unfenced_brokers) = (0, 0);
        for broker in image
            .brokers()
            .values()
            .filter(|it| !it.in_controlled_shutdown)
        {
            let rack = by_name.entry(broker.rack.as_deref()).or_default();
            brokers += 1;
            if broker.fenced {
                rack.fenced.ids.push(broker.id);
            } else {
                unfenced_brokers += 1;
                rack.unfenced.ids.push(broker.id);
            }
        }
        let mut racks: Vec<Rack> = by_name.into_values().collect();
        for rack in &mut racks {
            rack.unfenced.offset = sequence.below(rack.unfenced.ids.len());
            rack.fenced.offset = sequence.below(rack.fenced.ids.len());
        }
        let offset = sequence.below(racks.len());
        let rounds_until_shuffle = unfenced_brokers;
        Racks {
            racks,
            brokers,
            unfenced_brokers,
            round: 0,
            rounds_until_shuffle,
            offset,
            sequence,
        }
    }

    fn place(&mut self, replication_factor: usize) -> Vec<NodeId> {
        self.shuffle_when_exhausted();
        let count = self.racks.len();
        let mut replicas = Vec::with_capacity(replication_factor);
        let mut rack_of_leader = self.offset % count;
        while replicas.is_empty() {
            match self.racks[rack_of_leader].unfenced.next(self.round) {
                Some(leader) => replicas.push(leader),
                None => rack_of_leader = (rack_of_leader + 1) % count,
            }
        }
        // The leader's rack has had its turn in the first lap.
        let mut skip = Some(rack_of_leader);
        let mut rack = self.offset % count;
        while replicas.len() < replication_factor {
            if skip == Some(rack) {
                skip = None;
            } else {
                replicas.extend(self.racks[rack].next(self.round));
            }
            rack = (rack + 1) % count;
        }
        self.round += 1;
        self.offset = (self.offset + 1) % count;
        replicas
    }

    /// After as many partitions as there are brokers, the same assignments would come again.
    fn shuffle_when_exhausted(&mut self) {
        if self.rounds_until_shuffle == 0 && self.unfenced_brokers > 1 {
            self.sequence.shuffle(&mut self.racks);
            for rack in &mut self.racks {
                self.sequence.shuffle(&mut rack.unfenced.ids);
                self.sequence.shuffle(&mut rack.fenced.ids);
            }
            self.rounds_until_shuffle = self.unfenced_brokers;
        }
        self.rounds_until_shuffle = self.rounds_until_shuffle.saturating_sub(1);
    }
}
