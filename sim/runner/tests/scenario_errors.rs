//! Every bad scenario gets a message with file, line, column and what was probably meant.

use sim_runner::Scenario;

const GOOD: &str = r#"
[cluster]
nodes = 3

[[topic]]
name = "orders"
partitions = 3
replicas = 3

[[workload]]
kind = "produce-consume"

[run]
duration = "10s"
"#;

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = Scenario::parse("s.toml", text).expect_err("wrong on purpose");
    assert_eq!(error.to_string(), expected);
}

/// The good file with one text replaced.
#[track_caller]
fn changed(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from));
    refused(&GOOD.replacen(from, to, 1), expected);
}

#[test]
fn the_good_one_is_good() {
    let scenario = Scenario::parse("s.toml", GOOD).expect("valid");
    assert_eq!(scenario.name, "s");
    assert_eq!(scenario.workloads[0].topics, ["orders"]);
}

#[test]
fn unknown_keys() {
    changed(
        "nodes = 3",
        "nodez = 3",
        "s.toml:3:1: unknown key `nodez` (possible: nodes, brokers, controllers, log_dirs, racks, config, spare_brokers, dynamic_quorum, spare_controllers, releases); did you mean `nodes`?",
    );
    changed(
        "[cluster]",
        "[clutser]",
        "s.toml:2:2: unknown key `clutser` (possible: name, description, cluster, topic, workload, fault, chaos, budget, run, network, disk, expect); did you mean `cluster`?",
    );
}

#[test]
fn wrong_units() {
    changed(
        "\"10s\"",
        "\"10sec\"",
        "s.toml:14:12: \"sec\" is no unit of time: use ns, us, ms, s, m or h",
    );
    changed(
        "\"10s\"",
        "\"10\"",
        "s.toml:14:12: \"10\" needs a unit: ns, us, ms, s, m or h",
    );
    changed(
        "[run]",
        "record_size = \"1kB\"\n[run]",
        "s.toml:13:15: \"kB\" is no unit of size: use B, KiB, MiB or GiB",
    );
}

#[test]
fn wrong_types() {
    changed(
        "\"10s\"",
        "10",
        "s.toml:14:12: invalid type: integer `10`, expected a string",
    );
    changed(
        "nodes = 3",
        "nodes = \"three\"",
        "s.toml:3:9: invalid type: string \"three\", expected u32",
    );
}

#[test]
fn impossible_topologies() {
    changed(
        "replicas = 3",
        "replicas = 4",
        "s.toml:8:12: topic \"orders\" wants 4 replicas of 3 brokers",
    );
    changed(
        "nodes = 3",
        "nodes = 0",
        "s.toml:3:9: a cluster has 1 to 64 nodes of a kind, not 0",
    );
    changed(
        "nodes = 3",
        "nodes = 3\nbrokers = 2",
        "s.toml:3:9: `nodes` are brokers and controllers at once; give either `nodes` or both `brokers` and `controllers`",
    );
    changed(
        "nodes = 3",
        "brokers = 3",
        "s.toml:2:1: [cluster] needs `nodes`, or `brokers` and `controllers`",
    );
    changed(
        "replicas = 3",
        "replicas = 2\nconfig = { \"min.insync.replicas\" = 3 }",
        "s.toml:9:36: min.insync.replicas 3 can never be reached by 2 replicas",
    );
    changed(
        "[[workload]]",
        "[[topic]]\nname = \"orders\"\nreplicas = 1\n[[workload]]",
        "s.toml:11:8: two topics are named \"orders\"",
    );
}

#[test]
fn broker_properties() {
    let with = |line: &str| format!("nodes = 3\n[cluster.config]\n{line}\n");
    changed(
        "nodes = 3\n",
        &with("\"log.segment.byte\" = 5"),
        "s.toml:5:2: unknown broker property `log.segment.byte`; did you mean `log.segment.bytes`?",
    );
    changed(
        "nodes = 3\n",
        &with("\"log.dirs\" = \"/tmp\""),
        "s.toml:5:2: `log.dirs` follows from the cluster's layout and cannot be set",
    );
    let error = Scenario::parse(
        "s.toml",
        &GOOD.replace("nodes = 3\n", &with("\"num.partitions\" = \"many\"")),
    );
    let error = error.expect_err("no number").to_string();
    assert!(
        error.starts_with("s.toml:5:2: property 'num.partitions' = 'many':"),
        "{error}"
    );
}

