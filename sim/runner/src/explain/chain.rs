//! What happened before the violation, in the sense of Lamport: steps of one node follow each other, and what a
//! message was sent after happened before it arrived.

use std::collections::BTreeMap;

use reports::recording::{LaneId, Message, Moment, Recording};

use super::milestone::Milestone;

/// A milestone with the message that brought the news, if it came from somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub milestone: Milestone,
    pub by: Option<Carried>,
}

/// A message that carried what a milestone hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub from: LaneId,
    /// As in "Fetch response".
    pub what: String,
    pub sent: Moment,
    pub received: Moment,
}

/// Milestones that happened before the violation at the lanes, from an event on, in order.
pub fn leading_to(
    recording: &Recording,
    told: &[Milestone],
    from: u64,
    broke: Moment,
    lanes: &[LaneId],
) -> Vec<Link> {
    let arrived = arrived(recording);
    let known = past(&arrived, broke, lanes);
    let before = |milestone: &&Milestone| {
        let within = (from..=broke.event).contains(&milestone.at.event);
        within
            && match milestone.lane {
                Some(lane) if !milestone.is_fault => known
                    .get(&lane)
                    .is_some_and(|last| milestone.at.event <= *last),
                _ => true,
            }
    };
    let chosen: Vec<&Milestone> = told.iter().filter(before).collect();
    let link = |(index, milestone): (usize, &&Milestone)| Link {
        milestone: (*milestone).clone(),
        by: carried(recording, &arrived, &chosen[..index], milestone),
    };
    chosen.iter().enumerate().map(link).collect()
}

/// Messages that arrived, by receiver, in order of arrival.
fn arrived(recording: &Recording) -> BTreeMap<LaneId, Vec<(Moment, &Message)>> {
    let mut all: BTreeMap<LaneId, Vec<(Moment, &Message)>> = BTreeMap::new();
    for message in &recording.messages {
        if let Some(received) = message.received {
            all.entry(message.to).or_default().push((received, message));
        }
    }
    for messages in all.values_mut() {
        messages.sort_by_key(|(received, _)| received.event);
    }
    all
}

/// For each lane, the last event of it that happened before the end.
fn past(
    arrived: &BTreeMap<LaneId, Vec<(Moment, &Message)>>,
    end: Moment,
    lanes: &[LaneId],
) -> BTreeMap<LaneId, u64> {
    let mut known: BTreeMap<LaneId, u64> = BTreeMap::new();
    let mut open: Vec<(LaneId, u64)> = lanes.iter().map(|lane| (*lane, end.event)).collect();
    while let Some((lane, until)) = open.pop() {
        let last = known.get(&lane).copied();
        if last.is_some_and(|last| last >= until) {
            continue;
        }
        known.insert(lane, until);
        let messages = arrived.get(&lane).map_or(&[][..], Vec::as_slice);
        let news = messages.iter().filter(|(received, _)| {
            received.event <= until && last.is_none_or(|last| received.event > last)
        });
        open.extend(news.map(|(_, message)| (message.from, message.sent.event)));
    }
    known
}

/// The last message before the milestone from a lane with something to tell that was not known there.
fn carried(
    recording: &Recording,
    arrived: &BTreeMap<LaneId, Vec<(Moment, &Message)>>,
    before: &[&Milestone],
    milestone: &Milestone,
) -> Option<Carried> {
    let lane = milestone.lane.filter(|_| !milestone.is_fault)?;
    let own = before.iter().rev().find(|it| it.lane == Some(lane));
    let since = own.map_or(0, |own| own.at.event);
    let messages = arrived.get(&lane)?.iter().rev();
    let mut recent = messages
        .skip_while(|(received, _)| received.event > milestone.at.event)
        .take_while(|(received, _)| received.event >= since);
    let brings_news = |message: &Message| {
        let news = before.iter().rev().find(|it| it.lane == Some(message.from));
        news.is_some_and(|it| it.at.event <= message.sent.event && it.at.event > since)
    };
    let (received, message) = recent.find(|(_, message)| brings_news(message))?;
    let api = recording.apis.get(&message.api_key);
    let api = api.map_or("message", String::as_str);
    let kind = if message.is_response {
        " response"
    } else {
        " request"
    };
    Some(Carried {
        from: message.from,
        what: format!("{api}{kind}"),
        sent: message.sent,
        received: *received,
    })
}
