//! Real clients on the real binary. Each test runs where its client is installed (see CONTRIBUTING.md) and
//! says so where it is not; in CI (`CI=true`) a missing client fails the test.

mod cluster;
mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use cluster::Cluster;

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// Whether the client is there; in CI it must be.
fn installed(probe: &[&str]) -> bool {
    let found = Command::new(probe[0])
        .args(&probe[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        assert!(
            std::env::var("CI").is_err(),
            "{probe:?} does not work; CONTRIBUTING.md says how to install it"
        );
        eprintln!("skipped: {probe:?} does not work here");
    }
    found
}

fn run(command: &mut Command) {
    let output = command.output().expect("the command can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?} failed\n{text}\n{errors}"
    );
}

/// All codecs, then the same data again after a restart.
fn all_codecs(client: &str, probe: &[&str]) {
    if !installed(probe) {
        return;
    }
    let mut cluster = Cluster::start(1);
    let codecs = |phase: &str, bootstrap: &str| {
        run(Command::new("python3")
            .arg(script("codecs.py"))
            .args([client, bootstrap, phase]));
    };
    codecs("write", &cluster.bootstrap());
    cluster.terminate(1);
    cluster.launch(1);
    codecs("read", &cluster.bootstrap());
    cluster.kill(1);
    cluster.launch(1);
    codecs("read", &cluster.bootstrap());
}

#[test]
fn confluent_kafka_reads_back_all_codecs_and_after_restarts() {
    all_codecs("confluent", &["python3", "-c", "import confluent_kafka"]);
}

#[test]
fn kafka_python_reads_back_all_codecs_and_after_restarts() {
    let probe = "import kafka, snappy, lz4, zstandard";
    all_codecs("kafka-python", &["python3", "-c", probe]);
}

#[test]
fn kcat_reads_back_all_codecs_and_after_restarts() {
    all_codecs("kcat", &["kcat", "-V"]);
}

#[test]
fn nothing_acknowledged_is_lost_when_a_leader_is_killed_under_load() {
    under_fire(&[]);
}

/// The retries after the kill find their way to another leader, which must know what the dead one knew.
#[test]
fn an_idempotent_producer_writes_once_and_in_order_when_leaders_are_killed() {
    under_fire(&["idempotent"]);
}

fn under_fire(arguments: &[&str]) {
    if !installed(&["python3", "-c", "import confluent_kafka"]) {
        return;
    }
    let mut cluster = Cluster::start(3);
    let mut load = Command::new("python3")
        .arg(script("under_fire.py"))
        .args([cluster.bootstrap().as_str(), "12"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 can be started");
    let mut lines = BufReader::new(load.stdout.take().expect("piped")).lines();
    let first = lines
        .next()
        .expect("the load says something")
        .expect("readable");
    assert_eq!(first, "LOAD");
    std::thread::sleep(Duration::from_secs(2));
    // One of three nodes leads one of three partitions, and one leads the quorum.
    cluster.kill(2);
    std::thread::sleep(Duration::from_secs(4));
    cluster.launch(2);
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let status = load.wait().expect("the load ends");
    assert!(status.success(), "{rest:?}");
}

/// Two members share a topic, one dies, the other takes over; what was committed is where they go on, after a
/// graceful restart of the only broker and after SIGKILL.
fn groups(client: &str, probe: &[&str]) {
    if !installed(probe) {
        return;
    }
    let mut cluster = Cluster::start(1);
    let phase = |phase: &str, bootstrap: &str| {
        run(Command::new("python3")
            .arg(script("groups.py"))
            .args([client, bootstrap, phase]));
    };
    phase("share", &cluster.bootstrap());
    cluster.terminate(1);
    cluster.launch(1);
    phase("continue", &cluster.bootstrap());
    cluster.kill(1);
    cluster.launch(1);
    phase("continue", &cluster.bootstrap());
}

#[test]
fn confluent_kafka_groups_share_take_over_and_continue() {
    groups("confluent", &["python3", "-c", "import confluent_kafka"]);
}

/// librdkafka's members in the new group protocol (KIP-848).
#[test]
fn confluent_kafka_groups_of_the_new_protocol_share_take_over_and_continue() {
    groups(
        "confluent-consumer",
        &["python3", "-c", "import confluent_kafka"],
    );
}

#[test]
fn kafka_python_groups_share_take_over_and_continue() {
    groups("kafka-python", &["python3", "-c", "import kafka"]);
}

/// Three nodes; whichever coordinates the group is among those that are killed, one after the other.
#[test]
fn committed_offsets_survive_their_coordinator() {
    if !installed(&["python3", "-c", "import confluent_kafka"]) {
        return;
    }
    let mut cluster = Cluster::start(3);
    let phase = |phase: &str, bootstrap: &str| {
        run(Command::new("python3")
            .arg(script("groups.py"))
            .args(["confluent", bootstrap, phase]));
    };
    phase("share", &cluster.bootstrap());
    for node in 1..=3 {
        cluster.kill(node);
        phase("continue", &cluster.bootstrap());
        cluster.launch(node);
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// What is copied in transactions is there once, whoever is killed: the copier, and a broker that leads and
/// coordinates a third of it. `client` runs a phase of the copy: "write", "copy" or "check".
fn copies_exactly_once(client: impl Fn(&str, &str) -> Command) {
    let mut cluster = Cluster::start(3);
    let bootstrap = cluster.bootstrap();
    // The copier, after so many commits.
    let copier = |commits: usize| {
        let mut copier = client(&bootstrap, "copy")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client can be started");
        let mut lines = BufReader::new(copier.stdout.take().expect("piped")).lines();
        assert_eq!(lines.by_ref().take(commits).count(), commits);
        (copier, lines)
    };
    run(&mut client(&bootstrap, "write"));
    let (mut first, _) = copier(4);
    first.kill().expect("a child can be killed");
    first.wait().expect("a killed child ends");
    let (mut second, lines) = copier(4);
    cluster.kill(2);
    std::thread::sleep(Duration::from_secs(1));
    cluster.launch(2);
    let rest = lines.count();
    let status = second.wait().expect("the copier ends");
    assert!(status.success(), "after {rest} more commits");
    run(&mut client(&bootstrap, "check"));
}

/// A script of `tests/clients` that copies, with these arguments before the bootstrap address.
fn python_copies_exactly_once(name: &str, arguments: &[&str], probe: &str) {
    if !installed(&["python3", "-c", probe]) {
        return;
    }
    copies_exactly_once(|bootstrap, phase| {
        let mut command = Command::new("python3");
        command.arg(script(name)).args(arguments);
        command.args([bootstrap, phase]);
        command
    });
}

#[test]
fn confluent_kafka_copies_exactly_once_although_copier_and_broker_are_killed() {
    python_copies_exactly_once("transactions.py", &["confluent"], "import confluent_kafka");
}

#[test]
fn kafka_python_copies_exactly_once_although_copier_and_broker_are_killed() {
    python_copies_exactly_once("transactions.py", &["kafka-python"], "import kafka");
}

#[test]
fn aiokafka_copies_exactly_once_although_copier_and_broker_are_killed() {
    python_copies_exactly_once("transactions_aiokafka.py", &[], "import aiokafka");
}

/// Apache Kafka's own client, with its members in the new group protocol (KIP-848).
#[test]
fn the_java_client_copies_exactly_once_although_copier_and_broker_are_killed() {
    let jars = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/kafka-clients");
    if !installed(&["ls", jars]) || !installed(&["javac", "-version"]) {
        return;
    }
    copies_exactly_once(|bootstrap, phase| {
        let mut command = Command::new("java");
        command
            .args(["-cp", &format!("{jars}/*")])
            .arg(script("Copy.java"))
            .args([bootstrap, phase, "consumer"]);
        command
    });
}
