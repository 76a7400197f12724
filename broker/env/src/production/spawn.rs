//! Tasks on tokio. A panic in one ends the process: asserts are the specification, and a broker that
//! has broken one must not go on answering.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::Handle;

use crate::{BoxFuture, Spawn, TaskHandle};

pub(super) struct TokioSpawn {
    runtime: Handle,
}

impl TokioSpawn {
    pub(super) fn new(runtime: Handle) -> TokioSpawn {
        TokioSpawn { runtime }
    }
}

impl Spawn for TokioSpawn {
    fn spawn(&self, name: &'static str, mut future: BoxFuture<'static, ()>) -> TaskHandle {
        let guarded = poll_fn(move |context| {
            // The panic hook has printed the message and the place by then.
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))).unwrap_or_else(|_| {
                eprintln!("task `{name}` panicked: the process ends");
                std::process::abort()
            })
        });
        let task = self.runtime.spawn(guarded).abort_handle();
        TaskHandle::new(move || task.abort())
    }
}
