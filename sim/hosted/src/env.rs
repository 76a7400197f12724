//! The environment of one incarnation of a node.

use std::sync::Arc;
use std::time::Duration;

use broker_env::{BoxFuture, Env, Spawn, TaskHandle};
use sim_disk::DiskHost;

use crate::clock::{NodeClock, Sleep, TRUE_TIME};
use crate::handle::Handle;
use crate::network::listener::HostNetwork;
use crate::state::Shared;
use crate::task::Owner;

/// The world as the present incarnation of `node` sees it.
pub(crate) fn env_of(shared: &Arc<Shared>, node: u32) -> Env {
    let (incarnation, disk, random) = {
        let state = shared.lock();
        let entry = &state.nodes[crate::index(node)];
        (entry.incarnation, entry.disk.clone(), entry.random.clone())
    };
    let shared = shared.clone();
    let machine = Arc::new(Drive {
        shared: shared.clone(),
        node,
    });
    Env {
        network: Arc::new(HostNetwork {
            shared: shared.clone(),
            host: node,
            incarnation,
        }),
        disk: Arc::new(disk.mount(machine)),
        clock: Arc::new(NodeClock {
            shared: shared.clone(),
            node,
        }),
        random,
        spawn: Arc::new(NodeSpawn {
            shared,
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
        let spawned = self.shared.lock().spawn(&self.shared, owner, name, future);
        match spawned {
            Ok(task) => TaskHandle::new(move || shared.lock().abort(task)),
            Err(_refused) => TaskHandle::new(|| {}),
        }
    }
}

/// What a disk needs of the machine it is in.
struct Drive {
    shared: Arc<Shared>,
    node: u32,
}

impl DiskHost for Drive {
    fn delay(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep::new(self.shared.clone(), TRUE_TIME, duration))
    }

    fn stall(&self, duration: Duration) {
        let handle = Handle {
            shared: self.shared.clone(),
        };
        handle.stall(sim_engine::HostId(self.node), duration);
    }
}
