//! Network faults as both ends of a connection see them.

use std::sync::Arc;
use std::time::Duration;

use broker_env::Address;
use sim_engine::Options;
use sim_faults::{
    Chance, Direction, Fault, FrameAction, FrameClassifier, FrameInfo, FrameRule, LinkSelector,
    NetworkFault, World,
};
use sim_hosted::{Control, Simulation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::talk::{PORT, talk};

type Make<S> = fn(Options) -> S;

fn partition() -> NetworkFault {
    NetworkFault::Partition {
        sides: vec![vec!["node1".into()], vec!["client1".into()]],
    }
}

fn link() -> LinkSelector {
    LinkSelector::between("client1", "node1")
}

pub fn what_a_partition_keeps_arrives_in_order_after_the_heal<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.say(5);
    talk.run(35);
    assert_eq!(talk.heard.take(), ["started", "accepted", "1", "2"]);
    talk.set(&partition());
    talk.run(1_000);
    let during = (talk.heard.take(), talk.seen.take().len());
    assert_eq!(during, (vec![], 3), "connected and two echoes");
    talk.heal(&partition());
    talk.run(5_000);
    assert_eq!(talk.heard.take().concat(), "345");
    let echoed = talk.seen.take().concat().replace("echo ", "");
    assert_eq!(echoed, "345");
}

pub fn a_one_way_cut_stops_one_direction<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.say(3);
    let cut = NetworkFault::OneWay {
        from: "node1".into(),
        to: "client1".into(),
    };
    talk.run(15);
    talk.set(&cut);
    talk.run(1_000);
    assert_eq!(talk.heard.take().concat(), "startedaccepted123");
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
    talk.heal(&cut);
    talk.run(5_000);
    assert_eq!(talk.seen.take().concat().replace("echo ", ""), "23");
}

pub fn what_is_held_arrives_on_release<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.say(4);
    talk.run(15);
    let hold = NetworkFault::Hold { link: link() };
    talk.set(&hold);
    talk.run(500);
    assert_eq!(talk.heard.take().concat(), "startedaccepted1");
    talk.heal(&hold);
    talk.run(2_500);
    assert_eq!(talk.heard.take().concat(), "234");
}

pub fn a_connect_over_a_cut_link_waits_for_it<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.set(&partition());
    talk.say(1);
    talk.run(2_000);
    assert_eq!(talk.seen.take(), [""; 0]);
    talk.heal(&partition());
    talk.run(2_000);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
}

pub fn a_reset_reaches_both_ends<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.say(1);
    talk.run(50);
    talk.set(&NetworkFault::Reset { link: link() });
    talk.run(50);
    let heard = ["started", "accepted", "1", "ConnectionReset"];
    assert_eq!(talk.heard.take(), heard);
    let seen = ["connected", "echo 1", "read ConnectionReset"];
    assert_eq!(talk.seen.take(), seen);
    talk.say(1);
    talk.run(50);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"], "new ones work");
}

pub fn a_half_open_connection_is_silent_for_ever_and_new_ones_work<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.say(300);
    talk.run(15);
    talk.set(&NetworkFault::HalfOpen { link: link() });
    talk.run(10_000);
    assert_eq!(talk.heard.take(), ["started", "accepted", "1"]);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
    talk.say(1);
    talk.run(50);
    assert_eq!(talk.seen.take(), ["connected", "echo 1"]);
}

pub fn random_resets_break_connections<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    let chance = Chance::per_million(200_000);
    talk.set(&NetworkFault::Resets {
        link: link(),
        chance,
    });
    (0..20).for_each(|_| talk.say(10));
    talk.run(1_000);
    let seen = talk.seen.take();
    let resets = seen.iter().filter(|line| line.contains("eset")).count();
    assert!(resets > 5, "{resets}");
    assert!(talk.engine.handle().fault_counts()["network-resets"] > 5);
}

