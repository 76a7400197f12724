//! Tasks of processes on a foreign executor, and the work of machines.
//!
//! A process's future lies in the world's table; the executor runs a stub that takes it out for each
//! poll. So a kill drops the futures at once, from wherever it is called, and a paused or stalled
//! process just is not polled.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use broker_env::BoxFuture;
use sim_engine::parts::panics::{self, Panic};
use sim_engine::{Crash, Death, HostId, Outcome, StepInfo};

use crate::handle::Handle;
use crate::network::courier;
use crate::state::{Shared, State};

/// What a new task belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) node: u32,
    pub(crate) incarnation: u32,
    /// The node's process ends with this task.
    pub(crate) main: bool,
}

pub(crate) struct Task {
    pub(crate) owner: Owner,
    pub(crate) name: &'static str,
    /// Dropped instead of polled next.
    aborted: bool,
    /// Absent while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    pub(crate) waker: Option<Waker>,
}

/// All tasks of processes by number.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) live: BTreeMap<u64, Task>,
    spawned: u64,
}

impl Tasks {
    /// Removes all tasks of a node; the caller drops them with the world unlocked. Their stubs end.
    pub(crate) fn remove_of_node(&mut self, node: u32) -> Vec<Task> {
        let numbers: Vec<u64> = self
            .live
            .iter()
            .filter(|(_, task)| task.owner.node == node)
            .map(|(number, _)| *number)
            .collect();
        numbers
            .into_iter()
            .filter_map(|number| self.live.remove(&number))
            .inspect(|task| task.waker.iter().for_each(Waker::wake_by_ref))
            .collect()
    }

    /// Lets all tasks look again at the clocks they wait for; some wait for another node's.
    pub(crate) fn wake_all(&self) {
        let wakers = self.live.values().filter_map(|task| task.waker.as_ref());
        wakers.for_each(Waker::wake_by_ref);
    }

    /// Lets all tasks of a node run again.
    pub(crate) fn wake_node(&self, node: u32) {
        self.live
            .values()
            .filter(|task| task.owner.node == node)
            .filter_map(|task| task.waker.as_ref())
            .for_each(Waker::wake_by_ref);
    }
}

/// What to do at a poll of a stub.
enum Begin {
    /// The task ended or was killed.
    Ended,
    /// Its node does not run now.
    Wait,
    /// It was aborted.
    Drop(BoxFuture<'static, ()>, Owner, &'static str),
    Poll(BoxFuture<'static, ()>, Owner, &'static str),
}

impl State {
    /// Starts a task, or gives the future back if its process is dead.
    pub(crate) fn spawn(
        &mut self,
        shared: &Arc<Shared>,
        owner: Owner,
        name: &'static str,
        future: BoxFuture<'static, ()>,
    ) -> Result<u64, BoxFuture<'static, ()>> {
        if !self.is_alive(owner.node, owner.incarnation) {
            return Err(future);
        }
        self.tasks.spawned += 1;
        let number = self.tasks.spawned;
        let task = Task {
            owner,
            name,
            aborted: false,
            future: Some(future),
            waker: None,
        };
        self.tasks.live.insert(number, task);
        let shared = shared.clone();
        self.machines[crate::index(owner.node)].push(Box::pin(Stub { shared, number }));
        Ok(number)
    }

    pub(crate) fn abort(&mut self, number: u64) {
        if let Some(task) = self.tasks.live.get_mut(&number) {
            task.aborted = true;
            task.waker.iter().for_each(Waker::wake_by_ref);
        }
    }

    fn begin_poll(&mut self, number: u64, waker: &Waker, has_instants: bool) -> Begin {
        let now = self.now;
        if self.ended.is_some() {
            return Begin::Wait;
        }
        let Some(task) = self.tasks.live.get_mut(&number) else {
            return Begin::Ended;
        };
        let (owner, name) = (task.owner, task.name);
        match &mut task.waker {
            Some(kept) => kept.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
        if task.aborted {
            let aborted = self.tasks.live.remove(&number).and_then(|task| task.future);
            return aborted.map_or(Begin::Ended, |future| Begin::Drop(future, owner, name));
        }
        if !self.nodes[crate::index(owner.node)].can_run(now) {
            return Begin::Wait;
        }
        let future = task
            .future
            .take()
            .expect("a stub is polled by one executor");
        if has_instants && self.is_livelocked() {
            let _in_table = task_back(self, number, future);
            let node = self.nodes[crate::index(owner.node)].name.to_string();
            self.end(Outcome::Livelock {
                node,
                task: name.to_owned(),
            });
            return Begin::Wait;
        }
        Begin::Poll(future, owner, name)
    }

    /// Counts a poll; true if the instant has seen too many.
    fn is_livelocked(&mut self) -> bool {
        if self.instant.0 != self.now {
            self.instant = (self.now, 0);
        }
        self.instant.1 += 1;
        self.instant.1 > self.polls_per_instant
    }
}

