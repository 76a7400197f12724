//! Scenarios on real broker processes. They need the program `broker` beside `trial`, as `cargo test --workspace` builds
//! it; without it a test says that it was skipped, and fails in CI (`CI=true`).

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::{Folder, ends};

fn broker() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_trial")).with_file_name("broker");
    if path.is_file() {
        return Some(path);
    }
    assert!(std::env::var("CI").is_err(), "no {}", path.display());
    eprintln!("skipped: no {}", path.display());
    None
}

/// A program that does something else before, or instead of, being a broker.
fn program(folder: &Folder, name: &str, script: &str) -> String {
    let path = folder.write(name, &format!("#!/bin/sh\n{script}\n"));
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, executable).expect("a file of one's own");
    path
}

/// Short, with these lines more.
fn scenario(more: &str) -> String {
    format!(
        "description = \"made for a test\"\n[cluster]\nnodes = 1\n[[topic]]\nname = \"t\"\nreplicas = 1\n\
         [[workload]]\nkind = \"produce-consume\"\nrequest_timeout = \"2s\"\n{more}\n\
         [run]\nduration = \"3s\"\nquiet = \"15s\"\n"
    )
}

#[test]
fn a_scenario_with_a_kill_holds_on_processes_and_its_history_can_be_judged() {
    if broker().is_none() {
        return;
    }
    let folder = Folder::new("real-holds");
    let out = folder.path("out");
    let said = ends(
        &[
            "run", "seconds", "--seed", "1", "--target", "process", "--out", &out,
        ],
        0,
    );
    assert!(
        said.contains("process-kill 1") && said.contains("HELD"),
        "{said}"
    );
    assert!(!said.contains("simulated"), "{said}");
    // What held leaves no cluster behind.
    assert!(!folder.0.join("out/cluster").exists());
    let history = folder.path("out/history.edn");
    let judged = ends(&["judge", &history, "--final-reads"], 0);
    assert!(judged.contains("held"), "{judged}");

    // A record that somebody read as another: the judge of real histories can fail.
    let text = std::fs::read_to_string(&history).expect("its history");
    let read = text.rfind(":type :ok, :f :poll").expect("polls that read");
    let (before, polls) = text.split_at(read);
    let (head, rest) = polls
        .split_once("\" [[")
        .expect("pairs of offset and value");
    let forged = folder.write("forged.edn", &format!("{before}{head}\" [[9{rest}"));
    ends(&["judge", &forged, "--final-reads"], 1);
}

#[test]
fn a_broker_that_ends_by_itself_is_a_crash() {
    let Some(broker) = broker() else { return };
    let folder = Folder::new("real-crash");
    // Two seconds and a half after its start it is gone, as by a bug.
    let script = format!("exec timeout -s KILL 2.5 '{}' \"$@\"", broker.display());
    let (program, file) = (
        program(&folder, "broker", &script),
        folder.write("short.toml", &scenario("")),
    );
    let out = folder.path("out");
    let run = ["run", &file, "--seed", "1", "--target", "process"];
    let said = ends(
        &[&run[..], &["--broker", &program, "--out", &out]].concat(),
        4,
    );
    assert!(said.contains("node1 ended by itself"), "{said}");
    assert!(
        folder
            .0
            .join("out/cluster/node1/server.properties")
            .is_file()
    );
}

#[test]
fn what_cannot_be_run_is_refused_at_once() {
    let folder = Folder::new("real-refused");
    let short = folder.write("short.toml", &scenario(""));
    let process = ["--seed", "1", "--target", "process"];
    let run = |file: &str, more: &[&str]| -> Vec<String> {
        let all = [&["run", file][..], more].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let refused = |arguments: Vec<String>, reason: &str| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = ends(&arguments, 2);
        assert!(said.contains(reason), "{arguments:?}: {said}");
    };
    let nothing = program(&folder, "nothing", "echo 'no such luck' >&2; exit 1");
    let with = |more: &[&'static str]| [&process[..], more].concat();
    if broker().is_some() {
        refused(
            run("quickstart", &process),
            "a process target cannot do random blackout",
        );
        refused(run(&short, &with(&["--swarm"])), "for --target simulation");
        refused(
            run(&short, &with(&["--hook", "x"])),
            "--hook is for --target kafka",
        );
    }
    refused(
        run(&short, &with(&["--broker", "/nowhere"])),
        "/nowhere is no program",
    );
    let mut ending = run(&short, &process);
    ending.extend(["--broker".to_owned(), nothing]);
    refused(ending, "node1 ended at its start: no such luck");

    let kafka = ["--seed", "1", "--target", "kafka"];
    let on = |more: &[&'static str]| [&kafka[..], more].concat();
    refused(run(&short, &kafka), "--target kafka needs --bootstrap");
    refused(
        run(&short, &on(&["--bootstrap", "here"])),
        "\"here\" is no address",
    );
    refused(
        run(&short, &["--seed", "1", "--bootstrap", "h:1"]),
        "--bootstrap is for --target kafka",
    );
}
