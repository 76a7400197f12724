//! Long polls: who waits for a partition to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    waiting: Vec<Arc<Waiter>>,
}

impl Waiters {
    pub fn add(&mut self, waiter: &Arc<Waiter>) {
        // A waiter only this list still holds belongs to a request that has been answered.
        self.waiting
            .retain(|other| Arc::strong_count(other) > 1 && !Arc::ptr_eq(other, waiter));
        self.waiting.push(waiter.clone());
    }

    pub fn wake_all(&mut self) {
        for waiter in self.waiting.drain(..) {
            waiter.wake();
        }
    }
}
