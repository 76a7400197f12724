use proptest::prelude::*;

use super::{ReplicationQuota, is_listed, list_problem};

#[test]
fn a_burst_is_paid_off_before_more_may_move() {
    let mut quota = ReplicationQuota::default();
    assert!(!quota.is_exceeded(0, 100));
    quota.record(5_000, 100);
    assert!(!quota.is_exceeded(5_000, 100), "a window's worth at once");
    quota.record(5_000, 400);
    let exceeded_at = |now_ms| quota.clone().is_exceeded(now_ms, 100);
    assert!(exceeded_at(5_000) && exceeded_at(9_999));
    assert!(!exceeded_at(10_000), "500 bytes in 5 seconds");
}

#[test]
fn what_is_older_than_the_windows_is_forgotten() {
    let mut quota = ReplicationQuota::default();
    quota.record(0, u64::MAX);
    assert!(quota.is_exceeded(10_999, 1));
    assert!(!quota.is_exceeded(11_000, 1));
    assert_eq!(quota, ReplicationQuota::default());
}

#[test]
fn an_unlimited_rate_is_never_exceeded() {
    let mut quota = ReplicationQuota::default();
    for second in 0..20 {
        quota.record(second * 1_000, u64::MAX / 32);
    }
    assert!(!quota.is_exceeded(20_000, u64::MAX));
}

#[test]
fn lists_name_replicas_by_partition_and_broker() {
    for (list, listed) in [
        ("", false),
        ("*", true),
        (" * ", true),
        ("3:1", true),
        ("0:1,3:1", true),
        ("0:1, 3:1", true),
        ("3:2,1:3", false),
        ("13:1,3:11", false),
    ] {
        assert_eq!(is_listed(list, 3, 1), listed, "{list:?}");
        assert_eq!(list_problem(list), None, "{list:?}");
    }
    for wrong in ["x", "1", "1:", ":1", "1:2:3", "1:2,*", "-1:2", "+1:2"] {
        assert!(list_problem(wrong).is_some(), "{wrong:?}");
        assert!(!is_listed(wrong, 3, 1) && !is_listed(wrong, 1, 2) || wrong == "1:2,*");
    }
}

proptest! {
    /// Who only moves when it may moves what the rate allows, and per eleven seconds one step more.
    #[test]
    fn the_rate_is_kept_over_any_stretch(
        rate in 1..10_000u64,
        steps in prop::collection::vec((0..3_000u64, 0..5_000u64), 1..200)
    ) {
        let mut quota = ReplicationQuota::default();
        let (mut now, mut moved, mut largest) = (0, 0, 0);
        for (pause, bytes) in steps {
            now += pause;
            if !quota.is_exceeded(now, rate) {
                quota.record(now, bytes);
                moved += bytes;
                largest = largest.max(bytes);
            }
            // Eleven windows hold what the rate allows in them, and the step that went over it.
            let stretches = now / 11_000 + 1;
            let allowed = (11 * rate + largest) * stretches;
            prop_assert!(moved <= allowed, "{} of {} after {} ms", moved, allowed, now);
        }
    }
}
