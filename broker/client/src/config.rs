//! Configuration, by Kafka's names and with Kafka's defaults.

use std::time::Duration;

use broker_env::Address;
use broker_protocol::record::Compression;

pub use broker_core::consumer::OffsetReset;
use broker_core::producer::BATCHES_REMEMBERED;

/// What all clients share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// `bootstrap.servers`: any subset that is alive will do.
    pub bootstrap_servers: Vec<Address>,
    /// `client.id`
    pub client_id: String,
    /// `request.timeout.ms`: without an answer by then the connection is given up.
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`, version negotiation included.
    pub connection_setup_timeout: Duration,
    /// `reconnect.backoff.ms`, doubled per failure.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`
    pub reconnect_backoff_max: Duration,
    /// `retry.backoff.ms`, doubled per attempt.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`
    pub retry_backoff_max: Duration,
    /// `metadata.max.age.ms`: older metadata are refreshed when they are used.
    pub metadata_max_age: Duration,
    /// `default.api.timeout.ms`: limit of calls that retry and name no other.
    pub default_api_timeout: Duration,
}

impl ClientConfig {
    pub fn new(bootstrap_servers: Vec<Address>) -> ClientConfig {
        ClientConfig {
            bootstrap_servers,
            client_id: String::new(),
            request_timeout: Duration::from_secs(30),
            connection_setup_timeout: Duration::from_secs(10),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
            default_api_timeout: Duration::from_secs(60),
        }
    }
}

/// `acks`: whose word counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Acks {
    /// `0`: nobody answers; a record counts as sent when it is written to the socket.
    None,
    /// `1`: the leader alone.
    Leader,
    /// `all`: every in-sync replica.
    #[default]
    All,
}

impl Acks {
    /// The number on the wire.
    pub fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }

    /// The setting of a number on the wire.
    pub fn from_code(code: i16) -> Option<Acks> {
        [Acks::None, Acks::Leader, Acks::All]
            .into_iter()
            .find(|acks| acks.code() == code)
    }
}

/// Of a [`Producer`](crate::Producer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// `acks`
    pub acks: Acks,
    /// `linger.ms`; with zero a record goes out at once if its partition can send.
    pub linger: Duration,
    /// `batch.size`, bytes.
    pub batch_size: u32,
    /// `max.in.flight.requests.per.connection`
    pub max_in_flight: usize,
    /// `retries`
    pub retries: u32,
    /// `delivery.timeout.ms`: from `send` to the outcome.
    pub delivery_timeout: Duration,
    /// `request.timeout.ms` of produce requests; the broker's limit for acks=all too.
    pub request_timeout: Duration,
    /// `max.block.ms`: how long `send` waits for metadata and for room in `buffer.memory`.
    pub max_block: Duration,
    /// `compression.type`
    pub compression: Compression,
    /// `max.request.size`, bytes.
    pub max_request_size: u32,
    /// `buffer.memory`, bytes.
    pub buffer_memory: u64,
    /// `enable.idempotence`: no duplicates by retries, and order. Settings that contradict it switch it off, as
    /// Kafka's default does: see [`ProducerConfig::is_idempotent`].
    pub idempotence: bool,
    /// `transactional.id`: the producer is transactional, and fences earlier ones of the same id.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`: the coordinator aborts what is open for longer.
    pub transaction_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> ProducerConfig {
        ProducerConfig {
            acks: Acks::All,
            linger: Duration::ZERO,
            batch_size: 16_384,
            max_in_flight: 5,
            retries: u32::MAX,
            delivery_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            max_block: Duration::from_secs(60),
            compression: Compression::None,
            max_request_size: 1024 * 1024,
            buffer_memory: 32 * 1024 * 1024,
            idempotence: true,
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
        }
    }
}

impl ProducerConfig {
    /// Whether retries are recognised: needs acks=all, retries, and no more in flight than a broker remembers
    /// of a producer.
    pub fn is_idempotent(&self) -> bool {
        self.idempotence
            && self.acks == Acks::All
            && self.retries > 0
            && self.max_in_flight <= BATCHES_REMEMBERED
    }
}

/// `isolation.level`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IsolationLevel {
    /// Everything below the high watermark, also of open and aborted transactions.
    #[default]
    ReadUncommitted,
    /// Below the last stable offset, without what is aborted.
    ReadCommitted,
}

impl IsolationLevel {
    /// The number on the wire.
    pub fn code(self) -> i8 {
        match self {
            IsolationLevel::ReadUncommitted => 0,
            IsolationLevel::ReadCommitted => 1,
        }
    }
}

/// Of a [`Consumer`](crate::Consumer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// `max.poll.records`; also what is fetched ahead.
    pub max_poll_records: usize,
    /// `fetch.min.bytes`
    pub fetch_min_bytes: i32,
    /// `fetch.max.bytes` of one answer.
    pub fetch_max_bytes: i32,
    /// `fetch.max.wait.ms`
    pub fetch_max_wait: Duration,
    /// `max.partition.fetch.bytes`
    pub max_partition_fetch_bytes: i32,
    /// `auto.offset.reset`; `None` is Kafka's `none`: `poll` returns an error and the application seeks.
    pub auto_offset_reset: Option<OffsetReset>,
    /// `isolation.level`
    pub isolation_level: IsolationLevel,
    /// `check.crcs`
    pub check_crcs: bool,
    /// `client.rack`: a replica there may serve this consumer (KIP-392); empty for none.
    pub client_rack: String,
}

impl Default for ConsumerConfig {
    fn default() -> ConsumerConfig {
        ConsumerConfig {
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_bytes: 50 * 1024 * 1024,
            fetch_max_wait: Duration::from_millis(500),
            max_partition_fetch_bytes: 1024 * 1024,
            auto_offset_reset: Some(OffsetReset::Latest),
            isolation_level: IsolationLevel::ReadUncommitted,
            check_crcs: true,
            client_rack: String::new(),
        }
    }
}

/// `base` doubled per attempt (from 0) up to `max`.
pub(crate) fn backoff(base: Duration, max: Duration, attempt: u32) -> Duration {
    base.saturating_mul(1 << attempt.min(16)).min(max.max(base))
}

/// Milliseconds on the wire; as many as fit.
pub(crate) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