/// Puts a future back that has more to do; gives it back if it was killed meanwhile.
fn task_back(
    state: &mut State,
    number: u64,
    future: BoxFuture<'static, ()>,
) -> Option<BoxFuture<'static, ()>> {
    match state.tasks.live.get_mut(&number) {
        Some(task) => {
            task.future = Some(future);
            None
        }
        None => Some(future),
    }
}

/// What the foreign executor runs for a task. It owns nothing that locks the world when dropped.
struct Stub {
    shared: Arc<Shared>,
    number: u64,
}

impl Future for Stub {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let has_instants = self.shared.carrier.has_instants();
        let begin = self
            .shared
            .lock()
            .begin_poll(self.number, context.waker(), has_instants);
        match begin {
            Begin::Ended => Poll::Ready(()),
            Begin::Wait => Poll::Pending,
            Begin::Drop(future, owner, name) => {
                self.finish(owner, name, || drop(future));
                Poll::Ready(())
            }
            Begin::Poll(future, owner, name) => self.run(context, future, owner, name),
        }
    }
}

impl Stub {
    fn run(
        &self,
        context: &mut Context<'_>,
        mut future: BoxFuture<'static, ()>,
        owner: Owner,
        name: &'static str,
    ) -> Poll<()> {
        match panics::catch(|| future.as_mut().poll(context)) {
            Ok(Poll::Pending) => {
                let killed = task_back(&mut self.shared.lock(), self.number, future);
                let ended = killed.is_some();
                self.finish(owner, name, || drop(killed));
                if ended {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }
            Ok(Poll::Ready(())) => {
                let exits = self.shared.lock().end_task(self.number);
                self.finish(owner, name, || {
                    drop(future);
                    if exits {
                        self.handle().exit(HostId(owner.node));
                    }
                });
                Poll::Ready(())
            }
            Err(panic) => {
                // What it leaves to drop may panic again; the first panic is the one to tell.
                let _second = panics::catch(|| drop(future));
                self.crashed(owner, name, panic);
                Poll::Ready(())
            }
        }
    }

    fn handle(&self) -> Handle {
        Handle {
            shared: self.shared.clone(),
        }
    }

    /// Ends a step with application code that a drop may run.
    fn finish(&self, owner: Owner, name: &'static str, drops: impl FnOnce()) {
        if let Err(panic) = panics::catch(drops) {
            return self.crashed(owner, name, panic);
        }
        let info = {
            let mut state = self.shared.lock();
            state.last_step = state.step_info(Some(owner.node));
            if state.watched {
                state.wake_runner();
            }
            state.last_step
        };
        call_hook(&info);
    }

    fn crashed(&self, owner: Owner, name: &'static str, panic: Panic) {
        let mut state = self.shared.lock();
        let Panic { message, location } = panic;
        let crash = Crash {
            node: state.nodes[crate::index(owner.node)].name.to_string(),
            task: name.to_owned(),
            message,
            location,
            at: state.now,
            event: state.trace.events(),
        };
        state.end(Outcome::Crashed(crash));
    }
}

impl State {
    /// Takes a finished task off. Tells whether it was its process's main task.
    fn end_task(&mut self, number: u64) -> bool {
        let ended = self.tasks.live.remove(&number);
        ended.is_some_and(|task| {
            task.owner.main && self.is_alive(task.owner.node, task.owner.incarnation)
        })
    }
}

pub(crate) type StepHook = Box<dyn FnMut(&StepInfo)>;

thread_local! {
    /// Called after every step of the world that runs on this thread.
    static HOOK: RefCell<Option<StepHook>> = const { RefCell::new(None) };
}

/// Exchanges the thread's hook.
pub(crate) fn swap_hook(hook: Option<StepHook>) -> Option<StepHook> {
    HOOK.replace(hook)
}

fn call_hook(info: &StepInfo) {
    let Some(mut hook) = HOOK.take() else { return };
    hook(info);
    HOOK.set(Some(hook));
}

/// The whole life of a machine: runs the world's work for it with `spawn`, and takes in what other
/// machines send. An engine runs this once for each host, for ever.
pub async fn machine(handle: Handle, host: HostId, spawn: impl Fn(BoxFuture<'static, ()>)) {
    spawn(Box::pin(courier::accept(handle.shared.clone(), host.0)));
    loop {
        let work = poll_fn(|context| {
            let mut state = handle.shared.lock();
            let machine = &mut state.machines[crate::index(host.0)];
            match machine.work.pop_front() {
                Some(work) => Poll::Ready(work),
                None => {
                    machine.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        });
        let work = work.await;
        spawn(work);
    }
}

impl Handle {
    /// The main task of a process returned.
    fn exit(&self, host: HostId) {
        self.end(host, Death::Reset, "process exited");
    }
}
