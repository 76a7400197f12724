//! Answers leave in the order their requests came.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use broker_env::BoxFuture;

use super::Answer;

/// Futures started in order whose results leave in order.
#[derive(Default)]
pub(super) struct OrderedAnswers {
    slots: VecDeque<Slot>,
}

enum Slot {
    Waiting(BoxFuture<'static, Answer>),
    Ready(Answer),
}

impl OrderedAnswers {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Polls the future once, so that its synchronous part runs before the next request's.
    pub(super) async fn start(&mut self, future: BoxFuture<'static, Answer>) {
        let mut slot = Slot::Waiting(future);
        poll_fn(|context| {
            slot.poll(context);
            Poll::Ready(())
        })
        .await;
        self.slots.push_back(slot);
    }

    /// The answer of the oldest request. Cancel-safe.
    pub(super) async fn next(&mut self) -> Answer {
        poll_fn(|context| {
            for slot in &mut self.slots {
                slot.poll(context);
            }
            self.take_ready().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    pub(super) fn take_ready(&mut self) -> Option<Answer> {
        if !matches!(self.slots.front(), Some(Slot::Ready(_))) {
            return None;
        }
        match self.slots.pop_front() {
            Some(Slot::Ready(answer)) => Some(answer),
            _ => None,
        }
    }
}

impl Slot {
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Slot::Waiting(future) = self
            && let Poll::Ready(answer) = future.as_mut().poll(context)
        {
            *self = Slot::Ready(answer);
        }
    }
}
