//! Long polls: who waits for a partition to move.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

/// One waiting request; shared by all partitions it waits for.
#[derive(Debug, Default)]
pub struct Waiter {
    woken: AtomicBool,
    notify: Notify,
}

impl Waiter {
    pub fn new() -> Arc<Waiter> {
        Arc::new(Waiter::default())
    }

    pub fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    /// Completes once [`Waiter::wake`] was called since the last wait.
    pub async fn woken(&self) {
        self.notify.notified().await;
        self.woken.store(false, Ordering::Release);
    }
}

/// The requests that wait for one event of a partition. Dead ones are swept as new ones come.
#[derive(Debug, Default)]
pub struct Waiters {
    /// Not owned: several partitions list one waiter, and none may keep an answered request's alive for the others.
    waiting: Vec<Weak<Waiter>>,
}

impl Waiters {
    pub fn add(&mut self, waiter: &Arc<Waiter>) {
        let added = Arc::downgrade(waiter);
        self.waiting
            .retain(|other| other.strong_count() > 0 && !other.ptr_eq(&added));
        self.waiting.push(added);
    }

    pub fn wake_all(&mut self) {
        for waiter in self.waiting.drain(..) {
            if let Some(waiter) = waiter.upgrade() {
                waiter.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answered_requests_do_not_pile_up_on_partitions_where_nothing_moves() {
        let (mut first, mut second) = (Waiters::default(), Waiters::default());
        for _ in 0..10 {
            let waiter = Waiter::new();
            first.add(&waiter);
            second.add(&waiter);
        }
        assert_eq!((first.waiting.len(), second.waiting.len()), (1, 1));
    }

    #[tokio::test]
    async fn one_request_waits_once_and_is_woken_by_any_of_its_partitions() {
        let (mut first, mut second) = (Waiters::default(), Waiters::default());
        let waiter = Waiter::new();
        first.add(&waiter);
        first.add(&waiter);
        second.add(&waiter);
        assert_eq!(first.waiting.len(), 1);
        second.wake_all();
        waiter.woken().await;
        first.wake_all();
        waiter.woken().await;
    }
}
