//! `trial list`.

use sim_runner::bugs::BANK;
use sim_runner::scenario::find;

use super::common::Exit;

pub fn list() -> Result<Exit, String> {
    let folder = find::folder();
    println!("scenarios in {}", folder.display());
    for place in find::all(&folder) {
        let described = match find::load(&place.path) {
            Ok(scenario) => first_sentence(&scenario.description),
            Err(error) => format!("BROKEN: {error}"),
        };
        println!("  {:<10} {:<28} {described}", place.tier, place.name);
    }
    println!("\nmodels");
    for (name, sentence) in models::MODELS {
        println!("  {name:<14} {sentence}");
    }
    println!("\nknown bugs that `trial bugs` puts back");
    for bug in BANK {
        let finders: Vec<String> = bug.finders.iter().map(ToString::to_string).collect();
        let finders = match bug.unfound {
            Some(why) => format!("no finder, {why}"),
            None => finders.join(", "),
        };
        println!("  {:<6} {}: {finders}", bug.id(), bug.title);
    }
    Ok(Exit::Held)
}

fn first_sentence(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.split_once(". ") {
        Some((first, _)) => format!("{first}."),
        None => flat,
    }
}
