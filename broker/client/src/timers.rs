//! A core's named timers: one sleeping task for all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_env::{Env, Instant, select};
use tokio::sync::Notify;

use crate::tasks::lock;

/// Timers of one client object. They are not disarmed: cores ignore late ones.
pub(crate) struct Timers<T> {
    env: Env,
    due: Arc<Due<T>>,
}

struct Due<T> {
    queue: Mutex<Queue<T>>,
    /// An earlier timer than the one slept for was armed.
    earlier: Notify,
}

struct Queue<T> {
    next: u64,
    timers: BTreeMap<(Instant, u64), T>,
}

impl<T: Send + 'static> Timers<T> {
    pub fn new(env: Env) -> Timers<T> {
        let queue = Mutex::new(Queue {
            next: 0,
            timers: BTreeMap::new(),
        });
        Timers {
            env,
            due: Arc::new(Due {
                queue,
                earlier: Notify::new(),
            }),
        }
    }

    pub fn arm(&self, timer: T, after: Duration) {
        let mut queue = lock(&self.due.queue);
        queue.next += 1;
        let key = (self.env.now() + after, queue.next);
        let first = queue
            .timers
            .first_key_value()
            .is_none_or(|(earliest, _)| key < *earliest);
        queue.timers.insert(key, timer);
        if first {
            self.due.earlier.notify_one();
        }
    }

    /// As `arm`, at the next multiple of `grain`: many timers, few awakenings.
    pub fn arm_coarsely(&self, timer: T, after: Duration, grain: Duration) {
        let grain = u64::try_from(grain.as_nanos()).unwrap_or(u64::MAX).max(1);
        let at = (self.env.now() + after).0;
        let over = at.div_ceil(grain).saturating_mul(grain) - at;
        self.arm(timer, after + Duration::from_nanos(over));
    }

    /// Gives due timers to `fire` until it returns false.
    pub fn run<F>(&self, mut fire: F) -> impl Future<Output = ()> + Send + use<F, T>
    where
        F: FnMut(Vec<T>) -> bool + Send + 'static,
    {
        let (env, due) = (self.env.clone(), self.due.clone());
        async move {
            loop {
                let (ready, next) = due.take(env.now());
                if !ready.is_empty() {
                    if !fire(ready) {
                        return;
                    }
                    continue;
                }
                let Some(at) = next else {
                    due.earlier.notified().await;
                    continue;
                };
                let sleep = env.sleep(at.saturating_since(env.now()));
                select! {
                    () = due.earlier.notified() => {}
                    () = sleep => {}
                }
            }
        }
    }
}

impl<T> Due<T> {
    fn take(&self, now: Instant) -> (Vec<T>, Option<Instant>) {
        let mut queue = lock(&self.queue);
        let later = queue.timers.split_off(&(now, u64::MAX));
        let ready = std::mem::replace(&mut queue.timers, later)
            .into_values()
            .collect();
        (
            ready,
            queue.timers.first_key_value().map(|((at, _), _)| *at),
        )
    }
}
