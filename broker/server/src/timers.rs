//! The named timers of a core, kept by its shell.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use broker_env::random::in_range;
use broker_env::{BoxFuture, Env, Instant, Stream};

/// Deadlines by name, and one sleep for the earliest of them.
///
/// The sleep is only renewed when an earlier deadline appears, so re-arming a timer, which happens with
/// each message, costs a map entry and no event.
pub struct Timers<K> {
    env: Env,
    deadlines: BTreeMap<K, Instant>,
    sleep: Option<(Instant, BoxFuture<'static, ()>)>,
}

impl<K: Ord + Clone> Timers<K> {
    pub fn new(env: Env) -> Timers<K> {
        Timers {
            env,
            deadlines: BTreeMap::new(),
            sleep: None,
        }
    }

    /// Sets or moves a timer to a random point `min_ms..=max_ms` from now.
    pub fn arm(&mut self, name: K, min_ms: u64, max_ms: u64) {
        let delay = in_range(
            self.env.random.as_ref(),
            Stream::Timer,
            min_ms,
            max_ms.max(min_ms),
        );
        self.deadlines
            .insert(name, self.env.now() + Duration::from_millis(delay));
    }

    pub fn disarm(&mut self, name: &K) {
        self.deadlines.remove(name);
    }

    /// Disarms those for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.deadlines.retain(|name, _| keep(name));
    }

    /// Removes and returns the timer that is due first, if one is due. Ties go by name.
    pub fn take_due(&mut self) -> Option<K> {
        let now = self.env.now();
        let due = self
            .deadlines
            .iter()
            .filter(|(_, deadline)| **deadline <= now)
            .min_by_key(|(_, deadline)| **deadline);
        let name = due.map(|(name, _)| name.clone())?;
        self.deadlines.remove(&name);
        Some(name)
    }

    /// Waits until some timer is due, and removes it. Cancel-safe; never completes without timers.
    pub async fn next(&mut self) -> K {
        loop {
            if let Some(name) = self.take_due() {
                return name;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        let earliest = self.deadlines.values().min().copied();
        if let Some(earliest) = earliest
            && self
                .sleep
                .as_ref()
                .is_none_or(|(until, _)| *until > earliest)
        {
            let remaining = earliest.saturating_since(self.env.now());
            self.sleep = Some((earliest, self.env.sleep(remaining)));
        }
        poll_fn(|context| match &mut self.sleep {
            Some((_, sleep)) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        })
        .await;
        self.sleep = None;
    }
}
