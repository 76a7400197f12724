//! The `quorum-state` file: data version 0 as long as the voters are configured, 1 once they are in the log
//! (KIP-853). Either is read.

use std::path::Path;
use std::sync::Arc;

use broker_core::raft;
use broker_env::{Disk, DiskError};
use broker_protocol::ids::{ReplicaKey, Uuid};
use broker_storage::DirectoryError;
use broker_storage::quorum_state::QuorumState;

/// # Errors
/// A failing disk, or a file that is not Kafka's quorum-state.
pub fn load(
    disk: &dyn Disk,
    directory: &Path,
) -> Result<Option<raft::QuorumState>, DirectoryError> {
    let Some(state) = QuorumState::read(disk, directory)? else {
        return Ok(None);
    };
    let voted = state.voted_id.map(|id| ReplicaKey {
        id,
        directory_id: state.voted_directory_id,
    });
    Ok(Some(raft::QuorumState {
        epoch: state.leader_epoch,
        leader: state.leader_id,
        voted,
    }))
}

/// Replaces the file durably.
pub async fn save(
    disk: Arc<dyn Disk>,
    directory: &Path,
    state: raft::QuorumState,
    kraft_version: i16,
    voters: &raft::VoterSet,
) -> Result<(), DiskError> {
    let static_voters = kraft_version == 0;
    let file = QuorumState {
        leader_id: state.leader,
        leader_epoch: state.epoch,
        voted_id: state.voted.map(|voted| voted.id),
        voted_directory_id: state.voted.map_or(Uuid::ZERO, |voted| voted.directory_id),
        current_voters: if static_voters {
            voters.iter().map(|voter| voter.id).collect()
        } else {
            Vec::new()
        },
        data_version: u8::from(!static_voters),
    };
    file.write(disk, directory).await
}