pub fn a_refusing_link_refuses<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    let refuse = NetworkFault::Refuse { link: link() };
    talk.set(&refuse);
    talk.say(1);
    talk.run(50);
    let refused = "cannot connect to node1:9092: connection refused";
    assert_eq!(talk.seen.take(), [refused]);
}

pub fn a_slow_link_is_slow<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    talk.set(&NetworkFault::Bandwidth {
        link: link(),
        bytes_per_second: 10,
    });
    talk.say(1);
    talk.run(150);
    assert_eq!(
        talk.seen.take(),
        ["connected"],
        "0.1 s there and 0.1 s back"
    );
    talk.run(150);
    assert_eq!(talk.seen.take(), ["echo 1"]);
}

/// turmoil panics at its 65th connect nobody has accepted, unless told otherwise.
pub fn a_hundred_clients_connect_at_once<S: Simulation>(make: Make<S>) {
    let mut talk = talk(make(Options::new(1)));
    let handle = talk.engine.handle();
    handle.pause(talk.node);
    (0..100).for_each(|_| talk.say(0));
    talk.run(500);
    assert_eq!(talk.seen.take(), ["connected"; 100]);
    handle.resume(talk.node);
    talk.run(500);
    assert_eq!(talk.heard.take().len(), 101);
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

/// Sends frames of api 1, 2, 3 in three writes that do not end where frames do; gives when each frame of
/// the echo was read, in tenths of a second, or the error.
fn typed<S: Simulation>(make: Make<S>, rule: FrameRule) -> Vec<String> {
    let mut options = Options::new(1);
    options.classifier = Some(Arc::new(FirstByte));
    let mut talk = talk(make(options));
    let mut handle = talk.engine.handle();
    handle
        .apply(&Fault::Frames(rule))
        .expect("there is a classifier");
    let (seen, clock, env) = (talk.seen.clone(), handle.clone(), handle.env(talk.client));
    let exchange = async move {
        let address = Address::new("node1", PORT);
        let mut connection = env.network.connect(&address).await.expect("it listens");
        let bytes = [0, 0, 0, 2, 1, 9, 0, 0, 0, 2, 2, 9, 0, 0, 0, 2, 3, 9];
        for piece in bytes.chunks(7) {
            let written = connection.write_all(piece).await;
            if let Err(error) = written.and(connection.flush().await) {
                return seen.note(format!("{:?}", error.kind()));
            }
            env.sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..3 {
            let mut frame = [0; 6];
            match connection.read_exact(&mut frame).await {
                Ok(_) => {
                    let tenths = Control::now(&clock) / 100_000_000;
                    seen.note(format!("{} at {tenths}", frame[4]));
                }
                Err(error) => return seen.note(format!("{:?}", error.kind())),
            }
        }
    };
    handle.spawn_on(talk.client, "frames", Box::pin(exchange));
    talk.run(1_000);
    talk.seen.take()
}

pub fn a_frame_rule_delays_one_frame<S: Simulation>(make: Make<S>) {
    let delay = FrameAction::Delay(Duration::from_millis(200));
    let seen = typed(make, FrameRule::each(2, Direction::Request, delay));
    assert_eq!(seen, ["1 at 0", "2 at 2", "3 at 2"]);
}

pub fn a_frame_rule_breaks_the_connection<S: Simulation>(make: Make<S>) {
    let rule = FrameRule::each(2, Direction::Request, FrameAction::DropConnection);
    let seen = typed(make, rule);
    assert_eq!(seen.last().expect("an end"), "ConnectionReset");
}

pub fn frame_rules_need_a_classifier<S: Simulation>(make: Make<S>) {
    let talk = talk(make(Options::new(1)));
    let rule = FrameRule::each(1, Direction::Request, FrameAction::DropConnection);
    let refused = talk.engine.handle().apply(&Fault::Frames(rule));
    let refused = refused.expect_err("no classifier");
    assert_eq!(refused.reason, "the run has no frame classifier");
}
