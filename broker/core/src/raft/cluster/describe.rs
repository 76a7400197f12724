//! One line for everything that happens, as the scripts record it and the model checker prints it.

use std::fmt::{self, Display, Formatter};

use super::{Action, Cluster, Envelope};
use crate::raft::{
    EpochResponse, Error, FetchResponse, Output, QuorumState, Raft, Request, Response, RoleName,
    Timer, VoterSet,
};
use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey};

impl Display for Action {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Deliver(envelope) => write!(formatter, "{envelope}"),
            Action::Duplicate(envelope) => {
                write!(formatter, "{envelope} (and a copy stays on its way)")
            }
            Action::Lose(envelope) => write!(formatter, "lost: {envelope}"),
            Action::Timer(id, timer) => write!(formatter, "{id}: {timer} timer"),
            Action::FinishSave(id) => write!(formatter, "{id}: saved"),
            Action::FinishFlush(id) => write!(formatter, "{id}: flushed"),
            Action::Append(id, records) => write!(formatter, "{id}: append {records}"),
            Action::Resign(id) => write!(formatter, "{id}: resign"),
            Action::Shutdown(id) => write!(formatter, "{id}: shut down"),
            Action::PowerLoss(id) => write!(formatter, "{id}: power loss"),
            Action::Kill(id) => write!(formatter, "{id}: killed"),
            Action::WipeDisk(id) => write!(formatter, "{id}: gets an empty disk"),
            Action::ReplaceDisk(id) => write!(formatter, "{id}: gets another disk"),
            Action::Move(id) => write!(formatter, "{id}: stops, to listen elsewhere"),
            Action::Start(id) => write!(formatter, "{id}: starts"),
            Action::CreateSnapshot(id, end) => write!(formatter, "{id}: snapshot below {end}"),
            Action::FinishSnapshot(id) => write!(formatter, "{id}: snapshot done"),
            Action::DamageSnapshot(id) => write!(formatter, "{id}: fetched snapshot damaged"),
            Action::DeleteBefore(id, snapshot) => {
                write!(formatter, "{id}: delete before {snapshot}")
            }
            Action::AddVoter(id, voter) => write!(formatter, "{id}: add voter {}", Key(*voter)),
            Action::RemoveVoter(id, voter) => {
                write!(formatter, "{id}: remove voter {}", Key(*voter))
            }
            Action::Upgrade(id, version) => {
                write!(formatter, "{id}: finalize kraft.version {version}")
            }
        }
    }
}

impl Display for Envelope {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Envelope::Request { to, from, request } => match from {
                Some(from) => write!(formatter, "{from}->{to} {request}"),
                None => write!(formatter, "(gone)->{to} {request}"),
            },
            Envelope::Response {
                to,
                from,
                request,
                response,
                ..
            } => {
                write!(
                    formatter,
                    "{from}->{to} {} answer: {response}",
                    name(request)
                )
            }
        }
    }
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Vote(vote) if vote.pre_vote => "PreVote",
        Request::Vote(_) => "Vote",
        Request::BeginQuorumEpoch(_) => "BeginQuorumEpoch",
        Request::EndQuorumEpoch(_) => "EndQuorumEpoch",
        Request::Fetch(_) => "Fetch",
        Request::FetchSnapshot(_) => "FetchSnapshot",
        Request::AddVoter(_) => "AddVoter",
        Request::RemoveVoter(_) => "RemoveVoter",
        Request::UpdateVoter(_) => "UpdateVoter",
        Request::ApiVersions(_) => "ApiVersions",
    }
}

impl Display for Request {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(name(self))?;
        match self {
            Request::Vote(vote) => {
                let (epoch, end, last) = (
                    vote.candidate_epoch,
                    vote.last_offset,
                    vote.last_offset_epoch,
                );
                write!(formatter, " epoch={epoch} log={end}@{last}")
            }
            Request::BeginQuorumEpoch(begin) => write!(formatter, " epoch={}", begin.leader_epoch),
            Request::EndQuorumEpoch(end) => {
                let successors = ids(&end.preferred_candidates);
                write!(
                    formatter,
                    " epoch={} successors={successors}",
                    end.leader_epoch
                )
            }
            Request::Fetch(fetch) => {
                let (epoch, offset) = (fetch.current_leader_epoch, fetch.fetch_offset);
                write!(
                    formatter,
                    " epoch={epoch} log={offset}@{}",
                    fetch.last_fetched_epoch
                )?;
                write!(formatter, " hw={}", fetch.high_watermark)
            }
            Request::FetchSnapshot(fetch) => {
                let epoch = fetch.current_leader_epoch;
                let (snapshot, position) = (fetch.snapshot, fetch.position);
                write!(
                    formatter,
                    " epoch={epoch} snapshot={snapshot} position={position}"
                )
            }
            Request::AddVoter(add) => write!(formatter, " {}", Key(add.voter)),
            Request::RemoveVoter(remove) => write!(formatter, " {}", Key(remove.voter)),
            Request::UpdateVoter(update) => write!(formatter, " {}", Key(update.voter)),
            Request::ApiVersions(versions) => write!(formatter, " {}", Key(versions.voter)),
        }
    }
}

