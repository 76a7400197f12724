//! The table.

use super::{Bug, Finder};

const fn bug(mutant: &'static str, title: &'static str, finders: &'static [Finder]) -> Bug {
    Bug {
        mutant,
        title,
        finders,
        unfound: None,
    }
}

/// Put back, and nothing finds it: why.
const fn unfound(mutant: &'static str, title: &'static str, why: &'static str) -> Bug {
    Bug {
        mutant,
        title,
        finders: &[],
        unfound: Some(why),
    }
}

const fn within(seeds: u64, name: &'static str) -> Finder {
    Finder::Scenario { name, seeds }
}

const fn model(name: &'static str) -> Finder {
    Finder::Model(name)
}

/// All marks of the code, in the order of the bug bank.
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
    unfound(
        "L_04",
        "snapshots of producers are not flushed (KAFKA-9892)",
        "the storage tests find it; after a power loss the log tells what its producers wrote, and 100 runs held",
    ),
    bug(
        "L_05",
        "the leader-epoch checkpoint is not flushed (KAFKA-16541)",
        &[within(300, "hunt-storage")],
    ),
    unfound(
        "L_07",
        "appends after a failed append (KAFKA-10778)",
        "the storage tests find it; in runs the directory is given up at once by other ways too",
    ),
    bug(
        "L_10",
        "a read ends at the log's end instead of the limit it was given (KAFKA-9835)",
        &[within(50, "hunt-replication")],
    ),
    bug(
        "L_13",
        "the batch's last offset delta is not checked (KAFKA-6554)",
        &[within(20, "broken-batches")],
    ),
    bug(
        "L_14",
        "files of a log that begins anew are deleted late (KAFKA-12955)",
        &[within(20, "metadata-snapshots")],
    ),
    unfound(
        "L_17",
        "a flush of a deleted log fails its directory (KAFKA-19571)",
        "the storage tests find it; the simulated disk lets an open file be flushed after its deletion, as Linux does",
    ),
    bug(
        "L_19",
        "an empty log starts at offset 0 (Redpanda #24306)",
        &[model("replica-deletions")],
    ),
    unfound(
        "L_20",
        "a flush counts although the log was truncated meanwhile (Redpanda #3114)",
        "the storage tests find it; the metadata log waits for its flush before it truncates",
    ),
    bug(
        "R_01",
        "a new follower truncates to its high watermark (KIP-101)",
        &[within(50, "hunt-replication"), model("replica")],
    ),
    bug(
        "R_02",
        "a follower truncates once and fetches on from there (KIP-279)",
        &[model("replica-live-records")],
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
        "R_13",
        "a fetcher truncates a replica that it no longer owns (KAFKA-13207)",
        &[within(50, "reassignment")],
    ),
    bug(
        "R_14",
        "a shortcut leaves conflicting epochs behind (KAFKA-10706)",
        &[model("replica-live")],
    ),
    unfound(
        "R_16",
        "an undefined epoch is answered with the log's end (KAFKA-6857)",
        "replicas never ask with an undefined epoch",
    ),
    bug(
        "R_17",
        "a failed read updates the follower's state (KAFKA-8400)",
        &[model("replica")],
    ),
    bug(
        "R_19",
        "a fenced replica returns to the ISR (KIP-841)",
        &[
            within(50, "counterexample-r-19"),
            within(20, "rolling-kills"),
            model("replica-join"),
        ],
    ),
    bug(
        "R_20",
        "the high watermark moves with too small an ISR (KIP-966)",
        &[within(20, "hunt-replication"), model("replica-elr")],
    ),
    bug(
        "R_20b",
        "a broker stays eligible after an unclean restart (KIP-966)",
        &[model("replica-elr")],
    ),
    bug(
        "R_20c",
        "the last member of the ISR is elected whatever it lost (KIP-966)",
        &[within(50, "counterexample-r-20c"), model("replica-elr")],
    ),
    bug(
        "R_22",
        "a fenced last known leader is elected (KAFKA-19522)",
        &[
            within(50, "counterexample-r-22"),
            within(20, "hunt-replication"),
            model("replica-last-leader"),
        ],
    ),
    bug(
        "R_23",
        "eligible replicas outlive a change of min.insync.replicas (KAFKA-16540)",
        &[within(50, "counterexample-r-23"), model("replica-min-isr")],
    ),
    bug(
        "R_25",
        "a retried AlterPartition is refused although it succeeded (KAFKA-14144)",
        &[model("replica-isr")],
    ),
    bug(
        "R_26",
        "the high watermark is not looked at after the ISR shrank (KAFKA-13091)",
        &[model("replica-isr")],
    ),
    bug(
        "R_28",
        "a retried AlterPartition asks for an empty ISR (KAFKA-15353)",
        &[within(60, "hunt-replication")],
    ),
    bug(
        "R_29",
        "followers are forgotten with every partition epoch (KAFKA-13790)",
        &[model("replica")],
    ),
    bug(
        "R_32",
        "any replica that lives is elected when the ISR is dead (Jepsen 2013)",
        &[within(50, "hunt-replication")],
    ),
    bug(
        "R_35",
        "a reassignment waits for an unrelated sick replica (KAFKA-19975)",
        &[model("reassignment")],
    ),
    bug(
        "R_35b",
        "a reassignment ends before its replicas are in sync (KAFKA-15665)",
        &[model("reassignment")],
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
    unfound(
        "K_05",
        "a truncation below the high watermark is allowed (KAFKA-12460)",
        "a guard: nothing asks for such a truncation unless another bug is there",
    ),
    bug(
        "K_07",
        "check-quorum with one voter (KAFKA-16144)",
        &[within(20, "single-voter"), model("raft-alone")],
    ),
    bug(
        "K_08",
        "a leader that removes itself counts its own log (KAFKA-16530)",
        &[within(20, "voters-come-and-go"), model("raft-voters")],
    ),
    bug(
        "K_10",
        "voters change before the leader has committed in its epoch (KIP-853)",
        &[model("raft-voters")],
    ),
    bug(
        "K_11",
        "standard votes instead of pre-votes (KIP-996)",
        &[model("raft-cut-off")],
    ),
    bug(
        "K_13",
        "observers do not flush before they fetch (KAFKA-17332)",
        &[within(20, "voters-come-and-go")],
    ),
    bug(
        "K_14",
        "a snapshot is named by its last offset (KAFKA-14618)",
        &[within(20, "metadata-snapshots"), model("raft-snapshot")],
    ),
    bug(
        "K_16",
        "the log is deleted past the snapshot (KAFKA-14238)",
        &[within(20, "metadata-snapshots"), model("raft-snapshot")],
    ),
    bug(
        "K_19",
        "fetches stay parked after the leader resigned (KAFKA-10677)",
        &[model("raft")],
    ),
    bug(
        "K_20",
        "a voter that lost its disk blocks replication (KAFKA-12181)",
        &[model("raft-lost-disk")],
    ),
    bug(
        "K_20b",
        "a new disk votes in the name of the old one (KIP-853)",
        &[within(50, "voters-lose-their-disks")],
    ),
    bug(
        "K_23",
        "a broker is unfenced only at the log's end (KAFKA-13959)",
        &[model("replica-join")],
    ),
    bug(
        "K_28",
        "an equal offset of another epoch counts as the same record (Redpanda #11360)",
        &[within(20, "hunt-quorum"), model("raft")],
    ),
    bug(
        "M_02",
        "two changes of one decision overwrite each other (KAFKA-13173)",
        &[within(100, "leader-crash-under-load")],
    ),
    bug(
        "M_04",
        "a batch that is too large is only refused at the append (KAFKA-14204)",
        &[within(20, "metadata-transactions")],
    ),
    bug(
        "M_05",
        "a new partition has fenced brokers in its ISR (KAFKA-13083)",
        &[within(20, "topic-recreated-under-partition")],
    ),
    bug(
        "M_07",
        "a block of producer ids is given twice (KAFKA-15552)",
        &[within(50, "quickstart")],
    ),
    bug(
        "M_10",
        "a controller that lost its leadership keeps what was not committed (KAFKA-13100)",
        &[within(20, "hunt-quorum")],
    ),
    bug(
        "M_11",
        "the leader epoch falls behind during a reassignment (KAFKA-9212)",
        &[model("reassignment")],
    ),
    bug(
        "T_01",
        "what comes late of a transaction hangs, or belongs to the next one (KIP-890, KAFKA-17754)",
        &[model("transaction")],
    ),
    bug(
        "T_02",
        "a verification that is older than the marker counts (KAFKA-14884)",
        &[model("transaction-verified")],
    ),
    bug(
        "T_04",
        "a transaction's offsets count before its partition has taken them (KAFKA-15784)",
        &[model("group-offsets")],
    ),
    bug(
        "T_07",
        "completion is written twice (KAFKA-10080)",
        &[model("transaction-classic")],
    ),
    bug(
        "T_08",
        "nobody notices that all markers are written (KAFKA-9777)",
        &[model("transaction-classic")],
    ),
    bug(
        "T_10",
        "attempts to fence use up the epochs (KAFKA-9666)",
        &[model("transaction-classic")],
    ),
    bug(
        "T_11",
        "EndTxn accepts a higher epoch from clients (KAFKA-9600)",
        &[model("transaction-classic-strangers")],
    ),
    bug(
        "T_13",
        "after the clock went back no transaction begins (KAFKA-8803)",
        &[model("transaction-classic")],
    ),
    bug(
        "T_14",
        "a partition that has moved answers a marker with a fatal error (KAFKA-5610)",
        &[
            within(20, "transactions-upgrade"),
            within(20, "coordinators-move"),
        ],
    ),
    bug(
        "T_16",
        "the old epoch's transaction counts as open for the new one (KAFKA-18575)",
        &[model("transaction-fail-over")],
    ),
    bug(
        "T_17",
        "a marker that is sent again is refused (KAFKA-19999)",
        &[model("transaction-fail-over")],
    ),
    bug(
        "T_19",
        "an abort of nothing fences its own producer (KAFKA-18464)",
        &[model("transaction")],
    ),
    bug(
        "T_20",
        "only the last batch of a producer is recognised (KAFKA-5494)",
        &[within(50, "hunt-producers")],
    ),
    unfound(
        "T_22",
        "producers are forgotten with their last record (KAFKA-7190)",
        "the producer state's tests find it; a broker takes any sequence of a producer it does not know, and 20 seeds of retention held",
    ),
    bug(
        "T_25",
        "an old coordinator's state survives (KAFKA-9307, KAFKA-18137)",
        &[within(20, "late-ends-of-transactions")],
    ),
    bug(
        "T_28",
        "the coordinator forgets that a transaction began (Redpanda #6018)",
        &[model("transaction-fail-over")],
    ),
    bug(
        "T_29",
        "a commit that is asked for again is told to have failed (Redpanda #3616)",
        &[model("transaction-classic-fail-over")],
    ),
    bug(
        "G_01",
        "nothing bounds the wait for SyncGroup (KAFKA-12890)",
        &[model("group-classic-lost-members")],
    ),
    bug(
        "G_02",
        "a member that never used its id blocks the rebalance (KAFKA-9752)",
        &[model("group-classic-lost-members")],
    ),
    bug(
        "G_04",
        "offsets expire while their group rebalances (KAFKA-13636)",
        &[model("group-classic-expiry")],
    ),
    bug(
        "G_05",
        "loaded offsets expire at once (KAFKA-8069)",
        &[model("group-offsets")],
    ),
    bug(
        "G_07",
        "a transaction's offset that is older than another commit wins (KAFKA-5247)",
        &[model("group-offsets")],
    ),
    bug(
        "G_08",
        "loading takes one record per batch (KAFKA-5600)",
        &[within(20, "consumer-groups")],
    ),
    unfound(
        "G_10",
        "a tombstone of what compaction has removed stops the loading (KAFKA-19862)",
        "no scenario compacts the log of a KIP-848 group yet",
    ),
    bug(
        "G_11",
        "a coordinator appends in another epoch than its own (KAFKA-10614)",
        &[model("group-consumer-fail-over")],
    ),
    bug(
        "G_13",
        "a member that begins anew is fenced for ever (KAFKA-19233)",
        &[model("group-consumer-fail-over")],
    ),
    bug(
        "G_14",
        "an instance id still names a member that is gone (KAFKA-20747)",
        &[model("group-consumer-static")],
    ),
    unfound(
        "G_16",
        "an offset of a deleted topic is read by its namesake (KAFKA-19154)",
        "offsets of deleted topics are deleted, too; no workload recreates the topics of a group yet",
    ),
    unfound(
        "G_17",
        "a coordinator outlives its partition's log (KAFKA-16118)",
        "20 seeds of coordinators-move held: a broker that loses a log is told first that it does not lead it",
    ),
    bug(
        "G_20",
        "a member that missed its assignment never learns it (KAFKA-16367)",
        &[model("group-consumer")],
    ),
    bug(
        "T_26",
        "a member of a past generation commits in a transaction (KIP-447)",
        &[
            model("group-classic"),
            within(20, "consume-transform-produce"),
        ],
    ),
    unfound(
        "P_01",
        "a marker goes because a user's key is its own (KAFKA-14055)",
        "the storage tests find it; no key of an internal topic is as short as a marker's",
    ),
    unfound(
        "P_04",
        "emptied batches that carry a producer's last sequence go (KAFKA-5490)",
        "the storage tests find it; no run has shown it yet",
    ),
    bug(
        "P_05",
        "compaction goes beyond the high watermark and into open transactions (KAFKA-13194)",
        &[within(40, "compaction")],
    ),
    bug(
        "P_07",
        "retention passes the high watermark (KAFKA-5634)",
        &[within(20, "retention")],
    ),
    unfound(
        "P_08",
        "what was cleaned is not forgotten with a truncation (KAFKA-3330)",
        "the storage tests find it; no run has shown it yet",
    ),
    unfound(
        "P_10",
        "segments are cleaned and removed at once (KAFKA-7322)",
        "the storage tests find it; no retention applies to the internal topics, which alone are compacted",
    ),
    unfound(
        "P_16",
        "an internal topic with min.insync.replicas 1 (KAFKA-19858)",
        "the server's tests find it; 20 seeds of transactions held: it takes a lone replica that loses power",
    ),
    bug(
        "C_02",
        "two batches of a partition are in flight after a retry (KAFKA-3197)",
        &[within(100, "hunt-producers")],
    ),
    bug(
        "C_04",
        "a new identity in the middle of a transaction is the old one (librdkafka 3575)",
        &[model("transaction-fencing")],
    ),
    bug(
        "C_05",
        "a batch that may be in the log is sent again under a new epoch (KAFKA-12152, librdkafka 4953)",
        &[within(20, "hunt-producers")],
    ),
    unfound(
        "C_07",
        "a consumer does not notice a truncation (KAFKA-7440)",
        "the consumer core's tests find it; clients of runs with unclean elections are judged below what was lost only",
    ),
    bug(
        "C_08",
        "a member of a past generation commits (librdkafka)",
        &[model("group-classic")],
    ),
];
