//! Content of the file `quorum-state`: what a quorum member must not forget. Kafka writes its fields as JSON.

use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

/// Epoch, vote and leader. Version 0 belongs to `kraft.version` 0, version 1 to 1 (KIP-853).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct QuorumStateData {
    #[field(versions = "0")]
    pub cluster_id: String,
    #[field(versions = "0+", default = -1)]
    pub leader_id: i32,
    #[field(versions = "0+", default = -1)]
    pub leader_epoch: i32,
    #[field(versions = "0+", default = -1)]
    pub voted_id: i32,
    #[field(versions = "1+")]
    pub voted_directory_id: Uuid,
    #[field(versions = "0")]
    pub applied_offset: i64,
    #[field(versions = "0", nullable = "0")]
    pub current_voters: Option<Vec<QuorumStateVoter>>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A voter in a version 0 [`QuorumStateData`].
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct QuorumStateVoter {
    #[field(versions = "0")]
    pub voter_id: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::arbitrary::{Arbitrary, Generator};
    use crate::codec::{Decode, Encode, Reader, Writer};

    #[test]
    fn both_versions_round_trip() {
        let mut generator = Generator::new(3);
        for version in [0, 1].repeat(200) {
            let state = QuorumStateData::arbitrary(&mut generator, version);
            let mut writer = Writer::new();
            state.encode(&mut writer, version).unwrap();
            let mut reader = Reader::new(writer.into_bytes().freeze());
            assert_eq!(
                QuorumStateData::decode(&mut reader, version).as_ref(),
                Ok(&state)
            );
            assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn a_fresh_member_knows_no_leader_and_no_vote() {
        let state = QuorumStateData::default();
        assert_eq!(
            (state.leader_id, state.leader_epoch, state.voted_id),
            (-1, -1, -1)
        );
    }
}
