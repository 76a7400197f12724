//! A client that behaves, remembers what was acknowledged, and finds all of it again.

use std::time::{Duration, Instant};

use broker_protocol::ErrorCode;
use broker_protocol::record::RecordBatches;
use bytes::Bytes;

use super::node::Node;
use super::wire::{batch, fetch_request};

const LIMIT: Duration = Duration::from_secs(30);

pub struct Good {
    topic: String,
    /// By offset: the client is the only one that writes here.
    acked: Vec<String>,
    records: usize,
}

impl Good {
    /// A client with a topic of its own and some records in it.
    pub fn start(node: &Node) -> Good {
        Good::with_topic(node, "good", &[])
    }

    pub fn with_topic(node: &Node, topic: &str, configs: &[(&str, &str)]) -> Good {
        node.connect().create_topic(topic, 1, configs);
        let mut good = Good {
            topic: topic.into(),
            acked: Vec::new(),
            records: 0,
        };
        good.write(node, 20);
        good
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn end(&self) -> i64 {
        i64::try_from(self.acked.len()).expect("few")
    }

    /// Writes batches of one to three records.
    pub fn write(&mut self, node: &Node, batches: usize) {
        let mut wire = node.connect();
        for _ in 0..batches {
            let values: Vec<String> = (0..=self.records % 3)
                .map(|number| format!("value {}.{number}", self.records))
                .collect();
            self.records += 1;
            let deadline = Instant::now() + LIMIT;
            loop {
                let produced = wire.produce(&self.topic, 0, -1, batch(&values));
                let error = ErrorCode::from_code_or_unknown(produced.error_code);
                if error == ErrorCode::None {
                    assert_eq!(
                        produced.base_offset,
                        self.end(),
                        "{}: an offset twice or skipped",
                        self.topic
                    );
                    break;
                }
                // After a restart the leader takes a moment; nothing was appended then.
                let starting = matches!(
                    error,
                    ErrorCode::NotLeaderOrFollower | ErrorCode::UnknownTopicOrPartition
                );
                assert!(
                    starting && Instant::now() < deadline,
                    "{}: {error}",
                    self.topic
                );
                std::thread::sleep(Duration::from_millis(10));
            }
            self.acked.extend(values);
            let latest = node.connect().list_offset(&self.topic, 0, -1);
            assert_eq!(
                latest,
                Ok(self.end()),
                "{}: an acknowledged record is not below the latest offset",
                self.topic
            );
        }
    }

    /// The broker runs, takes records, and has everything that it ever acknowledged, and nothing else.
    pub fn check(&mut self, node: &mut Node) {
        node.assert_alive();
        self.write(node, 1);
        assert_eq!(
            self.read(node),
            self.acked,
            "{}: not what was acknowledged",
            self.topic
        );
    }

    /// All values, from the beginning.
    pub fn read(&self, node: &Node) -> Vec<String> {
        let mut wire = node.connect();
        let mut values = Vec::new();
        let mut offset = 0;
        let deadline = Instant::now() + LIMIT;
        while offset < self.end() {
            assert!(
                Instant::now() < deadline,
                "{}: nothing comes after offset {offset}",
                self.topic
            );
            let data = wire
                .fetch(&fetch_request(&self.topic, &[(0, offset)], 1000))
                .remove(0);
            assert_eq!(data.error_code, 0, "{} from {offset}: {data:?}", self.topic);
            for record in records(data.records.unwrap_or_default()) {
                if record.0 == offset {
                    values.push(String::from_utf8(record.1.to_vec()).expect("what was written"));
                    offset += 1;
                }
            }
        }
        values
    }
}

/// Offsets and values in fetched bytes, which must be intact.
pub fn records(bytes: Bytes) -> Vec<(i64, Bytes)> {
    let mut found = Vec::new();
    for batch in RecordBatches::new(bytes) {
        let batch = batch.expect("a whole batch");
        batch.validate().expect("an intact batch");
        let records = batch.records(1 << 30).expect("readable");
        found.extend(records.map(|record| {
            let record = record.expect("a whole record");
            (record.offset, record.value.unwrap_or_default())
        }));
    }
    found
}
