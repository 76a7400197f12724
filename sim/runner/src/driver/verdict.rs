//! From what the world and the control task tell to the verdict.

use reports::{RunResult, TimelineEntry};
use sim_checkers::anomaly::{Verdict, Violation};
use sim_checkers::history::History;

use super::phases::Account;
use crate::engine::{End, WorldReport};
use crate::result::{client_table, latency, timeline, totals};

/// Fills in all but what names the run; what clients saw is left.
pub fn fill(result: &mut RunResult, world: &WorldReport, account: Account) -> History {
    let mut violations = account.report.violations;
    violations.extend(endings(world, &account.unsettled));
    violations.sort_by_key(|violation| (violation.event, violation.invariant.clone()));
    result.verdict = verdict(&world.end, &violations);
    result.violations = violations;
    result.crash = match &world.end {
        End::Crashed(crash) => Some(format!(
            "{}: task `{}` panicked: {}",
            crash.node, crash.task, crash.message
        )),
        _ => None,
    };
    result.trace_hash = format!("{:016x}", world.trace_hash);
    result.events = world.events;
    result.sim_ms = world.sim_ns / 1_000_000;
    let counts = account.fault_counts.into_iter();
    result.faults = counts
        .map(|(kind, count)| (kind.to_owned(), count))
        .collect();
    result.clients = totals(&account.stats);
    result.client_table = client_table(&account.history, &account.client_names);
    result.latency = latency(&account.stats);
    result.invariants = account.report.checked;
    let struck = account.timeline.into_iter();
    let entries = struck.chain(account.exits).map(|struck| TimelineEntry {
        sim_ms: struck.at_ms,
        event: struck.event,
        what: struck.what,
    });
    result.timeline = timeline(entries.collect());
    account.history
}

/// What the end of the world itself says.
fn endings(world: &WorldReport, unsettled: &[String]) -> Vec<Violation> {
    let at = |invariant: &str, anomaly: &str, node: &str, detail: String| Violation {
        invariant: invariant.to_owned(),
        anomaly: anomaly.to_owned(),
        event: world.events,
        sim_ms: world.sim_ns / 1_000_000,
        node: node.to_owned(),
        detail,
    };
    match &world.end {
        End::Until | End::Crashed(_) => Vec::new(),
        End::Finished => unsettled
            .iter()
            .map(|reason| at("LIVE-1", "unsettled", "", reason.clone()))
            .collect(),
        End::Livelock { node, task } => {
            let detail = format!("task `{task}` runs without time passing");
            vec![at("LIVE-1", "livelock", node, detail)]
        }
        End::OutOfTime => {
            let tasks = world.tasks.iter();
            let waiting: Vec<String> = tasks
                .map(|(host, task, count)| format!("{host}: {count} x {task}"))
                .collect();
            let detail = format!("the run did not end; tasks: {}", waiting.join(", "));
            vec![at("LIVE-5", "endless", "", detail)]
        }
    }
}

fn verdict(end: &End, violations: &[Violation]) -> Verdict {
    let is_live = |violation: &Violation| violation.invariant.starts_with("LIVE");
    if matches!(end, End::Crashed(_)) {
        Verdict::Crashed
    } else if violations.iter().any(|violation| !is_live(violation)) {
        Verdict::Violated
    } else if violations.is_empty() {
        Verdict::Held
    } else {
        Verdict::Stuck
    }
}
