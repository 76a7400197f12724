//! Voters that come and go (KIP-853), by the commands of the binary on real processes.

mod support;

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::Uuid;
use support::command::{Cli, broker, done, failed};
use support::good::Good;
use support::node::Node;
use support::quorum::{await_members, directory_id, eventually, format, nodes, status, voters};

fn add(through: &Node, node: &Node) -> std::process::Output {
    let config = node.config().display().to_string();
    Cli::of(through).run(&["quorum", "add-voter", "--config", &config])
}

fn remove(through: &Node, id: &str, directory_id: &str) -> std::process::Output {
    Cli::of(through).run(&[
        "quorum",
        "remove-voter",
        "--controller-id",
        id,
        "--controller-directory-id",
        directory_id,
    ])
}

#[test]
fn controllers_are_added_and_removed_and_nothing_is_lost() {
    let mut nodes = nodes(3, &[]);
    nodes[0].launch();
    let mut good = Good::start(&nodes[0]);
    nodes[1..].iter_mut().for_each(Node::launch);
    await_members(&nodes[0], &[1], &[2, 3]);
    let said = done(&add(&nodes[0], &nodes[1]));
    assert!(said.contains(&directory_id(&nodes[1])), "{said}");
    await_members(&nodes[0], &[1, 2], &[3]);
    done(&add(&nodes[1], &nodes[2]));
    await_members(&nodes[2], &[1, 2, 3], &[]);
    good.check(&mut nodes[0]);

    let first = directory_id(&nodes[0]);
    let dry = Cli::of(&nodes[1]).run(&[
        "quorum",
        "remove-voter",
        "--controller-id",
        "1",
        "--controller-directory-id",
        &first,
        "--dry-run",
    ]);
    assert!(done(&dry).contains("would remove"));
    assert_eq!(voters(&nodes[1]), [1, 2, 3]);
    done(&remove(&nodes[1], "1", &first));
    await_members(&nodes[1], &[2, 3], &[1]);
    good.check(&mut nodes[0]);

    for node in &mut nodes {
        node.terminate();
    }
    nodes.iter_mut().for_each(Node::launch);
    await_members(&nodes[2], &[2, 3], &[1]);
    good.check(&mut nodes[0]);
}

#[test]
fn changes_that_make_no_sense_are_refused_and_named() {
    let mut nodes = nodes(2, &[]);
    nodes.iter_mut().for_each(Node::launch);
    await_members(&nodes[0], &[1], &[2]);
    let nobody = Uuid([7; 16]).to_string();
    let said = failed(&remove(&nodes[0], "9", &nobody), 1);
    assert!(said.contains("VOTER_NOT_FOUND"), "{said}");
    let said = failed(&remove(&nodes[0], "1", &nobody), 1);
    assert!(said.contains("VOTER_NOT_FOUND"), "{said}");
    let said = failed(&remove(&nodes[0], "1", &directory_id(&nodes[0])), 1);
    assert!(said.contains("only voter"), "{said}");
    let said = failed(&add(&nodes[0], &nodes[0]), 1);
    assert!(said.contains("DUPLICATE_VOTER"), "{said}");
    failed(&remove(&nodes[0], "1", "no id"), 2);

    let foreign = |cluster_id: &str| wire::AddRaftVoterRequest {
        cluster_id: Some(cluster_id.into()),
        timeout_ms: 1000,
        voter_id: 2,
        voter_directory_id: Uuid([7; 16]),
        ..Default::default()
    };
    for (cluster_id, expected) in [
        ("theirs", ErrorCode::InconsistentClusterId),
        // No endpoint of the controllers' listener.
        ("dynamic", ErrorCode::InvalidRequest),
    ] {
        let answer = nodes[0].connect().call(&foreign(cluster_id), 0);
        assert_eq!(answer.error_code, expected.code(), "{answer:?}");
        assert!(answer.error_message.is_some());
    }
    assert_eq!(voters(&nodes[0]), [1]);
}

#[test]
fn a_configured_quorum_keeps_its_voters() {
    let node = Node::start("");
    Good::start(&node);
    let said = failed(&add(&node, &node), 1);
    assert!(said.contains("UNSUPPORTED_VERSION"), "{said}");
    assert_eq!(voters(&node), [1]);
}

/// Updates `(feature, level, upgrade type)`s in one request; the error code and message.
fn update(node: &Node, updates: &[(&str, i16, i8)]) -> (ErrorCode, Option<String>) {
    let updates = updates.iter();
    let updates = updates.map(|&(feature, level, upgrade_type)| wire::FeatureUpdateKey {
        feature: feature.into(),
        max_version_level: level,
        upgrade_type,
        ..Default::default()
    });
    let request = wire::UpdateFeaturesRequest {
        timeout_ms: 10_000,
        feature_updates: updates.collect(),
        ..Default::default()
    };
    let answer = node.connect().call(&request, 1);
    let code = ErrorCode::from_code_or_unknown(answer.error_code);
    (code, answer.error_message)
}

/// Levels of `kraft.version` and `eligible.leader.replicas.version`.
fn finalized(node: &Node) -> (i16, i16) {
    let answer = node.connect().call(&wire::ApiVersionsRequest::default(), 3);
    let level = |name: &str| {
        let features = answer.finalized_features.iter();
        let mut levels = features.filter(|it| it.name == name);
        levels.next().map_or(0, |it| it.max_version_level)
    };
    (
        level("kraft.version"),
        level("eligible.leader.replicas.version"),
    )
}

