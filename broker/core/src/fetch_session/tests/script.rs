//! A line `> command` is carried out, the lines up to the next one are what came of it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use broker_protocol::ids::LeaderEpoch;

use crate::fetch_session::{
    Context, FetchParams, Outcome, Request, SessionCache, SessionPartition, SessionTopic,
};

struct World {
    cache: SessionCache,
    now_ms: u64,
    next_id: i32,
    context: Option<Context>,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/fetch_session")
}

fn scripts() -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(directory()).expect("the scripts' directory");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).expect("a script"));
    paths.into_iter().map(read).collect()
}

fn play(script: &str) -> String {
    let mut world = World {
        cache: SessionCache::new(10),
        now_ms: 0,
        next_id: 1,
        context: None,
    };
    let mut played = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(played, "{line}").expect("a string");
            let words: Vec<&str> = command.split_whitespace().collect();
            played.push_str(&carry_out(&mut world, &words));
        } else if line.starts_with('#') || line.is_empty() {
            writeln!(played, "{line}").expect("a string");
        }
    }
    played
}

fn carry_out(world: &mut World, words: &[&str]) -> String {
    match words[0] {
        "slots" => {
            world.cache = SessionCache::new(words[1].parse().expect("slots"));
            String::new()
        }
        "wait" => {
            world.now_ms += words[1].parse::<u64>().expect("milliseconds");
            String::new()
        }
        "request" => request(world, &words[1..]),
        "answer" => answer(world, &words[1..]),
        // A full fetch of so many partitions, answered at once.
        "open" => {
            let many: Vec<String> = (0..words[1].parse::<i32>().expect("how many"))
                .map(|partition| format!("t-{partition}@0/1"))
                .collect();
            let mut request_words = vec!["session=0/0"];
            request_words.extend(&words[2..]);
            request_words.extend(many.iter().map(String::as_str));
            request(world, &request_words);
            let told = answer(world, &[]);
            let session = told.split(" tells").next().unwrap_or_default();
            format!("{session}\n")
        }
        "sessions" => format!("{}\n", world.cache.len()),
        other => panic!("unknown command {other}"),
    }
}

/// `session=id/epoch`, `follower`, `names`, `forget=t-0`, and partitions as `t-0@offset/leader epoch`.
fn request(world: &mut World, words: &[&str]) -> String {
    let uses_topic_ids = !words.contains(&"names");
    let mut request = Request {
        session_id: 0,
        session_epoch: 0,
        privileged: words.contains(&"follower"),
        uses_topic_ids,
        partitions: Vec::new(),
        forgotten: Vec::new(),
    };
    for word in words {
        if let Some(session) = word.strip_prefix("session=") {
            let (id, epoch) = session.split_once('/').expect("id/epoch");
            request.session_id = id.parse().expect("an id");
            request.session_epoch = epoch.parse().expect("an epoch");
        } else if let Some(name) = word.strip_prefix("forget=") {
            request.forgotten.push(partition(name));
        } else if let Some((name, position)) = word.split_once('@') {
            request.partitions.push((partition(name), params(position)));
        }
    }
    match world.cache.begin(world.now_ms, request) {
        Ok(context) => {
            let reads: Vec<String> = context.partitions.iter().map(describe).collect();
            world.context = Some(context);
            format!("reads {}\n", reads.join(" "))
        }
        Err(error) => format!("{}\n", error.name()),
    }
}

/// Words `t-0:7` (high watermark), `t-0:7,records`, `t-0:7,news`, `t-0:error`; the others stay at 0.
fn answer(world: &mut World, words: &[&str]) -> String {
    let context = world.context.take().expect("a request was taken");
    let outcome = |(asked, _): &(SessionPartition, FetchParams)| {
        let told = words.iter().find_map(|word| {
            let (name, told) = word.split_once(':')?;
            (partition(name) == *asked).then_some(told)
        });
        let told: Vec<&str> = told.unwrap_or("0").split(',').collect();
        Outcome {
            high_watermark: told[0].parse().unwrap_or(-1),
            log_start: 0,
            has_records: told.contains(&"records"),
            has_news: told.contains(&"news"),
            failed: told[0] == "error",
        }
    };
    let outcomes: Vec<Outcome> = context.partitions.iter().map(outcome).collect();
    let fresh = world.next_id;
    match world
        .cache
        .finish(world.now_ms, &context, &outcomes, || fresh)
    {
        Ok(finished) => {
            if finished.session_id == fresh {
                world.next_id += 1;
            }
            let included = context.partitions.iter().zip(&finished.included);
            let told: Vec<String> = included
                .filter(|(_, included)| **included)
                .map(|((partition, _), _)| name(partition))
                .collect();
            format!("session {} tells {}\n", finished.session_id, told.join(" "))
        }
        Err(error) => format!("{}\n", error.name()),
    }
}

fn partition(name: &str) -> SessionPartition {
    let (topic, partition) = name.split_once('-').expect("topic-partition");
    SessionPartition {
        topic: SessionTopic::Name(topic.to_string()),
        partition: partition.parse().expect("a partition"),
    }
}

fn name(partition: &SessionPartition) -> String {
    match &partition.topic {
        SessionTopic::Name(name) => format!("{name}-{}", partition.partition),
        SessionTopic::Id(id) => format!("{id}-{}", partition.partition),
    }
}

fn params(position: &str) -> FetchParams {
    let (offset, epoch) = position.split_once('/').expect("offset/epoch");
    FetchParams {
        current_leader_epoch: Some(LeaderEpoch(epoch.parse().expect("an epoch"))),
        fetch_offset: offset.parse().expect("an offset"),
        last_fetched_epoch: None,
        log_start: 0,
        max_bytes: 1024,
    }
}

fn describe((partition, params): &(SessionPartition, FetchParams)) -> String {
    let epoch = params
        .current_leader_epoch
        .map_or("none".to_string(), |epoch| epoch.to_string());
    format!("{}@{}/{epoch}", name(partition), params.fetch_offset)
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "records what the scripts play, outside of any simulation"
)]
fn scripts_play_as_recorded() {
    let record = std::env::var_os("RECORD").is_some();
    let scripts = scripts();
    assert!(
        scripts.len() >= 2,
        "only {} scripts in {}",
        scripts.len(),
        directory().display()
    );
    for (path, script) in scripts {
        let played = play(&script);
        if record {
            fs::write(&path, &played).expect("a writable script");
        }
        assert!(
            record || played == script,
            "{} plays differently:\n{played}",
            path.display()
        );
    }
}

#[cfg(feature = "mutants")]
#[test]
fn scripts_tell_a_session_that_forgets_the_leader_epoch() {
    broker_probe::set_mutant(Some("R_08"));
    let changed = scripts().iter().any(|(_, script)| play(script) != *script);
    broker_probe::set_mutant(None);
    assert!(changed, "R_08 changes no script");
}
