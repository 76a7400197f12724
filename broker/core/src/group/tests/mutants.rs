//! Known bugs, put back one at a time: each breaks what its test says.

#![cfg(feature = "mutants")]

use broker_probe::set_mutant;

use super::*;

fn with_bug<T>(bug: Option<&'static str>, run: impl FnOnce() -> T) -> T {
    set_mutant(bug);
    let result = run();
    set_mutant(None);
    result
}

fn joined(world: &mut World, id: &str) -> i32 {
    world.request(Request::Join(join("", id)));
    world.wait(3_000);
    world.core.group("g").expect("it joined").generation
}

fn sync(world: &mut World, id: &str, generation: i32) {
    world.request(Request::Sync(SyncRequest {
        group: "g".into(),
        member: member(id, generation),
        protocol_type: None,
        protocol_name: None,
        assignments: vec![],
    }));
}

/// The state after a leader heartbeats, but never says who gets what.
fn silent_leader(bug: Option<&'static str>) -> State {
    with_bug(bug, || {
        let mut world = World::new(Config::default());
        let generation = joined(&mut world, "m1");
        for _ in 0..20 {
            world.wait(5_000);
            let group = "g".into();
            let member = member("m1", generation);
            world.request(Request::Heartbeat { group, member });
        }
        world.core.group("g").expect("known").state
    })
}

#[test]
fn g_01_a_leader_that_never_syncs_blocks_its_group() {
    assert_eq!(silent_leader(None), State::Empty);
    assert_eq!(silent_leader(Some("G_01")), State::CompletingRebalance);
}

/// The state after a member was promised an id and never came back.
fn lost_promise(bug: Option<&'static str>) -> bool {
    with_bug(bug, || {
        let mut world = World::new(Config::default());
        let generation = joined(&mut world, "m1");
        sync(&mut world, "m1", generation);
        let mut new = join("", "m2");
        new.require_known_member_id = true;
        world.request(Request::Join(new));
        world.request(Request::Join(join("m1", "")));
        world.wait(20_000);
        world
            .core
            .group("g")
            .expect("known")
            .pending_members
            .is_empty()
    })
}

#[test]
fn g_02_an_id_that_is_not_used_blocks_the_rebalance() {
    assert!(lost_promise(None));
    assert!(!lost_promise(Some("G_02")));
}

fn offsets_left(bug: Option<&'static str>, run: impl FnOnce(&mut World)) -> usize {
    with_bug(bug, || {
        let mut world = World::new(Config {
            offsets_retention_ms: 60_000,
            retention_check_interval_ms: 10_000,
            ..Config::default()
        });
        run(&mut world);
        let group = world.core.hard().group("g");
        group.map_or(0, |group| group.offsets.len())
    })
}

/// Stable and committed, then a rebalance that takes long.
fn long_rebalance(world: &mut World) {
    let generation = joined(world, "m1");
    sync(world, "m1", generation);
    let committed = commit(member("m1", generation), "t", 5);
    world.request(Request::Commit(committed));
    for _ in 0..11 {
        world.wait(5_000);
        let group = "g".into();
        let member = member("m1", generation);
        world.request(Request::Heartbeat { group, member });
    }
    let mut second = join("", "m2");
    second.rebalance_timeout_ms = 300_000;
    world.request(Request::Join(second));
    for _ in 0..3 {
        world.wait(5_000);
        let group = "g".into();
        let member = member("m1", generation);
        world.request(Request::Heartbeat { group, member });
    }
}

#[test]
fn g_04_offsets_expire_while_their_group_rebalances() {
    assert_eq!(offsets_left(None, long_rebalance), 1);
    assert_eq!(offsets_left(Some("G_04"), long_rebalance), 0);
}

#[test]
fn g_05_loaded_offsets_expire_at_once() {
    let run = |world: &mut World| {
        let nobody = member("", -1);
        world.request(Request::Commit(commit(nobody, "t", 5)));
        world.load();
        world.wait(15_000);
    };
    assert_eq!(offsets_left(None, run), 1);
    assert_eq!(offsets_left(Some("G_05"), run), 0);
}

/// What is committed after a plain commit came between a transaction's record and its marker; and after
/// compaction, which keeps the later record of the key, and a fail-over.
fn late_marker(bug: Option<&'static str>) -> (Option<i64>, Option<i64>) {
    with_bug(bug, || {
        let mut world = World::new(Config::default());
        let early = transactional(7, member("", -1), "t", 3);
        world.request(Request::CommitTransactional(early));
        let later = commit(member("", -1), "t", 5);
        world.request(Request::Commit(later));
        world.end(7, true);
        let live = world.committed("t");
        world.log.remove(0);
        world.load();
        (live, world.committed("t"))
    })
}

