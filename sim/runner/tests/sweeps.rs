//! Sweeps that are interrupted, go on, and are made in shards: every run counts once, and is the same.

mod support;

use std::path::PathBuf;

use support::Folder;

/// What it said, once it has ended with this code.
#[track_caller]
fn ends(arguments: &str, code: i32) -> String {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    support::ends(&words, code)
}

/// Runs and events of a sweep's result.
fn rows_of(folder: &Folder, name: &str) -> Vec<(u64, u64)> {
    let text = folder.0.join(name).join("result.json");
    let text = std::fs::read_to_string(text).expect("a sweep writes its result");
    let result: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rows = result["rows"].as_array().expect("rows").iter();
    rows.map(|row| {
        let number = |field: &str| row[field].as_u64().expect("a number");
        (number("seed"), number("events"))
    })
    .collect()
}

fn runs_of(folder: &Folder, name: &str) -> PathBuf {
    folder.0.join(name).join("runs.jsonl")
}

fn text_of(folder: &Folder, name: &str) -> String {
    std::fs::read_to_string(runs_of(folder, name)).expect("a sweep writes its runs")
}

#[test]
fn a_sweep_goes_on_where_it_was_interrupted() {
    let folder = Folder::new("resume");
    let sweep = format!(
        "sweep seconds --seeds 3 --first-seed 5 --out {}",
        folder.path("one")
    );
    ends(&sweep, 0);
    let whole = text_of(&folder, "one");
    let rows = rows_of(&folder, "one");
    assert_eq!(rows.len(), 3);

    // Cut off inside its second run.
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let cut = lines[0].len() + lines[1].len() + lines[2].len() / 2;
    std::fs::write(runs_of(&folder, "one"), &whole[..cut]).expect("a writable file");
    assert!(ends(&sweep, 2).contains("--resume goes on with it"));
    ends(&format!("{sweep} --resume"), 0);
    assert_eq!(rows_of(&folder, "one"), rows);
    let sorted = |text: &str| {
        let mut runs: Vec<String> = text.lines().skip(1).map(without_wall_time).collect();
        runs.sort();
        runs
    };
    assert_eq!(sorted(&text_of(&folder, "one")), sorted(&whole));

    // Nothing is left to do, and nothing is done twice.
    let again = format!(
        "sweep seconds --seeds 3 --resume --out {}",
        folder.path("one")
    );
    ends(&again, 0);
    assert_eq!(rows_of(&folder, "one"), rows);
}

fn without_wall_time(line: &str) -> String {
    let mut entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
    entry["result"]["wall_ms"] = 0.into();
    entry.to_string()
}

#[test]
fn another_sweep_is_not_gone_on_with() {
    let folder = Folder::new("other-sweep");
    let out = folder.path("one");
    ends(
        &format!("sweep seconds --seeds 1 --first-seed 5 --out {out}"),
        0,
    );
    let refused = |arguments: &str, reason: &str| {
        let said = ends(&format!("{arguments} --resume --out {out}"), 2);
        assert!(said.contains(reason), "{said}");
    };
    refused("sweep seconds --seeds 2", "seeds: 1 there, 2 here");
    refused(
        "sweep calm --seeds 1",
        "scenario calm: only here; scenario seconds: only there",
    );
    refused(
        "sweep seconds --seeds 1 --first-seed 6",
        "first seed: 5 there, 6 here",
    );
    refused(
        "sweep seconds --seeds 1 --shard 1/2",
        "shards: 1 there, 2 here; shard: 0 there, 1 here",
    );
    refused(
        "sweep seconds --seeds 1 --swarm",
        "--swarm: false there, true here",
    );

    let text = text_of(&folder, "one");
    let (header, runs) = text.split_once('\n').expect("a header");
    let other = header.replace("\"build\":\"", "\"build\":\"0");
    std::fs::write(runs_of(&folder, "one"), format!("{other}\n{runs}")).expect("a writable file");
    refused("sweep seconds --seeds 1", "build: 0");
    std::fs::write(runs_of(&folder, "one"), format!("{header}\nwhat\n{runs}"))
        .expect("a writable file");
    refused("sweep seconds --seeds 1", "runs.jsonl:2: no run");
    std::fs::write(runs_of(&folder, "one"), "").expect("a writable file");
    refused("sweep seconds --seeds 1", "runs.jsonl:1: no sweep");
}

#[test]
fn shards_make_one_sweep() {
    let folder = Folder::new("shards");
    ends(
        &format!(
            "sweep seconds --seeds 3 --first-seed 5 --out {}",
            folder.path("all")
        ),
        0,
    );
    let shard = |index: u32, name: &str| {
        format!(
            "sweep seconds --seeds 3 --first-seed 5 --shard {index}/2 --out {}",
            folder.path(&format!("shards/{name}"))
        )
    };
    ends(&shard(0, "first"), 0);
    let merge = format!(
        "merge {} --out {}",
        folder.path("shards"),
        folder.path("merged")
    );
    assert!(ends(&merge, 0).contains("1 of shard 1/2"));

    // A worker that was taken for dead made the first shard again.
    ends(&shard(0, "first-again"), 0);
    ends(&shard(1, "second"), 0);
    let said = ends(&merge, 0);
    assert!(
        said.contains("2 runs came twice") && !said.contains("missing"),
        "{said}"
    );
    assert_eq!(rows_of(&folder, "merged"), rows_of(&folder, "all"));

    // The same run with another outcome is no sum.
    let again = folder.0.join("shards/first-again/runs.jsonl");
    let text = std::fs::read_to_string(&again).expect("its runs");
    let changed = text.replace("\"trace_hash\":\"", "\"trace_hash\":\"0");
    std::fs::write(&again, changed).expect("a writable file");
    assert!(ends(&merge, 5).contains("nondeterministic: seconds seed 5"));

    let alone = format!(
        "merge {} {} --out {}",
        folder.path("all"),
        folder.path("shards"),
        folder.path("no")
    );
    assert!(ends(&alone, 2).contains("are of two sweeps: shards: 1 there, 2 here"));
    let empty = format!(
        "merge {} --out {}",
        folder.path("merged"),
        folder.path("no")
    );
    assert!(ends(&empty, 2).contains("no runs.jsonl in"));
}
