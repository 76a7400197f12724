//! Network faults as both ends of a connection see them.

use std::sync::Arc;
use std::time::Duration;

use sim_engine::Options;
use sim_faults::{
    Chance, Direction, Fault, FrameAction, FrameClassifier, FrameInfo, FrameRule, LinkSelector,
    NetworkFault, World,
};

#[path = "support/log.rs"]
mod log;
#[path = "support/talk.rs"]
mod talk;
use talk::{Talk, talk};

fn set(talk: &Talk, fault: &NetworkFault) {
    talk.engine
        .handle()
        .apply(&Fault::Network(fault.clone()))
        .expect("network faults are supported");
}

fn heal(talk: &Talk, fault: &NetworkFault) {
    let healing = Fault::Heal(Box::new(Fault::Network(fault.clone())));
    talk.engine
        .handle()
        .apply(&healing)
        .expect("network faults are supported");
}

fn partition() -> NetworkFault {
    NetworkFault::Partition {
        sides: vec![vec!["node1".into()], vec!["client1".into()]],
    }
}

fn link() -> LinkSelector {
    LinkSelector::between("client1", "node1")
}

#[test]
fn what_a_partition_keeps_arrives_in_order_after_the_heal() {
    let mut talk = talk(Options::new(1));
    talk.say(5);
    talk.run(15);
    assert_eq!(talk.heard.take(), ["started", "accepted", "1", "2"]);
    set(&talk, &partition());
    talk.run(1_000);
    assert_eq!(
        (talk.heard.take(), talk.seen.take().len()),
        (vec![], 3),
        "connected and two echoes"
    );
    heal(&talk, &partition());
    talk.run(5_000);
    assert_eq!(talk.heard.take().concat(), "345");
    assert_eq!(talk.seen.take(), ["echo 345"]);
}

#[test]
fn a_one_way_cut_stops_one_direction() {
    let mut talk = talk(Options::new(1));
    talk.say(3);
    let cut = NetworkFault::OneWay {
        from: "node1".into(),
        to: "client1".into(),
    };
    talk.run(5);
    set(&talk, &cut);
    talk.run(1_000);
    assert_eq!(talk.heard.take().concat(), "startedaccepted123");
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
    heal(&talk, &cut);
    talk.run(5_000);
    assert_eq!(talk.seen.take().concat().replace("echo ", ""), "23");
}

#[test]
fn a_connect_behind_a_partition_waits_for_the_heal() {
    let mut talk = talk(Options::new(1));
    set(&talk, &partition());
    talk.say(1);
    talk.run(3_000);
    assert_eq!(talk.seen.take(), [""; 0]);
    heal(&talk, &partition());
    talk.run(3_000);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
}

#[test]
fn a_held_link_releases_everything_at_once() {
    let mut talk = talk(Options::new(1));
    let hold = NetworkFault::Hold { link: link() };
    talk.say(4);
    talk.run(5);
    set(&talk, &hold);
    talk.run(100);
    assert_eq!(talk.heard.take().concat(), "startedaccepted1");
    heal(&talk, &hold);
    talk.run(2_500);
    assert_eq!(talk.heard.take(), ["234"]);
}

#[test]
fn a_reset_reaches_both_ends() {
    let mut talk = talk(Options::new(1));
    talk.say(1);
    talk.run(20);
    set(&talk, &NetworkFault::Reset { link: link() });
    talk.run(20);
    assert_eq!(
        talk.heard.take(),
        ["started", "accepted", "1", "ConnectionReset"]
    );
    assert_eq!(
        talk.seen.take(),
        ["connected", "echo 1", "read ConnectionReset"]
    );
    talk.say(1);
    talk.run(20);
    assert_eq!(
        talk.seen.take(),
        ["connected", "echo 1"],
        "new connections work"
    );
}

#[test]
fn a_half_open_connection_is_silent_for_ever_and_new_ones_work() {
    let mut talk = talk(Options::new(1));
    talk.say(300);
    talk.run(5);
    set(&talk, &NetworkFault::HalfOpen { link: link() });
    talk.run(10_000);
    assert_eq!(talk.heard.take(), ["started", "accepted", "1"]);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
    talk.say(1);
    talk.run(20);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
}

#[test]
fn random_resets_break_connections() {
    let mut talk = talk(Options::new(1));
    set(
        &talk,
        &NetworkFault::Resets {
            link: link(),
            chance: Chance::per_million(200_000),
        },
    );
    for _ in 0..20 {
        talk.say(10);
    }
    talk.run(500);
    let resets = talk
        .seen
        .take()
        .iter()
        .filter(|line| line.contains("Reset"))
        .count();
    assert!(resets > 5, "{resets}");
    assert!(talk.engine.handle().fault_counts()["network-resets"] > 5);
}

