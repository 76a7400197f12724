//! Tells Kafka frames apart for typed faults: API, epoch, topic, partition, batch type.

use std::collections::BTreeMap;
use std::sync::Mutex;

use broker_protocol::ApiKey;
use broker_protocol::api::{
    AlterPartitionRequest, BeginQuorumEpochRequest, EndQuorumEpochRequest, FetchRequest,
    ProduceRequest, Request, VoteRequest,
};
use broker_protocol::frame::decode_request;
use bytes::Bytes;
use sim_faults::{Direction, FrameClassifier, FrameInfo};

/// Remembers the requests of each connection, because answers name no API.
#[derive(Debug, Default)]
pub struct KafkaFrames {
    pending: Mutex<BTreeMap<u64, BTreeMap<i32, FrameInfo>>>,
}

impl FrameClassifier for KafkaFrames {
    fn classify(&self, connection: u64, direction: Direction, frame: &[u8]) -> Option<FrameInfo> {
        let mut pending = self.pending.lock().expect("no panic under this lock");
        match direction {
            Direction::Request => {
                let info = request(frame)?;
                let of_connection = pending.entry(connection).or_default();
                of_connection.insert(info.correlation_id, info.clone());
                Some(info)
            }
            Direction::Response => {
                let correlation_id = i32::from_be_bytes(*frame.first_chunk()?);
                pending.get_mut(&connection)?.remove(&correlation_id)
            }
        }
    }

    fn closed(&self, connection: u64) {
        let mut pending = self.pending.lock().expect("no panic under this lock");
        pending.remove(&connection);
    }
}

/// The first fields of every request header, then what the few APIs of interest say.
fn request(frame: &[u8]) -> Option<FrameInfo> {
    let head = frame.first_chunk::<8>()?;
    let info = FrameInfo {
        api_key: i16::from_be_bytes([head[0], head[1]]),
        version: i16::from_be_bytes([head[2], head[3]]),
        correlation_id: i32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ..FrameInfo::default()
    };
    let detailed = ApiKey::from_code(info.api_key).and_then(|key| details(key, &info, frame));
    Some(detailed.unwrap_or(info))
}

/// What a frame is about: the first topic and partition in it.
#[derive(Default)]
struct Subject {
    epoch: Option<i32>,
    topic: Option<String>,
    partition: Option<i32>,
    batch_type: Option<String>,
}

fn details(key: ApiKey, info: &FrameInfo, frame: &[u8]) -> Option<FrameInfo> {
    let subject = match key {
        ApiKey::Produce => decode(frame, info.version).map(produce),
        ApiKey::Fetch => decode(frame, info.version).map(fetch),
        ApiKey::AlterPartition => decode(frame, info.version).map(alter_partition),
        ApiKey::Vote => decode(frame, info.version).map(vote),
        ApiKey::BeginQuorumEpoch => decode(frame, info.version).map(begin_epoch),
        ApiKey::EndQuorumEpoch => decode(frame, info.version).map(end_epoch),
        _ => None,
    }?;
    Some(FrameInfo {
        epoch: subject.epoch,
        topic: subject.topic,
        partition: subject.partition,
        batch_type: subject.batch_type,
        ..info.clone()
    })
}

fn decode<R: Request>(frame: &[u8], version: i16) -> Option<R> {
    let known = (R::MIN_VERSION..=R::MAX_VERSION).contains(&version);
    let frame = Bytes::copy_from_slice(frame);
    let decoded = known.then(|| decode_request::<R>(frame, version).ok());
    decoded.flatten().map(|(_, request)| request)
}

fn produce(request: ProduceRequest) -> Subject {
    let topic = request.topic_data.first();
    let partition = topic.and_then(|topic| topic.partition_data.first());
    let records = partition.and_then(|partition| partition.records.as_ref());
    Subject {
        epoch: None,
        topic: topic.map(|topic| topic.name.clone()),
        partition: partition.map(|partition| partition.index),
        batch_type: records.and_then(|records| batch_type(records)),
    }
}

/// From the attributes of a batch's header: bit 4 transactional, bit 5 control.
fn batch_type(records: &[u8]) -> Option<String> {
    const ATTRIBUTES: usize = 21;
    let attributes = records.get(ATTRIBUTES..ATTRIBUTES + 2)?;
    let bits = u16::from_be_bytes([attributes[0], attributes[1]]);
    let name = match (bits & 0x20 != 0, bits & 0x10 != 0) {
        (true, _) => "control",
        (false, true) => "transactional",
        (false, false) => "data",
    };
    Some(name.to_owned())
}

fn fetch(request: FetchRequest) -> Subject {
    let topic = request.topics.first();
    let partition = topic.and_then(|topic| topic.partitions.first());
    Subject {
        epoch: partition.map(|partition| partition.current_leader_epoch),
        topic: topic
            .map(|topic| topic.topic.clone())
            .filter(|name| !name.is_empty()),
        partition: partition.map(|partition| partition.partition),
        batch_type: None,
    }
}

fn alter_partition(request: AlterPartitionRequest) -> Subject {
    let partition = request
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    Subject {
        epoch: partition.map(|partition| partition.leader_epoch),
        partition: partition.map(|partition| partition.partition_index),
        ..Subject::default()
    }
}

fn vote(request: VoteRequest) -> Subject {
    let partition = request
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    quorum(partition.map(|partition| partition.replica_epoch))
}

fn begin_epoch(request: BeginQuorumEpochRequest) -> Subject {
    let partition = request
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    quorum(partition.map(|partition| partition.leader_epoch))
}

fn end_epoch(request: EndQuorumEpochRequest) -> Subject {
    let partition = request
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    quorum(partition.map(|partition| partition.leader_epoch))
}

fn quorum(epoch: Option<i32>) -> Subject {
    Subject {
        epoch,
        topic: Some("__cluster_metadata".into()),
        partition: Some(0),
        batch_type: None,
    }
}

#[cfg(test)]
mod tests {
    use broker_protocol::api::{VoteRequestPartitionData, VoteRequestTopicData};
    use broker_protocol::frame::encode_request;

    use super::*;

    fn vote_frame() -> Vec<u8> {
        let partition = VoteRequestPartitionData {
            replica_epoch: 7,
            ..VoteRequestPartitionData::default()
        };
        let topic = VoteRequestTopicData {
            topic_name: "__cluster_metadata".into(),
            partitions: vec![partition],
            ..VoteRequestTopicData::default()
        };
        let request = VoteRequest {
            topics: vec![topic],
            ..VoteRequest::default()
        };
        let frame = encode_request(&request, 2, 9, Some("x")).expect("a valid request");
        frame[4..].to_vec()
    }

    #[test]
    fn an_answer_is_what_its_request_was() {
        let frames = KafkaFrames::default();
        let info = frames.classify(1, Direction::Request, &vote_frame());
        let info = info.expect("a Kafka frame");
        assert_eq!((info.api_key, info.epoch), (52, Some(7)));
        let answer = 9_i32.to_be_bytes();
        assert_eq!(frames.classify(2, Direction::Response, &answer), None);
        let answered = frames.classify(1, Direction::Response, &answer);
        assert_eq!(answered, Some(info));
        frames.closed(1);
        assert_eq!(frames.classify(1, Direction::Response, &answer), None);
    }

    #[test]
    fn noise_is_no_frame() {
        assert_eq!(
            KafkaFrames::default().classify(1, Direction::Request, b"abc"),
            None
        );
    }
}
