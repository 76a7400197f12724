//! The scenario's text.

use std::fmt::Write as _;
use std::time::Duration;

use sim_disk::units::show;

use super::Draft;
use crate::scenario::fault_entry;

/// The whole file. Above the faults of each stretch stand the steps of the way that they stand for.
pub fn text(draft: &Draft, description: &str, invariant: &str) -> String {
    let mut text = format!(
        "description = \"\"\"\n{description}\"\"\"\n\n{}\n",
        draft.sections
    );
    let starts = draft.timeline.starts();
    let mut told = 0;
    for spec in &draft.faults {
        while told < starts.len() && starts[told] <= spec.at {
            tell(&mut text, draft, told, starts[told]);
            told += 1;
        }
        text.push_str(&fault_entry(spec));
    }
    for (window, at) in starts.iter().enumerate().skip(told) {
        tell(&mut text, draft, window, *at);
    }
    let end = draft.timeline.end() + Duration::from_secs(2);
    let _never = write!(
        text,
        "[run]\nduration = \"{}\"\n\n[expect]\ninvariants = [\"{invariant}\"]\n",
        show(end)
    );
    text
}

fn tell(text: &mut String, draft: &Draft, window: usize, at: Duration) {
    let _never = writeln!(text, "# From {} on:", show(at));
    for step in &draft.timeline.windows[window].texts {
        let _never = writeln!(text, "#   {step}");
    }
    text.push('\n');
}