#[test]
fn workloads() {
    changed(
        "produce-consume",
        "produce-consum",
        "s.toml:11:9: unknown value `produce-consum` (possible: produce-consume, produce, consume, consumer-group, transactions, bank, consume-transform-produce, create-delete-topics, reassign-partitions, broken-batches); did you mean `produce-consume`?",
    );
    changed(
        "[run]",
        "topics = [\"order\"]\n[run]",
        "s.toml:13:11: no topic \"order\" in this scenario; did you mean `orders`?",
    );
    changed(
        "[run]",
        "acks = 2\n[run]",
        "s.toml:13:8: acks is 0, 1 or \"all\", not 2",
    );
    changed(
        "[run]",
        "record_size = \"2B\"\n[run]",
        "s.toml:10:1: [[workload]] record_size must be at least 8: a value begins with its number",
    );
}

#[test]
fn faults() {
    let with = |lines: &str| format!("[[fault]]\nat = \"1s\"\n{lines}\n\n[run]");
    changed(
        "[run]",
        &with("target = { node = \"node4\" }\naction = \"isolate\""),
        "s.toml:15:10: no node \"node4\" in this cluster (node1, node2, node3); did you mean `node1`?",
    );
    changed(
        "[run]",
        &with("target = { leader = { topic = \"orders\", partition = 3 } }\naction = \"isolate\""),
        "s.toml:15:10: topic \"orders\" has partitions 0 to 2",
    );
    changed(
        "[run]",
        &with("target = \"controller\""),
        "s.toml:13:1: a [[fault]] needs `target` and `action`, or `fault` alone",
    );
    changed(
        "[run]",
        &with("target = \"controler\"\naction = \"isolate\""),
        "s.toml:15:11: unknown value `controler` (possible: node, leader, follower, controller, group-coordinator, transaction-coordinator, random, minority, majority, all); did you mean `controller`?",
    );
    changed(
        "[run]",
        &with("times = 2\ntarget = \"controller\"\naction = \"isolate\""),
        "s.toml:13:1: `times` needs `every`: how long between them",
    );
}

#[test]
fn misspelt_words_inside_faults_are_found() {
    let with =
        |lines: &str| format!("[[fault]]\nat = \"1s\"\ntarget = \"random\"\n{lines}\n\n[run]");
    changed(
        "[run]",
        &with("action = { process = { kind = \"kil\" } }"),
        "s.toml:16:32: unknown value `kil` (possible: kill, power-loss, pause, resume, start, stop); did you mean `kill`?",
    );
    changed(
        "[run]",
        &with("action = { process = { kind = \"stop\", grac = \"1s\" } }"),
        "s.toml:16:39: unknown key `grac` (possible: grace); did you mean `grace`?",
    );
}

#[test]
fn chaos() {
    changed(
        "[run]",
        "[chaos.weights]\nprocess-kil = 1\n\n[run]",
        "s.toml:14:1: unknown kind of fault `process-kil` in [chaos]; did you mean `process-kill`?",
    );
    changed(
        "[run]",
        "[chaos]\nmean_interval = \"0s\"\n\n[run]",
        "s.toml:13:1: [chaos] mean_interval must be longer than 0",
    );
}

#[test]
fn expectations() {
    changed(
        "[run]",
        "[expect]\ninvariants = [\"REP-9\"]\n\n[run]",
        "s.toml:14:15: no invariant is named REP-9; did you mean `REP-1`?",
    );
}

#[test]
fn a_name_is_the_file_s() {
    refused(
        &format!("name = \"other\"\n{GOOD}"),
        "s.toml:1:8: name is \"other\", the file is s.toml",
    );
}

#[test]
fn broken_toml_names_the_place() {
    let error = Scenario::parse("s.toml", "[cluster\nnodes = 3").expect_err("broken");
    assert_eq!((error.line, error.file.as_str()), (1, "s.toml"), "{error}");
}

