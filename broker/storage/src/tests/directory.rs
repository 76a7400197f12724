//! Data directories: identity, lock, marker, checkpoints, creation and deletion.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_env::{Disk, OpenMode};
use broker_protocol::ids::{BrokerEpoch, NodeId, TopicPartition, Uuid};

use crate::testing::{MemoryDisk, append, batch, block_on, content, info, partition};
use crate::{
    DirectoryError, DirectoryOptions, LogConfig, LogDirectory, LogError, MetaProperties, SharedLog,
};

fn properties() -> MetaProperties {
    MetaProperties {
        cluster_id: "cluster".to_owned(),
        node_id: NodeId(1),
        directory_id: Uuid([7; 16]),
    }
}

pub(super) fn formatted() -> MemoryDisk {
    let disk = MemoryDisk::new();
    block_on(LogDirectory::format(
        &disk,
        Path::new("/data"),
        &properties(),
    ))
    .expect("a healthy disk");
    disk
}

fn open_as(
    disk: &MemoryDisk,
    cluster_id: &str,
    node_id: i32,
) -> Result<LogDirectory, DirectoryError> {
    block_on(LogDirectory::open(DirectoryOptions {
        disk: Arc::new(disk.clone()),
        path: PathBuf::from("/data"),
        cluster_id: Some(cluster_id.to_owned()),
        node_id: NodeId(node_id),
        config: Arc::new(|_| config()),
        now_ms: 0,
    }))
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 500,
        index_interval_bytes: 0,
        ..LogConfig::default()
    }
}

pub(super) fn open(disk: &MemoryDisk) -> LogDirectory {
    open_as(disk, "cluster", 1).expect("a directory that opens")
}

pub(super) fn create(directory: &LogDirectory) -> SharedLog {
    block_on(directory.create_log(&partition(), Some(Uuid([9; 16])), config(), 0, 0))
        .expect("a new log")
}

pub(super) fn fill(log: &SharedLog, batches: usize) {
    for _ in 0..batches {
        append(&mut log.lock(), 1, 0, 1, 100).expect("an append");
    }
}

fn marker() -> &'static Path {
    Path::new("/data/.kafka_cleanshutdown")
}

#[test]
fn a_directory_belongs_to_one_node_of_one_cluster() {
    let disk = MemoryDisk::new();
    let not_formatted = open_as(&disk, "cluster", 1).err();
    assert_eq!(
        not_formatted,
        Some(DirectoryError::NotFormatted {
            path: PathBuf::from("/data")
        })
    );
    let disk = formatted();
    let again = block_on(LogDirectory::format(
        &disk,
        Path::new("/data"),
        &properties(),
    ));
    assert!(matches!(
        again,
        Err(DirectoryError::AlreadyFormatted { .. })
    ));
    assert!(matches!(
        open_as(&disk, "other", 1).err(),
        Some(DirectoryError::WrongCluster { .. })
    ));
    assert!(matches!(
        open_as(&disk, "cluster", 2).err(),
        Some(DirectoryError::WrongNode { .. })
    ));
    assert_eq!(*open(&disk).properties(), properties());
    disk.corrupt(Path::new("/data/meta.properties"), |bytes| {
        bytes.truncate(20)
    });
    assert!(matches!(
        open_as(&disk, "cluster", 1).err(),
        Some(DirectoryError::Malformed { .. })
    ));
}

#[test]
fn a_directory_is_used_by_one_process() {
    let disk = formatted();
    let first = open(&disk);
    let refused = open_as(&disk, "cluster", 1)
        .err()
        .expect("the second opener is refused");
    assert_eq!(
        refused,
        DirectoryError::InUse {
            path: PathBuf::from("/data")
        }
    );
    assert!(refused.to_string().contains("in use by another process"));
    drop(first);
    open(&disk);
}

#[test]
fn logs_are_there_again_with_their_topic_ids() {
    let disk = formatted();
    let directory = open(&disk);
    assert!(!directory.was_clean());
    fill(&create(&directory), 10);
    assert_eq!(block_on(directory.close(BrokerEpoch(42))), Ok(true));
    drop(directory);
    disk.power_loss(|| false);
    broker_probe::start_counting();
    let directory = open(&disk);
    assert!(!broker_probe::take_counts().contains_key("storage: segment scanned"));
    assert_eq!(
        (directory.was_clean(), directory.previous_broker_epoch()),
        (true, Some(BrokerEpoch(42)))
    );
    let log = directory.log(&partition()).expect("the log");
    assert_eq!(log.topic_id(), Some(Uuid([9; 16])));
    let log = log.lock();
    assert_eq!((content(&log).len(), log.flushed_end()), (10, 10));
}

