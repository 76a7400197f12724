//! An observation as a few words for the trace's hash: cheap for the frequent kinds.

use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};

use broker_protocol::ids::TopicIdPartition;
use broker_server::observe::{BatchSummary, Observation};

/// FNV-1a over 64-bit words: stable between processes and builds, unlike the standard library's.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Fnv {
    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn number(&mut self, number: i64) {
        self.word(u64::from_ne_bytes(number.to_ne_bytes()));
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.word(u64::from(*byte)));
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Hasher::write(self, text.as_bytes());
        Ok(())
    }
}

/// Two words: which kind of observation, and all that is in it.
pub fn words(observation: &Observation) -> [u64; 2] {
    let mut kind = Fnv(0xcbf2_9ce4_8422_2325);
    std::mem::discriminant(observation).hash(&mut kind);
    let mut content = kind;
    match observation {
        Observation::Appended {
            partition,
            batch,
            epoch,
            ..
        } => {
            self::partition(&mut content, partition);
            self::batch(&mut content, batch);
            content.number(i64::from(epoch.0));
        }
        Observation::HighWatermark {
            partition,
            high_watermark,
            epoch,
            leader,
            maximal_isr,
            ..
        } => {
            self::partition(&mut content, partition);
            content.number(*high_watermark);
            content.number(i64::from(epoch.0));
            content.word(u64::from(*leader));
            maximal_isr
                .iter()
                .for_each(|node| content.number(i64::from(node.0)));
        }
        Observation::FollowerCounted {
            partition,
            follower,
            log_end,
            epoch,
        } => {
            self::partition(&mut content, partition);
            content.number(i64::from(follower.0));
            content.number(*log_end);
            content.number(i64::from(epoch.0));
        }
        Observation::ProduceAcknowledged {
            partition,
            base_offset,
            last_offset,
            acks,
        } => {
            self::partition(&mut content, partition);
            content.number(*base_offset);
            content.number(*last_offset);
            content.number(i64::from(*acks));
        }
        Observation::ConsumerRead {
            partition,
            from,
            end,
            limit,
            aborted,
        } => {
            self::partition(&mut content, partition);
            [from, end, limit]
                .iter()
                .for_each(|offset| content.number(**offset));
            for (producer_id, first_offset) in aborted.iter().flatten() {
                content.number(*producer_id);
                content.number(*first_offset);
            }
        }
        Observation::MetadataApplied { end, epoch, hash } => {
            content.number(*end);
            content.number(i64::from(epoch.0));
            content.word(*hash);
        }
        // Seldom enough to print.
        other => write!(content, "{other:?}").expect("a hash takes everything"),
    }
    [kind.0, content.0]
}

fn partition(content: &mut Fnv, partition: &TopicIdPartition) {
    let id = u128::from_be_bytes(partition.topic_id.0);
    content.write(&id.to_be_bytes());
    content.number(i64::from(partition.partition));
}

fn batch(content: &mut Fnv, batch: &BatchSummary) {
    content.number(batch.base_offset);
    content.number(batch.last_offset);
    content.number(i64::from(batch.leader_epoch.0));
    content.word(u64::from(batch.crc));
    if let Some(producer) = batch.producer {
        content.number(producer.producer_id);
        content.number(i64::from(producer.producer_epoch));
        content.number(i64::from(producer.base_sequence));
    }
}