#[test]
fn a_configured_quorum_moves_its_voters_into_its_log() {
    let mut old = Node::start("");
    let mut good = Good::start(&old);
    let (upgrade, safe_downgrade, unsafe_downgrade) = (1, 2, 3);
    let kraft = |level| ("kraft.version", level, upgrade);
    let elr = ("eligible.leader.replicas.version", 0, unsafe_downgrade);
    for refused in [
        vec![kraft(2)],
        // One that is refused takes the others with it, in whatever order.
        vec![kraft(2), elr],
        vec![kraft(1), ("transaction.version", 99, upgrade)],
        vec![("transaction.version", 99, upgrade), kraft(1)],
    ] {
        let (code, message) = update(&old, &refused);
        assert_eq!(code, ErrorCode::InvalidUpdateVersion, "{message:?}");
    }
    assert_eq!(finalized(&old), (0, 1));
    eventually("the quorum is upgraded", || {
        update(&old, &[elr, kraft(1)]).0 == ErrorCode::None
    });
    assert_eq!(finalized(&old), (1, 0));
    let (code, message) = update(&old, &[("kraft.version", 0, safe_downgrade)]);
    assert_eq!(code, ErrorCode::InvalidUpdateVersion, "{message:?}");
    assert!(status(&old).contains(&directory_id(&old)));
    old.kill();
    old.launch();
    assert!(status(&old).contains(&directory_id(&old)));
    good.check(&mut old);

    let mut new = Node::prepare("");
    let bootstrap = format!(
        "controller.quorum.bootstrap.servers=127.0.0.1:{}",
        old.controller_port
    );
    new.configure(2, &bootstrap);
    let status = status(&old);
    let first = status.lines().next().expect("the cluster's id");
    let cluster_id = first.rsplit(' ').next().expect("its value");
    format(&new, cluster_id, "--no-initial-controllers");
    new.launch();
    await_members(&old, &[1], &[2]);
    done(&add(&old, &new));
    await_members(&new, &[1, 2], &[]);
    good.check(&mut old);
}

#[test]
fn controllers_join_by_themselves_and_again_with_a_new_disk() {
    let joins = "controller.quorum.auto.join.enable=true";
    let mut nodes = nodes(3, &["", joins, joins]);
    nodes[0].launch();
    let mut good = Good::start(&nodes[0]);
    nodes[1..].iter_mut().for_each(Node::launch);
    await_members(&nodes[0], &[1, 2, 3], &[]);

    let former = directory_id(&nodes[2]);
    nodes[2].terminate();
    std::fs::remove_dir_all(nodes[2].data()).expect("it stopped");
    format(&nodes[2], "dynamic", "--no-initial-controllers");
    assert_ne!(directory_id(&nodes[2]), former);
    nodes[2].launch();
    let new = directory_id(&nodes[2]);
    eventually("the new disk is a voter's", || {
        let status = status(&nodes[0]);
        status.contains(&new) && !status.contains(&former)
    });
    await_members(&nodes[0], &[1, 2, 3], &[]);
    good.check(&mut nodes[0]);
}

#[test]
fn a_quorum_starts_with_several_voters() {
    let first = Uuid([1; 16]).to_string();
    let second = Uuid([2; 16]).to_string();
    let mut pair = [Node::prepare(""), Node::prepare("")];
    let ports = [pair[0].controller_port, pair[1].controller_port];
    let bootstrap = format!(
        "controller.quorum.bootstrap.servers=127.0.0.1:{},127.0.0.1:{}",
        ports[0], ports[1]
    );
    let voters = format!(
        "1@127.0.0.1:{}:{first},2@127.0.0.1:{}:{second}",
        ports[0], ports[1]
    );
    for (node, id) in pair.iter_mut().zip(1..) {
        node.configure(id, &bootstrap);
        let config = node.config().display().to_string();
        done(&broker(&[
            "format",
            "--cluster-id",
            "dynamic",
            "--initial-controllers",
            &voters,
            "--config",
            &config,
        ]));
    }
    assert_eq!(directory_id(&pair[1]), second);
    std::thread::scope(|scope| {
        for node in &mut pair {
            scope.spawn(|| node.launch());
        }
    });
    await_members(&pair[1], &[1, 2], &[]);
}

#[test]
fn a_folder_is_not_formatted_against_its_configuration() {
    let node = Node::prepare("");
    let config = node.config().display().to_string();
    let format = |arguments: &[&str]| {
        let all = [
            &["format", "--cluster-id", "c", "--config", &config],
            arguments,
        ];
        broker(&all.concat())
    };
    let own = Uuid([7; 16]).to_string();
    node.configure(1, "controller.quorum.voters=1@127.0.0.1:1");
    let said = failed(&format(&["--standalone"]), 2);
    assert!(said.contains("controller.quorum.voters"), "{said}");
    node.configure(1, "controller.quorum.bootstrap.servers=127.0.0.1:1");
    let said = failed(&format(&[]), 2);
    assert!(said.contains("--standalone"), "{said}");
    let said = failed(
        &format(&["--initial-controllers", &format!("2@h:1:{own}")]),
        2,
    );
    assert!(said.contains("node.id"), "{said}");
    failed(&format(&["--initial-controllers", "1@h:1:short"]), 2);
    failed(&format(&["--standalone", "--no-initial-controllers"]), 2);
    node.configure(
        1,
        "process.roles=broker\ncontroller.quorum.bootstrap.servers=127.0.0.1:1",
    );
    let said = failed(&format(&["--standalone"]), 2);
    assert!(said.contains("controller"), "{said}");
    assert!(!node.file("meta.properties").exists());
}
