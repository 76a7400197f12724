//! Sleeping tasks: deadlines on a node's own monotonic clock, fired at the true time it reaches them.

use std::task::{Context, Poll, Waker};

use crate::events::{Event, Events};

/// Names a timer; stale once the timer is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerRef {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

struct Timer {
    /// Changes when the slot is freed.
    owner: u32,
    /// Changes also when the timer is scheduled anew, so that old events are stale.
    schedule: u32,
    node: u32,
    deadline: u64,
    live: bool,
    fired: bool,
    scheduled: bool,
    waker: Option<Waker>,
}

/// All timers by slot.
#[derive(Default)]
pub(crate) struct Timers {
    slots: Vec<Timer>,
    free: Vec<u32>,
}

impl Timers {
    /// A timer for `deadline` on the node's monotonic clock, due at true time `at` (never, if `None`).
    pub(crate) fn insert(
        &mut self,
        node: u32,
        deadline: u64,
        at: Option<u64>,
        events: &mut Events,
    ) -> TimerRef {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        let timer = &mut self.slots[crate::index(slot)];
        timer.node = node;
        timer.deadline = deadline;
        timer.live = true;
        timer.fired = false;
        let timer_ref = TimerRef {
            slot,
            generation: timer.owner,
        };
        self.schedule(slot, at, events);
        timer_ref
    }

    fn grow(&mut self) -> u32 {
        let blank = Timer {
            owner: 0,
            schedule: 0,
            node: 0,
            deadline: 0,
            live: false,
            fired: false,
            scheduled: false,
            waker: None,
        };
        self.slots.push(blank);
        u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 timers")
    }

    fn schedule(&mut self, slot: u32, at: Option<u64>, events: &mut Events) {
        let timer = &mut self.slots[crate::index(slot)];
        timer.schedule = timer.schedule.wrapping_add(1);
        timer.scheduled = at.is_some();
        if let Some(at) = at {
            events.schedule(
                at,
                Event::Timer {
                    slot,
                    generation: timer.schedule,
                },
            );
        }
    }

    /// Ready once the timer fired.
    pub(crate) fn poll(&mut self, timer: TimerRef, context: &Context<'_>) -> Poll<()> {
        let entry = &mut self.slots[crate::index(timer.slot)];
        assert_eq!(
            entry.owner, timer.generation,
            "timer {timer:?} polled after it was freed"
        );
        if entry.fired {
            return Poll::Ready(());
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(context.waker()),
            empty => *empty = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Frees the slot of a sleep that was dropped, and forgets its event.
    pub(crate) fn remove(&mut self, timer: TimerRef, events: &mut Events) {
        let entry = &mut self.slots[crate::index(timer.slot)];
        assert_eq!(entry.owner, timer.generation, "timer {timer:?} freed twice");
        entry.owner = entry.owner.wrapping_add(1);
        entry.schedule = entry.schedule.wrapping_add(1);
        entry.waker = None;
        entry.live = false;
        let was_scheduled = std::mem::take(&mut entry.scheduled);
        self.free.push(timer.slot);
        if was_scheduled {
            events.cancelled(|event| self.is_current(event));
        }
    }

    fn is_current(&self, event: &Event) -> bool {
        match *event {
            Event::Timer { slot, generation } => {
                let timer = &self.slots[crate::index(slot)];
                timer.scheduled && timer.schedule == generation
            }
            _ => true,
        }
    }

    /// The node and deadline of a timer whose event came up; `None` if the event is stale.
    pub(crate) fn due(&self, slot: u32, schedule: u32) -> Option<(u32, u64)> {
        let timer = &self.slots[crate::index(slot)];
        (timer.scheduled && timer.schedule == schedule).then_some((timer.node, timer.deadline))
    }

    /// Fires a timer that is due; gives the waker to call.
    pub(crate) fn fire(&mut self, slot: u32) -> Option<Waker> {
        let timer = &mut self.slots[crate::index(slot)];
        timer.fired = true;
        timer.scheduled = false;
        timer.waker.take()
    }

    /// Schedules a timer again, for another true time.
    pub(crate) fn postpone(&mut self, slot: u32, at: Option<u64>, events: &mut Events) {
        self.schedule(slot, at, events);
    }

    /// Schedules all waiting timers of a node again, because its clock changed.
    pub(crate) fn reschedule(
        &mut self,
        node: u32,
        at: impl Fn(u64) -> Option<u64>,
        events: &mut Events,
    ) {
        for slot in 0..u32::try_from(self.slots.len()).expect("fewer than 2^32 timers") {
            let timer = &self.slots[crate::index(slot)];
            if timer.live && timer.node == node && !timer.fired {
                let due = at(timer.deadline);
                self.schedule(slot, due, events);
            }
        }
    }
}
