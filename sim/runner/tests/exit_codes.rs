//! The exit codes of failing runs, by scenarios that really end so.

mod support;

use support::{Folder, everything, trial};

fn scenario_file(folder: &Folder, name: &str, text: &str) -> String {
    folder.write(&format!("{name}.toml"), text)
}

/// Two seconds of three nodes, with more lines in some sections.
fn scenario(run: &str, more: &str) -> String {
    format!(
        "description = \"made for a test\"\n[cluster]\nnodes = 3\n[[topic]]\nname = \"t\"\nreplicas = 3\n\
         config = {{ \"min.insync.replicas\" = 2 }}\n[[workload]]\nkind = \"produce-consume\"\n\
         [run]\nduration = \"2s\"\n{run}\n{more}\n"
    )
}

#[test]
fn an_expectation_that_a_sweep_never_meets_fails_it_with_1() {
    let folder = Folder::new("unmet");
    let expect = "[expect]\nprobes = [\"metadata: feature upgraded\"]\ninvariants = [\"REP-1\"]";
    let path = scenario_file(&folder, "unmet", &scenario("", expect));
    let sweep = ["sweep", path.as_str(), "--seeds", "2", "--first-seed", "1"];
    let output = trial(&sweep);
    assert_eq!(output.status.code(), Some(1), "{}", everything(&output));
    let told = "expects probe \"metadata: feature upgraded\" hit; never in this sweep";
    assert!(
        everything(&output).contains(told),
        "{}",
        everything(&output)
    );
    assert!(!everything(&output).contains("expects REP-1"));

    // Objects only on stdout.
    let output = trial(&[&sweep[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        lines.lines().filter(|line| line.starts_with('{')).count(),
        2
    );
    assert_eq!(lines.lines().count(), 2, "{lines}");

    // One run may miss it, and says so.
    let output = trial(&["run", &path, "--seed", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", everything(&output));
    assert!(
        everything(&output).contains("expectation not met"),
        "{}",
        everything(&output)
    );
}

#[cfg(feature = "mutants")]
#[test]
fn a_safety_violation_exits_with_1() {
    let output = trial(&["run", "hunt-quorum", "--seed", "1", "--mutant", "K-01"]);
    assert_eq!(output.status.code(), Some(1), "{}", everything(&output));
    assert!(
        everything(&output).contains("VIOLATED"),
        "{}",
        everything(&output)
    );
}

#[test]
fn a_cluster_that_does_not_come_to_rest_in_time_exits_with_3() {
    let folder = Folder::new("stuck");
    let kill = "[[fault]]\nat = \"1900ms\"\ntarget = \"controller\"\naction = { process = { kind = \"kill\" } }";
    let path = scenario_file(&folder, "stuck", &scenario("quiet = \"1ms\"", kill));
    // Topics would not be created within a millisecond.
    let text = std::fs::read_to_string(&path).expect("just written");
    let output = trial(&["run", &path, "--seed", "1"]);
    assert_eq!(
        output.status.code(),
        Some(3),
        "{text}{}",
        everything(&output)
    );
    assert!(
        everything(&output).contains("STUCK"),
        "{}",
        everything(&output)
    );
    assert!(
        everything(&output).contains("LIVE-1"),
        "{}",
        everything(&output)
    );
}

/// Outside of any budget: two of three voters come back with nothing and lead a log of their own, which the third
/// cannot follow without taking back what it knows to be committed. It says so and dies.
#[test]
fn an_assert_in_a_node_exits_with_4() {
    let folder = Folder::new("crashed");
    let wiped = |node: &str| {
        format!(
            "[[fault]]\nat = \"1500ms\"\ntarget = {{ node = \"{node}\" }}\n\
             action = {{ disk = {{ kind = \"wiped\" }} }}\nlasts = \"100ms\"\n"
        )
    };
    let away = "[[fault]]\nat = \"1s\"\ntarget = { node = \"node1\" }\naction = \"isolate\"\nlasts = \"5s\"\n";
    let budget = "[budget]\ndurability = \"unlimited\"";
    let more = [away, &wiped("node2"), &wiped("node3"), budget].concat();
    let text = scenario("quiet = \"20s\"", &more).replace("\"2s\"\n", "\"20s\"\n");
    let path = scenario_file(&folder, "crashed", &text);
    // Most seeds crash; the worst of a sweep is what it ends with.
    let output = trial(&["sweep", &path, "--seeds", "8", "--first-seed", "1"]);
    assert_eq!(output.status.code(), Some(4), "{}", everything(&output));
    let text = everything(&output);
    assert!(
        text.contains("CRASHED") && text.contains("panicked"),
        "{text}"
    );
}
