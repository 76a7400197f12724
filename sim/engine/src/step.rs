//! One step: a poll of one task, or the next event.

use std::task::Waker;

use broker_env::BoxFuture;

use crate::events::Event;
use crate::handle::HostId;
use crate::network::connection::ConnectionRef;
use crate::outcome::{Outcome, StepInfo};
use crate::state::State;
use crate::task::TaskRef;
use crate::trace::EventKind;

/// A task taken out of the world to be polled with the world unlocked.
pub(crate) struct Running {
    pub(crate) future: BoxFuture<'static, ()>,
    pub(crate) waker: Waker,
    pub(crate) node: u32,
    pub(crate) name: &'static str,
}

/// What to do with a task that was picked.
pub(crate) enum Begin {
    /// It ended, or its node does not run now.
    Skip,
    /// It was aborted.
    Drop(BoxFuture<'static, ()>, u32, &'static str),
    Poll(Running),
    Livelock(Outcome),
}

/// What a step did.
pub(crate) enum Step {
    Done(StepInfo),
    /// The run can go on later.
    Nothing(Outcome),
    /// The run is over.
    End(Outcome),
}

impl State {
    pub(crate) fn step_info(&self, host: Option<u32>) -> StepInfo {
        StepInfo {
            event: self.trace.events(),
            at: self.now,
            host: host.map(HostId),
        }
    }

    pub(crate) fn begin_poll(&mut self, picked: TaskRef, budget: u32) -> Begin {
        let Some(task) = self.tasks.get(picked) else {
            return Begin::Skip;
        };
        let (node, name) = (task.node, task.name);
        if task.aborted {
            return match self.tasks.remove(picked).and_then(|task| task.future) {
                Some(future) => Begin::Drop(future, node, name),
                None => Begin::Skip,
            };
        }
        let host = &mut self.nodes[crate::index(node)];
        if !host.can_run(self.now) {
            host.parked.push(picked);
            return Begin::Skip;
        }
        if let Some(busiest) = self.budget.spend(self.now, (node, name), budget) {
            return Begin::Livelock(self.livelock(busiest));
        }
        let Some((future, waker)) = task.begin_poll() else {
            return Begin::Skip;
        };
        self.trace.event(
            EventKind::Poll,
            self.now,
            u64::from(node),
            u64::from(picked.serial),
        );
        if self.trace.wants_lines() {
            self.trace.line(
                self.now,
                &self.nodes[crate::index(node)].name,
                format!("poll {name}"),
            );
        }
        Begin::Poll(Running {
            future,
            waker,
            node,
            name,
        })
    }

    fn livelock(&self, (node, task): (u32, &'static str)) -> Outcome {
        let node = self.nodes[crate::index(node)].name.to_string();
        Outcome::Livelock {
            node,
            task: task.to_owned(),
        }
    }

    /// Puts a task back that has more to do; gives it back if it was killed or aborted meanwhile.
    pub(crate) fn end_poll(&mut self, task: TaskRef, running: Running) -> Option<Running> {
        self.transmit_dirty();
        match self.tasks.get(task) {
            Some(entry) => {
                entry.end_poll(running.future, running.waker);
                None
            }
            None => Some(running),
        }
    }

    /// Takes a finished task off. Tells whether it was its process's main task.
    pub(crate) fn end_task(&mut self, task: TaskRef) -> bool {
        self.transmit_dirty();
        let Some(entry) = self.tasks.remove(task) else {
            return false;
        };
        self.trace.event(
            EventKind::TaskEnd,
            self.now,
            u64::from(entry.node),
            u64::from(entry.serial),
        );
        entry.main && self.is_alive(entry.node, entry.incarnation)
    }

    /// The engine kills the process after this step, with the world unlocked.
    fn grace_over(&mut self, node: u32, incarnation: u32) -> bool {
        if self.is_alive(node, incarnation) {
            self.to_kill.push(node);
        }
        !self.to_kill.is_empty()
    }

    /// Moves time to the next event that does something, but not beyond `deadline`.
    pub(crate) fn advance(&mut self, deadline: u64) -> Step {
        loop {
            let Some(at) = self.events.next_time() else {
                return self.idle(deadline);
            };
            if at > deadline {
                self.now = self.now.max(deadline);
                return Step::Nothing(Outcome::Deadline);
            }
            let (at, event) = self.events.pop().expect("peeked above");
            let before = self.now;
            self.now = self.now.max(at);
            if self.happens(event) {
                return Step::Done(self.step_info(None));
            }
            self.now = before;
        }
    }

    fn idle(&mut self, deadline: u64) -> Step {
        if deadline < u64::MAX {
            self.now = self.now.max(deadline);
        }
        Step::Nothing(Outcome::Idle)
    }

    /// Tells whether the event was still of any meaning.
    fn happens(&mut self, event: Event) -> bool {
        match event {
            Event::Timer { slot, generation } => self.fire_timer(slot, generation),
            Event::Deliver {
                connection: slot,
                generation,
                direction,
            } => self.deliver(ConnectionRef { slot, generation }, direction),
            Event::Reset {
                connection: slot,
                generation,
                side,
            } => self.arrive_reset(ConnectionRef { slot, generation }, side),
            Event::StallEnd { node } => self.end_stall(node),
            Event::GraceEnd { node, incarnation } => self.grace_over(node, incarnation),
        }
    }
}
