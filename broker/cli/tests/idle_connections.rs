//! Ten thousand connections that do nothing: they cost little and hold nobody back.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use broker_protocol::api::ApiVersionsRequest;
use support::good::Good;
use support::node::Node;
use support::wire::Wire;

const CONNECTIONS: usize = 10_000;
/// The connections, and files and sockets beside them.
const OPEN_FILES: u64 = 10_500;

/// Raises the soft limit of this process, which the broker inherits; false if the hard limit forbids.
fn raise_open_files() -> bool {
    if soft_limit() >= OPEN_FILES {
        return true;
    }
    let pid = std::process::id().to_string();
    let _told_by_the_limit = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={OPEN_FILES}:")])
        .status();
    soft_limit() >= OPEN_FILES
}

fn soft_limit() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open_files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    open_files
        .and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[test]
fn ten_thousand_idle_connections_are_cheap_and_leave_the_broker_fast() {
    if !raise_open_files() {
        eprintln!("skipped: {OPEN_FILES} open files are not allowed here (ulimit -Hn)");
        return;
    }
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let before = node.resident();
    let mut idle: Vec<Wire> = (0..CONNECTIONS).map(|_| node.connect()).collect();
    // The last one was accepted once it is answered.
    let last = idle.last_mut().expect("many");
    assert_eq!(last.call(&ApiVersionsRequest::default(), 0).error_code, 0);
    let per_connection =
        node.resident().saturating_sub(before) / u64::try_from(CONNECTIONS).expect("fits");
    eprintln!("{CONNECTIONS} idle connections: {per_connection} bytes each");
    assert!(
        per_connection < 8 * 1024,
        "{per_connection} bytes per idle connection"
    );

    let started = Instant::now();
    good.write(&node, 20);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    for wire in idle.iter_mut().step_by(500) {
        assert_eq!(wire.call(&ApiVersionsRequest::default(), 0).error_code, 0);
    }
    drop(idle);
    good.check(&mut node);
}

/// `max.connections`: more are refused, and room that becomes free is used.
#[test]
fn connections_over_the_limit_are_refused_until_there_is_room() {
    const LIMIT: usize = 60;
    let mut node = Node::start(&format!("max.connections={LIMIT}"));
    let mut good = Good::start(&node);
    // What the good client closed may count for a moment yet.
    let idle: Vec<Wire> = (0..LIMIT).map(|_| accepted(&node)).collect();
    let answer = node.connect().try_call(&ApiVersionsRequest::default(), 0);
    assert!(answer.is_err_and(|error| error.contains("Closed")));
    drop(idle);
    let half: Vec<Wire> = (0..LIMIT / 2).map(|_| accepted(&node)).collect();
    good.check(&mut node);
    drop(half);
}

/// A connection that is served, as soon as there is one.
fn accepted(node: &Node) -> Wire {
    let started = Instant::now();
    loop {
        let mut wire = node.connect();
        if wire.try_call(&ApiVersionsRequest::default(), 0).is_ok() {
            return wire;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "no room");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `connections.max.idle.ms`.
#[test]
fn idle_connections_are_closed_and_busy_ones_are_not() {
    let mut node = Node::start("connections.max.idle.ms=500");
    let mut good = Good::start(&node);
    let (mut idle, mut busy) = (node.connect(), node.connect());
    for _ in 0..15 {
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(busy.call(&ApiVersionsRequest::default(), 0).error_code, 0);
    }
    assert_eq!(
        idle.answer(Duration::from_secs(2)),
        support::wire::Answer::Closed
    );
    good.check(&mut node);
}

/// Without file descriptors nobody gets in, but what was acknowledged stays and the broker comes back.
#[test]
fn running_out_of_file_descriptors_is_survived() {
    let mut node = Node::prepare("");
    node.shell = Some("ulimit -n 100".into());
    node.launch();
    let mut good = Good::start(&node);
    let crowd: Vec<Wire> = (0..200).map(|_| node.connect()).collect();
    std::thread::sleep(Duration::from_millis(500));
    node.assert_alive();
    drop(crowd);
    std::thread::sleep(Duration::from_millis(500));
    good.check(&mut node);
}
