//! The named bounds: many small ones, each for other events, because one for all would be too large.

use super::{Bounds, Budget, ReplicaModel, Setup, events};

const NOTHING: Budget = Budget {
    produces: 0,
    lag_windows: 0,
    fences: 0,
    crashes: 0,
    power_losses: 0,
    shutdowns: 0,
    duplicates: 0,
    delays: 0,
    give_ups: 0,
    elections: 0,
    reconfigurations: 0,
    deletions: 0,
};

const USUAL: Bounds = Bounds {
    setup: Setup {
        led_by_second: false,
        committed: 0,
    },
    budget: NOTHING,
    min_insync_replicas: 2,
    messages: 3,
    lag: 1,
    attempts: 4,
    chunk: 1,
    heals: false,
    expected: &[],
};

/// Leadership moves away and back, with and without fencing, under late fetches and answers; brokers learn of
/// it two changes late.
pub const FAIL_OVER: Bounds = Bounds {
    setup: Setup {
        led_by_second: true,
        committed: 0,
    },
    budget: Budget {
        produces: 1,
        elections: 1,
        fences: 1,
        delays: 1,
        ..NOTHING
    },
    lag: 2,
    expected: &[
        events::TRUNCATED,
        events::LATE_FETCH_RESPONSE,
        events::LATE_ANSWER,
        events::FENCED_REQUEST,
        events::ISR_SHRINKS,
        events::ISR_GROWS,
        events::LEADER_CHANGES,
        events::TWO_LEADERS,
        events::ACKNOWLEDGED,
        events::COMMITS_AFTER_FAIL_OVER,
    ],
    ..USUAL
};

/// A fail-over with more records, so that a high watermark can be above another log's fork.
pub const RECORDS: Bounds = Bounds {
    budget: Budget {
        produces: 2,
        fences: 1,
        ..NOTHING
    },
    lag: 2,
    expected: &[
        events::TRUNCATED,
        events::TWO_LEADERS,
        events::COMMITS_AFTER_FAIL_OVER,
    ],
    ..USUAL
};

/// Two brokers are fenced and come back while a fetch is under way.
pub const JOIN: Bounds = Bounds {
    budget: Budget {
        produces: 1,
        fences: 2,
        delays: 1,
        ..NOTHING
    },
    expected: &[
        events::TRUNCATED,
        events::INELIGIBLE,
        events::ISR_GROWS,
        events::BECAME_ELIGIBLE,
        events::TWO_LEADERS,
        events::COMMITS_AFTER_FAIL_OVER,
    ],
    ..USUAL
};

/// The ISR shrinks and grows while AlterPartition is given up and sent again.
pub const ISR: Bounds = Bounds {
    budget: Budget {
        produces: 1,
        lag_windows: 1,
        fences: 1,
        give_ups: 1,
        ..NOTHING
    },
    expected: &[
        events::TRUNCATED,
        events::LATE_ANSWER,
        events::RETRIED,
        events::FENCED_REQUEST,
        events::INELIGIBLE,
        events::ISR_SHRINKS,
        events::ISR_GROWS,
        events::BECAME_ELIGIBLE,
        events::LED_BY_ELIGIBLE,
    ],
    ..USUAL
};

/// The ISR gets too small, and a broker crashes and comes back with or without the end of its log (KIP-966).
pub const ELR: Bounds = Bounds {
    setup: Setup {
        led_by_second: false,
        committed: 1,
    },
    budget: Budget {
        produces: 1,
        lag_windows: 1,
        crashes: 1,
        power_losses: 1,
        ..NOTHING
    },
    expected: &[
        events::TRUNCATED,
        events::BECAME_ELIGIBLE,
        events::LED_BY_ELIGIBLE,
        events::LOG_LOST,
        events::UNCLEAN_RESTART,
        events::COMMITS_AFTER_FAIL_OVER,
    ],
    ..USUAL
};

