//! The scenario's text.

use std::fmt::Write as _;
use std::time::Duration;

use sim_disk::units::show;
use sim_faults::FaultSpec;
use sim_faults::plan::Planned;

use super::Draft;

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
        text.push_str(&entry(spec));
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

fn entry(spec: &FaultSpec) -> String {
    let mut entry = format!("[[fault]]\nat = \"{}\"\n", show(spec.at));
    match &spec.planned {
        Planned::Fault(fault) => {
            let _never = writeln!(entry, "fault = {}", inline(fault));
        }
        Planned::On(target, action) => {
            let _never = writeln!(entry, "target = {}", inline(target));
            let _never = writeln!(entry, "action = {}", inline(action));
        }
    }
    if let Some(lasts) = spec.lasts {
        let _never = writeln!(entry, "lasts = \"{}\"", show(lasts));
    }
    entry.push('\n');
    entry
}

fn inline(value: &impl serde::Serialize) -> String {
    toml::Value::try_from(value)
        .expect("faults, targets and actions are made of tables, texts and numbers")
        .to_string()
}
