//! The table.

use super::{Bug, Finder};

const fn bug(mutant: &'static str, title: &'static str, finders: &'static [Finder]) -> Bug {
    Bug {
        mutant,
        title,
        finders,
    }
}

const fn within(seeds: u64, name: &'static str) -> Finder {
    Finder::Scenario { name, seeds }
}

const fn model(name: &'static str) -> Finder {
    Finder::Model(name)
}

/// All bugs with a finder, in the order of the bug bank.
pub const BANK: &[Bug] = &[
    bug(
        "L_01",
        "a crash while logs load counts as a clean stop (KAFKA-10471)",
        &[within(500, "hunt-storage")],
    ),
    bug(
        "L_02",
        "the clean-shutdown marker is written although loading never finished (KAFKA-15375)",
        &[within(500, "hunt-load")],
    ),
    bug(
        "L_10",
        "a read ends at the log's end instead of the limit it was given (KAFKA-9835)",
        &[within(50, "hunt-replication")],
    ),
    bug(
        "R_01",
        "a new follower truncates to its high watermark (KIP-101)",
        &[within(50, "hunt-replication"), model("replica")],
    ),
    bug(
        "R_04",
        "no truncation when the leader's id did not change (KAFKA-7164)",
        &[model("replica-live")],
    ),
    bug(
        "R_05",
        "a follower joins the ISR before it reached the epoch's start (KAFKA-7128)",
        &[within(500, "hunt-isr"), model("replica-join")],
    ),
    bug(
        "R_07",
        "followers of another epoch move the high watermark (KIP-320, first try)",
        &[model("replica")],
    ),
    bug(
        "R_08",
        "a fetch session forgets the leader epoch (KAFKA-9338)",
        &[within(50, "hunt-replication")],
    ),
    bug(
        "R_10",
        "the high watermark rises before the truncation (KAFKA-14704)",
        &[within(50, "hunt-replication"), model("replica-records")],
    ),
    bug(
        "R_11",
        "a fetch answer of an older epoch truncates (KAFKA-18991)",
        &[model("replica")],
    ),
    bug(
        "R_14",
        "a shortcut leaves conflicting epochs behind (KAFKA-10706)",
        &[model("replica-live")],
    ),
    bug(
        "R_19",
        "a fenced replica returns to the ISR (KIP-841)",
        &[model("replica-join")],
    ),
    bug(
        "R_20",
        "the high watermark moves with too small an ISR (KIP-966)",
        &[model("replica-elr")],
    ),
    bug(
        "R_20b",
        "a broker stays eligible after an unclean restart (KIP-966)",
        &[model("replica-elr")],
    ),
    bug(
        "R_20c",
        "the last member of the ISR is elected whatever it lost (KIP-966)",
        &[model("replica-elr")],
    ),
    bug(
        "R_22",
        "a fenced last known leader is elected (KAFKA-19522)",
        &[model("replica-last-leader")],
    ),
    bug(
        "R_23",
        "eligible replicas outlive a change of min.insync.replicas (KAFKA-16540)",
        &[model("replica-min-isr")],
    ),
    bug(
        "K_01",
        "fetched metadata count before they are flushed (KAFKA-10533)",
        &[within(50, "hunt-quorum"), model("raft-disk")],
    ),
    bug(
        "K_02",
        "a voter resumes leadership of its epoch after a restart (KAFKA-10527)",
        &[within(50, "hunt-quorum"), model("raft-disk")],
    ),
    bug(
        "K_04",
        "a commit without a record of the leader's own epoch (KAFKA-12619)",
        &[within(50, "hunt-quorum"), model("raft")],
    ),
    bug(
        "K_08",
        "a leader that removes itself counts its own log (KAFKA-16530)",
        &[model("raft-voters")],
    ),
    bug(
        "K_10",
        "voters change before the leader has committed in its epoch (KIP-853)",
        &[model("raft-voters")],
    ),
    bug(
        "K_14",
        "a snapshot is named by its last offset (KAFKA-14618)",
        &[model("raft-snapshot")],
    ),
    bug(
        "K_16",
        "the log is deleted past the snapshot (KAFKA-14238)",
        &[model("raft-snapshot")],
    ),
    bug(
        "M_07",
        "a block of producer ids is given twice (KAFKA-15552)",
        &[within(50, "quickstart")],
    ),
    bug(
        "T_20",
        "only the last batch of a producer is recognised (KAFKA-5494)",
        &[within(50, "hunt-producers")],
    ),
];