fn ids(replicas: &[ReplicaKey]) -> String {
    let ids: Vec<String> = replicas
        .iter()
        .map(|replica| replica.id.to_string())
        .collect();
    ids.join(",")
}

impl Display for Response {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Response::Vote(vote) if vote.error == Error::None => {
                let answer = if vote.vote_granted {
                    "granted"
                } else {
                    "rejected"
                };
                write!(
                    formatter,
                    "{answer}{}",
                    Known(vote.leader, vote.leader_epoch)
                )
            }
            Response::Vote(vote) => {
                write!(
                    formatter,
                    "{:?}{}",
                    vote.error,
                    Known(vote.leader, vote.leader_epoch)
                )
            }
            Response::BeginQuorumEpoch(EpochResponse {
                error,
                leader,
                leader_epoch,
            })
            | Response::EndQuorumEpoch(EpochResponse {
                error,
                leader,
                leader_epoch,
            })
            | Response::UpdateVoter(EpochResponse {
                error,
                leader,
                leader_epoch,
            }) => {
                write!(
                    formatter,
                    "{}{}",
                    fine_or(*error),
                    Known(*leader, *leader_epoch)
                )
            }
            Response::Fetch(fetch) => describe_fetch(fetch, formatter),
            Response::FetchSnapshot(chunk) if chunk.error == Error::None => {
                let (position, end) = (chunk.position, chunk.position + chunk.chunk_bytes);
                write!(formatter, "bytes {position}..{end} of {}", chunk.size)?;
                write!(formatter, "{}", Known(chunk.leader, chunk.leader_epoch))
            }
            Response::FetchSnapshot(chunk) => {
                let known = Known(chunk.leader, chunk.leader_epoch);
                write!(formatter, "{:?}{known}", chunk.error)
            }
            Response::AddVoter(change) | Response::RemoveVoter(change) => {
                formatter.write_str(&fine_or(change.error))
            }
            Response::ApiVersions(versions) => match versions.kraft_versions {
                Some(range) => write!(formatter, "kraft.version {}..={}", range.min, range.max),
                None => write!(formatter, "no kraft.version"),
            },
        }
    }
}

fn fine_or(error: Error) -> String {
    if error == Error::None {
        "ok".to_owned()
    } else {
        format!("{error:?}")
    }
}

fn describe_fetch(fetch: &FetchResponse, formatter: &mut Formatter<'_>) -> fmt::Result {
    if let Some(snapshot) = fetch.snapshot {
        write!(formatter, "begin with snapshot {snapshot}")?;
        return write!(formatter, "{}", Known(fetch.leader, fetch.leader_epoch));
    }
    match (fetch.diverging, fetch.batches.first(), fetch.batches.last()) {
        (Some(diverging), _, _) => {
            write!(
                formatter,
                "diverging, epoch {} ends at {}",
                diverging.epoch, diverging.offset
            )?;
        }
        (None, Some(first), Some(last)) => {
            write!(
                formatter,
                "records {}..{}",
                first.base_offset,
                last.last_offset + 1
            )?;
        }
        _ => formatter.write_str(&fine_or(fetch.error))?,
    }
    if let Some(high_watermark) = fetch.high_watermark {
        write!(formatter, " hw={high_watermark}")?;
    }
    write!(formatter, "{}", Known(fetch.leader, fetch.leader_epoch))
}

/// A replica: its id, and its directory where that matters.
struct Key(ReplicaKey);

impl Display for Key {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let ReplicaKey { id, directory_id } = self.0;
        write!(formatter, "{id}")?;
        match directory_id.is_zero() {
            true => Ok(()),
            false => write!(formatter, "/{}", directory_id.0[15]),
        }
    }
}

fn voter_keys(voters: &VoterSet) -> String {
    let keys: Vec<String> = voters.iter().map(|voter| Key(voter).to_string()).collect();
    keys.join(",")
}

/// The leader and epoch a message or node knows.
struct Known(Option<NodeId>, LeaderEpoch);

impl Display for Known {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, " epoch={}", self.1)?;
        match self.0 {
            Some(leader) => write!(formatter, " leader={leader}"),
            None => Ok(()),
        }
    }
}

