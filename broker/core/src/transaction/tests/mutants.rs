//! Known bugs, put back one at a time: each breaks what its test says.

#![cfg(feature = "mutants")]

use broker_probe::set_mutant;

use super::*;

impl World {
    /// All markers that left are written.
    fn write_markers(&mut self) {
        for markers in std::mem::take(&mut self.markers) {
            self.written(&all_of(&markers));
        }
    }

    fn state(&self) -> State {
        self.core.hard().get("x").expect("known").state
    }
}

fn with_bug<T>(bug: Option<&'static str>, run: impl FnOnce(&mut World) -> T) -> T {
    set_mutant(bug);
    let result = run(&mut World::new(Config::default()));
    set_mutant(None);
    result
}

fn begun(world: &mut World) -> Producer {
    let producer = world.init(None).expect("the first");
    assert_eq!(world.add(producer, &["a", "b"]), ErrorCode::None);
    producer
}

#[test]
fn t_01_the_next_transaction_has_the_same_epoch() {
    let ended = |world: &mut World| {
        let producer = begun(world);
        world.end(producer, true, 2).expect("it began") == producer
    };
    assert!(!with_bug(None, ended));
    assert!(with_bug(Some("T_01"), ended));
}

#[test]
fn t_07_markers_of_the_last_transaction_complete_the_next() {
    let reported_twice = |world: &mut World| {
        let producer = begun(world);
        world.end(producer, true, 0).expect("it began");
        let first = world.markers[0].clone();
        world.write_markers();
        world.add(producer, &["a"]);
        world.end(producer, true, 0).expect("it began");
        world.written(&all_of(&first));
        world.state()
    };
    assert_eq!(with_bug(None, reported_twice), State::PrepareCommit);
    let bug = || with_bug(Some("T_07"), reported_twice);
    assert!(std::panic::catch_unwind(bug).is_err() || bug() == State::CompleteCommit);
    set_mutant(None);
}

#[test]
fn t_08_nobody_notices_that_all_markers_are_written() {
    let written = |world: &mut World| {
        let producer = begun(world);
        world.end(producer, true, 0).expect("it began");
        let wall = world.wall();
        let written = all_of(&world.markers[0]);
        // Without the invariants, which see it at once.
        world.core.markers_written(&written, wall, &mut Vec::new());
        world.state()
    };
    assert_eq!(with_bug(None, written), State::CompleteCommit);
    assert_eq!(with_bug(Some("T_08"), written), State::PrepareCommit);
}

#[test]
fn t_10_attempts_to_fence_use_up_the_epochs() {
    let attempts = |world: &mut World| {
        begun(world);
        for _ in 0..10 {
            let request = Request::InitProducerId(init("x", None));
            let wall = world.wall();
            world.core.handle(Ticket(0), request, wall, &mut Vec::new());
        }
        world.core.hard().get("x").expect("known").producer_epoch
    };
    assert_eq!(with_bug(None, attempts), 1);
    assert_eq!(with_bug(Some("T_10"), attempts), 10);
}

#[test]
fn t_11_a_client_ends_a_transaction_under_an_epoch_it_never_had() {
    let forged = |world: &mut World| {
        let producer = begun(world);
        let forged = Producer {
            epoch: producer.epoch + 1,
            ..producer
        };
        world.end(forged, true, 0).err()
    };
    assert_eq!(with_bug(None, forged), Some(ErrorCode::ProducerFenced));
    assert_eq!(with_bug(Some("T_11"), forged), None);
}

#[test]
fn t_13_after_the_clock_went_back_no_transaction_begins() {
    let stepped_back = |world: &mut World| {
        let producer = begun(world);
        world.end(producer, true, 0).expect("it began");
        world.write_markers();
        world.skew_ms = -5_000;
        let added = world.add(producer, &["a"]);
        world.wait(80_000);
        (added, world.state())
    };
    assert_eq!(
        with_bug(None, stepped_back),
        (ErrorCode::None, State::PrepareAbort)
    );
    let bug = with_bug(Some("T_13"), stepped_back);
    assert_eq!(bug, (ErrorCode::UnknownServerError, State::CompleteCommit));
}

#[test]
fn t_19_an_abort_of_nothing_fences_its_own_producer() {
    let aborted = |world: &mut World| {
        let producer = begun(world);
        let next = world.end(producer, true, 2).expect("it began");
        world.end(next, false, 2).err()
    };
    assert_eq!(
        with_bug(None, aborted),
        Some(ErrorCode::ConcurrentTransactions)
    );
    assert_ne!(
        with_bug(Some("T_19"), aborted),
        Some(ErrorCode::ConcurrentTransactions)
    );
}

#[test]
fn t_28_a_new_coordinator_knows_of_no_transaction() {
    let failed_over = |world: &mut World| {
        begun(world);
        world.load();
        world.state()
    };
    assert_eq!(with_bug(None, failed_over), State::Ongoing);
    assert_eq!(with_bug(Some("T_28"), failed_over), State::Empty);
}

#[test]
fn t_29_a_commit_that_is_asked_for_again_is_told_to_have_failed() {
    let retried = |world: &mut World| {
        let producer = begun(world);
        world.end(producer, true, 0).expect("it began");
        world.write_markers();
        world.load();
        world.end(producer, true, 0).err()
    };
    assert_eq!(with_bug(None, retried), None);
    assert_eq!(
        with_bug(Some("T_29"), retried),
        Some(ErrorCode::InvalidTxnState)
    );
}

#[test]
fn c_04_a_new_identity_in_the_middle_of_a_transaction_is_the_old_one() {
    let begun_anew = |world: &mut World| {
        let producer = begun(world);
        (producer, world.init(Some(producer)))
    };
    let (_, refused) = with_bug(None, begun_anew);
    assert_eq!(refused, Err(ErrorCode::ConcurrentTransactions));
    let (producer, same) = with_bug(Some("C_04"), begun_anew);
    assert_eq!(same, Ok(producer));
}
