//! The verdict for a terminal: what was done, what was seen, what it means, how to see it again.

use sim_checkers::anomaly::{Verdict, Violation};

use crate::result::RunResult;
use crate::sweep::Sweep;
use crate::text::{Align, grouped, milliseconds, seconds, table};

/// More lines of one kind are counted, not shown.
const TIMELINE_LINES_MAX: usize = 40;
const VIOLATIONS_MAX: usize = 10;
const INVARIANT_COLUMNS: usize = 4;

/// Prints [`run`] on stdout.
pub fn print_console(result: &RunResult, color: bool) {
    print!("{}", run(result, color));
}

/// Prints [`sweep`] on stdout.
pub fn print_sweep(summary: &Sweep, color: bool) {
    print!("{}", sweep(summary, color));
}

struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn verdict(&self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Held => "1;32",
            Verdict::Stuck => "1;33",
            Verdict::Violated | Verdict::Crashed => "1;31",
        };
        self.with(code, text)
    }
}

/// A run's whole verdict; the last line is the command that replays it.
pub fn run(result: &RunResult, color: bool) -> String {
    let paint = Paint(color);
    let mut text = String::new();
    let mutant = result
        .mutant
        .as_ref()
        .map_or(String::new(), |id| format!("   with bug {id}"));
    let head = format!(
        "{}   seed {}   {}{mutant}",
        result.scenario, result.seed, result.engine
    );
    line(&mut text, &paint.bold(&head));
    timeline(&mut text, &paint, result);
    clients(&mut text, &paint, result);
    invariants(&mut text, &paint, result);
    verdict(&mut text, &paint, result);
    let figures = match result.is_simulated() {
        true => format!("{}   trace {}", result.figures(), result.trace_hash),
        false => result.figures(),
    };
    line(&mut text, &paint.dim(&figures));
    line(&mut text, &result.replay);
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn section(text: &mut String, paint: &Paint, title: &str, body: &str) {
    text.push('\n');
    line(text, &paint.bold(title));
    text.push_str(body);
}

fn timeline(text: &mut String, paint: &Paint, result: &RunResult) {
    let counts: Vec<String> = result
        .faults
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    if counts.is_empty() && result.timeline.is_empty() {
        return section(text, paint, "faults", "  none\n");
    }
    let shown = result.timeline.iter().take(TIMELINE_LINES_MAX);
    let rows: Vec<Vec<String>> = shown
        .map(|entry| {
            vec![
                seconds(entry.sim_ms),
                format!("#{}", entry.event),
                entry.what.clone(),
            ]
        })
        .collect();
    let mut body = table(
        &[("", Align::Right), ("", Align::Right), ("", Align::Left)],
        &rows,
    );
    if result.timeline.len() > TIMELINE_LINES_MAX {
        line(
            &mut body,
            &format!("  … {} more", result.timeline.len() - TIMELINE_LINES_MAX),
        );
    }
    let title = if counts.is_empty() {
        "faults".to_owned()
    } else {
        format!("faults   {}", counts.join(", "))
    };
    section(text, paint, &title, &body);
}

fn clients(text: &mut String, paint: &Paint, result: &RunResult) {
    let numbers = |numbers: [u64; 4]| numbers.map(grouped);
    let mut rows: Vec<Vec<String>> = Vec::new();
    for client in &result.client_table {
        let cells = numbers([client.acked, client.failed, client.unknown, client.consumed]);
        rows.push(
            [client.name.clone(), client.kind.clone()]
                .into_iter()
                .chain(cells)
                .collect(),
        );
    }
    let total = &result.clients;
    let cells = numbers([total.acked, total.failed, total.unknown, total.consumed]);
    rows.push(
        ["all".to_owned(), String::new()]
            .into_iter()
            .chain(cells)
            .collect(),
    );
    let right = Align::Right;
    let header = [
        ("", Align::Left),
        ("", Align::Left),
        ("acked", right),
        ("failed", right),
        ("unknown", right),
        ("consumed", right),
    ];
    let mut body = table(&header, &rows);
    if total.txns_committed + total.txns_aborted > 0 {
        let (committed, aborted) = (grouped(total.txns_committed), grouped(total.txns_aborted));
        line(
            &mut body,
            &format!("  transactions: {committed} committed, {aborted} aborted"),
        );
    }
    section(text, paint, "clients", &body);
    if !result.latency.is_empty() {
        let rows: Vec<Vec<String>> = result.latency.iter().map(latency_row).collect();
        let header = [
            ("", Align::Left),
            ("count", right),
            ("p50", right),
            ("p99", right),
            ("max", right),
        ];
        let title = match result.is_simulated() {
            true => "latency (simulated)",
            false => "latency",
        };
        section(text, paint, title, &table(&header, &rows));
    }
}

fn latency_row(row: &crate::result::LatencyRow) -> Vec<String> {
    let times = [row.p50_us, row.p99_us, row.max_us].map(milliseconds);
    [row.operation.clone(), grouped(row.count)]
        .into_iter()
        .chain(times)
        .collect()
}

fn invariants(text: &mut String, paint: &Paint, result: &RunResult) {
    let found = result.by_invariant();
    let broken = found
        .iter()
        .filter(|(_, _, violations)| *violations > 0)
        .count();
    let cells: Vec<[String; 2]> = found
        .iter()
        .map(|(invariant, times, violations)| {
            let mark = if *violations > 0 { "!" } else { "" };
            [format!("{invariant}{mark}"), grouped(*times)]
        })
        .collect();
    let height = cells.len().div_ceil(INVARIANT_COLUMNS);
    let empty = [String::new(), String::new()];
    let row = |row: usize| {
        let column = |column: usize| cells.get(column * height + row).unwrap_or(&empty).clone();
        (0..INVARIANT_COLUMNS).flat_map(column).collect()
    };
    let rows: Vec<Vec<String>> = (0..height).map(row).collect();
    let header = [("", Align::Left), ("", Align::Right)].repeat(INVARIANT_COLUMNS);
    let title = match broken {
        _ if found.is_empty() => "invariants   none checked".to_owned(),
        0 => format!("invariants   {} checked, all held", found.len()),
        _ => format!("invariants   {} checked, {broken} broken (!)", found.len()),
    };
    section(text, paint, &title, &table(&header, &rows));
}

fn verdict(text: &mut String, paint: &Paint, result: &RunResult) {
    text.push('\n');
    let word = result.verdict.as_str().to_uppercase();
    line(text, &paint.verdict(result.verdict, &word));
    if let Some(crash) = &result.crash {
        crash
            .lines()
            .for_each(|crash| line(text, &format!("  {}", printable(crash))));
    }
    for violation in result.violations.iter().take(VIOLATIONS_MAX) {
        line(
            text,
            &format!("  {}", paint.verdict(result.verdict, &place(violation))),
        );
        line(text, &format!("    {}", printable(&violation.detail)));
    }
    if result.violations.len() > VIOLATIONS_MAX {
        line(
            text,
            &format!("  … {} more", result.violations.len() - VIOLATIONS_MAX),
        );
    }
}

/// Without what would steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

/// `REP-1 lost-write   12.345 s   event 678   node2`.
fn place(violation: &Violation) -> String {
    let at = format!("{}   event {}", seconds(violation.sim_ms), violation.event);
    let place = format!(
        "{} {}   {at}   {}",
        violation.invariant, violation.anomaly, violation.node
    );
    place.trim_end().to_owned()
}

/// Many runs; failures with their replay commands come last.
pub fn sweep(summary: &Sweep, color: bool) -> String {
    let paint = Paint(color);
    let mut text = String::new();
    line(&mut text, &paint.bold(&summary.headline()));
    let right = Align::Right;
    let header = [
        ("", Align::Left),
        ("runs", right),
        ("held", right),
        ("violated", right),
        ("stuck", right),
        ("crashed", right),
        ("events", right),
        ("simulated", right),
    ];
    section(
        &mut text,
        &paint,
        "scenarios",
        &table(&header, &summary.scenario_rows()),
    );
    let invariants = summary.invariant_rows();
    let header = [
        ("", Align::Left),
        ("checked", right),
        ("runs that broke it", right),
    ];
    section(
        &mut text,
        &paint,
        "invariants",
        &table(&header, &invariants),
    );
    if !summary.probes_missed().is_empty() {
        let missed: Vec<Vec<String>> = summary
            .probes_missed()
            .into_iter()
            .map(|probe| vec![probe])
            .collect();
        section(
            &mut text,
            &paint,
            "rare paths never reached",
            &table(&[("", Align::Left)], &missed),
        );
    }
    text.push('\n');
    line(&mut text, &paint.dim(&summary.figures()));
    line(
        &mut text,
        &paint.verdict(
            summary.verdict(),
            &summary.verdict().as_str().to_uppercase(),
        ),
    );
    for row in summary.failures() {
        line(
            &mut text,
            &format!(
                "  {}",
                paint.verdict(
                    row.verdict,
                    &format!(
                        "{} seed {}   {}",
                        row.scenario,
                        row.seed,
                        row.verdict.as_str()
                    )
                )
            ),
        );
        line(&mut text, &format!("    {}", printable(&row.reason)));
        line(&mut text, &format!("    {}", row.replay));
    }
    text
}