impl Display for Timer {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Timer::Election => formatter.write_str("election"),
            Timer::Retry(node) => write!(formatter, "retry-{node}"),
            Timer::CheckQuorum => formatter.write_str("check-quorum"),
            Timer::BeginQuorumEpoch => formatter.write_str("begin-quorum-epoch"),
            Timer::VoterChange => formatter.write_str("voter-change"),
            Timer::Observers => formatter.write_str("observers"),
            Timer::UpdateVoter => formatter.write_str("update-voter"),
            Timer::Parked(ticket) => write!(formatter, "parked-{}", ticket.0),
        }
    }
}

impl Display for RoleName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

/// Outputs worth a line in a script: what changes the node, not what travels or runs.
pub fn describe_change(output: &Output) -> Option<String> {
    match output {
        Output::RoleChanged {
            epoch,
            role,
            leader,
            ..
        } => Some(format!("{role}{}", Known(*leader, *epoch))),
        Output::SaveQuorumState {
            state:
                QuorumState {
                    epoch,
                    voted: Some(voted),
                    leader: None,
                },
            ..
        } => Some(format!("saves its vote for {} in epoch {epoch}", voted.id)),
        Output::AppendLeaderChange {
            base_offset, epoch, ..
        } => Some(format!(
            "appends LeaderChange at {base_offset} in epoch {epoch}"
        )),
        Output::AppendRecords {
            ticket,
            base_offset,
            epoch,
        } => Some(format!(
            "appends {} at {base_offset} in epoch {epoch}",
            ticket.0
        )),
        Output::RejectAppend { error, .. } => Some(format!("refuses the append: {error:?}")),
        Output::AppendFetched { batches } => {
            let (first, last) = (batches.first()?, batches.last()?);
            Some(format!(
                "appends {}..{}",
                first.base_offset,
                last.last_offset + 1
            ))
        }
        Output::AppendChange {
            base_offset, epoch, ..
        } => Some(format!(
            "appends a voter change at {base_offset} in epoch {epoch}"
        )),
        Output::ConfigurationChanged {
            kraft_version,
            voters,
        } => Some(format!(
            "kraft.version {kraft_version}, voters {}",
            voter_keys(voters)
        )),
        Output::KraftVersion { result, .. } => Some(match result {
            Ok(Some(end)) => format!("finalizes kraft.version once {end} is committed"),
            Ok(None) => "has nothing to finalize".to_owned(),
            Err(error) => format!("refuses kraft.version: {error:?}"),
        }),
        Output::WriteSnapshot { id, .. } => Some(format!("writes snapshot {id}")),
        Output::AppendChunk { id, position } => {
            Some(format!("adds to snapshot {id} at {position}"))
        }
        Output::FinishSnapshot { id } => Some(format!("has fetched snapshot {id}")),
        Output::StartLogAt { snapshot } => Some(format!("starts its log at snapshot {snapshot}")),
        Output::RaiseLogStart { snapshot } => {
            Some(format!("deletes its log before snapshot {snapshot}"))
        }
        Output::Truncate { end } => Some(format!("truncates to {end}")),
        Output::HighWatermark(offset) => Some(format!("high watermark {offset}")),
        Output::Inconsistent(what) => Some(format!("INCONSISTENT {what:?}")),
        Output::ShutdownComplete => Some("shutdown complete".to_owned()),
        Output::Reply {
            response: response @ (Response::AddVoter(_) | Response::RemoveVoter(_)),
            ..
        } => Some(format!("answers the voter change: {response}")),
        Output::SaveQuorumState { .. }
        | Output::Send { .. }
        | Output::Reply { .. }
        | Output::Arm { .. }
        | Output::Disarm(_)
        | Output::Flush { .. } => None,
    }
}

impl Display for Cluster {
    /// A line per node: role, epoch, log by epochs, how much is durable, high watermark.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (id, node) in &self.nodes {
            write!(formatter, "{id}: ")?;
            match &node.raft {
                Some(raft) => write!(formatter, "{}", Summary(raft))?,
                None => formatter.write_str("down")?,
            }
            let log = node.disk.log();
            let kept = log
                .entries
                .iter()
                .skip(usize::try_from(log.start).unwrap_or(0));
            let epochs: Vec<String> = kept.map(|entry| entry.epoch.to_string()).collect();
            write!(formatter, " log=[{}]", epochs.join(" "))?;
            if log.start > 0 {
                write!(formatter, "from {}", log.start)?;
            }
            writeln!(formatter, " durable={}", node.disk.durable_end())?;
        }
        Ok(())
    }
}

struct Summary<'a>(&'a Raft);

impl Display for Summary<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Summary(raft) = self;
        write!(
            formatter,
            "{}{}",
            raft.role().name(),
            Known(raft.leader(), raft.epoch())
        )?;
        match raft.high_watermark() {
            Some(high_watermark) => write!(formatter, " hw={high_watermark}"),
            None => formatter.write_str(" hw=?"),
        }
    }
}
