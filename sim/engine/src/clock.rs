//! A node's clocks and the sleeps on them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use broker_env::{BoxFuture, Clock, Instant, WallTime};

use crate::state::{Shared, State};
use crate::timers::TimerRef;

/// Timers of this "node" run on true time.
pub(crate) const TRUE_TIME: u32 = u32::MAX;

/// The clocks as one node reads them.
pub(crate) struct NodeClock {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: u32,
}

impl Clock for NodeClock {
    fn now(&self) -> Instant {
        Instant(self.shared.lock().monotonic(self.node))
    }

    fn wall(&self) -> WallTime {
        self.shared.lock().wall(self.node)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep::new(self.shared.clone(), self.node, duration))
    }
}

/// Waits on a node's monotonic clock, or on true time.
pub(crate) struct Sleep {
    shared: Arc<Shared>,
    timer: Option<TimerRef>,
    /// A sleep of zero: ready at its second poll.
    yielding: bool,
}

impl Sleep {
    pub(crate) fn new(shared: Arc<Shared>, node: u32, duration: Duration) -> Sleep {
        let yielding = duration.is_zero();
        let timer = (!yielding).then(|| shared.lock().start_timer(node, duration));
        Sleep {
            shared,
            timer,
            yielding,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(timer) = self.timer {
            return self.shared.lock().timers.poll(timer, context);
        }
        if std::mem::take(&mut self.yielding) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            let state = &mut *self.shared.lock();
            state.timers.remove(timer, &mut state.events);
        }
    }
}

impl State {
    /// A clock's reading, ns.
    pub(crate) fn monotonic(&self, node: u32) -> u64 {
        if node == TRUE_TIME {
            self.now
        } else {
            self.nodes[crate::index(node)].clock.monotonic(self.now)
        }
    }

    pub(crate) fn wall(&self, node: u32) -> WallTime {
        WallTime(self.nodes[crate::index(node)].clock.wall_ms(self.now))
    }

    /// The true time at which a clock will read `deadline`; never, while it is frozen.
    fn true_time(&self, node: u32, deadline: u64) -> Option<u64> {
        if node == TRUE_TIME {
            return Some(deadline);
        }
        self.nodes[crate::index(node)].clock.true_time_of(deadline)
    }

    pub(crate) fn start_timer(&mut self, node: u32, duration: Duration) -> TimerRef {
        let duration = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let deadline = self.monotonic(node).saturating_add(duration);
        let at = self.true_time(node, deadline);
        self.timers.insert(node, deadline, at, &mut self.events)
    }

    /// The event of a timer came up. Tells whether anything happened.
    pub(crate) fn fire_timer(&mut self, slot: u32, generation: u32) -> bool {
        let Some((node, deadline)) = self.timers.due(slot, generation) else {
            return false;
        };
        if self.monotonic(node) < deadline {
            let at = self
                .true_time(node, deadline)
                .map(|at| at.max(self.now + 1));
            self.timers.postpone(slot, at, &mut self.events);
            return false;
        }
        let waker = self.timers.fire(slot);
        self.trace.event(
            crate::trace::EventKind::Timer,
            self.now,
            u64::from(node),
            u64::from(slot),
        );
        waker.into_iter().for_each(std::task::Waker::wake);
        true
    }

    /// A node's clock moves differently from now on: its timers fire at other true times.
    pub(crate) fn clock_changed(&mut self, node: u32) {
        let clock = self.nodes[crate::index(node)].clock.clone();
        let at = |deadline| clock.true_time_of(deadline);
        self.timers.reschedule(node, at, &mut self.events);
    }
}