#[test]
fn a_refusing_link_refuses_and_a_slow_one_is_slow() {
    let mut talk = talk(Options::new(1));
    let refuse = NetworkFault::Refuse { link: link() };
    set(&talk, &refuse);
    talk.say(1);
    talk.run(20);
    assert_eq!(
        talk.seen.take(),
        ["cannot connect to node1:9092: connection refused"]
    );
    heal(&talk, &refuse);
    set(
        &talk,
        &NetworkFault::Bandwidth {
            link: link(),
            bytes_per_second: 10,
        },
    );
    talk.say(1);
    talk.run(150);
    assert_eq!(
        talk.seen.take(),
        ["connected"],
        "0.1 s to the server and 0.1 s back"
    );
    talk.run(100);
    assert_eq!(talk.seen.take(), ["echo 1"]);
}

#[test]
fn faults_and_strikes_are_counted() {
    let mut talk = talk(Options::new(1));
    set(&talk, &partition());
    heal(&talk, &partition());
    let handle = talk.engine.handle();
    handle
        .clone()
        .apply(&Fault::process("node1", sim_faults::ProcessFault::Kill))
        .expect("supported");
    talk.run(1);
    let counts = handle.fault_counts();
    assert_eq!(
        (counts["network-partition"], counts["process-kill"]),
        (1, 1)
    );
    assert_eq!(World::hosts(&handle), ["client1", "node1"]);
    assert!(!handle.is_up("node1") && handle.is_up("client1") && !handle.is_up("nobody"));
    let nobody = Fault::process("nobody", sim_faults::ProcessFault::Kill);
    assert!(
        handle
            .clone()
            .apply(&nobody)
            .expect_err("no such host")
            .to_string()
            .contains("no such host")
    );
}

/// The first byte of a frame is its API key.
struct FirstByte;

impl FrameClassifier for FirstByte {
    fn classify(&self, _: u64, _: Direction, frame: &[u8]) -> Option<FrameInfo> {
        frame.first().map(|key| FrameInfo {
            api_key: i16::from(*key),
            ..FrameInfo::default()
        })
    }

    fn closed(&self, _: u64) {}
}

/// Sends frames of api 1, 2, 3 in three writes that do not end where frames do; gives when each
/// frame of the echo was read, in ms, or the error.
fn typed(rule: Option<FrameRule>) -> Vec<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut options = Options::new(1);
    options.classifier = Some(Arc::new(FirstByte));
    let mut talk = talk(options);
    if let Some(rule) = rule {
        talk.engine
            .handle()
            .apply(&Fault::Frames(rule))
            .expect("there is a classifier");
    }
    let (seen, handle) = (talk.seen.clone(), talk.engine.handle());
    talk.engine.spawn_on(talk.client, "frames", move |env| {
        Box::pin(async move {
            let address = broker_env::Address::new("node1", talk::PORT);
            let mut connection = env.network.connect(&address).await.expect("it listens");
            let bytes = [0, 0, 0, 2, 1, 9, 0, 0, 0, 2, 2, 9, 0, 0, 0, 2, 3, 9];
            for piece in bytes.chunks(7) {
                let written = connection
                    .write_all(piece)
                    .await
                    .and(connection.flush().await);
                if let Err(error) = written {
                    return seen.note(format!("{:?}", error.kind()));
                }
                env.sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..3 {
                let mut frame = [0; 6];
                match connection.read_exact(&mut frame).await {
                    Ok(_) => seen.note(format!(
                        "{} at {}",
                        frame[4],
                        handle.now() / 10_000_000 * 10
                    )),
                    Err(error) => return seen.note(format!("{:?}", error.kind())),
                }
            }
        })
    });
    talk.run(1_000);
    talk.seen.take()
}

#[test]
fn typed_rules_delay_hold_or_break_at_one_frame() {
    assert_eq!(typed(None), ["1 at 0", "2 at 0", "3 at 0"]);
    let rule = |direction, action| Some(FrameRule::each(2, direction, action));
    let delay = FrameAction::Delay(Duration::from_millis(100));
    assert_eq!(
        typed(rule(Direction::Request, delay)),
        ["1 at 0", "2 at 100", "3 at 100"]
    );
    let hold = FrameAction::HoldUntil(Duration::from_millis(300));
    assert_eq!(
        typed(rule(Direction::Response, hold)),
        ["1 at 0", "2 at 300", "3 at 300"]
    );
    assert_eq!(
        typed(rule(Direction::Request, FrameAction::DropConnection))
            .last()
            .expect("an end"),
        "ConnectionReset"
    );
}

#[test]
fn typed_rules_need_a_classifier() {
    let talk = talk(Options::new(1));
    let rule = FrameRule::each(1, Direction::Request, FrameAction::DropConnection);
    let refused = talk
        .engine
        .handle()
        .apply(&Fault::Frames(rule))
        .expect_err("no classifier");
    assert_eq!(
        (refused.engine, refused.reason.as_str()),
        ("native", "the run has no frame classifier")
    );
}
