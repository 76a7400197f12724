//! How small failures get: what `trial bugs --shrink` measured.

use crate::text::{Align, markdown_table};

/// One failure, before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShrinkRow {
    /// The known bug, as in R-01.
    pub id: String,
    pub scenario: String,
    pub seed: u64,
    /// What broke, or why nothing came of it.
    pub failure: String,
    /// None if nothing came of it.
    pub sizes: Option<Sizes>,
}

/// Of the failing run, and of what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    pub faults: (u64, u64),
    /// Sends and transactions of clients.
    pub operations: (u64, u64),
    pub nodes: (u64, u64),
    /// Simulated, of the fault phase.
    pub ms: (u64, u64),
    /// Of 20 seeds, those with which what is left fails so.
    pub failing: u64,
    pub runs: u64,
    pub wall_ms: u64,
    /// Without the bug it holds on the seeds that fail with it.
    pub clean: bool,
}

/// The lower one of the two in the middle; 0 of nothing.
pub fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(0)
}

/// `shrink.md`: the medians, then a line for each failure. `machine` says what it was measured on.
pub fn markdown(rows: &[ShrinkRow], machine: &str) -> String {
    let sizes: Vec<Sizes> = rows.iter().filter_map(|row| row.sizes).collect();
    let of = |value: fn(&Sizes) -> u64| median(sizes.iter().map(value).collect());
    let mut text = format!(
        "# Failures shrunk\n\n{} of {} failures of known bugs that scenarios find were shrunk, {machine}.\n\n\
         | median | of the failing run | shrunk |\n| --- | ---: | ---: |\n\
         | faults | {} | {} |\n| sends and transactions | {} | {} |\n| nodes | {} | {} |\n\
         | simulated seconds of faults | {} | {} |\n\n\
         It took {} runs and {} s in the median.\n\n",
        sizes.len(),
        rows.len(),
        of(|it| it.faults.0),
        of(|it| it.faults.1),
        of(|it| it.operations.0),
        of(|it| it.operations.1),
        of(|it| it.nodes.0),
        of(|it| it.nodes.1),
        tenths(of(|it| it.ms.0)),
        tenths(of(|it| it.ms.1)),
        of(|it| it.runs),
        tenths(of(|it| it.wall_ms)),
    );
    let header = [
        ("bug", Align::Left),
        ("scenario", Align::Left),
        ("seed", Align::Right),
        ("failure", Align::Left),
        ("faults", Align::Right),
        ("operations", Align::Right),
        ("nodes", Align::Right),
        ("simulated", Align::Right),
        ("of 20 seeds", Align::Right),
        ("runs", Align::Right),
        ("wall", Align::Right),
        ("without the bug", Align::Left),
    ];
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    text.push_str(&markdown_table(&header, &cells));
    text
}

fn cells(row: &ShrinkRow) -> Vec<String> {
    let mut cells = vec![
        row.id.clone(),
        row.scenario.clone(),
        row.seed.to_string(),
        row.failure.clone(),
    ];
    let Some(sizes) = row.sizes else {
        cells.resize(12, String::new());
        return cells;
    };
    let change = |(before, after): (u64, u64)| format!("{before} → {after}");
    cells.extend([
        change(sizes.faults),
        change(sizes.operations),
        change(sizes.nodes),
        format!("{} → {} s", tenths(sizes.ms.0), tenths(sizes.ms.1)),
        sizes.failing.to_string(),
        sizes.runs.to_string(),
        format!("{} s", tenths(sizes.wall_ms)),
        if sizes.clean { "holds" } else { "fails too" }.to_owned(),
    ]);
    cells
}

/// Milliseconds as seconds with one digit behind the point.
fn tenths(ms: u64) -> String {
    format!("{}.{}", ms / 1_000, ms % 1_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_one_of_the_values() {
        for (values, expected) in [
            (vec![], 0),
            (vec![3], 3),
            (vec![9, 1], 1),
            (vec![5, 1, 9], 5),
        ] {
            assert_eq!(median(values), expected);
        }
    }

    #[test]
    fn failures_that_were_not_shrunk_do_not_count() {
        let sizes = Sizes {
            faults: (40, 2),
            ms: (30_000, 1_250),
            ..Sizes::default()
        };
        let row = |failure: &str, sizes| ShrinkRow {
            id: "R-01".into(),
            failure: failure.into(),
            sizes,
            ..ShrinkRow::default()
        };
        let text = markdown(
            &[row("REP-1 lost", Some(sizes)), row("no way", None)],
            "here",
        );
        assert!(text.contains("1 of 2 failures"), "{text}");
        assert!(text.contains("| faults | 40 | 2 |"), "{text}");
        assert!(text.contains("30.0 → 1.2 s"), "{text}");
        assert!(text.contains("no way"), "{text}");
    }
}
