//! `summary.md`: verdict and violations first, then what led to them.

use crate::result::RunResult;
use crate::sweep::Sweep;
use crate::text::{Align, escape_markdown, grouped, markdown_table, milliseconds, seconds, speed};

const RIGHT: Align = Align::Right;
const LEFT: Align = Align::Left;

/// One run.
pub fn run(result: &RunResult) -> String {
    let mut text = format!(
        "# {}: {} with seed {}\n\n",
        capitalized(result.verdict.as_str()),
        escape_markdown(&result.scenario),
        result.seed
    );
    text.push_str(&violations(result));
    let again = match result.is_simulated() {
        true => "Replay",
        false => "Another run like it",
    };
    text.push_str(&format!("{again}: `{}`\n\n", result.replay));
    let engine = escape_markdown(&result.engine);
    text.push_str(&match result.is_simulated() {
        true => format!(
            "{} events, {} simulated in {} ({}), engine {engine}, trace `{}`.\n",
            grouped(result.events),
            seconds(result.sim_ms),
            seconds(result.wall_ms),
            speed(result.sim_ms, result.wall_ms),
            result.trace_hash
        ),
        false => format!("{}, target {engine}.\n", result.figures()),
    });
    text.push_str(&faults(result));
    text.push_str(&clients(result));
    text.push_str(&invariants(result));
    text.push_str(&probes(result));
    text
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn violations(result: &RunResult) -> String {
    let mut text = String::new();
    if let Some(mutant) = &result.mutant {
        text.push_str(&format!(
            "Run with the known bug {} put back.\n\n",
            escape_markdown(mutant)
        ));
    }
    if let Some(crash) = &result.crash {
        let indented: Vec<String> = crash.lines().map(|line| format!("    {line}\n")).collect();
        text.push_str(&format!("{}\n", indented.concat()));
    }
    if result.violations.is_empty() {
        return text;
    }
    let row = |violation: &sim_checkers::anomaly::Violation| {
        vec![
            violation.invariant.clone(),
            violation.anomaly.clone(),
            seconds(violation.sim_ms),
            violation.event.to_string(),
            violation.node.clone(),
            violation.detail.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = result.violations.iter().map(row).collect();
    let header = [
        ("invariant", LEFT),
        ("anomaly", LEFT),
        ("time", RIGHT),
        ("event", RIGHT),
        ("node", LEFT),
        ("what", LEFT),
    ];
    text.push_str(&markdown_table(&header, &rows));
    text.push('\n');
    text
}

fn faults(result: &RunResult) -> String {
    let mut text = "\n## Faults\n\n".to_owned();
    if result.timeline.is_empty() && result.faults.is_empty() {
        text.push_str("None.\n");
        return text;
    }
    let counts: Vec<String> = result
        .faults
        .iter()
        .map(|(kind, count)| format!("{} {count}", escape_markdown(kind)))
        .collect();
    text.push_str(&format!("{}\n\n", counts.join(", ")));
    let row = |entry: &crate::result::TimelineEntry| {
        vec![
            seconds(entry.sim_ms),
            entry.event.to_string(),
            entry.what.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = result.timeline.iter().map(row).collect();
    text.push_str(&markdown_table(
        &[("time", RIGHT), ("event", RIGHT), ("what", LEFT)],
        &rows,
    ));
    text
}

fn clients(result: &RunResult) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for client in &result.client_table {
        let cells = [client.acked, client.failed, client.unknown, client.consumed].map(grouped);
        rows.push(
            [client.name.clone(), client.kind.clone()]
                .into_iter()
                .chain(cells)
                .collect(),
        );
    }
    let total = &result.clients;
    let cells = [total.acked, total.failed, total.unknown, total.consumed].map(grouped);
    rows.push(
        ["all".to_owned(), String::new()]
            .into_iter()
            .chain(cells)
            .collect(),
    );
    let header = [
        ("client", LEFT),
        ("kind", LEFT),
        ("acked", RIGHT),
        ("failed", RIGHT),
        ("unknown", RIGHT),
        ("consumed", RIGHT),
    ];
    let mut text = format!("\n## Clients\n\n{}", markdown_table(&header, &rows));
    if total.txns_committed + total.txns_aborted > 0 {
        text.push_str(&format!(
            "\nTransactions: {} committed, {} aborted.\n",
            grouped(total.txns_committed),
            grouped(total.txns_aborted)
        ));
    }
    if !result.latency.is_empty() {
        let row = |row: &crate::result::LatencyRow| {
            let times = [row.p50_us, row.p99_us, row.max_us].map(milliseconds);
            [row.operation.clone(), grouped(row.count)]
                .into_iter()
                .chain(times)
                .collect()
        };
        let rows: Vec<Vec<String>> = result.latency.iter().map(row).collect();
        let header = [
            ("latency", LEFT),
            ("count", RIGHT),
            ("p50", RIGHT),
            ("p99", RIGHT),
            ("max", RIGHT),
        ];
        text.push_str(&format!("\n{}", markdown_table(&header, &rows)));
    }
    text
}

fn invariants(result: &RunResult) -> String {
    let row = |(id, times, violations): (&str, u64, usize)| {
        let verdict = if violations == 0 {
            "held".to_owned()
        } else {
            format!("broken ({violations})")
        };
        vec![id.to_owned(), grouped(times), verdict]
    };
    let rows: Vec<Vec<String>> = result.by_invariant().into_iter().map(row).collect();
    format!(
        "\n## Invariants\n\n{}",
        markdown_table(
            &[("invariant", LEFT), ("checked", RIGHT), ("", LEFT)],
            &rows
        )
    )
}

fn probes(result: &RunResult) -> String {
    if result.probes.is_empty() {
        return String::new();
    }
    let items: Vec<String> = result
        .probes
        .iter()
        .map(|probe| format!("- {}\n", escape_markdown(probe)))
        .collect();
    format!("\n## Rare paths reached\n\n{}", items.concat())
}

/// Many runs.
pub fn sweep(summary: &Sweep) -> String {
    let mut text = format!(
        "# {}: {}\n\n",
        capitalized(summary.verdict().as_str()),
        summary.headline()
    );
    let failures: Vec<Vec<String>> = summary
        .failures()
        .map(|row| {
            vec![
                row.scenario.clone(),
                row.seed.to_string(),
                row.verdict.as_str().to_owned(),
                row.reason.clone(),
                row.replay.clone(),
            ]
        })
        .collect();
    if !failures.is_empty() {
        let header = [
            ("scenario", LEFT),
            ("seed", RIGHT),
            ("verdict", LEFT),
            ("what", LEFT),
            ("replay", LEFT),
        ];
        text.push_str(&format!("{}\n", markdown_table(&header, &failures)));
    }
    text.push_str(&format!("{}\n", summary.figures()));
    let header = [
        ("scenario", LEFT),
        ("runs", RIGHT),
        ("held", RIGHT),
        ("violated", RIGHT),
        ("stuck", RIGHT),
        ("crashed", RIGHT),
        ("events", RIGHT),
        ("simulated", RIGHT),
    ];
    text.push_str(&format!(
        "\n## Scenarios\n\n{}",
        markdown_table(&header, &summary.scenario_rows())
    ));
    let header = [
        ("invariant", LEFT),
        ("checked", RIGHT),
        ("runs that broke it", RIGHT),
    ];
    text.push_str(&format!(
        "\n## Invariants\n\n{}",
        markdown_table(&header, &summary.invariant_rows())
    ));
    let faults: Vec<Vec<String>> = summary
        .faults
        .iter()
        .map(|(kind, count)| vec![kind.clone(), grouped(*count)])
        .collect();
    text.push_str(&format!(
        "\n## Faults\n\n{}",
        markdown_table(&[("fault", LEFT), ("times", RIGHT)], &faults)
    ));
    let missed = summary.probes_missed();
    if !missed.is_empty() {
        let items: Vec<String> = missed
            .iter()
            .map(|probe| format!("- {}\n", escape_markdown(probe)))
            .collect();
        text.push_str(&format!(
            "\n## Rare paths never reached\n\n{}",
            items.concat()
        ));
    }
    text
}
