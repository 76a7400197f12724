//! Tasks run by themselves, stop when aborted, and drop what they hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{Sites, checks_of, never, soon};

checks_of!("spawn":
    a_task_runs, a_task_outlives_its_handle, abort_drops_the_future, abort_of_an_ended_task_does_nothing,
    a_task_may_abort_another_that_waits, tasks_take_turns, select_prefers_the_first_branch);

async fn a_task_runs(sites: Sites) {
    let env = sites.client.env;
    let (sender, receiver) = oneshot::channel();
    env.spawn("child", async move {
        let _gone = sender.send(7);
    });
    assert_eq!(soon(&env, "the child answers", receiver).await, Ok(7));
}

async fn a_task_outlives_its_handle(sites: Sites) {
    let env = sites.client.env;
    let (sender, receiver) = oneshot::channel();
    let child = env.clone();
    let handle = env.spawn("child", async move {
        child.sleep(Duration::from_millis(5)).await;
        let _gone = sender.send(());
    });
    drop(handle);
    soon(&env, "the child answers", receiver)
        .await
        .expect("the child ran to its end");
}

async fn abort_drops_the_future(sites: Sites) {
    let env = sites.client.env;
    let (held, dropped) = oneshot::channel::<()>();
    let handle = env.spawn("child", async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    env.sleep(Duration::from_millis(5)).await;
    handle.abort();
    soon(&env, "what the child held is dropped", dropped)
        .await
        .expect_err("nothing was sent");
}

async fn abort_of_an_ended_task_does_nothing(sites: Sites) {
    let env = sites.client.env;
    let (sender, receiver) = oneshot::channel();
    let handle = env.spawn("child", async move {
        let _gone = sender.send(());
    });
    soon(&env, "the child answers", receiver)
        .await
        .expect("the child ran");
    env.sleep(Duration::from_millis(5)).await;
    handle.abort();
    handle.abort();
}

async fn a_task_may_abort_another_that_waits(sites: Sites) {
    let env = sites.client.env;
    let went_on = Arc::new(AtomicBool::new(false));
    let (child, flag) = (env.clone(), went_on.clone());
    let victim = env.spawn("victim", async move {
        child.sleep(Duration::from_millis(50)).await;
        flag.store(true, Ordering::SeqCst);
    });
    env.spawn("killer", async move { victim.abort() });
    env.sleep(Duration::from_millis(150)).await;
    assert!(!went_on.load(Ordering::SeqCst), "the victim went on");
}

async fn tasks_take_turns(sites: Sites) {
    let env = sites.client.env;
    let (to_pong, mut pong_inbox) = mpsc::channel::<u32>(1);
    let (to_ping, mut ping_inbox) = mpsc::channel::<u32>(1);
    let turns = Arc::new(AtomicU32::new(0));
    let counter = turns.clone();
    env.spawn("pong", async move {
        while let Some(ball) = pong_inbox.recv().await {
            counter.fetch_add(1, Ordering::SeqCst);
            if to_ping.send(ball + 1).await.is_err() {
                return;
            }
        }
    });
    let play = async {
        for round in 0..100 {
            to_pong.send(round).await.expect("pong plays on");
            assert_eq!(ping_inbox.recv().await, Some(round + 1));
        }
    };
    soon(&env, "a hundred rounds", play).await;
    assert_eq!(turns.load(Ordering::SeqCst), 100);
}

async fn select_prefers_the_first_branch(sites: Sites) {
    let env = sites.client.env;
    for _ in 0..50 {
        let first = crate::select! {
            _ = std::future::ready(()) => true,
            _ = std::future::ready(()) => false,
        };
        assert!(first, "two ready branches: the first must win");
    }
    never(&env, "a pending select ends", async {
        crate::select! {
            _ = std::future::pending::<()>() => {}
            _ = std::future::pending::<()>() => {}
        }
    })
    .await;
}
