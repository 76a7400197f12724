//! TxnOffsetCommit: offsets that a producer's transaction commits or aborts with all the rest of it.
//!
//! They are in the log at once, in a transactional batch, and pend until the transaction's marker follows
//! (TXN-4). The partition may refuse that batch for the producer's sake, so this core takes it in once it is
//! appended. A consumer that was thrown out of the group is fenced by its generation (KIP-447): the producer's
//! epoch knows nothing of it.

use broker_probe::mutant;
use broker_protocol::ErrorCode;

use super::classic::State;
use super::message::{MemberContext, Output, TransactionalCommitRequest};
use super::{GroupCoordinator, Step};

impl GroupCoordinator {
    pub(super) fn commit_transactional(
        &mut self,
        request: TransactionalCommitRequest,
        step: &mut Step<'_>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        if request.group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        self.check_transactional_commit(&request.group, &request.member)?;
        let now_ms = step.now_ms;
        let (errors, records) =
            self.offset_records(&request.group, request.partitions, now_ms, None);
        if mutant!(T_04) {
            for record in &records {
                self.hard.apply_record(record, Some(request.producer.id));
            }
        }
        if !records.is_empty() {
            step.out
                .push(Output::TransactionalRecords(request.producer, records));
        }
        Ok(errors)
    }

    /// Unlike other commits, also one that names no member: older clients cannot. And also while the group
    /// rebalances: the next owner asks for stable offsets, and waits.
    fn check_transactional_commit(
        &self,
        id: &str,
        member: &MemberContext,
    ) -> Result<(), ErrorCode> {
        if let Some(consumers) = self.consumer_group(id) {
            if mutant!(T_26) {
                return Ok(());
            }
            let checked = consumers.check_commit(member, true);
            // Producers know no member epochs.
            return checked.map_err(|error| match error {
                ErrorCode::StaleMemberEpoch => ErrorCode::IllegalGeneration,
                error => error,
            });
        }
        let Some(group) = self.groups.get(id) else {
            return match member.generation < 0 {
                true => Ok(()),
                false => Err(ErrorCode::IllegalGeneration),
            };
        };
        let is_of_nobody = member.generation < 0 && group.state == State::Empty;
        if is_of_nobody || !member.is_named() || mutant!(T_26) {
            return Ok(());
        }
        group.check_current(member)
    }
}
