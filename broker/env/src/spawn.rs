//! Tasks that belong to a node and die with it.

use crate::BoxFuture;

/// Starts tasks on this node.
pub trait Spawn: Send + Sync {
    /// A panic in a simulated task fails the run; in production it is logged and the process exits,
    /// because asserts are the specification.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> TaskHandle;
}

/// Stops its task on `abort`; dropping it lets the task run on.
pub struct TaskHandle {
    abort: Box<dyn Fn() + Send + Sync>,
}

impl TaskHandle {
    pub fn new(abort: impl Fn() + Send + Sync + 'static) -> TaskHandle {
        TaskHandle {
            abort: Box::new(abort),
        }
    }

    /// Drops the task's future at its next await point; a no-op once it has ended.
    pub fn abort(&self) {
        (self.abort)();
    }
}

impl std::fmt::Debug for TaskHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TaskHandle")
    }
}
