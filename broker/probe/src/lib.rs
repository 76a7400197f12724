//! Two marks that production code carries for the testbed; without the testbed both cost nothing.
//!
//! - [`probe!`]`("name")` marks a rare path ("sometimes" assertion). Runs count the marks they pass,
//!   a sweep reports those never reached.
//! - [`mutant!`]`(R_01)` marks the spot where a known bug can be put back. It is the constant `false`
//!   unless the crate is built with the feature `mutants`, and it documents why the line is as it is.
//!
//! A crate of its own because protocol, core and storage carry marks and may not see each other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

thread_local! {
    static PROBES: RefCell<Option<BTreeMap<&'static str, u64>>> = const { RefCell::new(None) };
    static MUTANT: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Starts counting probes on this thread; production never does, so [`hit`] is one thread-local read.
pub fn start_counting() {
    PROBES.set(Some(BTreeMap::new()));
}

/// Stops counting and gives how often each probe was passed since [`start_counting`].
pub fn take_counts() -> BTreeMap<&'static str, u64> {
    PROBES.take().unwrap_or_default()
}

/// Called by [`probe!`].
pub fn hit(name: &'static str) {
    PROBES.with_borrow_mut(|counts| {
        if let Some(counts) = counts {
            *counts.entry(name).or_insert(0) += 1;
        }
    });
}

/// Puts the known bug `id` (as in `R_01`) back on this thread, or none.
pub fn set_mutant(id: Option<&'static str>) {
    MUTANT.set(id);
}

/// The known bug that is put back on this thread, if any.
pub fn current_mutant() -> Option<&'static str> {
    MUTANT.get()
}

/// Runs `body` without a known bug and without counting probes: for who looks over the shoulder of a run.
pub fn aside<T>(body: impl FnOnce() -> T) -> T {
    let (counts, mutant) = (PROBES.take(), MUTANT.take());
    let result = body();
    PROBES.set(counts);
    MUTANT.set(mutant);
    result
}

/// Whether this build can put known bugs back.
pub const MUTANTS_BUILT: bool = cfg!(feature = "mutants");

/// Called by [`mutant!`].
#[inline]
pub fn mutant_active(id: &'static str) -> bool {
    MUTANTS_BUILT && MUTANT.get() == Some(id)
}

/// Marks a rare path: `probe!("replica: truncated on divergence")`.
#[macro_export]
macro_rules! probe {
    ($name:literal) => {
        $crate::hit($name)
    };
}

/// `if mutant!(R_01) { the bug } else { the correct way }`; ids are those of the bug bank.
#[macro_export]
macro_rules! mutant {
    ($id:ident) => {
        $crate::mutant_active(stringify!($id))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_count_only_between_start_and_take() {
        probe!("a");
        start_counting();
        probe!("a");
        probe!("a");
        probe!("b");
        assert_eq!(take_counts(), BTreeMap::from([("a", 2), ("b", 1)]));
        probe!("a");
        assert!(take_counts().is_empty());
    }

    #[test]
    fn aside_nothing_counts_and_no_bug_is_active() {
        start_counting();
        set_mutant(Some("R_01"));
        aside(|| {
            probe!("a");
            assert!(!mutant!(R_01));
        });
        assert_eq!(current_mutant(), Some("R_01"));
        set_mutant(None);
        assert!(take_counts().is_empty());
    }

    #[test]
    fn a_mutant_is_active_only_when_built_and_set() {
        set_mutant(Some("R_01"));
        assert_eq!(mutant!(R_01), MUTANTS_BUILT);
        assert!(!mutant!(R_02));
        set_mutant(None);
        assert!(!mutant!(R_01));
    }
}
