//! Offsets that nobody needs any more (KIP-211).

use broker_probe::{mutant, probe};

use super::classic::{ClassicGroup, State};
use super::hard::Group;
use super::offsets::tombstone;
use super::record::{OffsetAndMetadata, Record};
use super::{GroupCoordinator, Step};

impl GroupCoordinator {
    pub(super) fn expire_offsets(&mut self, step: &mut Step<'_>) {
        let mut records = Vec::new();
        let mut gone = Vec::new();
        for (id, stored) in self.hard.groups() {
            let live = self.groups.get(id);
            let expired = self.expired(stored, live, step.now_ms);
            let is_last = expired.len() == stored.offsets.len() && stored.pending.is_empty();
            records.extend(expired.into_iter().map(|key| tombstone(id, key)));
            let is_unused = live.is_none_or(|group| {
                group.state == State::Empty && group.pending_members.is_empty()
            }) && !stored.consumers.has_members();
            if is_last && is_unused {
                gone.push(id.clone());
            }
        }
        for id in gone {
            probe!("group: an unused group was forgotten");
            self.groups.remove(&id);
            if self
                .hard
                .group(&id)
                .is_some_and(|group| group.metadata.is_some())
            {
                records.push(Record::Group {
                    group: id.clone(),
                    value: None,
                });
            }
            records.extend(self.consumer_group_tombstones(&id));
        }
        self.write(records, step);
    }

    /// A simple group's offsets go `offsets.retention.minutes` after each commit, a group's of members that much
    /// after the last one left. While it has members and is stable, those of topics that no member wants go;
    /// while it rebalances nothing does, because what members want is not known (KAFKA-13636).
    fn expired<'a>(
        &self,
        stored: &'a Group,
        live: Option<&ClassicGroup>,
        now_ms: i64,
    ) -> Vec<&'a (String, i32)> {
        let live = live.filter(|group| group.protocol_type.is_some());
        let wanted = match live.map(|group| group.state) {
            Some(State::Stable) => match live.and_then(ClassicGroup::subscribed_topics) {
                Some(topics) => Some(topics),
                None => return Vec::new(),
            },
            Some(State::PreparingRebalance | State::CompletingRebalance) if !mutant!(G_04) => {
                return Vec::new();
            }
            _ => None,
        };
        let consumed = stored.consumers.subscribed_topics();
        let empty_since = live
            .filter(|group| group.state == State::Empty)
            .and_then(|group| group.state_timestamp_ms);
        let is_expired = |((topic, _), value): &(&'a (String, i32), &OffsetAndMetadata)| {
            let is_wanted = wanted.as_ref().is_some_and(|wanted| wanted.contains(topic))
                || consumed.contains(topic);
            let since = empty_since.unwrap_or(value.commit_timestamp_ms);
            !is_wanted && self.is_due(value, since, now_ms)
        };
        // What a transaction is about to replace stays until that has ended.
        let settled = stored.offsets.iter();
        let settled = settled.filter(|(key, _)| !stored.pending.contains_key(*key));
        let expired = settled.filter(is_expired);
        expired.map(|(key, _)| key).collect()
    }

    fn is_due(&self, value: &OffsetAndMetadata, since_ms: i64, now_ms: i64) -> bool {
        let expire = value.expire_timestamp_ms;
        match if mutant!(G_05) {
            expire.or(Some(-1))
        } else {
            expire
        } {
            Some(at_ms) => now_ms >= at_ms,
            None => now_ms.saturating_sub(since_ms) >= self.config.offsets_retention_ms,
        }
    }
}
