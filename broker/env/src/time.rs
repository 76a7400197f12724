//! Timeouts and selection that behave the same on every engine.

use std::future::Future;
use std::time::Duration;

use crate::Env;

/// The time given to [`timeout`] ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// Runs `future` for at most `duration` of this node's monotonic time.
pub async fn timeout<F: Future>(
    env: &Env,
    duration: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut sleep = env.sleep(duration);
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(move |context| {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
            return std::task::Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(context).map(|()| Err(Elapsed))
    })
    .await
}

/// tokio's `select!`, always biased: an unbiased one draws from a random source no seed reaches.
#[macro_export]
macro_rules! select {
    ($($branches:tt)*) => {
        $crate::tokio_select! { biased; $($branches)* }
    };
}

#[doc(hidden)]
pub use tokio::select as tokio_select;
#[doc(hidden)]
#[macro_export]
macro_rules! tokio_select {
    ($($tokens:tt)*) => { $crate::time::tokio_select! { $($tokens)* } };
}
