//! Many runs on many threads. A run is single-threaded and shares nothing, so runs scale with cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// All cores.
pub fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does `work(0)`, `work(1)` … on so many threads until `count` is reached, `work` gives none, or `each`
/// says stop; `each` gets the results on the calling thread, in order of completion.
pub fn run<T: Send>(
    jobs: usize,
    count: u64,
    work: impl Fn(u64) -> Option<T> + Sync,
    mut each: impl FnMut(u64, T) -> bool,
) {
    let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let sender = sender.clone();
            let (next, over, work) = (&next, &over, &work);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let done = (index < count).then(|| work(index)).flatten();
                    let Some(done) = done else { break };
                    if sender.send((index, done)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (index, done) in receiver {
            if !each(index, done) {
                over.store(true, Ordering::Relaxed);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_done_once() {
        let mut seen = Vec::new();
        run(4, 100, Some, |index, value| {
            assert_eq!(index, value);
            seen.push(index);
            true
        });
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_stop_ends_it_soon() {
        let mut count = 0;
        let work = |index| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            Some(index)
        };
        run(2, 1_000, work, |_, _| {
            count += 1;
            false
        });
        assert!(count < 1_000, "{count}");
    }
}
