//! JUnit XML for continuous integration: a suite is a run with a test case per invariant, or a sweep with a
//! test case per run.

use sim_checkers::anomaly::Verdict;

use crate::result::RunResult;
use crate::sweep::{Sweep, SweepRow};
use crate::text::escape_xml;

const HEADER: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// One test case per invariant, and one for the run itself.
pub fn run(result: &RunResult) -> String {
    let class = format!("{}.seed-{}", result.scenario, result.seed);
    let found = result.by_invariant();
    let broken = found
        .iter()
        .filter(|(_, _, violations)| *violations > 0)
        .count();
    let crashed = usize::from(result.verdict == Verdict::Crashed);
    let mut text = open(
        &result.scenario,
        found.len() + 1,
        broken,
        crashed,
        result.wall_ms,
    );
    text.push_str(&format!(
        "    <testcase classname=\"{}\" name=\"run\" time=\"{}\"",
        escape_xml(&class),
        seconds(result.wall_ms)
    ));
    match &result.crash {
        Some(crash) => text.push_str(&format!(
            ">\n      <error message=\"crashed\">{}</error>\n    </testcase>\n",
            escape_xml(&format!("{crash}\n{}", result.replay))
        )),
        None => text.push_str("/>\n"),
    }
    for (invariant, _, violations) in found {
        text.push_str(&format!(
            "    <testcase classname=\"{}\" name=\"{}\" time=\"0\"",
            escape_xml(&class),
            escape_xml(invariant)
        ));
        if violations == 0 {
            text.push_str("/>\n");
            continue;
        }
        text.push_str(">\n");
        text.push_str(&failure(result, invariant));
        text.push_str("    </testcase>\n");
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// All violations of an invariant as one failure.
fn failure(result: &RunResult, invariant: &str) -> String {
    let mut broken = result
        .violations
        .iter()
        .filter(|violation| violation.invariant == invariant)
        .peekable();
    let message = broken
        .peek()
        .map_or("", |first| first.anomaly.as_str())
        .to_owned();
    let lines: Vec<String> = broken
        .map(|violation| {
            format!(
                "{} ms, event {}, {}: {}\n",
                violation.sim_ms, violation.event, violation.node, violation.detail
            )
        })
        .collect();
    let body = format!("{}{}", lines.concat(), result.replay);
    format!(
        "      <failure message=\"{}\">{}</failure>\n",
        escape_xml(&message),
        escape_xml(&body)
    )
}

/// One test case per run.
pub fn sweep(summary: &Sweep) -> String {
    let crashed = summary
        .rows
        .iter()
        .filter(|row| row.verdict == Verdict::Crashed)
        .count();
    let failed = summary.failures().count() - crashed;
    let mut text = open(
        "sweep",
        summary.rows.len(),
        failed,
        crashed,
        summary.wall_ms,
    );
    summary
        .rows
        .iter()
        .for_each(|row| text.push_str(&sweep_case(row)));
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn sweep_case(row: &SweepRow) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"seed {}\" time=\"{}\"",
        escape_xml(&row.scenario),
        row.seed,
        seconds(row.wall_ms)
    );
    if row.verdict == Verdict::Held {
        return format!("{head}/>\n");
    }
    let tag = if row.verdict == Verdict::Crashed {
        "error"
    } else {
        "failure"
    };
    let body = escape_xml(&format!("{}\n{}", row.reason, row.replay));
    format!(
        "{head}>\n      <{tag} message=\"{}\">{body}</{tag}>\n    </testcase>\n",
        row.verdict.as_str()
    )
}

fn open(name: &str, tests: usize, failures: usize, errors: usize, wall_ms: u64) -> String {
    format!(
        "{HEADER}<testsuites>\n  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{}\">\n",
        escape_xml(name),
        seconds(wall_ms)
    )
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}