/// The only member of the ISR crashes, its rank with it: the last known leader is all that is left.
pub const LAST_LEADER: Bounds = Bounds {
    budget: Budget {
        produces: 1,
        lag_windows: 1,
        crashes: 1,
        ..NOTHING
    },
    min_insync_replicas: 1,
    expected: &[
        events::LEADERLESS,
        events::LAST_LEADER_ELECTED,
        events::UNCLEAN_RESTART,
    ],
    ..USUAL
};

/// `min.insync.replicas` changes while replicas are eligible (KAFKA-16540).
pub const MIN_ISR: Bounds = Bounds {
    budget: Budget {
        produces: 1,
        lag_windows: 1,
        reconfigurations: 1,
        ..NOTHING
    },
    expected: &[events::BECAME_ELIGIBLE, events::ELR_CLEARED],
    ..USUAL
};

/// A broker stops in good order and comes back.
pub const SHUTDOWN: Bounds = Bounds {
    budget: Budget {
        produces: 1,
        shutdowns: 1,
        ..NOTHING
    },
    expected: &[
        events::CLEAN_RESTART,
        events::LEADER_CHANGES,
        events::COMMITS_AFTER_FAIL_OVER,
    ],
    ..USUAL
};

/// Records are deleted up to the end, and leadership moves: logs without records go on where they ended.
pub const DELETIONS: Bounds = Bounds {
    setup: Setup {
        led_by_second: false,
        committed: 1,
    },
    budget: Budget {
        produces: 1,
        fences: 1,
        deletions: 1,
        ..NOTHING
    },
    expected: &[
        events::DELETED,
        events::LEADER_CHANGES,
        events::COMMITS_AFTER_FAIL_OVER,
    ],
    ..USUAL
};

/// LIVE-1 from every state of a fail-over.
pub const LIVE: Bounds = Bounds {
    setup: Setup {
        led_by_second: true,
        committed: 0,
    },
    budget: Budget {
        produces: 1,
        elections: 1,
        fences: 1,
        ..NOTHING
    },
    lag: 2,
    heals: true,
    expected: &[events::TRUNCATED, events::TWO_LEADERS, events::ACKNOWLEDGED],
    ..USUAL
};

/// The same with a second record, for epochs that the other side does not know (KIP-279).
pub const LIVE_RECORDS: Bounds = Bounds {
    budget: Budget {
        produces: 2,
        ..LIVE.budget
    },
    ..LIVE
};

/// Everything but a change of configuration, as far as an hour and the memory of a small machine go.
pub const NIGHTLY: Bounds = Bounds {
    setup: Setup {
        led_by_second: false,
        committed: 1,
    },
    budget: Budget {
        produces: 1,
        lag_windows: 1,
        fences: 1,
        crashes: 1,
        power_losses: 1,
        ..NOTHING
    },
    expected: &[
        events::TRUNCATED,
        events::INELIGIBLE,
        events::BECAME_ELIGIBLE,
        events::LED_BY_ELIGIBLE,
        events::LOG_LOST,
        events::UNCLEAN_RESTART,
        events::COMMITS_AFTER_FAIL_OVER,
    ],
    ..USUAL
};

impl ReplicaModel {
    pub fn by_name(name: &str) -> Option<ReplicaModel> {
        let bounds = match name {
            "replica" => FAIL_OVER,
            "replica-records" => RECORDS,
            "replica-join" => JOIN,
            "replica-isr" => ISR,
            "replica-elr" => ELR,
            "replica-last-leader" => LAST_LEADER,
            "replica-min-isr" => MIN_ISR,
            "replica-shutdown" => SHUTDOWN,
            "replica-deletions" => DELETIONS,
            "replica-live" => LIVE,
            "replica-live-records" => LIVE_RECORDS,
            "replica-nightly" => NIGHTLY,
            _ => return None,
        };
        Some(ReplicaModel::new(bounds))
    }
}
