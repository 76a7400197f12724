//! The named bounds.

use super::{
    ABORTED, Bounds, Budget, COMMITTED, END_RETRIED, ENDS_NEXT, FAILED_OVER, FENCED, HANGS,
    JOINS_NEXT, LATE_REFUSED, MARKER_REPEATED, OLD_MARKER, Protocol, STRANGER, TIMED_OUT,
    TransactionModel,
};

const NOTHING: Budget = Budget {
    give_ups: 0,
    resends: 0,
    lost_answers: 0,
    lost_reports: 0,
    fail_overs: 0,
    timeouts: 0,
    instances: 0,
    strangers: 0,
};

/// As it was until KIP-890: partitions believe their producers.
const CLASSIC: Bounds = Bounds {
    protocol: Protocol::Classic,
    budget: Budget {
        give_ups: 1,
        resends: 1,
        ..NOTHING
    },
    transactions: 2,
    messages: 5,
    expected: &[COMMITTED, ABORTED, HANGS, JOINS_NEXT, ENDS_NEXT],
};

/// Partitions ask the coordinator (KIP-890 part 1).
const VERIFIED: Bounds = Bounds {
    protocol: Protocol::Verified,
    expected: &[COMMITTED, ABORTED, ENDS_NEXT, LATE_REFUSED],
    ..CLASSIC
};

/// An epoch for each transaction, partitions are added with their first record (KIP-890 part 2).
const LATE: Bounds = Bounds {
    protocol: Protocol::EpochPerTransaction,
    budget: Budget {
        give_ups: 1,
        resends: 1,
        lost_answers: 1,
        ..NOTHING
    },
    expected: &[COMMITTED, ABORTED, LATE_REFUSED, END_RETRIED],
    ..CLASSIC
};

/// The coordinator changes while markers are under way.
const FAIL_OVER: Bounds = Bounds {
    protocol: Protocol::EpochPerTransaction,
    budget: Budget {
        lost_answers: 1,
        lost_reports: 1,
        fail_overs: 1,
        ..NOTHING
    },
    expected: &[
        COMMITTED,
        END_RETRIED,
        FAILED_OVER,
        MARKER_REPEATED,
        OLD_MARKER,
    ],
    ..CLASSIC
};

/// A timeout, and a second instance.
const FENCING: Bounds = Bounds {
    protocol: Protocol::EpochPerTransaction,
    budget: Budget {
        give_ups: 1,
        timeouts: 1,
        instances: 1,
        ..NOTHING
    },
    transactions: 1,
    expected: &[COMMITTED, ABORTED, TIMED_OUT, FENCED, LATE_REFUSED],
    ..CLASSIC
};

/// The classic protocol without anything late: coordinators that change, answers that get lost.
const CLASSIC_FAIL_OVER: Bounds = Bounds {
    protocol: Protocol::Classic,
    budget: FAIL_OVER.budget,
    expected: FAIL_OVER.expected,
    ..FAIL_OVER
};

/// Somebody else sends EndTxn with an epoch that nobody was given.
const STRANGERS: Bounds = Bounds {
    protocol: Protocol::Classic,
    budget: Budget {
        strangers: 1,
        ..NOTHING
    },
    transactions: 1,
    expected: &[COMMITTED, STRANGER],
    ..CLASSIC
};

impl TransactionModel {
    pub fn by_name(name: &str) -> Option<TransactionModel> {
        let bounds = match name {
            "transaction" => LATE,
            "transaction-fail-over" => FAIL_OVER,
            "transaction-fencing" => FENCING,
            "transaction-verified" => VERIFIED,
            "transaction-classic" => CLASSIC,
            "transaction-classic-fail-over" => CLASSIC_FAIL_OVER,
            "transaction-classic-strangers" => STRANGERS,
            _ => return None,
        };
        Some(TransactionModel::new(bounds))
    }
}
