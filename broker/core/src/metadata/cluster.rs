//! Registration of brokers and controllers.

use broker_probe::probe;
use broker_protocol::ids::{BrokerEpoch, NodeId, Uuid};

use super::draft::Draft;
use super::error::ErrorCode;
use super::image::{BrokerRegistration, MetadataImage};
use super::metadata_version::METADATA_VERSION_FEATURE;
use super::partition::directory;
use super::record::{Record, RegisterBrokerRecord, RegisterControllerRecord, VersionRange};
use super::reply::{ApiError, Output, Reply};
use super::request::BrokerRegistrationRequest;
use super::soft::Soft;
use crate::Ticket;

/// Refuses what comes from an earlier incarnation of a broker, or from a stranger.
pub(super) fn check_broker_epoch(
    hard: &MetadataImage,
    broker: NodeId,
    epoch: BrokerEpoch,
) -> Result<(), ApiError> {
    let refuse = |message| Err(ApiError::new(ErrorCode::StaleBrokerEpoch, message));
    match hard.broker(broker) {
        None => refuse(format!(
            "No broker registration found for broker id {broker}"
        )),
        Some(registration) if registration.epoch != epoch => refuse(format!(
            "Expected broker epoch {}, but got broker epoch {epoch}",
            registration.epoch
        )),
        Some(_) => Ok(()),
    }
}

/// BrokerRegistration: a new incarnation starts fenced, with the log offset as its epoch.
pub(super) fn register_broker(
    hard: &MetadataImage,
    soft: &mut Soft,
    ticket: Ticket,
    request: BrokerRegistrationRequest,
    out: &mut Vec<Output>,
) {
    if let Err(error) = check_registration(hard, &request) {
        out.push(Output::Reply(ticket, Reply::RegisterBroker(Err(error))));
        return;
    }
    let broker = request.broker;
    let existing = hard.broker(broker);
    let amended = existing.filter(|it| it.incarnation_id == request.incarnation_id);
    let mut draft = Draft::new(hard, &soft.config);
    if amended.is_none() {
        clean_up_previous_incarnation(&mut draft, existing, &request);
    }
    let record = registration_record(request, amended);
    let (epoch, fenced) = (record.epoch, record.fenced);
    draft.records.push(Record::RegisterBroker(record));
    draft.emit_in_batches(out);
    if fenced {
        soft.forget(broker);
        out.push(Output::DisarmSession { broker });
    } else {
        out.push(Output::ArmSession {
            broker,
            after_ms: soft.config.broker_session_timeout_ms,
        });
    }
    out.push(Output::Reply(ticket, Reply::RegisterBroker(Ok(epoch))));
}

/// After a clean shutdown the broker still has what it had (KIP-966): it may stay eligible.
fn clean_up_previous_incarnation(
    draft: &mut Draft<'_>,
    existing: Option<&BrokerRegistration>,
    request: &BrokerRegistrationRequest,
) {
    if existing.is_some_and(|it| it.epoch == request.previous_broker_epoch) {
        probe!("metadata: clean restart");
        draft.withdraw(request.broker);
    } else {
        probe!("metadata: unclean restart");
        draft.withdraw_uncleanly(request.broker);
    }
    draft.replace_directories(request.broker, &request.log_directories);
}

fn registration_record(
    request: BrokerRegistrationRequest,
    amended: Option<&BrokerRegistration>,
) -> RegisterBrokerRecord {
    let mut features = request.features;
    features
        .entry(METADATA_VERSION_FEATURE.to_owned())
        .or_insert(VersionRange { min: 1, max: 1 });
    RegisterBrokerRecord {
        broker: request.broker,
        incarnation_id: request.incarnation_id,
        epoch: amended.map_or(BrokerEpoch(request.next_offset), |it| it.epoch),
        endpoints: request.endpoints,
        features,
        rack: request.rack,
        fenced: amended.is_none_or(|it| it.fenced),
        in_controlled_shutdown: amended.is_some_and(|it| it.in_controlled_shutdown),
        log_directories: request.log_directories,
    }
}

