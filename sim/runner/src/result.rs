//! From what a run showed to its published result.

use std::collections::BTreeMap;

use crate::driver::RunOptions;
use reports::{ClientRow, ClientTotals, LatencyRow, RunResult, TimelineEntry};
use sim_checkers::history::{Action, History, Outcome};
use sim_workloads::ClientStats;

/// Totals over all clients.
pub fn totals(stats: &ClientStats) -> ClientTotals {
    ClientTotals {
        acked: stats.acked,
        failed: stats.failed,
        unknown: stats.unknown,
        consumed: stats.consumed,
        txns_committed: stats.txns_committed,
        txns_aborted: stats.txns_aborted,
    }
}

/// One row per client that did anything; `names` in order of process numbers, which start at 1.
pub fn client_table(history: &History, names: &[String]) -> Vec<ClientRow> {
    let mut rows: BTreeMap<u32, ClientRow> = BTreeMap::new();
    for operation in &history.operations {
        let row = rows.entry(operation.process).or_default();
        match (&operation.action, &operation.outcome) {
            (Action::Send { .. }, outcome) => {
                row.kind = "producer".into();
                match outcome {
                    Outcome::Ok => row.acked += 1,
                    Outcome::Fail(_) => row.failed += 1,
                    Outcome::Info(_) => row.unknown += 1,
                }
            }
            (Action::Poll { records, .. }, _) => {
                row.kind = "consumer".into();
                row.consumed += u64::try_from(records.len()).unwrap_or(u64::MAX);
            }
            (Action::Assign { .. } | Action::Group(_), _) => row.kind = "consumer".into(),
            (Action::ListOffsets { .. }, _) if row.kind.is_empty() => row.kind = "observer".into(),
            _ => {}
        }
    }
    let name_of = |process: u32| {
        let index = usize::try_from(process).unwrap_or(0).checked_sub(1);
        let name = index.and_then(|index| names.get(index)).cloned();
        name.unwrap_or_else(|| format!("process {process}"))
    };
    let named = rows.into_iter().map(|(process, row)| ClientRow {
        name: name_of(process),
        ..row
    });
    named.collect()
}

pub fn latency(stats: &ClientStats) -> Vec<LatencyRow> {
    let rows = stats.latency.iter();
    rows.map(|(operation, latency)| LatencyRow {
        operation: operation.clone(),
        count: latency.count,
        p50_us: micros(latency.p50),
        p99_us: micros(latency.p99),
        max_us: micros(latency.max),
    })
    .collect()
}

/// From milliseconds with microseconds behind the point; a float-to-integer cast saturates.
fn micros(ms: f64) -> u64 {
    (ms * 1_000.0).round() as u64
}

/// Faults and what processes did by themselves, in order.
pub fn timeline(mut entries: Vec<TimelineEntry>) -> Vec<TimelineEntry> {
    entries.sort_by_key(|entry| (entry.event, entry.sim_ms));
    entries
}

/// The command that makes the same run again.
pub fn replay_command(result: &RunResult, options: &RunOptions) -> String {
    let features = if result.mutant.is_some() {
        " --features mutants"
    } else {
        ""
    };
    let mut command = format!(
        "cargo run --release{features} -- replay {} --seed {}",
        result.scenario, result.seed
    );
    if result.engine != "native" {
        command.push_str(&format!(" --engine {}", result.engine));
    }
    if let Some(mutant) = &result.mutant {
        command.push_str(&format!(" --mutant {mutant}"));
    }
    if options.swarm {
        command.push_str(" --swarm");
    }
    if options.check_steps {
        command.push_str(" --check-steps");
    }
    command
}
