//! `trial`.

use sim_runner::driver::{RunOptions, run};
use sim_runner::scenario::find;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let path = find::resolve(&arguments[1]).unwrap();
    let scenario = find::load(&path[0]).unwrap();
    let mut options = RunOptions::default();
    if let Some(range) = arguments.get(3) {
        let (a, b) = range.split_once("..").unwrap();
        options.trace.lines = Some((a.parse().unwrap(), b.parse().unwrap()));
    }
    match run(&scenario, arguments[2].parse().unwrap(), &options) {
        Ok(mut outcome) => {
            for line in std::mem::take(&mut outcome.lines) { println!("{line}"); }
            println!("{outcome:#?}")
        }
        Err(error) => println!("{error}"),
    }
}
