//! An explanation as text.

use std::fmt::Write as _;

use reports::recording::{Moment, Recording};

use super::chain::Link;
use super::milestone::{index, name};
use super::state::ReplicaAt;
use super::{Difference, Explained};
use crate::scenario::in_words;

/// More links than this are told in the middle by their number only.
const LINKS: usize = 40;

/// All of it, for a terminal or a file.
pub fn text(explained: &Explained) -> String {
    let mut text = String::new();
    what(&mut text, explained);
    neighbour(&mut text, explained);
    let recording = &explained.failing.recording;
    if let Some(difference) = &explained.difference {
        self::difference(&mut text, recording, difference);
        replicas(
            &mut text,
            "Replicas where the runs part:",
            recording,
            &explained.at_difference,
        );
    }
    let _never = writeln!(text, "\nWhat led to it:");
    for line in links(recording, &explained.chain) {
        let _never = writeln!(text, "  {line}");
    }
    replicas(
        &mut text,
        "Replicas where it broke:",
        recording,
        &explained.at_violation,
    );
    text
}

fn what(text: &mut String, explained: &Explained) {
    let _never = writeln!(text, "{}", explained.fingerprint);
    let detail = match &explained.violation {
        Some(violation) => violation.detail.clone(),
        None => explained.failing.result.reason(),
    };
    let at = when(explained.broke);
    let _never = writeln!(text, "  {at}: {detail}");
    let scenario = &explained.scenario;
    let _never = writeln!(
        text,
        "\nThe smallest run that fails so: seed {}, {} nodes, {} s, and these faults:",
        explained.seed,
        scenario.cluster.nodes().len(),
        scenario.duration.as_secs_f64()
    );
    for spec in &scenario.faults {
        let _never = writeln!(text, "  {}", in_words(spec));
    }
    if scenario.faults.is_empty() {
        let _never = writeln!(text, "  none");
    }
}

fn neighbour(text: &mut String, explained: &Explained) {
    let _never = match &explained.neighbour {
        None => writeln!(
            text,
            "\nNothing near it holds: neither a fault less, shorter, earlier or later, nor another seed."
        ),
        Some(near) => writeln!(
            text,
            "\nThe nearest run that holds: the same {}.\n  Both are the same up to {}.",
            near.how,
            when(near.parts)
        ),
    };
}

fn difference(text: &mut String, recording: &Recording, difference: &Difference) {
    let lane = name(recording, difference.lane);
    let tell = |milestone: &Option<super::milestone::Milestone>| match milestone {
        Some(milestone) => format!("{} {}", when(milestone.at), milestone.text),
        None => "nothing more".to_owned(),
    };
    let _never = writeln!(
        text,
        "\nWhere they part, at {lane}:\n  it fails: {}\n  it holds: {}",
        tell(&difference.failing),
        tell(&difference.holding)
    );
}

/// One line for each milestone, and below it what carried the news.
pub fn links(recording: &Recording, chain: &[Link]) -> Vec<String> {
    let mut lines = Vec::new();
    let left_out = chain.len().saturating_sub(LINKS);
    for (number, link) in chain.iter().enumerate() {
        let middle = LINKS / 2..LINKS / 2 + left_out;
        if middle.contains(&number) {
            if number == middle.start {
                lines.push(format!("… {left_out} more"));
            }
            continue;
        }
        let milestone = &link.milestone;
        let who = milestone
            .lane
            .map_or("network", |lane| name(recording, lane));
        lines.push(format!("{} · {who} {}", when(milestone.at), milestone.text));
        if let Some(by) = &link.by {
            lines.push(format!(
                "    after {}'s {}, sent {}",
                name(recording, by.from),
                by.what,
                when(by.sent)
            ));
        }
    }
    if lines.is_empty() {
        lines.push("nothing that was recorded".to_owned());
    }
    lines
}

/// `3.412 s, event 1234`.
pub fn when(at: Moment) -> String {
    let ms = at.us / 1_000;
    format!("{}.{:03} s, event {}", ms / 1_000, ms % 1_000, at.event)
}

fn replicas(text: &mut String, heading: &str, recording: &Recording, all: &[ReplicaAt]) {
    if all.is_empty() {
        return;
    }
    let _never = writeln!(text, "\n{heading}");
    let mut partition = None;
    for replica in all {
        if partition != Some(replica.partition) {
            partition = Some(replica.partition);
            let name = &recording.partitions[index(replica.partition)];
            let _never = writeln!(text, "  {name}{}", registered(recording, replica));
        }
        let _never = writeln!(text, "    {}", one(recording, replica));
    }
}

fn registered(recording: &Recording, replica: &ReplicaAt) -> String {
    let Some(state) = &replica.registered else {
        return String::new();
    };
    let names = |lanes: &[u16]| {
        let names = lanes.iter().map(|lane| name(recording, *lane));
        names.collect::<Vec<&str>>().join(" ")
    };
    let leader = state
        .leader
        .map_or("nobody", |leader| name(recording, leader));
    format!(
        ": led by {leader} in epoch {}, partition epoch {}, ISR {}",
        state.leader_epoch,
        state.partition_epoch,
        names(&state.isr)
    )
}

fn one(recording: &Recording, replica: &ReplicaAt) -> String {
    let offset = |offset: i64| match offset {
        -1 => "?".to_owned(),
        offset => offset.to_string(),
    };
    let epochs: Vec<String> = replica
        .epochs
        .iter()
        .map(|(epoch, first)| format!("{epoch} from {first}"))
        .collect();
    let leads = replica
        .leads
        .map_or(String::new(), |epoch| format!(", leads in epoch {epoch}"));
    format!(
        "{}{}: log {} to {}, HW {}, LSO {}, epochs {}{leads}",
        name(recording, replica.lane),
        if replica.is_up { "" } else { " (down)" },
        replica.log_start,
        offset(replica.log_end),
        offset(replica.high_watermark),
        offset(replica.last_stable),
        if epochs.is_empty() {
            "?".to_owned()
        } else {
            epochs.join(", ")
        },
    )
}
