//! Clocks: monotonic never goes back, the inverse is exact, faults end.

use proptest::prelude::*;
use sim_faults::{ClockFault, ClockModel};

const START: i64 = 1_700_000_000_000;
const SECOND: u64 = 1_000_000_000;

#[test]
fn a_healthy_clock_is_true_time() {
    let clock = ClockModel::new(START);
    assert_eq!(clock.monotonic(5 * SECOND), 5 * SECOND);
    assert_eq!(clock.wall_ms(5 * SECOND), START + 5_000);
    assert_eq!(clock.true_time_of(7), Some(7));
}

#[test]
fn skew_and_jumps_move_only_the_wall() {
    let mut clock = ClockModel::new(START);
    clock.inject(SECOND, ClockFault::Skew { by_ms: -500 });
    assert_eq!(clock.wall_ms(SECOND), START + 500);
    clock.inject(2 * SECOND, ClockFault::Jump { by_ms: 100 });
    assert_eq!(clock.wall_ms(2 * SECOND), START + 1_600);
    assert_eq!(clock.monotonic(2 * SECOND), 2 * SECOND);
    clock.heal(3 * SECOND, ClockFault::Jump { by_ms: 100 });
    assert_eq!(clock.wall_ms(3 * SECOND), START + 3_000);
}

#[test]
fn drift_moves_both_and_ends() {
    let mut clock = ClockModel::new(START);
    clock.inject(0, ClockFault::Drift { ppm: 100_000 });
    assert_eq!(clock.monotonic(10 * SECOND), 11 * SECOND);
    assert_eq!(clock.wall_ms(10 * SECOND), START + 11_000);
    assert_eq!(clock.true_time_of(11 * SECOND), Some(10 * SECOND));
    clock.heal(10 * SECOND, ClockFault::Drift { ppm: 100_000 });
    assert_eq!(clock.monotonic(20 * SECOND), 21 * SECOND);
    assert_eq!(clock.wall_ms(20 * SECOND), START + 20_000);
}

#[test]
fn a_frozen_wall_stands_and_a_paused_node_stands_still() {
    let mut clock = ClockModel::new(START);
    clock.inject(SECOND, ClockFault::Freeze);
    assert_eq!(
        (clock.wall_ms(9 * SECOND), clock.monotonic(9 * SECOND)),
        (START + 1_000, 9 * SECOND)
    );
    clock.heal(9 * SECOND, ClockFault::Freeze);
    assert_eq!(clock.wall_ms(9 * SECOND), START + 9_000);
    clock.pause(10 * SECOND);
    assert_eq!(
        (clock.monotonic(15 * SECOND), clock.wall_ms(15 * SECOND)),
        (10 * SECOND, START + 15_000)
    );
    assert_eq!(clock.true_time_of(11 * SECOND), None);
    clock.resume(15 * SECOND);
    assert_eq!(clock.monotonic(16 * SECOND), 11 * SECOND);
    assert_eq!(clock.true_time_of(11 * SECOND), Some(16 * SECOND));
    clock.restart(20 * SECOND);
    assert_eq!(
        (clock.monotonic(21 * SECOND), clock.wall_ms(21 * SECOND)),
        (SECOND, START + 21_000)
    );
}

fn fault() -> impl Strategy<Value = ClockFault> {
    prop_oneof![
        (-100_000..100_000i64).prop_map(|by_ms| ClockFault::Skew { by_ms }),
        (-100_000..100_000i64).prop_map(|by_ms| ClockFault::Jump { by_ms }),
        (-600_000..600_000i32).prop_map(|ppm| ClockFault::Drift { ppm }),
        Just(ClockFault::Freeze),
    ]
}

proptest! {
    #[test]
    fn monotonic_never_goes_back_and_its_inverse_is_the_first_moment(
        steps in prop::collection::vec((0..5 * SECOND, fault(), 0..4u8), 1..20),
        ahead in 0..10 * SECOND,
    ) {
        let mut clock = ClockModel::new(START);
        let (mut now, mut last) = (0, 0);
        for (after, fault, what) in steps {
            now += after;
            let before = clock.monotonic(now);
            prop_assert!(before >= last);
            match what {
                0 => clock.heal(now, fault),
                1 => clock.pause(now),
                2 => clock.resume(now),
                _ => clock.inject(now, fault),
            }
            prop_assert_eq!(clock.monotonic(now), before);
            last = before;
        }
        let target = last + ahead;
        if let Some(at) = clock.true_time_of(target).filter(|&at| at > now) {
            prop_assert!(clock.monotonic(at) >= target);
            prop_assert!(clock.monotonic(at - 1) < target);
        }
        clock.resume(now);
        clock.heal_all(now);
        prop_assert!((clock.wall_ms(now) - START - i64::try_from(now / 1_000_000).unwrap()).abs() <= 1);
        prop_assert_eq!(clock.true_time_of(clock.monotonic(now) + ahead), Some(now + ahead));
    }
}
