//! The page of one run: verdict and violations first, then how to see it again, then what happened.

use serde::Serialize;
use sim_checkers::anomaly::{Verdict, Violation};

use super::{COPY, STYLE, columns, command, data, facts, fill, table, text};
use crate::recording::{Dropped, Recording};
use crate::result::{LatencyRow, RunResult};
use crate::text::{Align, grouped, milliseconds, seconds, speed};

const TEMPLATE: &str = include_str!("../../templates/run.html");
/// The first violations are the ones to understand; the others are there on demand.
const VIOLATIONS_MAX: usize = 5;
const DIAGRAMS: &str = include_str!("../../templates/diagrams.html");
/// In the order in which they need each other.
const SCRIPTS: [&str; 7] = [
    COPY,
    include_str!("../../templates/data.js"),
    include_str!("../../templates/lanes.js"),
    include_str!("../../templates/finder.js"),
    include_str!("../../templates/plots.js"),
    include_str!("../../templates/logs.js"),
    include_str!("../../templates/main.js"),
];

/// A violation as the scripts want it.
#[derive(Serialize)]
struct Place<'a> {
    invariant: &'a str,
    anomaly: &'a str,
    node: &'a str,
    detail: &'a str,
    us: u64,
    event: u64,
}

/// The page; without a recording, without diagrams.
pub fn run(result: &RunResult, recording: Option<&Recording>) -> String {
    let title = format!(
        "{}: {} seed {}",
        result.verdict.as_str(),
        result.scenario,
        result.seed
    );
    let diagrams = recording.map(|recording| diagrams(result, recording));
    let scripts = match recording {
        Some(recording) => scripts(result, recording),
        None => format!("<script>\n{COPY}</script>\n"),
    };
    fill(
        TEMPLATE,
        &[
            ("title", &text(&title)),
            ("style", STYLE),
            ("scenario", &text(&result.scenario)),
            ("verdict", result.verdict.as_str()),
            ("verdict_words", &verdict_words(result)),
            ("facts", &head(result)),
            ("violations", &violations(result, recording.is_some())),
            ("commands", &commands(result)),
            ("diagrams", &diagrams.unwrap_or_default()),
            ("faults", &faults(result)),
            ("clients", &clients(result)),
            ("invariants", &invariants(result)),
            ("probes", &probes(&result.probes)),
            ("footer", &footer(recording)),
            ("scripts", &scripts),
        ],
    )
}

fn verdict_words(result: &RunResult) -> String {
    let found = result.violations.len();
    match result.verdict {
        Verdict::Held => "Held: nothing that was checked broke".to_owned(),
        Verdict::Violated => format!("Violated: {found} {} found", plural("violation", found)),
        Verdict::Stuck => "Stuck: the cluster did not come to rest in time".to_owned(),
        Verdict::Crashed => "Crashed: the code under test panicked".to_owned(),
    }
}

fn plural(word: &str, count: usize) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{word}{ending}")
}

fn head(result: &RunResult) -> String {
    facts(&[
        ("seed", result.seed.to_string()),
        ("engine", result.engine.clone()),
        (
            "known bug put back",
            result.mutant.clone().unwrap_or_default(),
        ),
        (
            "simulated",
            match result.is_simulated() {
                true => seconds(result.sim_ms),
                false => String::new(),
            },
        ),
        (
            "wall",
            match result.is_simulated() {
                true => format!(
                    "{} ({})",
                    seconds(result.wall_ms),
                    speed(result.sim_ms, result.wall_ms)
                ),
                false => seconds(result.wall_ms),
            },
        ),
        ("events", grouped(result.events)),
        ("trace hash", result.trace_hash.clone()),
    ])
}

