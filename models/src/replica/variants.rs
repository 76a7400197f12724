//! The named bounds.

use super::{Bounds, Budget, ReplicaModel};
pub use super::events::ALL;

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
};

/// Leaders change under late, repeated and reordered messages.
pub const FAIL_OVER: Bounds = Bounds {
    budget: Budget {
        produces: 2,
        fences: 2,
        delays: 1,
        ..NOTHING
    },
    min_insync_replicas: 2,
    messages: 4,
    lag: 2,
    attempts: 3,
    chunk: 1,
    expected: super::events::ALL,
};

/// The ISR shrinks and grows while AlterPartition and its answers get lost.
pub const ISR: Bounds = Bounds {
    budget: Budget {
        produces: 1,
        lag_windows: 1,
        fences: 1,
        delays: 1,
        give_ups: 1,
        ..NOTHING
    },
    min_insync_replicas: 2,
    messages: 4,
    lag: 2,
    attempts: 3,
    chunk: 1,
    expected: super::events::ALL,
};

/// Brokers crash, lose the end of their logs, stop in good order; the ISR gets too small (KIP-966).
pub const ELR: Bounds = Bounds {
    budget: Budget {
        produces: 1,
        fences: 1,
        crashes: 1,
        power_losses: 1,
        ..NOTHING
    },
    min_insync_replicas: 2,
    messages: 3,
    lag: 2,
    attempts: 3,
    chunk: 1,
    expected: super::events::ALL,
};

/// All of it, as far as an hour goes.
pub const NIGHTLY: Bounds = Bounds {
    budget: Budget {
        produces: 2,
        lag_windows: 1,
        fences: 2,
        crashes: 1,
        power_losses: 1,
        duplicates: 1,
        delays: 1,
        give_ups: 1,
        ..NOTHING
    },
    min_insync_replicas: 2,
    messages: 4,
    lag: 2,
    attempts: 3,
    chunk: 1,
    expected: super::events::ALL,
};

impl ReplicaModel {
    pub fn by_name(name: &str) -> Option<ReplicaModel> {
        let bounds = match name {
            "replica" => FAIL_OVER,
            "replica-isr" => ISR,
            "replica-elr" => ELR,
            "replica-nightly" => NIGHTLY,
            _ => return None,
        };
        Some(ReplicaModel::new(bounds))
    }
}
