//! The invariants this version judges, each in one sentence.

/// (id, sentence).
pub const ALL: &[(&str, &str)] = &[
    (
        "LOG-1",
        "offsets of a log strictly increase and no leader gives one twice in its epoch",
    ),
    (
        "LOG-2",
        "every batch is intact, nothing is missing in the middle of a log",
    ),
    (
        "LOG-3",
        "after a restart a log is a prefix of itself that holds all that was flushed",
    ),
    (
        "LOG-4",
        "nothing is compacted above the high watermark or in an open transaction",
    ),
    (
        "REP-1",
        "every record acknowledged with acks=all is in the log of every later leader",
    ),
    (
        "REP-2",
        "logs that agree on an offset's epoch agree on all before it",
    ),
    (
        "REP-3",
        "leader epochs never decrease along a log and end offsets are what the log implies",
    ),
    (
        "REP-4",
        "a leader counts only followers of its epoch, and its ISR covers the controller's",
    ),
    (
        "REP-5",
        "the high watermark stays within the committed prefix and never falls in an epoch",
    ),
    (
        "RAFT-1",
        "one leader per epoch, one vote per voter and epoch, also across restarts",
    ),
    (
        "RAFT-2",
        "metadata logs that agree on an offset's epoch agree on all before it",
    ),
    (
        "RAFT-3",
        "what was ever committed is in the log of every later leader",
    ),
    ("RAFT-4", "what a voter counts or answers is flushed before"),
    (
        "RAFT-5",
        "voters change one at a time, after a commit of the leader's epoch, and only they elect and commit",
    ),
    (
        "RAFT-6",
        "a metadata snapshot equals the committed records it replaces, and no log begins without one",
    ),
    (
        "META-1",
        "epochs of leaders, partitions and brokers only grow and fence what is older",
    ),
    (
        "META-2",
        "the metadata image is a function of the committed prefix alone",
    ),
    (
        "META-3",
        "ISR and ELR are disjoint parts of the replicas, and leaders are in the ISR",
    ),
    (
        "META-4",
        "published metadata never go back, and each broker hosts what is assigned to it",
    ),
    (
        "TXN-1",
        "an idempotent producer's batches follow on in a log, so each is in it once",
    ),
    (
        "TXN-2",
        "no producer id is given twice, and nothing of an older epoch is appended",
    ),
    (
        "TXN-3",
        "every transactional record lies between begin and marker of the transaction it was sent in",
    ),
    (
        "TXN-4",
        "a transaction's records and offsets are visible all or not at all, as its producer was told",
    ),
    (
        "TXN-5",
        "read_committed readers get all records of committed transactions below the LSO, and of no others",
    ),
    (
        "CLI-1",
        "no acknowledged record is lost to a consumer that reads past it",
    ),
    (
        "CLI-2",
        "a consumer sees every record once, in order, without gaps",
    ),
    ("CLI-3", "an offset has one content for all who look"),
    (
        "CLI-4",
        "nothing uncommitted or already deleted is returned",
    ),
    (
        "CLI-5",
        "a definite failure is never seen, a success never disappears",
    ),
    (
        "CLI-6",
        "records of one producer to one partition keep their order, are in it once, and no two transactions read each other",
    ),
    (
        "GRP-1",
        "a group reads back the last offset it was told is committed, or a later one",
    ),
    (
        "GRP-2",
        "one node at most coordinates a group in a leader epoch, and none in an earlier one after it",
    ),
    (
        "GRP-4",
        "in one generation of a group a partition belongs to one member at most",
    ),
    (
        "REF-1",
        "each partition's history is that of a log: records, acknowledged or not, and nothing else",
    ),
    (
        "STEP-1",
        "with --check-steps: each step of a core in a run is what the core does with the same inputs alone",
    ),
    (
        "LIVE-1",
        "after the faults every partition has a leader, full ISR and equal logs",
    ),
    (
        "LIVE-2",
        "after the faults one quorum leader stays and live brokers are unfenced",
    ),
    (
        "LIVE-3",
        "after the faults transactions end, producers can start again, and the LSO reaches the high watermark",
    ),
    (
        "LIVE-4",
        "after the faults every group becomes stable and commits succeed",
    ),
    (
        "LIVE-5",
        "after the faults every request is answered and consumers reach the end",
    ),
];

/// The ids of [`ALL`].
pub const IDS: &[&str] = &ids();

const fn ids() -> [&'static str; ALL.len()] {
    let mut ids = [""; ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        ids[index] = ALL[index].0;
        index += 1;
    }
    ids
}