fn violations(result: &RunResult, has_diagrams: bool) -> String {
    let crash = result.crash.iter().map(|crash| {
        format!(
            "<div class=\"violation\"><div class=\"head\"><strong>panic</strong></div><pre class=\"wide\">{}</pre></div>\n",
            text(crash)
        )
    });
    let mut found = result.violations.iter();
    let first = found.by_ref().take(VIOLATIONS_MAX);
    let first = first.map(|violation| one_violation(violation, has_diagrams));
    let mut all: String = crash.chain(first).collect();
    if all.is_empty() {
        return String::new();
    }
    let more = found.len();
    if more > 0 {
        let rest = found.map(|violation| one_violation(violation, has_diagrams));
        let count = grouped(u64::try_from(more).unwrap_or(u64::MAX));
        all += &format!(
            "<details><summary>{count} more</summary>\n{}</details>\n",
            rest.collect::<String>()
        );
    }
    format!(
        "<section aria-labelledby=\"violations\">\n<h2 id=\"violations\">What broke</h2>\n{all}</section>"
    )
}

fn one_violation(violation: &Violation, has_diagrams: bool) -> String {
    let place = match violation.node.as_str() {
        "" => String::new(),
        node => format!("<span>{}</span>", text(node)),
    };
    let show = if has_diagrams {
        let us = violation.sim_ms * 1_000;
        format!("<button type=\"button\" data-us=\"{us}\">Show in the diagram</button>")
    } else {
        String::new()
    };
    format!(
        "<div class=\"violation\"><div class=\"head\"><strong>{}</strong><span>{}</span>\
         <span class=\"mono dim\">{} · event {}</span>{place}{show}</div><p>{}</p></div>\n",
        text(&violation.invariant),
        text(&violation.anomaly),
        seconds(violation.sim_ms),
        violation.event,
        text(&violation.detail),
    )
}

/// The same run for each command that takes a scenario and a seed.
fn commands(result: &RunResult) -> String {
    let other = |verb: &str, more: &str| {
        let command = result.replay.replacen(" replay ", &format!(" {verb} "), 1);
        format!("{command}{more}")
    };
    let mut html = command("c-replay", "replay", &result.replay);
    if !result.replay.contains(" replay ") {
        // A test of its own: there is no scenario that other commands could take.
        return html;
    }
    html += &command("c-trace", "trace", &other("replay", " --trace trace.txt"));
    if !result.held() {
        html += &command("c-shrink", "shrink", &other("shrink", " -o shrunk.toml"));
        html += &command("c-explain", "explain", &other("explain", ""));
    }
    html += &command("c-meta", "prove", &other("meta", ""));
    html
}

fn diagrams(result: &RunResult, recording: &Recording) -> String {
    let to_violation = match result.violations.first() {
        Some(first) => format!(
            "<button type=\"button\" data-do=\"violation\">{}</button>",
            text(&first.invariant)
        ),
        None => String::new(),
    };
    fill(
        DIAGRAMS,
        &[
            ("dropped", &dropped(&recording.dropped)),
            ("to_violation", &to_violation),
        ],
    )
}

/// Says what is missing; a reader must not take its absence for a fact.
fn dropped(dropped: &Dropped) -> String {
    if !dropped.is_any() {
        return String::new();
    }
    let counts = [
        ("messages before the first shown", dropped.messages_before),
        ("messages after the last shown", dropped.messages_after),
        ("changes of logs", dropped.logs_before + dropped.logs_after),
        ("process changes", dropped.processes),
        ("faults", dropped.faults),
        ("leaderships", dropped.leaderships),
        ("partition states", dropped.registrations),
        ("replicas", dropped.replicas),
    ];
    let missing = counts.iter().filter(|(_, count)| *count > 0);
    let missing: Vec<String> = missing
        .map(|(what, count)| format!("{} {what}", grouped(*count)))
        .collect();
    format!(
        "<p class=\"note\">This run was larger than its recording. Not recorded: {}. The verdict does not depend on it; \
         <code>trial replay --trace</code> has every event.</p>\n",
        missing.join(", ")
    )
}

fn faults(result: &RunResult) -> String {
    if result.timeline.is_empty() {
        return "<p class=\"dim\">None.</p>\n".to_owned();
    }
    let counts = result.faults.iter();
    let counts = counts.map(|(kind, count)| {
        format!(
            "<span>{}</span> <span class=\"mono\">{}</span>",
            text(kind),
            grouped(*count)
        )
    });
    let rows = result.timeline.iter().map(|entry| {
        format!(
            "<tr><td class=\"n\">{}</td><td class=\"n\">event {}</td><td class=\"what\">{}</td></tr>\n",
            seconds(entry.sim_ms),
            entry.event,
            text(&entry.what)
        )
    });
    format!(
        "{}<details><summary>All {} in order</summary>\n<div class=\"wide\"><table><tbody>\n{}</tbody></table></div></details>\n",
        columns("", counts),
        grouped(u64::try_from(result.timeline.len()).unwrap_or(u64::MAX)),
        rows.collect::<String>()
    )
}

