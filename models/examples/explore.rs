use models::replica::{Bounds, Budget, ReplicaModel};
fn bounds(spec: &str) -> Bounds {
    let mut b = Bounds { budget: Budget::default(), min_insync_replicas: 2, messages: 3, lag: 2, attempts: 3, chunk: 1, expected: models::replica::variants::ALL };
    let chars: Vec<char> = spec.chars().collect();
    for pair in chars.chunks(2) {
        let n = pair[1].to_digit(10).unwrap() as u8;
        match pair[0] {
            'p' => b.budget.produces = n, 'w' => b.budget.lag_windows = n, 'f' => b.budget.fences = n,
            'c' => b.budget.crashes = n, 'l' => b.budget.power_losses = n, 's' => b.budget.shutdowns = n,
            'd' => b.budget.duplicates = n, 'y' => b.budget.delays = n, 'g' => b.budget.give_ups = n,
            'e' => b.budget.elections = n, 'r' => b.budget.reconfigurations = n,
            'M' => b.messages = n as usize, 'L' => b.lag = n as usize, 'A' => b.attempts = n as u64, 'K' => b.chunk = n as usize,
            'I' => b.min_insync_replicas = n as i32,
            _ => panic!(),
        }
    }
    b
}
fn main() {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().unwrap().parse().unwrap();
    for arg in args {
        let (name, mutant) = arg.split_once('+').map_or((arg.as_str(), None), |(n, m)| (n, Some(m.to_owned())));
        broker_probe::set_mutant(mutant.map(|m| &*m.leak()));
        let limits = models::Limits { states: 100_000_000, time: std::time::Duration::from_secs(seconds), ..models::DEFAULT_LIMITS };
        let report = models::harness::run(&arg, ReplicaModel::new(bounds(name)), limits);
        let text = report.to_string();
        for line in text.lines().filter(|l| !l.contains("sometimes")) { println!("{line}"); }
        let never: Vec<_> = report.sometimes.iter().filter(|(_, w)| w.is_none()).map(|(n, _)| *n).collect();
        println!("   never: {never:?}");
    }
}
