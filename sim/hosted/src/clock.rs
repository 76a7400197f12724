//! A node's clocks and the sleeps on them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use broker_env::{BoxFuture, Clock, Instant, WallTime};

use crate::state::{Shared, State};

/// Sleeps of this "node" run on true time.
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
        let state = self.shared.lock();
        WallTime(
            state.nodes[crate::index(self.node)]
                .clock
                .wall_ms(state.now),
        )
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep::new(self.shared.clone(), self.node, duration))
    }
}

/// Waits on a node's monotonic clock, or on true time. A change of the clock polls the node's tasks, and
/// this asks the carrier for another time then.
pub(crate) struct Sleep {
    shared: Arc<Shared>,
    node: u32,
    /// On the node's clock; none for a sleep of zero, which is ready at its second poll.
    deadline: Option<u64>,
    yielding: bool,
    /// The carrier's sleep, and the true time it was asked for.
    alarm: Option<(u64, BoxFuture<'static, ()>)>,
}

impl Sleep {
    pub(crate) fn new(shared: Arc<Shared>, node: u32, duration: Duration) -> Sleep {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let yielding = duration.is_zero();
        let deadline = (!yielding).then(|| shared.lock().monotonic(node).saturating_add(nanos));
        Sleep {
            shared,
            node,
            deadline,
            yielding,
            alarm: None,
        }
    }

    /// Ready when the clock reads `deadline`; else the true time at which to look again, if any.
    fn look(&self, deadline: u64) -> Poll<(u64, Option<u64>)> {
        let state = self.shared.lock();
        if state.monotonic(self.node) >= deadline {
            return Poll::Pending;
        }
        Poll::Ready((state.now, state.true_time(self.node, deadline)))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            if std::mem::take(&mut self.yielding) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(());
        };
        loop {
            let Poll::Ready((now, due)) = self.look(deadline) else {
                return Poll::Ready(());
            };
            // A clock that stands still has no such time; its change will poll this again.
            let Some(due) = due else {
                self.alarm = None;
                return Poll::Pending;
            };
            if self.alarm.as_ref().is_none_or(|(at, _)| *at != due) {
                let wait = Duration::from_nanos(due.saturating_sub(now).max(1));
                self.alarm = Some((due, self.shared.carrier.sleep(wait)));
            }
            let (_, alarm) = self.alarm.as_mut().expect("set above");
            ready!(alarm.as_mut().poll(context));
            self.alarm = None;
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

    /// The true time at which a clock will read `deadline`; never, while it stands still.
    fn true_time(&self, node: u32, deadline: u64) -> Option<u64> {
        if node == TRUE_TIME {
            return Some(deadline);
        }
        self.nodes[crate::index(node)].clock.true_time_of(deadline)
    }
}
