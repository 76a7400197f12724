//! Who leads what, as the leaders themselves believe.

use std::collections::BTreeMap;

use reports::recording::{LaneId, Leadership, Moment, PartitionIndex};

/// Leaderships that were held, and those that are.
pub struct Offices {
    all: Vec<Leadership>,
    /// Epoch, and the place in the list if there was room.
    held: BTreeMap<(PartitionIndex, LaneId), (i32, Option<usize>)>,
    capacity: usize,
    dropped: u64,
}

impl Offices {
    pub fn new(capacity: usize) -> Offices {
        Offices {
            all: Vec::new(),
            held: BTreeMap::new(),
            capacity,
            dropped: 0,
        }
    }

    /// Said again of the same epoch, it is ignored.
    pub fn takes(&mut self, partition: PartitionIndex, lane: LaneId, epoch: i32, at: Moment) {
        if self.epoch(partition, lane) == Some(epoch) {
            return;
        }
        self.leaves(partition, lane, at);
        let index = (self.all.len() < self.capacity).then_some(self.all.len());
        match index {
            Some(_) => self.all.push(Leadership {
                partition,
                lane,
                epoch,
                begin: at,
                end: None,
            }),
            None => self.dropped += 1,
        }
        self.held.insert((partition, lane), (epoch, index));
    }

    pub fn leaves(&mut self, partition: PartitionIndex, lane: LaneId, at: Moment) {
        if let Some((_, Some(index))) = self.held.remove(&(partition, lane)) {
            self.all[index].end = Some(at);
        }
    }

    /// The process of a node is gone.
    pub fn ended(&mut self, lane: LaneId, at: Moment) {
        let of_lane = self.held.keys().filter(|(_, holder)| *holder == lane);
        for (partition, lane) in of_lane.copied().collect::<Vec<_>>() {
            self.leaves(partition, lane, at);
        }
    }

    pub fn epoch(&self, partition: PartitionIndex, lane: LaneId) -> Option<i32> {
        self.held.get(&(partition, lane)).map(|(epoch, _)| *epoch)
    }

    pub fn finish(&mut self) -> (Vec<Leadership>, u64) {
        self.held.clear();
        (std::mem::take(&mut self.all), self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Moment {
        Moment { us, event: us }
    }

    #[test]
    fn an_office_is_held_until_it_is_lost_or_the_process_ends() {
        let mut offices = Offices::new(10);
        offices.takes(1, 0, 5, at(1));
        offices.takes(1, 0, 5, at(2));
        offices.takes(1, 1, 6, at(3));
        offices.takes(1, 0, 7, at(4));
        offices.leaves(1, 1, at(5));
        offices.leaves(1, 1, at(6));
        offices.takes(2, 0, 0, at(7));
        offices.ended(0, at(8));
        let (all, dropped) = offices.finish();
        let held: Vec<_> = all
            .iter()
            .map(|one| (one.epoch, one.begin.us, one.end.map(|end| end.us)))
            .collect();
        let expected = [
            (5, 1, Some(4)),
            (6, 3, Some(5)),
            (7, 4, Some(8)),
            (0, 7, Some(8)),
        ];
        assert_eq!((held, dropped), (expected.to_vec(), 0));
    }

    #[test]
    fn what_has_no_room_is_counted_and_still_known() {
        let mut offices = Offices::new(0);
        offices.takes(1, 0, 5, at(1));
        assert_eq!(offices.epoch(1, 0), Some(5));
        offices.leaves(1, 0, at(2));
        assert_eq!(offices.finish(), (vec![], 1));
    }
}
