//! Tasks, their wakers and the ready set.
//!
//! A waker holds no future: dropping one never runs application code, so wakers may be dropped and
//! woken while the world is locked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use broker_env::BoxFuture;

/// Names a task: its slot, and a number no other task of the run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskRef {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

/// Tasks that can run now, in no order that matters: the executor picks at random.
#[derive(Default)]
pub(crate) struct ReadySet {
    tasks: Mutex<Vec<TaskRef>>,
}

impl ReadySet {
    pub(crate) fn push(&self, task: TaskRef) {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task);
    }

    pub(crate) fn extend(&self, tasks: impl IntoIterator<Item = TaskRef>) {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(tasks);
    }

    /// Takes the task that `choose` names by its index among so many.
    pub(crate) fn take(&self, choose: impl FnOnce(usize) -> usize) -> Option<TaskRef> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        match tasks.len() {
            0 => None,
            1 => tasks.pop(),
            count => Some(tasks.swap_remove(choose(count))),
        }
    }
}

/// What wakers of one task share.
pub(crate) struct TaskWake {
    task: TaskRef,
    queued: AtomicBool,
    ready: Arc<ReadySet>,
}

impl TaskWake {
    pub(crate) fn enqueue(&self) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.push(self.task);
        }
    }
}

impl Wake for TaskWake {
    fn wake(self: Arc<TaskWake>) {
        self.enqueue();
    }

    fn wake_by_ref(self: &Arc<TaskWake>) {
        self.enqueue();
    }
}

/// A task of one incarnation of a node.
pub(crate) struct Task {
    pub(crate) serial: u32,
    pub(crate) name: &'static str,
    pub(crate) node: u32,
    pub(crate) incarnation: u32,
    /// The node's process ends with this task.
    pub(crate) main: bool,
    /// Dropped instead of polled when it is picked next.
    pub(crate) aborted: bool,
    /// Absent while it is polled.
    pub(crate) future: Option<BoxFuture<'static, ()>>,
    wake: Arc<TaskWake>,
    waker: Option<Waker>,
}

impl Task {
    /// Marks it as no longer queued and lends its waker for one poll.
    pub(crate) fn begin_poll(&mut self) -> Option<(BoxFuture<'static, ()>, Waker)> {
        self.wake.queued.store(false, Ordering::Relaxed);
        let future = self.future.take()?;
        let waker = self
            .waker
            .take()
            .unwrap_or_else(|| Waker::from(self.wake.clone()));
        Some((future, waker))
    }

    pub(crate) fn end_poll(&mut self, future: BoxFuture<'static, ()>, waker: Waker) {
        self.future = Some(future);
        self.waker = Some(waker);
    }

    pub(crate) fn enqueue(&self) {
        self.wake.enqueue();
    }
}

/// All tasks by slot.
#[derive(Default)]
pub(crate) struct Tasks {
    slots: Vec<Option<Task>>,
    free: Vec<u32>,
    spawned: u32,
}

/// What a new task belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) node: u32,
    pub(crate) incarnation: u32,
    pub(crate) main: bool,
}

impl Tasks {
    pub(crate) fn insert(
        &mut self,
        owner: Owner,
        name: &'static str,
        future: BoxFuture<'static, ()>,
        ready: &Arc<ReadySet>,
    ) -> TaskRef {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 live tasks")
        });
        self.spawned = self
            .spawned
            .checked_add(1)
            .expect("fewer than 2^32 tasks in a run");
        let task = TaskRef {
            slot,
            serial: self.spawned,
        };
        let wake = Arc::new(TaskWake {
            task,
            queued: AtomicBool::new(false),
            ready: ready.clone(),
        });
        wake.enqueue();
        let Owner {
            node,
            incarnation,
            main,
        } = owner;
        let entry = Task {
            serial: task.serial,
            name,
            node,
            incarnation,
            main,
            aborted: false,
            future: Some(future),
            wake,
            waker: None,
        };
        self.slots[crate::index(slot)] = Some(entry);
        task
    }

    pub(crate) fn get(&mut self, task: TaskRef) -> Option<&mut Task> {
        self.slots
            .get_mut(crate::index(task.slot))?
            .as_mut()
            .filter(|entry| entry.serial == task.serial)
    }

    pub(crate) fn remove(&mut self, task: TaskRef) -> Option<Task> {
        self.get(task)?;
        self.free.push(task.slot);
        self.slots[crate::index(task.slot)].take()
    }

    /// Removes all tasks of a node; the caller drops them with the world unlocked.
    pub(crate) fn remove_of_node(&mut self, node: u32) -> Vec<Task> {
        let of_node = |entry: &Option<Task>| entry.as_ref().is_some_and(|task| task.node == node);
        let slots: Vec<u32> = (0..)
            .zip(&self.slots)
            .filter(|(_, entry)| of_node(entry))
            .map(|(slot, _)| slot)
            .collect();
        self.free.extend(&slots);
        slots
            .into_iter()
            .filter_map(|slot| self.slots[crate::index(slot)].take())
            .collect()
    }

    pub(crate) fn remove_all(&mut self) -> Vec<Task> {
        self.free.clear();
        self.slots.drain(..).flatten().collect()
    }

    /// Node and name of each live task.
    pub(crate) fn names(&self) -> impl Iterator<Item = (u32, &'static str)> {
        self.slots
            .iter()
            .flatten()
            .map(|task| (task.node, task.name))
    }

    pub(crate) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

/// Finds the task that keeps an instant from ending.
#[derive(Default)]
pub(crate) struct PollBudget {
    at: u64,
    polls: u32,
    by_name: BTreeMap<(u32, &'static str), u32>,
}

impl PollBudget {
    /// Counts a poll; gives the busiest (node, task) when `budget` polls happened in this one instant.
    /// Names are counted only in the second half of the budget, so ordinary instants pay nothing.
    pub(crate) fn spend(
        &mut self,
        at: u64,
        task: (u32, &'static str),
        budget: u32,
    ) -> Option<(u32, &'static str)> {
        if at != self.at {
            self.at = at;
            self.polls = 0;
            self.by_name.clear();
        }
        self.polls += 1;
        if self.polls > budget / 2 {
            *self.by_name.entry(task).or_insert(0) += 1;
        }
        (self.polls > budget).then(|| {
            *self
                .by_name
                .iter()
                .max_by_key(|(_, polls)| **polls)
                .expect("counted above")
                .0
        })
    }
}