/// L-01: the marker is gone, durably, before anything is loaded; the next process is not fooled.
#[test]
fn a_start_that_died_does_not_look_clean() {
    let disk = formatted();
    let directory = open(&disk);
    fill(&create(&directory), 10);
    assert_eq!(block_on(directory.close(BrokerEpoch(1))), Ok(true));
    assert!(disk.exists(marker()));
    drop(directory);
    let started = open(&disk);
    fill(&started.log(&partition()).expect("the log"), 1);
    drop(started);
    disk.power_loss(|| false);
    assert!(!disk.exists(marker()));
    let directory = open(&disk);
    assert!(!directory.was_clean());
    assert_eq!(
        content(&directory.log(&partition()).expect("the log").lock()).len(),
        10
    );
}

/// L-02.
#[test]
fn a_directory_with_a_log_that_failed_to_load_is_never_closed_clean() {
    let disk = formatted();
    let directory = open(&disk);
    fill(&create(&directory), 3);
    assert_eq!(block_on(directory.close(BrokerEpoch(1))), Ok(true));
    drop(directory);
    disk.remove(marker()).expect("a healthy disk");
    disk.corrupt(
        Path::new("/data/topic-0/00000000000000000000.log"),
        |bytes| bytes[100] ^= 1,
    );
    for _ in 0..2 {
        let directory = open(&disk);
        let failed = directory.failed_logs();
        assert!(matches!(
            failed[0].error,
            LogError::LostBelowRecoveryPoint {
                offset: 0,
                recovery_point: 3,
                ..
            }
        ));
        assert_eq!(failed[0].topic_id, Some(Uuid([9; 16])));
        assert!(directory.log(&partition()).is_none());
        assert_eq!(block_on(directory.close(BrokerEpoch(1))), Ok(false));
        assert!(!disk.exists(marker()));
    }
}

#[test]
fn damaged_checkpoints_cost_a_scan_only() {
    let disk = formatted();
    let directory = open(&disk);
    let log = create(&directory);
    fill(&log, 10);
    directory.set_high_watermark(&partition(), 7);
    log.lock().advance_log_start(2).expect("an advance");
    block_on(directory.flush_all()).expect("a healthy disk");
    block_on(directory.checkpoint()).expect("a healthy disk");
    drop((directory, log));
    let directory = open(&disk);
    assert_eq!(directory.high_watermark(&partition()), 7);
    assert_eq!(
        directory
            .log(&partition())
            .expect("the log")
            .lock()
            .log_start(),
        2
    );
    drop(directory);
    for name in ["recovery-point", "replication", "log-start"] {
        let path = PathBuf::from(format!("/data/{name}-offset-checkpoint"));
        disk.corrupt(&path, |bytes| bytes[0] = b'x');
    }
    let directory = open(&disk);
    assert_eq!(directory.high_watermark(&partition()), 0);
    assert_eq!(
        content(&directory.log(&partition()).expect("the log").lock()).len(),
        10
    );
}

#[test]
fn a_log_is_created_once_and_durably() {
    let disk = formatted();
    let directory = open(&disk);
    create(&directory);
    let again = block_on(directory.create_log(&partition(), None, config(), 0, 0));
    assert_eq!(again.err(), Some(DirectoryError::LogExists(partition())));
    drop(directory);
    disk.power_loss(|| false);
    let log = open(&disk).log(&partition()).expect("the log");
    assert_eq!(log.topic_id(), Some(Uuid([9; 16])));
}

#[test]
fn a_deleted_log_is_gone_and_its_name_is_free() {
    let disk = formatted();
    let directory = open(&disk);
    let old = create(&directory);
    fill(&old, 4);
    let flushing = old.lock().start_flush().expect("something to flush");
    block_on(directory.delete_log(&partition(), Uuid([3; 16]))).expect("a deletion");
    let missing = block_on(directory.delete_log(&partition(), Uuid([3; 16])));
    assert_eq!(missing, Err(DirectoryError::NoSuchLog(partition())));
    // L-17: the flush finds its directory gone, which is no fault of the disk.
    let done = block_on(flushing.run()).expect("a deleted log cannot fail");
    old.lock().finish_flush(done);
    assert!(directory.health().failure().is_none());
    let bytes = batch(4, 1, 0, 1, 10);
    assert_eq!(
        old.lock().append(&bytes, &[info(&bytes)], 0),
        Err(LogError::Deleted)
    );
    assert_eq!(content(&create(&directory).lock()).len(), 0);
    drop((directory, old));
    disk.power_loss(|| false);
    assert_eq!(
        open(&disk)
            .log(&partition())
            .expect("the log")
            .lock()
            .log_end(),
        0
    );
}

#[test]
fn left_over_deletions_are_finished_at_the_next_start() {
    let disk = formatted();
    let left = PathBuf::from("/data/topic-3.0123456789abcdef0123456789abcdef-delete");
    disk.create_directory(&left).expect("a healthy disk");
    disk.open(&left.join("00000000000000000000.log"), OpenMode::Create)
        .expect("a healthy disk");
    let directory = open(&disk);
    assert!(!disk.exists(&left));
    assert!(directory.logs().is_empty());
}

