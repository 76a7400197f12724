//! Broker heartbeats: fencing, unfencing, sessions, controlled shutdown (KIP-631, KIP-841).

use broker_probe::{mutant, probe};
use broker_protocol::ids::{NodeId, Offset};

use super::cluster::check_broker_epoch;
use super::draft::Draft;
use super::image::{BrokerRegistration, MetadataImage};
use super::reply::{BrokerHeartbeatReply, Output, Reply};
use super::request::BrokerHeartbeatRequest;
use super::soft::Soft;
use crate::Ticket;

/// What the controller wants of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ControlState {
    Fenced,
    Unfenced,
    ControlledShutdown,
    ShutdownNow,
}

impl ControlState {
    fn is_fenced(self) -> bool {
        matches!(self, ControlState::Fenced | ControlState::ShutdownNow)
    }
}

pub(super) fn heartbeat(
    hard: &MetadataImage,
    soft: &mut Soft,
    ticket: Ticket,
    request: BrokerHeartbeatRequest,
    out: &mut Vec<Output>,
) {
    let broker = request.broker;
    if let Err(error) = check_broker_epoch(hard, broker, request.broker_epoch) {
        probe!("metadata: stale broker epoch");
        out.push(Output::Reply(ticket, Reply::BrokerHeartbeat(Err(error))));
        return;
    }
    let registration = hard.broker(broker).expect("its epoch was checked");
    let is_caught_up = is_caught_up(registration, &request);
    let current = current_state(soft, registration);
    let next = next_state(hard, soft, current, is_caught_up, &request);

    let mut draft = Draft::new(hard, &soft.config);
    transition(&mut draft, broker, current, next);
    draft.fail_directories(broker, &request.offline_log_directories);
    let records = Offset::try_from(draft.records.len()).expect("a batch is small");
    draft.emit_in_batches(out);

    note(soft, &request, next, request.next_offset + records - 1, out);
    let reply = BrokerHeartbeatReply {
        is_caught_up,
        is_fenced: next.is_fenced(),
        in_controlled_shutdown: next == ControlState::ControlledShutdown,
        should_shut_down: next == ControlState::ShutdownNow,
    };
    out.push(Output::Reply(ticket, Reply::BrokerHeartbeat(Ok(reply))));
}

/// The registration is what must have arrived, not the end of the log: an idle broker always learns the
/// high watermark a little late and would stay fenced (KAFKA-13959).
fn is_caught_up(registration: &BrokerRegistration, request: &BrokerHeartbeatRequest) -> bool {
    let target = if mutant!(K_23) {
        request.next_offset - 1
    } else {
        registration.epoch.0
    };
    request.current_metadata_offset >= target
}

/// Controlled shutdown counts only if this controller began it: another one begins anew.
fn current_state(soft: &Soft, registration: &BrokerRegistration) -> ControlState {
    if registration.fenced {
        ControlState::Fenced
    } else if soft.controlled_shutdown_offset(registration.id).is_some() {
        ControlState::ControlledShutdown
    } else {
        ControlState::Unfenced
    }
}

fn next_state(
    hard: &MetadataImage,
    soft: &Soft,
    current: ControlState,
    is_caught_up: bool,
    request: &BrokerHeartbeatRequest,
) -> ControlState {
    let leads = hard.leader_count(request.broker) > 0;
    match current {
        ControlState::Fenced if request.want_shut_down => ControlState::ShutdownNow,
        ControlState::Fenced if !request.want_fence && is_caught_up => ControlState::Unfenced,
        ControlState::Fenced => ControlState::Fenced,
        ControlState::Unfenced if request.want_shut_down && (request.want_fence || !leads) => {
            ControlState::ShutdownNow
        }
        ControlState::Unfenced if request.want_shut_down => ControlState::ControlledShutdown,
        ControlState::Unfenced if request.want_fence => ControlState::Fenced,
        ControlState::Unfenced => ControlState::Unfenced,
        ControlState::ControlledShutdown
            if !leads && others_have_moved_on(soft, request.broker) =>
        {
            ControlState::ShutdownNow
        }
        ControlState::ControlledShutdown => ControlState::ControlledShutdown,
        ControlState::ShutdownNow => ControlState::ShutdownNow,
    }
}

/// Every active broker has applied the change that moved the leaders away, so nobody still looks for one
/// on the broker that stops.
fn others_have_moved_on(soft: &Soft, broker: NodeId) -> bool {
    let moved_at = soft
        .controlled_shutdown_offset(broker)
        .expect("it is in controlled shutdown");
    soft.lowest_active_offset()
        .is_none_or(|lowest| moved_at <= lowest)
}

fn transition(draft: &mut Draft<'_>, broker: NodeId, current: ControlState, next: ControlState) {
    if current == next {
        return;
    }
    match next {
        ControlState::ShutdownNow if current == ControlState::Fenced => {}
        ControlState::Fenced | ControlState::ShutdownNow => draft.fence(broker),
        ControlState::Unfenced => draft.unfence(broker),
        ControlState::ControlledShutdown => {
            probe!("metadata: controlled shutdown");
            draft.begin_controlled_shutdown(broker);
        }
    }
}

fn note(
    soft: &mut Soft,
    request: &BrokerHeartbeatRequest,
    next: ControlState,
    last_offset: Offset,
    out: &mut Vec<Output>,
) {
    let broker = request.broker;
    if next.is_fenced() {
        soft.forget(broker);
        out.push(Output::DisarmSession { broker });
        return;
    }
    soft.touch(broker, request.current_metadata_offset);
    if next == ControlState::ControlledShutdown {
        soft.begin_controlled_shutdown(broker, last_offset);
    }
    out.push(Output::ArmSession {
        broker,
        after_ms: soft.config.broker_session_timeout_ms,
    });
}

/// Fences every broker whose session ran out.
pub(super) fn expire_sessions(
    hard: &MetadataImage,
    soft: &mut Soft,
    brokers: Vec<NodeId>,
    out: &mut Vec<Output>,
) {
    let mut draft = Draft::new(hard, &soft.config);
    let unfenced = |broker: &NodeId| hard.broker(*broker).is_some_and(|it| !it.fenced);
    let expired: std::collections::BTreeSet<NodeId> =
        brokers.into_iter().filter(unfenced).collect();
    if expired.len() > 1 {
        probe!("metadata: several sessions expired together");
    }
    for &broker in &expired {
        draft.fence(broker);
    }
    draft.emit_in_batches(out);
    for broker in expired {
        soft.forget(broker);
        out.push(Output::DisarmSession { broker });
    }
}

/// A new active controller knows nobody's last heartbeat and gives each broker a full session.
pub(super) fn begin_sessions(hard: &MetadataImage, soft: &mut Soft, out: &mut Vec<Output>) {
    for registration in hard.unfenced_brokers() {
        let broker = registration.id;
        soft.touch(broker, -1);
        out.push(Output::ArmSession {
            broker,
            after_ms: soft.config.broker_session_timeout_ms,
        });
    }
}
