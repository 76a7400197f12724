//! The environment of one incarnation of a node.

use std::sync::Arc;
use std::time::Duration;

use broker_env::{BoxFuture, Env, Spawn, TaskHandle};
use sim_disk::DiskHost;

use crate::clock::{NodeClock, Sleep, TRUE_TIME};
use crate::network::listener::HostNetwork;
use crate::state::{Shared, State};
use crate::task::{Owner, TaskRef};

/// The world as the present incarnation of `node` sees it.
pub(crate) fn env_of(shared: &Arc<Shared>, node: u32) -> Env {
    let (incarnation, disk, random) = {
        let state = shared.lock();
        let entry = &state.nodes[crate::index(node)];
        (entry.incarnation, entry.disk.clone(), entry.random.clone())
    };
    let mount = disk.mount(Arc::new(Machine {
        shared: shared.clone(),
        node,
    }));
    Env {
        network: Arc::new(HostNetwork {
            shared: shared.clone(),
            host: node,
            incarnation,
        }),
        disk: Arc::new(mount),
        clock: Arc::new(NodeClock {
            shared: shared.clone(),
            node,
        }),
        random,
        spawn: Arc::new(NodeSpawn {
            shared: shared.clone(),
            node,
            incarnation,
        }),
    }
}

struct NodeSpawn {
    shared: Arc<Shared>,
    node: u32,
    incarnation: u32,
}

impl Spawn for NodeSpawn {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> TaskHandle {
        let owner = Owner {
            node: self.node,
            incarnation: self.incarnation,
            main: false,
        };
        let shared = self.shared.clone();
        // A future for a dead process is dropped only after the lock was released.
        let spawned = self.shared.lock().spawn(owner, name, future);
        match spawned {
            Ok(task) => TaskHandle::new(move || shared.lock().abort(task)),
            Err(_refused) => TaskHandle::new(|| {}),
        }
    }
}

impl State {
    /// Starts a task, or gives the future back if its process is dead.
    pub(crate) fn spawn(
        &mut self,
        owner: Owner,
        name: &'static str,
        future: BoxFuture<'static, ()>,
    ) -> Result<TaskRef, BoxFuture<'static, ()>> {
        if !self.is_alive(owner.node, owner.incarnation) {
            return Err(future);
        }
        Ok(self.tasks.insert(owner, name, future, &self.ready))
    }

    fn abort(&mut self, task: TaskRef) {
        if let Some(entry) = self.tasks.get(task) {
            entry.aborted = true;
            entry.enqueue();
        }
    }
}

/// What a disk needs of the machine it is in.
struct Machine {
    shared: Arc<Shared>,
    node: u32,
}

impl DiskHost for Machine {
    fn delay(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep::new(self.shared.clone(), TRUE_TIME, duration))
    }

    fn stall(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.shared.lock().stall(self.node, nanos);
    }
}
