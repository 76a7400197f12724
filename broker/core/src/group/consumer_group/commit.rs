//! Which members of a consumer group may commit and fetch offsets: those in their current epoch.

use broker_protocol::ErrorCode;

use super::ConsumerGroup;
use crate::group::message::MemberContext;

impl ConsumerGroup {
    /// `knows_epochs`: the request is of a version that members of consumer groups may use.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, UNSUPPORTED_VERSION
    pub(in crate::group) fn check_commit(
        &self,
        member: &MemberContext,
        knows_epochs: bool,
    ) -> Result<(), ErrorCode> {
        if member.generation < 0 && !self.has_members() {
            return Ok(());
        }
        if !self.subscriptions.contains_key(&member.member_id) {
            return Err(ErrorCode::UnknownMemberId);
        }
        if !knows_epochs {
            return Err(ErrorCode::UnsupportedVersion);
        }
        self.check_member_epoch(&member.member_id, member.generation)
    }

    /// Admin clients name no member.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH
    pub(in crate::group) fn check_fetch(
        &self,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        match member_id {
            None if epoch < 0 => Ok(()),
            Some(member_id) if self.subscriptions.contains_key(member_id) => {
                self.check_member_epoch(member_id, epoch)
            }
            _ => Err(ErrorCode::UnknownMemberId),
        }
    }

    fn check_member_epoch(&self, member_id: &str, received: i32) -> Result<(), ErrorCode> {
        let current = self
            .current
            .get(member_id)
            .map_or(0, |current| current.epoch);
        match received == current {
            true => Ok(()),
            false => Err(ErrorCode::StaleMemberEpoch),
        }
    }
}