fn clients(result: &RunResult) -> String {
    let right = Align::Right;
    let header = [
        ("client", Align::Left),
        ("", Align::Left),
        ("acked", right),
        ("failed", right),
        ("unknown", right),
        ("consumed", right),
    ];
    let numbers = |numbers: [u64; 4]| numbers.map(grouped);
    let rows = result.client_table.iter().map(|client| {
        let cells = numbers([client.acked, client.failed, client.unknown, client.consumed]);
        [client.name.clone(), client.kind.clone()]
            .into_iter()
            .chain(cells)
            .collect()
    });
    let total = &result.clients;
    let cells = numbers([total.acked, total.failed, total.unknown, total.consumed]);
    let all = ["all".to_owned(), String::new()].into_iter().chain(cells);
    let rows: Vec<Vec<String>> = rows.chain([all.collect()]).collect();
    let mut html = table(&header, &rows);
    let header = [
        (
            match result.is_simulated() {
                true => "simulated latency",
                false => "latency",
            },
            Align::Left,
        ),
        ("count", right),
        ("p50", right),
        ("p99", right),
        ("max", right),
    ];
    let rows: Vec<Vec<String>> = result.latency.iter().map(latency).collect();
    if !rows.is_empty() {
        html += &table(&header, &rows);
    }
    if total.txns_committed + total.txns_aborted > 0 {
        html += &format!(
            "<p>Transactions: {} committed, {} aborted.</p>\n",
            grouped(total.txns_committed),
            grouped(total.txns_aborted)
        );
    }
    html
}

fn latency(row: &LatencyRow) -> Vec<String> {
    let times = [row.p50_us, row.p99_us, row.max_us].map(milliseconds);
    [row.operation.clone(), grouped(row.count)]
        .into_iter()
        .chain(times)
        .collect()
}

fn invariants(result: &RunResult) -> String {
    let found = result.by_invariant();
    if found.is_empty() {
        return "<p class=\"dim\">None was checked.</p>\n".to_owned();
    }
    let entries = found.iter().map(|(id, times, violations)| {
        let (class, broken) = match violations {
            0 => ("", String::new()),
            count => (" class=\"bad\"", format!(", {count} broken")),
        };
        format!(
            "<span{class}>{}</span><span class=\"mono\">{}{broken}</span>",
            text(id),
            grouped(*times)
        )
    });
    format!(
        "<p class=\"dim\">How often each was checked. <code>trial list</code> says what they demand.</p>\n{}",
        columns("", entries)
    )
}

fn probes(probes: &[String]) -> String {
    if probes.is_empty() {
        return "<p class=\"dim\">None.</p>\n".to_owned();
    }
    columns(" plain", probes.iter().map(|probe| text(probe)))
}

fn footer(recording: Option<&Recording>) -> String {
    let recorded = match recording {
        Some(recording) => format!(
            "{} messages recorded. ",
            grouped(u64::try_from(recording.messages.len()).unwrap_or(u64::MAX))
        ),
        None => "The run was not recorded, so there are no diagrams. ".to_owned(),
    };
    format!("{recorded}This file is complete: it loads nothing and sends nothing.")
}

fn scripts(result: &RunResult, recording: &Recording) -> String {
    let places = result.violations.iter().map(|violation| Place {
        invariant: &violation.invariant,
        anomaly: &violation.anomaly,
        node: &violation.node,
        detail: &violation.detail,
        us: violation.sim_ms * 1_000,
        event: violation.event,
    });
    let places: Vec<Place<'_>> = places.collect();
    let places = serde_json::to_string(&places).expect("strings and numbers serialize");
    let mut html = data("violations-data", &places);
    html += &data("recording-data", &recording.json());
    html += &format!("<script>\n{}</script>\n", SCRIPTS.concat());
    html
}
