//! The index of a sweep: what failed, with links, then everything that ran.

use std::collections::BTreeMap;

use sim_checkers::anomaly::Verdict;

use super::{COPY, STYLE, columns, command, facts, fill, table, text};
use crate::sweep::{Sweep, SweepRow};
use crate::text::{Align, grouped, seconds, speed};

const TEMPLATE: &str = include_str!("../../templates/sweep.html");

/// More of them are counted, not listed.
const FAILURES_MAX: usize = 200;

/// The page. `pages`: where the reports of single runs are, by scenario and seed, relative to this one.
pub fn sweep(summary: &Sweep, pages: &BTreeMap<(String, u64), String>) -> String {
    let failed = summary.failures().count();
    let headline = format!("{} runs, {failed} failed", summary.rows.len());
    fill(
        TEMPLATE,
        &[
            ("title", &text(&format!("sweep: {headline}"))),
            ("style", STYLE),
            ("headline", &headline),
            ("verdict", summary.verdict().as_str()),
            ("verdict_words", verdict_words(summary)),
            ("facts", &head(summary)),
            ("failures", &failures(summary, pages)),
            ("scenarios", &scenarios(summary, pages)),
            ("invariants", &invariants(summary)),
            ("probes", &probes(summary)),
            ("faults", &faults(summary)),
            (
                "footer",
                "This file loads nothing and sends nothing; it links to the reports beside it.",
            ),
            ("copy", COPY),
        ],
    )
}

fn verdict_words(summary: &Sweep) -> &'static str {
    match summary.verdict() {
        Verdict::Held => "Every run held",
        Verdict::Violated => "Safety is violated in at least one run",
        Verdict::Stuck => "At least one run did not come to rest",
        Verdict::Crashed => "The code under test panicked in at least one run",
    }
}

fn head(summary: &Sweep) -> String {
    let sum = |of: fn(&SweepRow) -> u64| summary.rows.iter().map(of).sum::<u64>();
    let (events, sim_ms) = (sum(|row| row.events), sum(|row| row.sim_ms));
    let faults: u64 = summary.faults.values().sum();
    facts(&[
        ("engine", summary.engine.clone()),
        ("simulated", seconds(sim_ms)),
        (
            "wall",
            format!(
                "{} ({})",
                seconds(summary.wall_ms),
                speed(sim_ms, summary.wall_ms)
            ),
        ),
        ("events", grouped(events)),
        ("faults", grouped(faults)),
        ("acknowledged", grouped(summary.clients.acked)),
        ("consumed", grouped(summary.clients.consumed)),
    ])
}

fn failures(summary: &Sweep, pages: &BTreeMap<(String, u64), String>) -> String {
    let all: Vec<&SweepRow> = summary.failures().collect();
    if all.is_empty() {
        return "<p class=\"dim\">None.</p>\n".to_owned();
    }
    let shown = all.iter().take(FAILURES_MAX).enumerate();
    let mut html: String = shown
        .map(|(index, row)| failure(index, row, pages))
        .collect();
    if all.len() > FAILURES_MAX {
        let more = grouped(u64::try_from(all.len() - FAILURES_MAX).unwrap_or(u64::MAX));
        html +=
            &format!("<p class=\"note\">{more} more are not listed; result.json has them.</p>\n");
    }
    html
}

fn failure(index: usize, row: &SweepRow, pages: &BTreeMap<(String, u64), String>) -> String {
    let name = text(&format!("{} seed {}", row.scenario, row.seed));
    let name = match page(row, pages) {
        Some(page) => format!("<a href=\"{page}\">{name}</a>"),
        None => format!("{name} <span class=\"dim\">(no page of its own)</span>"),
    };
    let verdict = row.verdict.as_str();
    format!(
        "<div class=\"violation\"><div class=\"head\"><strong>{name}</strong><span class=\"verdict {verdict}\" style=\"font-size:14px\">{verdict}</span></div><p>{}</p>{}</div>\n",
        text(&row.reason),
        command(&format!("c{index}"), "replay", &row.replay)
    )
}

fn page(row: &SweepRow, pages: &BTreeMap<(String, u64), String>) -> Option<String> {
    let page = pages.get(&(row.scenario.clone(), row.seed))?;
    Some(text(page))
}

/// A line per scenario, and a cell per run.
fn scenarios(summary: &Sweep, pages: &BTreeMap<(String, u64), String>) -> String {
    let right = Align::Right;
    let header = [
        ("scenario", Align::Left),
        ("runs", right),
        ("held", right),
        ("violated", right),
        ("stuck", right),
        ("crashed", right),
        ("events", right),
        ("simulated", right),
    ];
    let mut html = table(&header, &summary.scenario_rows());
    let mut cells: BTreeMap<&str, String> = BTreeMap::new();
    for row in &summary.rows {
        cells
            .entry(&row.scenario)
            .or_default()
            .push_str(&cell(row, pages));
    }
    let cells = cells.iter().map(|(scenario, cells)| {
        format!(
            "<h3>{}</h3><div class=\"cells\">{cells}</div>\n",
            text(scenario)
        )
    });
    html += &format!(
        "<details open><summary>One cell per run; those that failed lead to their reports</summary>\n{}</details>\n",
        cells.collect::<String>()
    );
    html
}

fn cell(row: &SweepRow, pages: &BTreeMap<(String, u64), String>) -> String {
    let verdict = row.verdict.as_str();
    let title = format!("seed {}: {verdict}", row.seed);
    match page(row, pages) {
        Some(page) => format!(
            "<a class=\"{verdict}\" href=\"{page}\" title=\"{title}\"><span class=\"hidden\">{title}</span></a>"
        ),
        None => format!("<i class=\"{verdict}\" title=\"{title}\"></i>"),
    }
}

fn invariants(summary: &Sweep) -> String {
    let rows = summary.invariants_ranked().into_iter();
    let entries = rows.map(|(id, times, broken)| {
        let (class, broken) = match broken {
            0 => ("", String::new()),
            runs => (" class=\"bad\"", format!(", broken in {}", grouped(runs))),
        };
        format!(
            "<span{class}>{}</span><span class=\"mono\">{}{broken}</span>",
            text(id),
            grouped(times)
        )
    });
    format!(
        "<p class=\"dim\">How often each was checked, and in how many runs it broke.</p>\n{}",
        columns("", entries)
    )
}

fn probes(summary: &Sweep) -> String {
    let missed = summary.probes_missed();
    let intro = "<p class=\"dim\">In how many of the runs each was reached.</p>\n";
    let reached = summary.probes.iter().map(|(probe, runs)| {
        let share = format!("{}/{}", grouped(*runs), summary.rows.len());
        format!(
            "<span>{}</span><span class=\"mono\">{share}</span>",
            text(probe)
        )
    });
    let mut html = intro.to_owned();
    if !missed.is_empty() {
        html += "<h3>Never reached</h3>\n";
        html += &columns(" plain", missed.iter().map(|probe| text(probe)));
        html += "<h3>Reached</h3>\n";
    }
    html + &columns("", reached)
}

fn faults(summary: &Sweep) -> String {
    let faults = summary.faults.iter();
    columns(
        "",
        faults.map(|(kind, count)| {
            format!(
                "<span>{}</span><span class=\"mono\">{}</span>",
                text(kind),
                grouped(*count)
            )
        }),
    )
}
