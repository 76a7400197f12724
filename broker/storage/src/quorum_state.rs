//! `quorum-state`: what a member of the metadata quorum must not forget (KIP-595, KIP-853).

use std::path::Path;
use std::sync::Arc;

use broker_env::{Disk, DiskError};
use broker_protocol::ids::{LeaderEpoch, NodeId, Uuid};
use serde_json::{Value, json};

use crate::checkpoint::{read_file, replace_file};
use crate::error::DirectoryError;

pub const FILE: &str = "quorum-state";

/// Epoch, leader and vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumState {
    pub leader_id: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub voted_id: Option<NodeId>,
    /// Zero if unknown; lost by data version 0.
    pub voted_directory_id: Uuid,
    /// Voters as data version 0 stores them: `kraft.version` 0, static voters.
    pub current_voters: Vec<NodeId>,
    /// 0 for `kraft.version` 0, else 1.
    pub data_version: u8,
}

impl QuorumState {
    pub fn encode(&self) -> Vec<u8> {
        let id = |id: Option<NodeId>| id.unwrap_or(NodeId::NONE).0;
        let mut state = json!({
            "leaderId": id(self.leader_id),
            "leaderEpoch": self.leader_epoch.0,
            "votedId": id(self.voted_id),
            "data_version": self.data_version,
        });
        if self.data_version == 0 {
            let voters: Vec<Value> = self
                .current_voters
                .iter()
                .map(|voter| json!({"voterId": voter.0}))
                .collect();
            state["clusterId"] = json!("");
            state["appliedOffset"] = json!(0);
            state["currentVoters"] = json!(voters);
        } else {
            state["votedDirectoryId"] = json!(self.voted_directory_id.to_string());
        }
        state.to_string().into_bytes()
    }

    /// The error says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<QuorumState, String> {
        let state: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let data_version = match state["data_version"].as_u64() {
            Some(0) => 0,
            Some(1) => 1,
            _ => {
                return Err(format!(
                    "data_version {} is not 0 or 1",
                    state["data_version"]
                ));
            }
        };
        let voted_directory_id = match (data_version, state["votedDirectoryId"].as_str()) {
            (0, _) => Uuid::ZERO,
            (_, Some(text)) => {
                Uuid::parse(text).ok_or_else(|| format!("votedDirectoryId {text} is not a Uuid"))?
            }
            (_, None) => return Err("no votedDirectoryId".to_owned()),
        };
        Ok(QuorumState {
            leader_id: node(&state, "leaderId")?,
            leader_epoch: LeaderEpoch(number(&state, "leaderEpoch")?),
            voted_id: node(&state, "votedId")?,
            voted_directory_id,
            current_voters: voters(&state)?,
            data_version,
        })
    }

    /// `None` if there is no file: a fresh member.
    pub fn read(disk: &dyn Disk, directory: &Path) -> Result<Option<QuorumState>, DirectoryError> {
        let path = directory.join(FILE);
        let Some(bytes) = read_file(disk, &path)? else {
            return Ok(None);
        };
        let state = QuorumState::decode(&bytes);
        state
            .map(Some)
            .map_err(|reason| DirectoryError::Malformed { path, reason })
    }

    /// Durable when done. Calls must take turns.
    pub async fn write(&self, disk: Arc<dyn Disk>, directory: &Path) -> Result<(), DiskError> {
        replace_file(disk.as_ref(), &directory.join(FILE), &self.encode()).await
    }
}

fn node(state: &Value, field: &str) -> Result<Option<NodeId>, String> {
    let id = number(state, field)?;
    Ok((id >= 0).then_some(NodeId(id)))
}

fn number(state: &Value, field: &str) -> Result<i32, String> {
    let value = state[field]
        .as_i64()
        .and_then(|number| i32::try_from(number).ok());
    value.ok_or_else(|| format!("{field} {} is not a number", state[field]))
}

fn voters(state: &Value) -> Result<Vec<NodeId>, String> {
    let Some(voters) = state["currentVoters"].as_array() else {
        return Ok(Vec::new());
    };
    voters
        .iter()
        .map(|voter| number(voter, "voterId").map(NodeId))
        .collect()
}