fn check_registration(
    hard: &MetadataImage,
    request: &BrokerRegistrationRequest,
) -> Result<(), ApiError> {
    let existing = hard.broker(request.broker);
    // An unfenced broker has a session that has not run out.
    if existing.is_some_and(|it| !it.fenced && it.incarnation_id != request.incarnation_id) {
        probe!("metadata: duplicate registration");
        let message = "Another broker is registered with that broker id.";
        return Err(ApiError::new(
            ErrorCode::DuplicateBrokerRegistration,
            message,
        ));
    }
    check_log_directories(hard, request)?;
    check_features(hard, request)
}

fn check_log_directories(
    hard: &MetadataImage,
    request: &BrokerRegistrationRequest,
) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidRegistration, message));
    let directories = &request.log_directories;
    if directories.is_empty() && hard.metadata_version().has_directories() {
        return refuse("No directories specified in request".to_owned());
    }
    if directories.iter().any(|&id| directory::is_reserved(id)) {
        return refuse("Reserved directory ID in request".to_owned());
    }
    let mut sorted = directories.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return refuse("Duplicate directory ID in request".to_owned());
    }
    match owner_of_any(hard, request.broker, directories) {
        None => Ok(()),
        Some((owner, id)) => refuse(format!(
            "Broker {owner} is already registered with directory {id}"
        )),
    }
}

fn owner_of_any(
    hard: &MetadataImage,
    except: NodeId,
    directories: &[Uuid],
) -> Option<(NodeId, Uuid)> {
    let others = hard.brokers().values().filter(|it| it.id != except);
    let mut owned = others.flat_map(|it| it.log_directories.iter().map(|&id| (it.id, id)));
    owned.find(|(_, id)| directories.contains(id))
}

/// Every finalized feature must be in the range that the broker supports (KIP-584).
fn check_features(
    hard: &MetadataImage,
    request: &BrokerRegistrationRequest,
) -> Result<(), ApiError> {
    for (name, &level) in hard.features() {
        let unsaid = if name == METADATA_VERSION_FEATURE {
            1
        } else {
            0
        };
        let range = request.features.get(name).copied();
        let range = range.unwrap_or(VersionRange {
            min: unsaid,
            max: unsaid,
        });
        if !range.contains(level) {
            let VersionRange { min, max } = range;
            let message = format!(
                "Unable to register because the broker does not support finalized version {level} of {name}. \
                 The broker wants a version between {min} and {max}, inclusive."
            );
            return Err(ApiError::new(ErrorCode::UnsupportedVersion, message));
        }
    }
    Ok(())
}

/// UnregisterBroker: for a broker that will not come back.
pub(super) fn unregister_broker(
    hard: &MetadataImage,
    soft: &mut Soft,
    ticket: Ticket,
    broker: NodeId,
    out: &mut Vec<Output>,
) {
    if hard.broker(broker).is_none() {
        let message = format!("Broker ID {broker} is not currently registered");
        let error = ApiError::new(ErrorCode::BrokerIdNotRegistered, message);
        out.push(Output::Reply(ticket, Reply::UnregisterBroker(Err(error))));
        return;
    }
    let mut draft = Draft::new(hard, &soft.config);
    draft.unregister(broker);
    draft.emit_in_batches(out);
    soft.forget(broker);
    out.push(Output::DisarmSession { broker });
    out.push(Output::Reply(ticket, Reply::UnregisterBroker(Ok(()))));
}

/// ControllerRegistration (KIP-919).
pub(super) fn register_controller(
    hard: &MetadataImage,
    ticket: Ticket,
    record: RegisterControllerRecord,
    out: &mut Vec<Output>,
) {
    if !hard.metadata_version().has_controller_registration() {
        let message = "The current MetadataVersion is too old to support controller registrations.";
        let error = ApiError::new(ErrorCode::UnsupportedVersion, message);
        out.push(Output::Reply(ticket, Reply::RegisterController(Err(error))));
        return;
    }
    out.push(Output::Records(vec![Record::RegisterController(record)]));
    out.push(Output::Reply(ticket, Reply::RegisterController(Ok(()))));
}
