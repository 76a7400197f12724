//! The machine's side of a disk: made once, outlives the processes that mount it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use broker_env::BoxFuture;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::fault::DiskFault;
use crate::mount::Mount;
use crate::power::{Fate, Loss, settle};
use crate::state::State;

/// What a disk needs from the engine that runs the node which mounts it.
pub trait DiskHost: Send + Sync {
    /// Completes after this much true time; how long a sync takes.
    fn delay(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// The node's thread is blocked in a system call: run none of its tasks for this long.
    fn stall(&self, duration: Duration);
}

/// What a disk is like without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// A sync takes this long, drawn uniformly. Default 100 µs to 2 ms, an SSD.
    pub sync: (Duration, Duration),
    /// What a read or write blocks the thread for. Default none: the page cache.
    pub operation: Duration,
    /// In bytes; none is unlimited.
    pub capacity: Option<u64>,
}

impl Default for DiskOptions {
    fn default() -> DiskOptions {
        DiskOptions {
            sync: (Duration::from_micros(100), Duration::from_millis(2)),
            operation: Duration::ZERO,
            capacity: None,
        }
    }
}

/// What a power loss took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PowerLossReport {
    /// The live files of before that lost something, and what.
    pub files: BTreeMap<PathBuf, Loss>,
    /// Creations, renames and removals undone.
    pub changes_undone: u64,
}

impl PowerLossReport {
    pub fn is_nothing(&self) -> bool {
        self.files.is_empty() && self.changes_undone == 0
    }
}

/// A simulated disk; clones are handles of the same one.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk whose every draw comes from `seed`.
    pub fn new(seed: [u8; 32], options: DiskOptions) -> SimDisk {
        let state = State::new(ChaCha8Rng::from_seed(seed), options);
        SimDisk {
            shared: Arc::new(Mutex::new(state)),
        }
    }

    /// The disk as the process that starts now sees it, until that process dies.
    pub fn mount(&self, host: Arc<dyn DiskHost>) -> Mount {
        let incarnation = self.state().incarnation;
        Mount::new(self.shared.clone(), host, incarnation)
    }

    /// The process died: SIGKILL, abort, out of memory. All it wrote is still there.
    pub fn process_crash(&self) {
        self.state().end_process();
        self.wake_stalled();
    }

    /// The machine lost power: what was not synced is at the mercy of chance. Also ends the process.
    pub fn power_loss(&self) -> PowerLossReport {
        let report = self.state().lose_power();
        self.wake_stalled();
        report
    }

    /// Sets a fault; [`DiskFault::Wiped`] and bit rot happen at once. Wiping also ends the process.
    pub fn inject(&self, fault: &DiskFault) {
        self.state().inject(fault);
        self.wake_stalled();
    }

    /// Takes back one fault of this very value; false if none is set.
    pub fn heal(&self, fault: &DiskFault) -> bool {
        let found = self.state().heal(fault);
        self.wake_stalled();
        found
    }

    /// Takes back all faults. What they destroyed stays destroyed.
    pub fn heal_all(&self) {
        self.state().heal_all();
        self.wake_stalled();
    }

    /// The faults that are set.
    pub fn active_faults(&self) -> Vec<DiskFault> {
        self.state().active()
    }

    /// How often each kind of fault has struck, ever.
    pub fn fault_counts(&self) -> BTreeMap<&'static str, u64> {
        self.state().counts()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }

    /// Lets waiting syncs look again; without the lock, because a waker may run code of the engine.
    fn wake_stalled(&self) {
        let waiting = {
            let mut state = self.state();
            std::mem::take(&mut state.stalled)
        };
        waiting.into_iter().for_each(std::task::Waker::wake);
    }
}

/// A panic under the lock is a failed run already; the data are only looked at after it.
pub(crate) fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl State {
    fn lose_power(&mut self) -> PowerLossReport {
        self.end_process();
        let paths: BTreeMap<u64, PathBuf> = self
            .tree
            .walk()
            .into_iter()
            .map(|(path, inode)| (inode, path))
            .collect();
        let mut report = PowerLossReport::default();
        for (inode, file) in self.tree.files_mut() {
            if file.data.is_settled() {
                continue;
            }
            let loss = settle(&mut file.data, Fate::draw(&mut self.rng), &mut self.rng);
            if let (false, Some(path)) = (loss.is_nothing(), paths.get(&inode)) {
                report.files.insert(path.clone(), loss);
            }
        }
        report.changes_undone = self.tree.lose_power(&mut self.rng);
        self.count("power-loss");
        report
    }
}

/// A path as reports show it: without the leading slash.
pub(crate) fn plain(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}
