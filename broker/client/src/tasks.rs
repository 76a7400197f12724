//! The tasks of one client object: all end with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use broker_env::{Env, TaskHandle};

/// Starts tasks and ends those still running when it is closed or dropped. Futures given to it must not
/// hold it alive: they keep weak references.
pub(crate) struct Tasks {
    env: Env,
    running: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    next: u64,
    closed: bool,
    /// None between the start of a task and the return of its handle.
    handles: BTreeMap<u64, Option<TaskHandle>>,
}

impl Tasks {
    pub fn new(env: Env) -> Tasks {
        Tasks {
            env,
            running: Arc::default(),
        }
    }

    /// Does nothing after `close`.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let id = {
            let mut running = lock(&self.running);
            if running.closed {
                return;
            }
            running.next += 1;
            let id = running.next;
            running.handles.insert(id, None);
            id
        };
        let ended = Ended {
            running: self.running.clone(),
            id,
        };
        let handle = self.env.spawn(name, async move {
            let _ended = ended;
            future.await;
        });
        // On another thread it may have ended by now.
        if let Some(slot) = lock(&self.running).handles.get_mut(&id) {
            *slot = Some(handle);
        }
    }

    /// Aborts all tasks; none can be started from now on.
    pub fn close(&self) {
        let handles = {
            let mut running = lock(&self.running);
            running.closed = true;
            std::mem::take(&mut running.handles)
        };
        for handle in handles.into_values().flatten() {
            handle.abort();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.close();
    }
}

struct Ended {
    running: Arc<Mutex<Running>>,
    id: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let handle = lock(&self.running).handles.remove(&self.id);
        drop(handle);
    }
}

/// A panic while the lock was held ends the process anyway.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
