//! Refreshes metadata for a producer or consumer: one request at a time, with pauses, while it is wanted.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::client::Client;
use crate::tasks::lock;

#[derive(Debug, Default)]
pub(crate) struct Refresh {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    running: bool,
}

impl Refresh {
    /// Notes the wish; true if the caller has to start [`run`].
    pub fn want(&self) -> bool {
        let mut state = lock(&self.state);
        state.wanted = true;
        !std::mem::replace(&mut state.running, true)
    }

    fn begin(&self) {
        lock(&self.state).wanted = false;
    }

    fn goes_on(&self) -> bool {
        let mut state = lock(&self.state);
        state.running = state.wanted;
        state.running
    }
}

/// Whose metadata are refreshed.
pub(crate) trait Subscriber: Send + Sync {
    fn refresh(&self) -> &Refresh;
    fn topics(&self) -> BTreeSet<String>;
    /// New metadata are in the cache; false if something needed is still missing.
    fn updated(self: std::sync::Arc<Self>) -> bool;
}

/// Runs until nothing is wanted or the subscriber is gone.
pub(crate) async fn run<S: Subscriber>(client: Client, subscriber: std::sync::Weak<S>) {
    let mut attempt = 0;
    loop {
        let Some(topics) = subscriber.upgrade().map(|subscriber| {
            subscriber.refresh().begin();
            subscriber.topics()
        }) else {
            return;
        };
        let result = client.refresh_metadata(&topics).await;
        let complete = match subscriber.upgrade() {
            Some(subscriber) => {
                let complete = result.is_ok() && subscriber.clone().updated();
                if !complete {
                    let _running = subscriber.refresh().want();
                }
                complete
            }
            None => return,
        };
        attempt = if complete { 0 } else { attempt + 1 };
        client.env().sleep(client.retry_backoff(attempt)).await;
        if subscriber
            .upgrade()
            .is_none_or(|subscriber| !subscriber.refresh().goes_on())
        {
            return;
        }
    }
}
