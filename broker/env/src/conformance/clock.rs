//! Time only goes forward, sleeps end late and never early, timeouts cut.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Sites, checks_of, soon};
use crate::Instant;
use crate::time::{Elapsed, timeout};

checks_of!("clock":
    now_never_goes_back, a_sleep_is_never_early, sleeps_end_in_order, a_sleep_of_zero_yields_once,
    a_sleep_counts_from_its_making, a_timeout_cuts, a_timeout_lets_through_what_is_in_time, wall_time_passes,
    a_dropped_sleep_wakes_nobody);

async fn now_never_goes_back(sites: Sites) {
    let env = sites.client.env;
    let mut last = env.now();
    for _ in 0..100 {
        env.sleep(Duration::ZERO).await;
        let now = env.now();
        assert!(now >= last, "{now:?} after {last:?}");
        last = now;
    }
}

async fn a_sleep_is_never_early(sites: Sites) {
    let env = sites.client.env;
    for micros in [1, 999, 1_000, 10_500] {
        let duration = Duration::from_micros(micros);
        let start = env.now();
        env.sleep(duration).await;
        let slept = env.now().saturating_since(start);
        assert!(slept >= duration, "slept {slept:?} of {duration:?}");
        assert!(
            slept < duration + Duration::from_secs(10),
            "slept {slept:?} instead of {duration:?}"
        );
    }
}

async fn sleeps_end_in_order(sites: Sites) {
    let env = sites.client.env;
    let ended = Arc::new(Mutex::new(Vec::new()));
    for millis in [160, 10, 80] {
        let (env, ended) = (env.clone(), ended.clone());
        sites.server.env.clone().spawn("sleeper", async move {
            env.sleep(Duration::from_millis(millis)).await;
            ended.lock().expect("no panic inside").push(millis);
        });
    }
    let all_ended = async {
        while ended.lock().expect("no panic inside").len() < 3 {
            env.sleep(Duration::from_millis(5)).await;
        }
    };
    soon(&env, "three sleeps end", all_ended).await;
    assert_eq!(*ended.lock().expect("no panic inside"), [10, 80, 160]);
}

async fn a_sleep_of_zero_yields_once(sites: Sites) {
    let env = sites.client.env;
    let mut polls = 0;
    let mut sleep = env.sleep(Duration::ZERO);
    std::future::poll_fn(|context| {
        polls += 1;
        sleep.as_mut().poll(context)
    })
    .await;
    assert_eq!(polls, 2, "pending once, then ready");
}

async fn a_sleep_counts_from_its_making(sites: Sites) {
    let env = sites.client.env;
    let early = env.sleep(Duration::from_millis(200));
    env.sleep(Duration::from_millis(250)).await;
    let start = env.now();
    early.await;
    let waited = env.now().saturating_since(start);
    assert!(
        waited < Duration::from_millis(150),
        "waited {waited:?} for a sleep that was over"
    );
}

async fn a_timeout_cuts(sites: Sites) {
    let env = sites.client.env;
    let start = env.now();
    let outcome = timeout(
        &env,
        Duration::from_millis(20),
        std::future::pending::<()>(),
    )
    .await;
    assert_eq!(outcome, Err(Elapsed));
    assert!(env.now() >= start + Duration::from_millis(20));
}

async fn a_timeout_lets_through_what_is_in_time(sites: Sites) {
    let env = sites.client.env;
    let quick = async {
        env.sleep(Duration::from_millis(1)).await;
        7
    };
    assert_eq!(timeout(&env, Duration::from_secs(10), quick).await, Ok(7));
}

async fn wall_time_passes(sites: Sites) {
    let clock = sites.client.env.clock.clone();
    let before = clock.wall();
    assert!(
        before.0 > 1_500_000_000_000,
        "{before:?} is before this project"
    );
    clock.sleep(Duration::from_millis(20)).await;
    let passed = clock.wall().0 - before.0;
    assert!(
        (15..10_000).contains(&passed),
        "{passed} ms passed in a sleep of 20 ms"
    );
}

async fn a_dropped_sleep_wakes_nobody(sites: Sites) {
    let env = sites.client.env;
    for _ in 0..1_000 {
        let sleep = env.sleep(Duration::from_millis(1));
        drop(sleep);
    }
    let start: Instant = env.now();
    env.sleep(Duration::from_millis(5)).await;
    assert!(env.now() >= start + Duration::from_millis(5));
}
