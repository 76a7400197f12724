//! Where two runs part: the first milestone that one has and the other has not, lane by lane.

use std::collections::BTreeMap;

use reports::recording::{LaneId, Moment};

use super::Recorded;
use super::milestone::{Milestone, Subject, milestones};

/// At one lane, until here, both runs went the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub lane: LaneId,
    /// In the run that fails; none if the lane does nothing more there.
    pub failing: Option<Milestone>,
    /// In the run that holds.
    pub holding: Option<Milestone>,
}

impl Difference {
    /// In the failing run.
    pub fn at(&self) -> Moment {
        let told = self.failing.as_ref().or(self.holding.as_ref());
        told.map(|milestone| milestone.at).unwrap_or_default()
    }
}

/// The earliest over all lanes; none if both runs tell the same up to the violation.
pub fn first(
    failing: &Recorded,
    holding: &Recorded,
    subject: &Subject,
    broke: Moment,
) -> Option<Difference> {
    let (fails, holds) = (by_lane(failing, subject), by_lane(holding, subject));
    let nothing = Vec::new();
    let parts = fails.iter().filter_map(|(lane, fails)| {
        let holds = holds.get(lane).unwrap_or(&nothing);
        let same = fails.iter().zip(holds);
        let same = same.take_while(|(one, other)| one.shape == other.shape);
        let same = same.count();
        let here = fails.get(same).filter(|it| it.at.event <= broke.event)?;
        Some(Difference {
            lane: *lane,
            failing: Some(here.clone()),
            holding: holds.get(same).cloned(),
        })
    });
    parts.min_by_key(|difference| difference.at().event)
}

/// What nodes did by themselves.
fn by_lane(run: &Recorded, subject: &Subject) -> BTreeMap<LaneId, Vec<Milestone>> {
    let mut lanes: BTreeMap<LaneId, Vec<Milestone>> = BTreeMap::new();
    let own = milestones(&run.recording, subject).into_iter();
    for milestone in own.filter(|milestone| !milestone.is_fault) {
        if let Some(lane) = milestone.lane {
            lanes.entry(lane).or_default().push(milestone);
        }
    }
    lanes
}