#[test]
fn other_directories_are_left_alone() {
    let disk = formatted();
    for name in [
        "lost+found",
        "topic",
        "topic-x",
        "-1",
        "__cluster_metadata-0",
    ] {
        disk.create_directory(&Path::new("/data").join(name))
            .expect("a healthy disk");
    }
    let directory = open(&disk);
    let partitions: Vec<TopicPartition> = directory
        .logs()
        .iter()
        .map(|log| log.partition().clone())
        .collect();
    assert_eq!(partitions, [TopicPartition::new("__cluster_metadata", 0)]);
    assert!(disk.exists(Path::new("/data/lost+found")));
}

#[test]
fn a_failed_sync_takes_the_whole_directory_offline() {
    let disk = formatted();
    let directory = open(&disk);
    let log = create(&directory);
    fill(&log, 1);
    disk.fail_next_sync();
    assert!(matches!(block_on(log.flush()), Err(LogError::Disk(_))));
    assert!(directory.health().failure().is_some());
    assert!(matches!(
        block_on(directory.checkpoint()),
        Err(DirectoryError::Offline(_))
    ));
    assert!(matches!(
        block_on(directory.close(BrokerEpoch(1))),
        Err(DirectoryError::Offline(_))
    ));
    assert!(!disk.exists(marker()));
}

#[cfg(feature = "mutants")]
mod mutants {
    use super::*;

    /// L-01 put back: a process that dies while it loads leaves the marker.
    #[test]
    fn l_01_lets_a_dead_start_look_clean() {
        let disk = formatted();
        let directory = open(&disk);
        fill(&create(&directory), 3);
        assert_eq!(block_on(directory.close(BrokerEpoch(1))), Ok(true));
        drop(directory);
        disk.corrupt(
            Path::new("/data/topic-0/00000000000000000000.index"),
            |bytes| bytes.truncate(1),
        );
        for (mutant, looks_clean) in [(None, false), (Some("L_01"), true)] {
            disk.fail_next_sync();
            broker_probe::set_mutant(mutant);
            let died = open_as(&disk, "cluster", 1);
            broker_probe::set_mutant(None);
            if mutant.is_some() {
                assert!(died.is_err(), "the rebuilt index is synced while loading");
                assert_eq!(disk.exists(marker()), looks_clean);
            } else {
                drop(died);
                assert!(!disk.exists(marker()));
                let directory = open(&disk);
                assert_eq!(block_on(directory.close(BrokerEpoch(1))), Ok(true));
                drop(directory);
                disk.corrupt(
                    Path::new("/data/topic-0/00000000000000000000.index"),
                    |bytes| bytes.truncate(1),
                );
            }
        }
    }
}

#[test]
fn a_stray_log_is_set_aside_whole_and_its_name_is_free_again() {
    let disk = formatted();
    let directory = open(&disk);
    let old = create(&directory);
    fill(&old, 4);
    block_on(old.flush()).expect("a healthy disk");
    let stray = block_on(directory.set_aside(&partition(), Uuid([3; 16]))).expect("a rename");
    assert!(stray.to_string_lossy().ends_with("-stray"), "{stray:?}");
    assert!(disk.exists(&stray.join("00000000000000000000.log")));
    let bytes = batch(4, 1, 0, 1, 10);
    assert_eq!(
        old.lock().append(&bytes, &[info(&bytes)], 0),
        Err(LogError::Deleted)
    );
    fill(&create(&directory), 1);
    drop((directory, old));
    disk.power_loss(|| false);
    // What is aside is neither loaded nor removed.
    let directory = open(&disk);
    assert_eq!(directory.logs().len(), 1);
    assert!(disk.exists(&stray.join("00000000000000000000.log")));
}

#[test]
fn a_log_that_did_not_open_can_be_set_aside() {
    let disk = formatted();
    let directory = open(&disk);
    fill(&create(&directory), 3);
    assert_eq!(block_on(directory.close(BrokerEpoch(1))), Ok(true));
    drop(directory);
    disk.remove(marker()).expect("a healthy disk");
    disk.corrupt(
        Path::new("/data/topic-0/00000000000000000000.log"),
        |bytes| bytes[100] ^= 1,
    );
    let directory = open(&disk);
    assert_eq!(directory.failed_logs().len(), 1);
    block_on(directory.set_aside(&partition(), Uuid([3; 16]))).expect("a rename");
    assert!(directory.failed_logs().is_empty());
    fill(&create(&directory), 1);
    assert_eq!(block_on(directory.close(BrokerEpoch(1))), Ok(true));
}

/// A crash came before the checkpoints were written again: they still name what went.
#[test]
fn a_new_log_takes_nothing_over_from_an_earlier_one_of_its_name() {
    let disk = formatted();
    let directory = open(&disk);
    create(&directory);
    directory.set_high_watermark(&partition(), 5);
    block_on(directory.checkpoint()).expect("a healthy disk");
    block_on(directory.delete_log(&partition(), Uuid([9; 16]))).expect("a healthy disk");
    drop(directory);
    let directory = open(&disk);
    assert_eq!(directory.high_watermark(&partition()), 5);
    create(&directory);
    assert_eq!(directory.high_watermark(&partition()), 0);
}
