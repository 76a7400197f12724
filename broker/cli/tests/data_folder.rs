//! Data folders that are not what they should be: what can be mended is, the rest is refused with a message that
//! names it, and nothing acknowledged is lost.

mod support;

use std::path::PathBuf;

use broker_protocol::ErrorCode;
use support::good::Good;
use support::node::{Node, edit};
use support::wire::{batch, fetch_request};
use support::{assert_says, code};

/// Many segments and index entries from few records.
const SMALL_SEGMENTS: &[(&str, &str)] =
    &[("segment.bytes", "1000"), ("index.interval.bytes", "150")];

/// The files of a partition with this extension, by offset.
fn files(node: &Node, partition: &str, extension: &str) -> Vec<PathBuf> {
    let directory = node.file(partition);
    let listing = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = listing.map(|entry| entry.expect("a readable directory").path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|is| is == extension))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no .{extension} in {partition}");
    found
}

#[test]
fn a_folder_of_another_cluster_is_refused() {
    let mut node = Node::prepare("");
    node.arguments = vec!["--cluster-id".into(), "ours".into()];
    node.launch();
    let mut good = Good::start(&node);
    node.terminate();
    node.arguments = vec!["--cluster-id".into(), "theirs".into()];
    let (said, status) = node.refuses();
    assert_says(&said, &["data", "ours", "theirs"]);
    assert_eq!(status.code(), Some(1));
    node.arguments.clear();
    node.launch();
    good.check(&mut node);
}

#[test]
fn a_folder_of_another_node_is_refused() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    node.terminate();
    node.configure(2, "");
    let (said, status) = node.refuses();
    assert_says(&said, &["data", "node 1", "not 2"]);
    assert_eq!(status.code(), Some(1));
    node.configure(1, "");
    node.launch();
    good.check(&mut node);
}

#[test]
fn a_folder_in_use_is_refused_and_its_owner_goes_on() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut second = Node::prepare(&format!("log.dirs={}", node.data().display()));
    let (said, status) = second.refuses();
    assert_says(&said, &[&node.data().display().to_string(), "in use"]);
    assert_eq!(status.code(), Some(1));
    good.check(&mut node);
    node.kill();
    node.launch();
    good.check(&mut node);
}

#[test]
fn malformed_meta_properties_are_refused_and_left_alone() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    node.terminate();
    let path = node.file("meta.properties");
    let whole = std::fs::read(&path).expect("a formatted folder");
    let without = |key: &str| {
        let text = String::from_utf8(whole.clone()).expect("text");
        text.lines()
            .filter(|line| !line.starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
            .into_bytes()
    };
    let cases = [
        (b"\xff\xfe garbage".to_vec(), "UTF-8"),
        (Vec::new(), "version"),
        (without("node.id"), "node.id"),
        (without("cluster.id"), "cluster.id"),
        (without("directory.id"), "directory.id"),
        (
            b"version=7\ncluster.id=x\nnode.id=1\n".to_vec(),
            "version 7",
        ),
    ];
    for (content, reason) in cases {
        std::fs::write(&path, &content).expect("writable");
        let (said, status) = node.refuses();
        assert_says(&said, &["meta.properties", reason]);
        assert_eq!(status.code(), Some(1));
        assert_eq!(std::fs::read(&path).expect("still there"), content);
    }
    std::fs::write(&path, whole).expect("writable");
    node.launch();
    good.check(&mut node);
}

#[test]
fn a_torn_tail_is_cut_off_and_nothing_acknowledged_is_lost() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let half_a_batch = batch(&["never whole"]);
    let tails: [&[u8]; 4] = [&[0; 700], &[0xa5; 33], &half_a_batch[..40], &[0; 3]];
    for tail in tails {
        node.kill();
        let log = files(&node, "good-0", "log").pop().expect("a segment");
        edit(&log, |bytes| bytes.extend_from_slice(tail));
        node.launch();
        good.check(&mut node);
    }
}

