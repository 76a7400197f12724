//! `trial judge`: a history in Jepsen's EDN, judged by the same checkers as a run's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use sim_checkers::anomaly::{Report, Verdict, Violation};
use sim_checkers::client::{self, Promise};
use sim_checkers::edn;
use sim_checkers::history::{Action, History, Isolation};
use sim_checkers::reference;

use super::Judge;
use super::common::Exit;

/// Violations printed; all are counted.
const SHOWN: usize = 20;

pub fn judge(arguments: &Judge) -> Result<Exit, String> {
    let path = arguments.history.display();
    let text = std::fs::read_to_string(&arguments.history)
        .map_err(|error| format!("cannot read {path}: {error}"))?;
    let isolation = if arguments.read_uncommitted {
        Isolation::ReadUncommitted
    } else {
        Isolation::ReadCommitted
    };
    let begun = Instant::now();
    let history = edn::import(&text, isolation).map_err(|error| format!("{path}: {error}"))?;
    let imported = begun.elapsed();
    let promise = Promise {
        durable: true,
        idempotent: !arguments.duplicates,
        ordered_sends: true,
        complete_final_reads: arguments.final_reads,
        create_time: true,
        // Nothing in the format tells what was deleted, so nothing of it is asked for.
        retention: true,
        quiet: None,
    };
    let mut report = client::check(&history, promise);
    report.merge(reference::check(&history, promise));
    let judged = begun.elapsed().saturating_sub(imported);
    let verdict = Verdict::of(&report.violations);
    if arguments.json {
        println!("{}", json(&path.to_string(), &history, verdict, &report));
    } else {
        print!("{}", shown(&history, verdict, &report, imported, judged));
    }
    Ok(verdict.into())
}

#[derive(Serialize)]
struct Judged<'a> {
    history: &'a str,
    verdict: Verdict,
    operations: usize,
    violations: &'a [Violation],
    /// What Kafka's contract allows, by name: how often, and an example.
    lawful: &'a BTreeMap<String, (u64, String)>,
    invariants: &'a BTreeMap<String, u64>,
}

fn json(name: &str, history: &History, verdict: Verdict, report: &Report) -> String {
    let judged = Judged {
        history: name,
        verdict,
        operations: history.operations.len(),
        violations: &report.violations,
        lawful: &report.lawful,
        invariants: &report.checked,
    };
    serde_json::to_string(&judged).expect("strings and numbers serialize")
}

fn shown(
    history: &History,
    verdict: Verdict,
    report: &Report,
    imported: Duration,
    judged: Duration,
) -> String {
    let transactions = history.operations.iter();
    let transactions =
        transactions.filter(|operation| matches!(operation.action, Action::Transaction(_)));
    let mut text = format!(
        "history      {} operations, {} transactions; read in {:.2} s, judged in {:.2} s\n",
        history.operations.len(),
        transactions.count(),
        imported.as_secs_f64(),
        judged.as_secs_f64(),
    );
    let checked = report.checked.iter();
    let checked: Vec<String> = checked.map(|(id, times)| format!("{id} {times}")).collect();
    text.push_str(&format!("invariants   {}\n", checked.join(" · ")));
    for (anomaly, (times, example)) in &report.lawful {
        text.push_str(&format!(
            "lawful       {anomaly}, {times} times, the smallest: {example}\n"
        ));
    }
    for violation in report.violations.iter().take(SHOWN) {
        text.push_str(&format!(
            "violation    {} {}, line {}, {}: {}\n",
            violation.invariant,
            violation.anomaly,
            violation.event,
            violation.node,
            violation.detail
        ));
    }
    if let Some(more) = report.violations.len().checked_sub(SHOWN + 1) {
        text.push_str(&format!("             and {} more\n", more + 1));
    }
    text.push_str(&format!("verdict      {}\n", verdict.as_str()));
    text
}
