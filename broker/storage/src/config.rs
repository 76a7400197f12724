//! The part of a topic's configuration that its logs obey.

/// Values are Kafka's topic-level configuration of the same name; defaults are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: roll before a segment grows over this.
    pub segment_bytes: u32,
    /// `segment.ms`: roll when the newest timestamp is this much after the segment's first.
    pub segment_ms: i64,
    /// `index.interval.bytes`: log bytes between index entries.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: roll when an index would grow over this.
    pub segment_index_bytes: u32,
    /// `flush.messages`: unflushed offsets that make a flush due.
    pub flush_messages: i64,
    /// `flush.ms`: age of the oldest unflushed append that makes a flush due.
    pub flush_ms: i64,
    /// `retention.bytes`, -1 unlimited.
    pub retention_bytes: i64,
    /// `retention.ms`, -1 unlimited.
    pub retention_ms: i64,
    /// Whether `cleanup.policy` contains `delete`: retention applies.
    pub cleanup_delete: bool,
    /// Whether `cleanup.policy` contains `compact`: cleaned segments may end before the next one starts.
    pub cleanup_compact: bool,
    /// Bytes of recently appended batches kept in memory for reads at the tail.
    pub tail_cache_bytes: usize,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            retention_bytes: -1,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            cleanup_delete: true,
            cleanup_compact: false,
            tail_cache_bytes: 1 << 20,
        }
    }
}
