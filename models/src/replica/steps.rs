//! What the partition's model does, for another testbed.

use broker_core::replica::cluster::{Message as Sent, id};

use super::Bounds;
use super::state::Action;
use crate::counterexample::{Api, Message, Party, Setup, What};

pub(crate) fn setup(bounds: &Bounds) -> Setup {
    Setup::Partition {
        leader: if bounds.setup.led_by_second { 2 } else { 1 },
        min_insync_replicas: bounds.min_insync_replicas,
    }
}

pub(crate) fn what(action: &Action) -> What {
    let number = |node: &usize| id(*node).0;
    match action {
        Action::Deliver(sent) => What::Arrives(message(sent)),
        Action::Delay(sent) => What::AnswerTakesTime(message(sent)),
        Action::Duplicate(sent) => What::ArrivesTwice(message(sent)),
        Action::GiveUp(sent) => What::Lost(message(sent)),
        Action::Produce(node) => What::Produces(number(node)),
        Action::LagWindow(node) => What::LagWindow(number(node)),
        Action::RetryAlterPartition(_) => What::ByItself,
        Action::Publish(node, _) => What::ActsOnMetadata(number(node)),
        Action::Fence(node) => What::Fenced(number(node)),
        Action::Unfence(node) => What::Unfenced(number(node)),
        Action::Crash(node) => What::Killed(number(node)),
        Action::ShutDown(node) => What::StopsInGoodOrder(number(node)),
        Action::Start(node, lost) => What::Starts {
            node: number(node),
            lossy: *lost > 0,
        },
        Action::ElectPreferred => What::PreferredLeaderElected,
        Action::SetMinInsyncReplicas(value) => {
            What::MinInsyncReplicas(i32::try_from(*value).expect("one or two"))
        }
        Action::DeleteRecords(_) => What::Other,
    }
}

fn message(sent: &Sent) -> Message {
    let node = |index: &usize| Party::Node(id(*index).0);
    let (from, to, api, answer) = match sent {
        Sent::Fetch { from, request, .. } => {
            (node(from), Party::Node(request.leader.0), Api::Fetch, false)
        }
        Sent::Fetched { to, response, .. } => {
            let leader = Party::Node(response.request.leader.0);
            (leader, node(to), Api::Fetch, true)
        }
        Sent::QueryOffsets { from, leader, .. } => {
            (node(from), Party::Node(leader.0), Api::Other, false)
        }
        Sent::Offsets { to, .. } => (Party::Gone, node(to), Api::Other, true),
        Sent::AlterPartition { from, .. } => {
            (node(from), Party::Controller, Api::AlterPartition, false)
        }
        Sent::Altered { to, .. } => (Party::Controller, node(to), Api::AlterPartition, true),
    };
    Message {
        from,
        to,
        api,
        answer,
    }
}