#[test]
fn g_07_an_offset_goes_back_after_compaction() {
    assert_eq!(late_marker(None), (Some(5), Some(5)));
    assert_eq!(late_marker(Some("G_07")), (Some(3), Some(5)));
}

/// Whether a member of a past generation commits in a transaction, and whether the next owner reads past it.
fn zombie(bug: Option<&'static str>) -> (bool, ErrorCode) {
    with_bug(bug, || {
        let mut world = World::new(Config::default());
        let generation = joined(&mut world, "m1");
        sync(&mut world, "m1", generation);
        let past = transactional(7, member("m1", generation - 1), "t", 3);
        let (_, replies) = world.request(Request::CommitTransactional(past));
        let is_taken = matches!(&replies[0].1, Reply::CommitTransactional(Ok(_)));
        let current = transactional(8, member("m1", generation), "t", 4);
        world.request(Request::CommitTransactional(current));
        let (_, replies) = world.request(Request::FetchOffsets(FetchOffsetsRequest {
            group: "g".into(),
            member_id: None,
            member_epoch: -1,
            partitions: Some(vec![("t".into(), 0)]),
            require_stable: true,
        }));
        let Reply::FetchOffsets(Ok(fetched)) = &replies[0].1 else {
            panic!("{replies:?}");
        };
        (is_taken, fetched[0].error)
    })
}

#[test]
fn t_26_a_zombie_commits_offsets_inside_a_transaction() {
    let fenced = (false, ErrorCode::UnstableOffsetCommit);
    assert_eq!(zombie(None), fenced);
    assert_eq!(zombie(Some("T_26")), (true, ErrorCode::None));
}

fn heartbeat(epoch: i32) -> ConsumerHeartbeatRequest {
    let joins = epoch == 0;
    ConsumerHeartbeatRequest {
        group: "g".into(),
        member_id: "m1".into(),
        member_epoch: epoch,
        rebalance_timeout_ms: if joins { 60_000 } else { -1 },
        topics: joins.then(|| ["t".to_string()].into()),
        owned: joins.then(BTreeMap::new),
        ..ConsumerHeartbeatRequest::default()
    }
}

fn heard(
    world: &mut World,
    request: ConsumerHeartbeatRequest,
) -> Result<ConsumerHeartbeatReply, ErrorCode> {
    let (_, mut replies) = world.request(Request::ConsumerHeartbeat(request));
    match replies.remove(0).1 {
        Reply::ConsumerHeartbeat(heard) => heard,
        other => panic!("{other:?}"),
    }
}

fn with_topic() -> World {
    let mut world = World::new(Config::default());
    let topic = Topic {
        id: Uuid([1; 16]),
        partitions: 2,
    };
    world.topics.0.insert("t".into(), topic);
    world
}

#[test]
fn g_13_a_fenced_member_never_rejoins() {
    let rejoin = |bug| {
        with_bug(bug, || {
            let mut world = with_topic();
            heard(&mut world, heartbeat(0)).expect("it joins");
            // Later its epoch is another one, and 0 not the one before.
            world.topics.0.clear();
            world.topics.1 += 1;
            let mut without = heartbeat(1);
            without.owned = Some(BTreeMap::new());
            heard(&mut world, without).expect("it is told of the next epoch");
            heard(&mut world, heartbeat(0)).map(|heard| heard.member_epoch)
        })
    };
    assert_eq!(rejoin(None), Ok(2));
    assert_eq!(rejoin(Some("G_13")), Err(ErrorCode::FencedMemberEpoch));
}

#[test]
fn g_14_an_instance_id_that_changed_still_names_its_member() {
    let changed = |bug| {
        with_bug(bug, || {
            let mut world = with_topic();
            let mut first = heartbeat(0);
            first.instance_id = Some("i".into());
            heard(&mut world, first).expect("it joins");
            let mut leaves = heartbeat(-1);
            leaves.instance_id = Some("i".into());
            let topics = world.topics.clone();
            let mut out = Vec::new();
            let request = Request::ConsumerHeartbeat(leaves);
            world
                .core
                .handle(Ticket(9), request, now(0, &topics), &mut out);
            invariants::check(&world.core).is_ok()
        })
    };
    assert!(changed(None));
    assert!(!changed(Some("G_14")));
}

#[test]
fn g_20_a_member_never_learns_its_assignment() {
    let told = |bug| {
        with_bug(bug, || {
            let mut world = with_topic();
            heard(&mut world, heartbeat(0)).expect("the answer is lost");
            let mut full = heartbeat(0);
            full.member_epoch = 1;
            heard(&mut world, full)
                .expect("it asks again")
                .assignment
                .is_some()
        })
    };
    assert!(told(None));
    assert!(!told(Some("G_20")));
}
