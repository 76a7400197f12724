//! The broker's fetch sessions (KIP-227): the core's cache with a clock, random ids and a lock.

use std::sync::{Mutex, MutexGuard};

use broker_core::fetch_session::{Context, Finished, Outcome, Request, SessionCache};
use broker_env::{Env, Stream, random};
use broker_protocol::ErrorCode;

use crate::config::BrokerConfig;

/// The sessions of all clients and followers of this broker.
pub struct FetchSessions {
    env: Env,
    cache: Mutex<SessionCache>,
}

impl FetchSessions {
    pub fn new(env: Env, config: &BrokerConfig) -> FetchSessions {
        let slots = config.max_incremental_fetch_session_cache_slots;
        FetchSessions {
            env,
            cache: Mutex::new(SessionCache::new(usize::try_from(slots).unwrap_or(0))),
        }
    }

    /// Takes a fetch request into its session.
    ///
    /// # Errors
    /// The session is not as the client thinks.
    pub fn begin(&self, request: Request) -> Result<Context, ErrorCode> {
        let now_ms = self.now_ms();
        self.lock().begin(now_ms, request)
    }

    /// Decides what the answer to a fetch holds.
    ///
    /// # Errors
    /// The session went on without this fetch.
    pub fn finish(&self, context: &Context, outcomes: &[Outcome]) -> Result<Finished, ErrorCode> {
        let now_ms = self.now_ms();
        let fresh_id = || {
            let id = random::in_range(
                self.env.random.as_ref(),
                Stream::Identity,
                1,
                u64::from(i32::MAX.unsigned_abs()),
            );
            i32::try_from(id).unwrap_or(i32::MAX)
        };
        self.lock().finish(now_ms, context, outcomes, fresh_id)
    }

    fn lock(&self) -> MutexGuard<'_, SessionCache> {
        self.cache.lock().expect("no panic under this lock")
    }

    fn now_ms(&self) -> u64 {
        self.env.now().0 / 1_000_000
    }
}
