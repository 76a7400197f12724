//! The chain as a sequence diagram in Mermaid, which GitHub and editors show, and as columns of text.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use reports::recording::{LaneId, Recording};

use super::chain::Link;
use super::milestone::name;

/// More is no picture any more.
const LINKS: usize = 60;

/// A `sequenceDiagram`, without the fence.
pub fn mermaid(recording: &Recording, chain: &[Link]) -> String {
    let shown = &chain[chain.len().saturating_sub(LINKS)..];
    let lanes = lanes(shown);
    let mut text = "sequenceDiagram\n".to_owned();
    for lane in &lanes {
        let _never = writeln!(text, "    participant {}", name(recording, *lane));
    }
    for link in shown {
        let milestone = &link.milestone;
        if let (Some(by), Some(to)) = (&link.by, milestone.lane) {
            let (from, to) = (name(recording, by.from), name(recording, to));
            let _never = writeln!(text, "    {from}->>{to}: {}", plain(&by.what));
        }
        let ms = milestone.at.us / 1_000;
        let (seconds, ms) = (ms / 1_000, ms % 1_000);
        let told = plain(&milestone.text);
        let over = match (milestone.lane, lanes.first(), lanes.last()) {
            (Some(lane), ..) => name(recording, lane).to_owned(),
            (None, Some(first), Some(last)) => {
                format!("{},{}", name(recording, *first), name(recording, *last))
            }
            (None, ..) => continue,
        };
        let _never = writeln!(text, "    Note over {over}: {seconds}.{ms:03} s {told}");
    }
    text
}

/// Characters that mean something in Mermaid are replaced.
fn plain(text: &str) -> String {
    text.replace(';', ",")
        .replace('#', "no. ")
        .replace(['\n', '\r'], " ")
}

fn lanes(chain: &[Link]) -> BTreeSet<LaneId> {
    let own = chain.iter().filter_map(|link| link.milestone.lane);
    let senders = chain.iter().filter_map(|link| Some(link.by.as_ref()?.from));
    own.chain(senders).collect()
}

/// A column for each lane: `*` where something happens, `>` and `<` where news arrive.
pub fn columns(recording: &Recording, chain: &[Link]) -> String {
    let shown = &chain[chain.len().saturating_sub(LINKS)..];
    let lanes: Vec<LaneId> = lanes(shown).into_iter().collect();
    let names = lanes.iter().map(|lane| name(recording, *lane));
    let width = names.clone().map(|name| name.len()).max().unwrap_or(0) + 2;
    let mut text = String::new();
    let head: Vec<String> = names.map(|name| format!("{name:^width$}")).collect();
    let _never = writeln!(text, "{:>10}  {}", "", head.concat());
    for link in shown {
        let from = link.by.as_ref().map(|by| by.from);
        let cell = |lane: &LaneId| {
            let mark = match link.milestone.lane {
                Some(own) if own == *lane => "*",
                None => "#",
                _ if from == Some(*lane) => "o",
                _ => "|",
            };
            format!("{mark:^width$}")
        };
        let cells: Vec<String> = lanes.iter().map(cell).collect();
        let ms = link.milestone.at.us / 1_000;
        let at = format!("{}.{:03} s", ms / 1_000, ms % 1_000);
        let by = link
            .by
            .as_ref()
            .map_or(String::new(), |by| format!("  <- {}", by.what));
        let told = &link.milestone.text;
        let _never = writeln!(text, "{at:>10}  {}  {told}{by}", cells.concat());
    }
    text
}
