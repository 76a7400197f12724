//! What the quorum's model does, for another testbed.

use broker_core::raft::cluster::{Action, Envelope, QuorumKind};
use broker_core::raft::{Request, Timer};
use broker_protocol::ids::NodeId;

use super::RaftModel;
use crate::counterexample::{Api, Message, Party, Setup, What};

pub(crate) fn setup(model: &RaftModel) -> Setup {
    Setup::Quorum {
        voters: model.shape.voters,
        observers: model.shape.observers,
        dynamic: model.shape.quorum == QuorumKind::Dynamic,
    }
}

pub(crate) fn what(action: &Action) -> What {
    match action {
        Action::Deliver(envelope) => What::Arrives(message(envelope)),
        Action::Duplicate(envelope) => What::ArrivesTwice(message(envelope)),
        Action::Lose(envelope) => What::Lost(message(envelope)),
        Action::Timer(node, Timer::Election) => What::ElectionTimeout(node.0),
        Action::FinishFlush(node) => What::Flushes(node.0),
        Action::Append(node, _) => What::Appends(node.0),
        Action::PowerLoss(node) => What::PowerLoss(node.0),
        Action::Kill(node) => What::Killed(node.0),
        Action::Start(node) => What::Starts {
            node: node.0,
            lossy: false,
        },
        Action::CreateSnapshot(node, _) => What::TakesSnapshot(node.0),
        Action::DeleteBefore(node, _) => What::DeletesLog(node.0),
        Action::RemoveVoter(_, voter) => What::VoterRemoved(voter.id.0),
        Action::AddVoter(_, voter) => What::VoterAdded(voter.id.0),
        Action::Timer(..) | Action::FinishSave(_) | Action::FinishSnapshot(_) => What::ByItself,
        Action::Resign(_)
        | Action::Shutdown(_)
        | Action::WipeDisk(_)
        | Action::ReplaceDisk(_)
        | Action::Move(_)
        | Action::DamageSnapshot(_)
        | Action::Upgrade(..) => What::Other,
    }
}

fn message(envelope: &Envelope) -> Message {
    let sender = |from: Option<NodeId>| from.map_or(Party::Gone, |from| Party::Node(from.0));
    match envelope {
        Envelope::Request { to, from, request } => Message {
            from: sender(*from),
            to: Party::Node(to.0),
            api: api(request),
            answer: false,
        },
        Envelope::Response {
            to, from, request, ..
        } => Message {
            from: Party::Node(from.0),
            to: Party::Node(to.0),
            api: api(request),
            answer: true,
        },
    }
}

fn api(request: &Request) -> Api {
    match request {
        Request::Vote(_) => Api::Vote,
        Request::Fetch(_) => Api::Fetch,
        _ => Api::Other,
    }
}
