//! File and directory names, as Kafka gives them.

use broker_protocol::ids::{Offset, TopicPartition, Uuid};

pub(crate) const LOG: &str = "log";
pub(crate) const INDEX: &str = "index";
pub(crate) const TIME_INDEX: &str = "timeindex";
pub(crate) const TXN_INDEX: &str = "txnindex";
pub(crate) const PRODUCER_SNAPSHOT: &str = "snapshot";
pub(crate) const CLEANED: &str = ".cleaned";
pub(crate) const DELETED: &str = ".deleted";
pub(crate) const DELETE_DIRECTORY: &str = "-delete";
pub(crate) const STRAY_DIRECTORY: &str = "-stray";
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
pub(crate) const LOCK: &str = ".lock";
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub(crate) const CLEANER_OFFSETS: &str = "cleaner-offset-checkpoint";
pub(crate) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// `00000000000000000042.log` and its like.
pub(crate) fn segment_file(base_offset: Offset, extension: &str) -> String {
    format!("{base_offset:020}.{extension}")
}

/// The base offset in a segment file's name, if it is one with this extension.
pub(crate) fn base_offset_of(name: &str, extension: &str) -> Option<Offset> {
    let digits = name.strip_suffix(extension)?.strip_suffix('.')?;
    let well_formed = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if well_formed {
        digits.parse().ok()
    } else {
        None
    }
}

/// The partition a directory holds, if its name says so.
pub(crate) fn partition_of(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    if topic.is_empty()
        || partition.is_empty()
        || !partition.bytes().all(|digit| digit.is_ascii_digit())
    {
        return None;
    }
    Some(TopicPartition::new(topic, partition.parse().ok()?))
}

/// What a partition's directory is called once it is to be deleted ([`DELETE_DIRECTORY`]) or set aside
/// ([`STRAY_DIRECTORY`]); a topic of the same name may come back while it is still there. At most 255 bytes,
/// as Kafka cuts it.
pub(crate) fn retired_directory(partition: &TopicPartition, unique: Uuid, suffix: &str) -> String {
    let unique: String = unique.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let suffix = format!("-{}.{unique}{suffix}", partition.partition);
    let mut topic = partition.topic.clone();
    let mut limit = topic.len().min(255 - suffix.len());
    while !topic.is_char_boundary(limit) {
        limit -= 1;
    }
    topic.truncate(limit);
    topic + &suffix
}