#[test]
fn members_releases_and_features() {
    let node = |lines: &str| format!("nodes = 3\n{lines}");
    changed(
        "nodes = 3",
        &node("releases = { node4 = \"4.0\" }"),
        "s.toml:4:22: no node \"node4\" in this cluster (node1, node2, node3); did you mean `node1`?",
    );
    changed(
        "nodes = 3",
        &node("releases = { node1 = \"4.7\" }"),
        "s.toml:4:22: no release \"4.7\"; known: 3.3, 3.4, 3.5, 3.6, 3.7, 3.8, 3.9, 4.0, 4.1; did you mean `3.7`?",
    );
    changed(
        "nodes = 3",
        &node("releases = { node1 = \"4.0\" }"),
        "s.toml:4:22: node1 of release 4.0 cannot run at the levels a newer node starts the cluster with; \
         set \"internal.bootstrap.release\" in [cluster.config] to 4.0 or an older release",
    );
    changed(
        "nodes = 3",
        &node("spare_brokers = 99"),
        "s.toml:4:17: a cluster has 0 to 16 spare brokers",
    );
    let fault = |lines: &str| format!("[[fault]]\nat = \"1s\"\n{lines}\n\n[run]");
    changed(
        "[run]",
        &fault("target = \"random\"\naction = \"remove-broker\""),
        "s.toml:16:10: any node is a controller too: only brokers without another role, such as spare_brokers, come and go",
    );
    changed(
        "[run]",
        &fault("target = \"all\"\naction = { rolling-restart = { release = \"5\" } }"),
        "s.toml:16:10: no release \"5\"; known: 3.3, 3.4, 3.5, 3.6, 3.7, 3.8, 3.9, 4.0, 4.1; did you mean `3.5`?",
    );
    changed(
        "[run]",
        &fault("target = \"all\"\naction = \"add-voter\""),
        "s.toml:16:10: who becomes or ceases to be a voter is a node, \"random\" or \"controller\"",
    );
    changed(
        "[run]",
        &fault(
            "fault = { operation = { kind = \"upgrade-features\", features = { \"metadata.versoin\" = 27 } } }",
        ),
        "s.toml:15:9: no feature \"metadata.versoin\"; did you mean `metadata.version`?",
    );
    changed(
        "[run]",
        &fault(
            "fault = { operation = { kind = \"upgrade-features\", features = { \"metadata.version\" = 3 } } }",
        ),
        "s.toml:15:9: metadata.version has the levels 7 to 27",
    );
}

#[test]
fn assignments_that_cannot_be() {
    let given = |assignment: &str| {
        let text = GOOD.replacen("partitions = 3", "partitions = 1", 1);
        text.replacen(
            "replicas = 3",
            &format!("replicas = 3\nassignment = {assignment}"),
            1,
        )
    };
    let good = Scenario::parse("s.toml", &given("[[2, 1, 3]]")).expect("valid");
    assert_eq!(good.topics[0].assignment, [[2, 1, 3]]);
    refused(
        &given("[[1, 2, 3], [1, 2, 3]]"),
        "s.toml:9:14: assignment has 2 of 1 partitions",
    );
    for wrong in ["[[1, 2]]", "[[1, 2, 2]]", "[[1, 2, 4]]"] {
        let told = wrong.trim_start_matches('[').trim_end_matches(']');
        refused(
            &given(wrong),
            &format!("s.toml:9:14: [{told}] is no assignment: 3 different brokers of 1 to 3"),
        );
    }
}

#[test]
fn operations_on_what_is_not_there() {
    let given = |operation: &str| {
        let fault = format!("[[fault]]\nat = \"1s\"\nfault = {{ operation = {operation} }}\n[run]");
        GOOD.replacen("[run]", &fault, 1)
    };
    refused(
        &given("{ kind = \"elect-preferred-leader\", topic = \"order\", partition = 0 }"),
        "s.toml:15:9: no topic \"order\" in this scenario; did you mean `orders`?",
    );
    refused(
        &given("{ kind = \"elect-preferred-leader\", topic = \"orders\", partition = 3 }"),
        "s.toml:15:9: topic \"orders\" has partitions 0 to 2",
    );
    refused(
        &given("{ kind = \"configure-topic\", topic = \"payments\", config = {} }"),
        "s.toml:15:9: no topic \"payments\" in this scenario",
    );
}