/// A whole batch, but of no offset that comes next.
#[test]
fn batches_out_of_order_at_the_tail_are_cut_off() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    node.kill();
    let log = files(&node, "good-0", "log").pop().expect("a segment");
    edit(&log, |bytes| {
        bytes.extend_from_slice(&batch(&["offset 0 again"]))
    });
    node.launch();
    good.check(&mut node);
}

#[test]
fn a_torn_tail_of_the_metadata_log_is_cut_off() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    node.kill();
    let log = files(&node, "__cluster_metadata-0", "log")
        .pop()
        .expect("a segment");
    edit(&log, |bytes| bytes.extend_from_slice(&[0x5a; 200]));
    node.launch();
    good.check(&mut node);
}

/// Cutting there would silently drop records that others count on. The others are served, the damaged file is
/// left as it is, and the log says where.
#[test]
fn damage_below_the_recovery_point_takes_one_partition_offline() {
    let mut node = Node::start("");
    let bad = Good::with_topic(&node, "bad", &[]);
    let mut good = Good::start(&node);
    // Flushed by the graceful stop; the next start removes the marker of it.
    node.terminate();
    node.launch();
    node.kill();
    let log = files(&node, "bad-0", "log").remove(0);
    edit(&log, |bytes| bytes[100] ^= 1);
    let damaged = std::fs::read(&log).expect("there");
    node.launch();
    good.check(&mut node);
    assert_says(&node.log(), &["bad-0", "recovery point", "CRC"]);
    let produced = node.connect().produce("bad", 0, -1, batch(&["x"]));
    assert_ne!(produced.error_code, 0);
    let fetched = node
        .connect()
        .fetch(&fetch_request("bad", &[(0, 0)], 0))
        .remove(0);
    assert_ne!(fetched.error_code, 0);
    assert!(node.connect().list_offset("bad", 0, -1).is_err());
    node.terminate();
    assert_eq!(std::fs::read(&log).expect("still there"), damaged);
    // Mended by an operator: all of it is there again.
    edit(&log, |bytes| bytes[100] ^= 1);
    node.launch();
    good.check(&mut node);
    let mut mended = bad;
    mended.check(&mut node);
}

#[test]
fn damage_of_the_metadata_log_below_the_recovery_point_is_refused() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    node.terminate();
    node.launch();
    node.kill();
    let log = files(&node, "__cluster_metadata-0", "log").remove(0);
    edit(&log, |bytes| bytes[150] ^= 1);
    let (said, status) = node.refuses();
    assert_says(&said, &["__cluster_metadata-0", "recovery point"]);
    assert_eq!(status.code(), Some(1));
    edit(&log, |bytes| bytes[150] ^= 1);
    node.launch();
    good.check(&mut node);
}

/// Rot in the middle of a segment that no recovery looks at is noticed by whoever reads it.
#[test]
fn records_that_rot_are_never_served_as_good() {
    let mut node = Node::start("");
    let good = Good::with_topic(&node, "rotten", SMALL_SEGMENTS);
    let mut other = Good::start(&node);
    node.terminate();
    let first = files(&node, "rotten-0", "log").remove(0);
    edit(&first, |bytes| bytes[100] ^= 1);
    node.launch();
    other.check(&mut node);
    let data = node
        .connect()
        .fetch(&fetch_request("rotten", &[(0, 0)], 0))
        .remove(0);
    let intact = data.records.as_ref().is_none_or(|bytes| {
        let batches = broker_protocol::record::RecordBatches::new(bytes.clone());
        batches
            .map_while(Result::ok)
            .all(|batch| batch.validate().is_ok())
    });
    // The leader passes batches on without a look inside: then the checksum gives it away to the client.
    assert!(
        !intact || data.error_code == code(ErrorCode::CorruptMessage),
        "served as good: {data:?}"
    );
    let last = node
        .connect()
        .fetch(&fetch_request("rotten", &[(0, good.end() - 1)], 0))
        .remove(0);
    assert_eq!(last.error_code, 0, "the rest is served");
}

