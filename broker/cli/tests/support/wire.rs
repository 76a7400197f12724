//! Kafka's protocol on a blocking socket: one request after the other, or any bytes at all.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use broker_protocol::Request;
use broker_protocol::api as wire;
use broker_protocol::frame::{decode_response, encode_request};
use broker_protocol::record::{BatchBuilder, BatchOptions};
use bytes::Bytes;

const LIMIT: Duration = Duration::from_secs(30);

pub struct Wire {
    stream: TcpStream,
    correlation_id: i32,
}

/// What comes from a broker.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Without its size.
    Frame(Bytes),
    Closed,
    Nothing,
}

impl Wire {
    pub fn connect(port: u16) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
        stream
            .set_read_timeout(Some(LIMIT))
            .expect("a time limit above zero");
        stream.set_nodelay(true).expect("a TCP socket");
        Wire {
            stream,
            correlation_id: 0,
        }
    }

    /// Whole or in part; an error is the broker's having closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// A frame of its own around these bytes.
    pub fn send_frame(&mut self, bytes: &[u8]) -> bool {
        let size = i32::try_from(bytes.len()).expect("small");
        self.send(&[&size.to_be_bytes(), bytes].concat())
    }

    pub fn send_request<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        self.correlation_id += 1;
        let frame = encode_request(request, version, self.correlation_id, Some("test"));
        let frame = frame.unwrap_or_else(|error| panic!("{} v{version}: {error}", R::API_KEY));
        self.send(&frame);
        self.correlation_id
    }

    pub fn end_of_requests(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("an open socket");
    }

    /// The next frame, or that there is none within `limit`.
    pub fn answer(&mut self, limit: Duration) -> Answer {
        let deadline = Instant::now() + limit;
        let mut size = [0; 4];
        match self.read_exact(&mut size, deadline) {
            Answer::Frame(_) => {}
            other => return other,
        }
        let size = usize::try_from(i32::from_be_bytes(size)).expect("a broker's frame has a size");
        let mut frame = vec![0; size];
        match self.read_exact(&mut frame, deadline) {
            Answer::Frame(_) => Answer::Frame(Bytes::from(frame)),
            other => other,
        }
    }

    fn read_exact(&mut self, mut rest: &mut [u8], deadline: Instant) -> Answer {
        while !rest.is_empty() {
            let left = deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1));
            self.stream
                .set_read_timeout(Some(left))
                .expect("a time limit above zero");
            match self.stream.read(rest) {
                Ok(0) => return Answer::Closed,
                Ok(count) => rest = &mut rest[count..],
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Answer::Nothing;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_reset) => return Answer::Closed,
            }
        }
        Answer::Frame(Bytes::new())
    }

    /// The answer to the request sent last; the error says what came instead.
    pub fn response<R: Request>(&mut self, version: i16) -> Result<R::Response, String> {
        let named = |what: String| format!("{} v{version}: {what}", R::API_KEY);
        let frame = match self.answer(LIMIT) {
            Answer::Frame(frame) => frame,
            other => return Err(named(format!("{other:?}"))),
        };
        let (header, response) =
            decode_response::<R>(frame, version).map_err(|error| named(error.to_string()))?;
        if header.correlation_id != self.correlation_id {
            return Err(named(format!(
                "correlation id {}, not {}",
                header.correlation_id, self.correlation_id
            )));
        }
        Ok(response)
    }

    pub fn try_call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, String> {
        self.send_request(request, version);
        self.response::<R>(version)
    }

    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.try_call(request, version)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Creates a topic and waits until its partitions have leaders; gives its id.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> broker_protocol::ids::Uuid {
        let config = |(name, value): &(&str, &str)| wire::CreatableTopicConfig {
            name: name.to_string(),
            value: Some(value.to_string()),
            ..Default::default()
        };
        let request = wire::CreateTopicsRequest {
            topics: vec![wire::CreatableTopic {
                name: name.into(),
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs.iter().map(config).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let deadline = Instant::now() + LIMIT;
        loop {
            let result = self.call(&request, 7).topics.remove(0);
            match broker_protocol::ErrorCode::from_code_or_unknown(result.error_code) {
                broker_protocol::ErrorCode::None => break,
                // The broker has not registered yet.
                broker_protocol::ErrorCode::InvalidReplicationFactor
                    if Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                error => panic!("{name}: {error}: {:?}", result.error_message),
            }
        }
        self.wait_for_leaders(name, partitions)
    }

    fn wait_for_leaders(&mut self, name: &str, partitions: i32) -> broker_protocol::ids::Uuid {
        let deadline = Instant::now() + LIMIT;
        for partition in 0..partitions {
            while self.list_offset(name, partition, -1).is_err() {
                assert!(
                    Instant::now() < deadline,
                    "{name}-{partition} gets no leader"
                );
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let topic = wire::MetadataRequestTopic {
            name: Some(name.into()),
            ..Default::default()
        };
        let request = wire::MetadataRequest {
            topics: Some(vec![topic]),
            ..Default::default()
        };
        self.call(&request, 12).topics[0].topic_id
    }

    /// Produces these bytes; error code, base offset and message.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        acks: i16,
        records: Bytes,
    ) -> wire::PartitionProduceResponse {
        self.call(&produce_request(topic, partition, acks, records), 9)
            .responses
            .remove(0)
            .partition_responses
            .remove(0)
    }

    /// Offset -1: the latest; -2: the earliest. The error is Kafka's code.
    pub fn list_offset(&mut self, topic: &str, partition: i32, timestamp: i64) -> Result<i64, i16> {
        let asked = wire::ListOffsetsPartition {
            partition_index: partition,
            timestamp,
            ..Default::default()
        };
        let request = wire::ListOffsetsRequest {
            replica_id: -1,
            topics: vec![wire::ListOffsetsTopic {
                name: topic.into(),
                partitions: vec![asked],
                ..Default::default()
            }],
            ..Default::default()
        };
        let told = self.call(&request, 7).topics.remove(0).partitions.remove(0);
        if told.error_code == 0 {
            Ok(told.offset)
        } else {
            Err(told.error_code)
        }
    }

    pub fn fetch(&mut self, request: &wire::FetchRequest) -> Vec<wire::FetchPartitionData> {
        let response = self.call(request, 12);
        assert_eq!(response.error_code, 0, "{response:?}");
        response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
            .collect()
    }
}

pub fn produce_request(
    topic: &str,
    partition: i32,
    acks: i16,
    records: Bytes,
) -> wire::ProduceRequest {
    let data = wire::PartitionProduceData {
        index: partition,
        records: Some(records),
        ..Default::default()
    };
    wire::ProduceRequest {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![wire::TopicProduceData {
            name: topic.into(),
            partition_data: vec![data],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Partitions of one topic from these offsets, for version 12.
pub fn fetch_request(topic: &str, partitions: &[(i32, i64)], wait_ms: i32) -> wire::FetchRequest {
    let partition = |&(partition, fetch_offset): &(i32, i64)| wire::FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    wire::FetchRequest {
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![wire::FetchTopic {
            topic: topic.into(),
            partitions: partitions.iter().map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// One batch of these values.
pub fn batch<V: AsRef<[u8]>>(values: &[V]) -> Bytes {
    batch_of(values, BatchOptions::default())
}

pub fn batch_of<V: AsRef<[u8]>>(values: &[V], options: BatchOptions) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder.append(1_700_000_000_000, None, Some(value.as_ref()), &[]);
    }
    builder.build().into_bytes()
}
