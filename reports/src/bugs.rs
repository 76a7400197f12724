//! The scoreboard of `trial bugs`: which known bugs were put back, and what found each.

use crate::text::{Align, escape_markdown, markdown_table, seconds};

/// What looked for a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Searcher {
    Simulator,
    Model,
}

/// One search for one bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    pub searcher: Searcher,
    /// Scenario or model by name.
    pub name: String,
    /// The invariant that broke; none if the bug was not found.
    pub broken: Option<String>,
    /// The first seed that found it; none for a model.
    pub seed: Option<u64>,
    /// Simulated time over all seeds up to that one.
    pub sim_ms: Option<u64>,
}

/// One bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BugRow {
    /// As in R-01.
    pub id: String,
    pub title: String,
    pub searches: Vec<Search>,
    /// Why nothing looks for it; none if something does.
    pub unfound: Option<String>,
}

impl BugRow {
    fn found_by(&self, searcher: Searcher) -> Option<&Search> {
        let mut found = self.searches.iter().filter(|one| one.broken.is_some());
        found.find(|one| one.searcher == searcher)
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.id.clone(), self.title.clone()];
        let simulated = self.found_by(Searcher::Simulator);
        cells.extend(match simulated {
            Some(found) => [
                found.name.clone(),
                found.seed.map_or(String::new(), |seed| seed.to_string()),
                found.sim_ms.map_or(String::new(), seconds),
                broken(found),
            ],
            None => ["—".to_owned(), String::new(), String::new(), String::new()],
        });
        cells.extend(match self.found_by(Searcher::Model) {
            Some(found) => [found.name.clone(), broken(found)],
            None => ["—".to_owned(), String::new()],
        });
        cells
    }
}

fn broken(found: &Search) -> String {
    found.broken.clone().unwrap_or_default()
}

/// `bugs.md`: how many, one line each, and those that nothing finds with the reason.
pub fn markdown(rows: &[BugRow]) -> String {
    let count = |searcher| {
        let found = rows.iter().filter(|row| row.found_by(searcher).is_some());
        found.count()
    };
    let found = rows
        .iter()
        .filter(|row| row.searches.iter().any(|one| one.broken.is_some()));
    let mut text = format!(
        "# Known bugs put back\n\n{} bugs of real systems, {} found: {} by the simulator, {} by a model.\n\n\
         Seeds are tried from 1 on; the simulated time is that of all seeds until the bug was found. The clean code holds\n\
         on the same seeds, or the bug does not count as found.\n\n",
        rows.len(),
        found.count(),
        count(Searcher::Simulator),
        count(Searcher::Model),
    );
    let header = [
        ("bug", Align::Left),
        ("what", Align::Left),
        ("scenario", Align::Left),
        ("seed", Align::Right),
        ("simulated", Align::Right),
        ("broken", Align::Left),
        ("model", Align::Left),
        ("broken", Align::Left),
    ];
    let cells: Vec<Vec<String>> = rows.iter().map(BugRow::cells).collect();
    text.push_str(&markdown_table(&header, &cells));
    let unfound: Vec<String> = rows.iter().filter_map(unfound).collect();
    if !unfound.is_empty() {
        text.push_str("\n## Not found\n\n");
        text.push_str(&unfound.concat());
    }
    text
}

fn unfound(row: &BugRow) -> Option<String> {
    let reason = match &row.unfound {
        Some(reason) => reason.as_str(),
        None if row.searches.iter().all(|one| one.broken.is_none()) => {
            "none of its finders found it this time"
        }
        None => return None,
    };
    Some(format!(
        "- **{}**, {}: {}.\n",
        row.id,
        escape_markdown(&row.title),
        escape_markdown(reason)
    ))
}
