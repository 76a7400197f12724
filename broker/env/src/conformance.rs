//! What every [`Env`](crate::Env) must do: one suite, run by the tests of production and of each
//! simulator, because a promise that only one of them keeps is a bug no other run can show.
//!
//! A check panics if the promise is broken. An engine that cannot keep one names the check it leaves
//! out, and why, in its own tests; the list of [`checks`] is the whole contract.
//!
//! Map: `network`, `endings` · `disk` · `clock` · `spawn` · `random`.

mod clock;
mod disk;
mod endings;
mod network;
mod random;
mod spawn;

use std::path::PathBuf;
use std::time::Duration;

use crate::time::{Elapsed, timeout};
use crate::{BoxFuture, Env};

/// A node to run checks on.
#[derive(Clone)]
pub struct Site {
    pub env: Env,
    /// What others connect to.
    pub host: String,
    /// An empty directory that exists, or can be made, on this node's disk.
    pub directory: PathBuf,
}

/// Where a check runs. Both may be the same node.
#[derive(Clone)]
pub struct Sites {
    pub server: Site,
    pub client: Site,
}

/// One promise.
#[derive(Clone, Copy)]
pub struct Check {
    /// Area and promise, as `disk::a_gap_reads_as_zeros`.
    pub name: &'static str,
    /// Runs as a task of the client's node.
    pub run: fn(Sites) -> BoxFuture<'static, ()>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Lists the functions of an area as checks.
macro_rules! checks_of {
    ($area:literal: $($check:ident),* $(,)?) => {
        pub(super) const CHECKS: &[super::Check] = &[$(super::Check {
            name: concat!($area, "::", stringify!($check)),
            run: |sites| Box::pin($check(sites)),
        }),*];
    };
}
use checks_of;

/// Every promise.
pub fn checks() -> Vec<Check> {
    [
        network::CHECKS,
        endings::CHECKS,
        disk::CHECKS,
        clock::CHECKS,
        spawn::CHECKS,
        random::CHECKS,
    ]
    .concat()
}

/// The check of this name.
pub fn check(name: &str) -> Option<Check> {
    checks().into_iter().find(|check| check.name == name)
}

/// Longer than anything takes that works; on a real machine under load as well.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough to say that something does not happen.
const DOUBT: Duration = Duration::from_millis(300);

/// Waits for what must happen.
async fn soon<T>(env: &Env, what: &str, future: impl Future<Output = T>) -> T {
    match timeout(env, PATIENCE, future).await {
        Ok(value) => value,
        Err(Elapsed) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// Waits for what must not happen.
async fn never<T>(env: &Env, what: &str, future: impl Future<Output = T>) {
    assert!(
        timeout(env, DOUBT, future).await.is_err(),
        "happened: {what}"
    );
}
