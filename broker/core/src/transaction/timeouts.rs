//! Transactions that take too long, and transactional ids that nobody uses.

use broker_probe::probe;

use super::record::State;
use super::{Step, TransactionCoordinator};

impl TransactionCoordinator {
    /// Fences producers whose transaction is older than its timeout: nothing of theirs counts any more.
    pub(super) fn abort_timed_out(&mut self, step: &mut Step<'_>) {
        let now_ms = step.now_ms;
        let ongoing = self.hard.iter().filter(|(_, it)| {
            let since = it.start_ms.unwrap_or(it.last_update_ms);
            it.state == State::Ongoing && since.saturating_add(i64::from(it.timeout_ms)) < now_ms
        });
        let late: Vec<_> = ongoing.map(|(id, it)| (id.clone(), it.clone())).collect();
        for (id, current) in late {
            probe!("transaction: aborted after its timeout");
            self.fence(&id, &current, step);
        }
    }

    pub(super) fn remove_expired(&mut self, step: &mut Step<'_>) {
        let limit_ms = step.now_ms.saturating_sub(self.config.id_expiration_ms);
        let unused = self
            .hard
            .iter()
            .filter(|(_, it)| it.state.is_idle() && it.last_update_ms <= limit_ms);
        let unused: Vec<String> = unused.map(|(id, _)| id.clone()).collect();
        for id in unused {
            probe!("transaction: an unused id was forgotten");
            self.remember(&id, None);
            self.write(&id, None, step);
        }
    }
}