#[test]
fn indexes_are_only_hints() {
    let mut node = Node::start("");
    let mut good = Good::with_topic(&node, "indexed", SMALL_SEGMENTS);
    good.write(&node, 40);
    assert!(
        files(&node, "indexed-0", "log").len() > 5,
        "several segments"
    );
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.clear(),
        |bytes| bytes.fill(0),
        |bytes| bytes.fill(0xff),
        |bytes| bytes.reverse(),
        |bytes| bytes.push(7),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        // Cleanly and not: with and without a look at the segments.
        if number % 2 == 0 {
            node.terminate()
        } else {
            node.kill()
        }
        for extension in ["index", "timeindex"] {
            for file in files(&node, "indexed-0", extension) {
                edit(&file, damage);
            }
        }
        node.launch();
        good.check(&mut node);
        each_offset_is_found(&good, &node);
    }
    node.terminate();
    for extension in ["index", "timeindex"] {
        files(&node, "indexed-0", extension)
            .iter()
            .for_each(|file| std::fs::remove_file(file).expect("removable"));
    }
    node.launch();
    good.check(&mut node);
    each_offset_is_found(&good, &node);
}

fn each_offset_is_found(good: &Good, node: &Node) {
    let mut wire = node.connect();
    for offset in 0..good.end() {
        let data = wire
            .fetch(&fetch_request(good.topic(), &[(0, offset)], 0))
            .remove(0);
        let records = support::good::records(data.records.unwrap_or_default());
        assert!(
            records.iter().any(|record| record.0 == offset),
            "offset {offset} is not in the answer"
        );
    }
    assert_eq!(
        wire.list_offset(good.topic(), 0, 1),
        Ok(0),
        "the first record is later than time 1"
    );
}

#[test]
fn damaged_checkpoints_cost_a_scan_and_no_records() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let checkpoints = [
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "log-start-offset-checkpoint",
        "good-0/leader-epoch-checkpoint",
        "good-0/partition.metadata",
        "__cluster_metadata-0/leader-epoch-checkpoint",
    ];
    let contents: [&[u8]; 3] = [b"", b"\x00\xff garbage", b"0\n99\ngood 0 3\n"];
    for clean in [true, false] {
        for content in contents {
            if clean {
                node.terminate()
            } else {
                node.kill()
            }
            for checkpoint in checkpoints {
                std::fs::write(node.file(checkpoint), content).expect("writable");
            }
            node.launch();
            good.check(&mut node);
        }
    }
}

/// A truncation may be followed by a death before the checkpoint is lowered, so that it promises too much.
#[test]
fn offsets_beyond_the_log_in_checkpoints_are_harmless() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    for checkpoint in [
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
    ] {
        node.kill();
        std::fs::write(node.file(checkpoint), b"0\n1\ngood 0 999999\n").expect("writable");
        node.launch();
        good.check(&mut node);
    }
}

#[test]
fn a_vote_that_cannot_be_read_is_not_forgotten() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    node.terminate();
    let path = node.file("__cluster_metadata-0/quorum-state");
    let whole = std::fs::read(&path).expect("written");
    for content in [&b"{"[..], b"", b"\xff\xff", b"{\"data_version\":9}"] {
        std::fs::write(&path, content).expect("writable");
        let (said, status) = node.refuses();
        assert_says(&said, &["quorum-state"]);
        assert_eq!(status.code(), Some(1));
    }
    std::fs::write(&path, whole).expect("writable");
    node.launch();
    good.check(&mut node);
}

#[test]
fn what_does_not_belong_there_is_left_alone() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    node.terminate();
    std::fs::write(node.file("notes.txt"), "mine").expect("writable");
    std::fs::create_dir_all(node.file("lost+found")).expect("writable");
    std::fs::create_dir_all(node.file("no-number-x")).expect("writable");
    std::fs::write(node.file("good-0/notes.log"), "mine too").expect("writable");
    std::fs::write(node.file(".kafka_cleanshutdown"), "not json").expect("writable");
    node.launch();
    good.check(&mut node);
    assert_eq!(
        std::fs::read(node.file("notes.txt")).expect("still there"),
        b"mine"
    );
    assert_eq!(
        std::fs::read(node.file("good-0/notes.log")).expect("still there"),
        b"mine too"
    );
}
