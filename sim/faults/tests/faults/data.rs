//! Faults are data: they read as one line, and survive a round trip.

use std::time::Duration;

use sim_faults::{
    Chance, ClockFault, Direction, DiskFault, Fault, FrameAction, FrameRule, Latency, LinkSelector,
    NetworkFault, ProcessFault,
};

fn samples() -> Vec<(Fault, &'static str, &'static str)> {
    let rule = FrameRule {
        topic: Some("t".into()),
        partition: Some(0),
        nth: Some(3),
        to: Some("node1".into()),
        ..FrameRule::each(
            26,
            Direction::Request,
            FrameAction::Delay(Duration::from_millis(250)),
        )
    };
    let partition = NetworkFault::Partition {
        sides: vec![vec!["node1".into()], vec!["node2".into(), "node3".into()]],
    };
    let slow = NetworkFault::Slow {
        link: LinkSelector::one_way("node1", "*"),
        latency: Latency::new(Duration::from_millis(1), Duration::from_millis(5)),
    };
    vec![
        (
            Fault::Network(partition.clone()),
            "network-partition",
            "network: partition node1 | node2 node3",
        ),
        (
            Fault::Network(slow),
            "network-slow",
            "network: latency 1ms..5ms on node1 -> *",
        ),
        (
            Fault::Frames(rule),
            "frame-delay",
            "frames: delay by 250ms #3 request of api 26 for t-0 * -> node1",
        ),
        (
            Fault::disk("node1", DiskFault::Stalled),
            "disk-stalled",
            "node1 disk: stalled",
        ),
        (
            Fault::clock("node2", ClockFault::Jump { by_ms: -5 }),
            "clock-jump",
            "node2 clock: jump -5 ms",
        ),
        (
            Fault::process("node3", ProcessFault::PowerLoss),
            "process-power-loss",
            "node3: power loss",
        ),
        (
            Fault::process(
                "node3",
                ProcessFault::Stop {
                    grace: Duration::from_secs(10),
                },
            ),
            "process-stop",
            "node3: controlled stop within 10s",
        ),
        (
            Fault::Heal(Box::new(Fault::Network(partition))),
            "heal",
            "heal network: partition node1 | node2 node3",
        ),
        (Fault::HealAll, "heal-all", "heal all"),
    ]
}

#[test]
fn each_fault_has_a_line_a_kind_and_a_text_form() {
    for (fault, kind, line) in samples() {
        assert_eq!((fault.kind(), fault.to_string().as_str()), (kind, line));
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(
            serde_json::from_str::<Fault>(&text).unwrap(),
            fault,
            "{text}"
        );
    }
}

#[test]
fn unknown_keys_and_wrong_units_are_errors() {
    let wrong = [
        r#"{"network":{"kind":"hold","link":{"from":"node1","dest":"node2"}}}"#,
        r#"{"network":{"kind":"loss","link":{},"chance":2}}"#,
        r#"{"frames":{"api_key":1,"direction":"request","action":{"delay":"5"}}}"#,
        r#"{"process":{"node":"node1","fault":{"kind":"stop","grace":"10 parsecs"}}}"#,
    ];
    for text in wrong {
        assert!(serde_json::from_str::<Fault>(text).is_err(), "{text}");
    }
    let text = r#"{"network":{"kind":"loss","link":{"from":"node1"},"chance":0.25}}"#;
    let Fault::Network(NetworkFault::Loss { chance, .. }) = serde_json::from_str(text).unwrap()
    else {
        panic!()
    };
    assert_eq!(chance, Chance::percent(25));
}

#[test]
fn healing_is_the_opposite() {
    let heal = |fault: &Fault| fault.healing().map(|fault| fault.to_string());
    let process = |fault| heal(&Fault::process("node1", fault));
    assert_eq!(process(ProcessFault::Kill).as_deref(), Some("node1: start"));
    assert_eq!(
        process(ProcessFault::Pause).as_deref(),
        Some("node1: resume")
    );
    assert_eq!(process(ProcessFault::Start), None);
    assert_eq!(
        heal(&Fault::disk("node1", DiskFault::Stalled)).as_deref(),
        Some("heal node1 disk: stalled")
    );
    assert_eq!(heal(&Fault::disk("node1", DiskFault::Wiped)), None);
    assert_eq!(
        heal(&Fault::Network(NetworkFault::Reset {
            link: LinkSelector::all()
        })),
        None
    );
}
