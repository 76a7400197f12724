//! Faults by Kafka request: delay, hold or break at an API, epoch, partition or batch type.
//!
//! This crate knows no Kafka. A [`FrameClassifier`] the runner supplies tells what a frame is;
//! [`FrameTap`] cuts a byte stream into frames for it, and costs nothing while no rule is set.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use sim_disk::units::{self, Chance, nanos, show};

/// Which way a frame goes, seen from the side that opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Request,
    Response,
}

/// What a classifier knows about a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameInfo {
    pub api_key: i16,
    pub version: i16,
    pub correlation_id: i32,
    /// The leader or producer epoch it carries, if one.
    pub epoch: Option<i32>,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    /// Of a record batch in it: "data", "control", "transactional" …, in the classifier's words.
    pub batch_type: Option<String>,
}

/// Tells what a frame is. Responses name no API: remember the requests of each connection.
pub trait FrameClassifier: Send + Sync {
    /// `frame` is complete, without its 4-byte length. None: not a Kafka frame.
    fn classify(&self, connection: u64, direction: Direction, frame: &[u8]) -> Option<FrameInfo>;
    /// The connection is gone: forget its requests.
    fn closed(&self, connection: u64);
}

/// What happens to a frame that a rule catches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameAction {
    /// It, and what follows it, arrives this much later.
    Delay(#[serde(with = "units::duration")] Duration),
    /// The connection breaks just before it arrives: both ends get a reset.
    DropConnection,
    /// It, and what follows it, waits for this true time since the run's start.
    HoldUntil(#[serde(with = "units::duration")] Duration),
}

/// Catches frames of one kind. Imitates what no network does on purpose but every one does some day:
/// losing just that answer, delaying just that request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRule {
    pub api_key: i16,
    pub direction: Direction,
    /// Sender; none is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Receiver; none is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Inclusive; frames without epoch do not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<(i32, i32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_type: Option<String>,
    /// Only the nth match, from 1; none is each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// Of a match. Default: always.
    #[serde(default = "always")]
    pub chance: Chance,
    pub action: FrameAction,
}

fn always() -> Chance {
    Chance::ALWAYS
}

impl FrameRule {
    /// Each frame of an API and direction, between any hosts.
    pub fn each(api_key: i16, direction: Direction, action: FrameAction) -> FrameRule {
        FrameRule {
            api_key,
            direction,
            from: None,
            to: None,
            epochs: None,
            topic: None,
            partition: None,
            batch_type: None,
            nth: None,
            chance: Chance::ALWAYS,
            action,
        }
    }

    /// Stable name for counters and scenario weights.
    pub fn kind(&self) -> &'static str {
        match self.action {
            FrameAction::Delay(_) => "frame-delay",
            FrameAction::DropConnection => "frame-drop-connection",
            FrameAction::HoldUntil(_) => "frame-hold",
        }
    }

    fn matches(&self, from: &str, to: &str, direction: Direction, info: &FrameInfo) -> bool {
        fn wanted<T: PartialEq>(rule: &Option<T>, value: Option<&T>) -> bool {
            rule.as_ref().is_none_or(|rule| value == Some(rule))
        }
        let epoch_fits = self.epochs.is_none_or(|(low, high)| {
            info.epoch
                .is_some_and(|epoch| low <= epoch && epoch <= high)
        });
        self.api_key == info.api_key
            && self.direction == direction
            && self.from.as_deref().is_none_or(|name| name == from)
            && self.to.as_deref().is_none_or(|name| name == to)
            && epoch_fits
            && wanted(&self.topic, info.topic.as_ref())
            && wanted(&self.partition, info.partition.as_ref())
            && wanted(&self.batch_type, info.batch_type.as_ref())
    }
}

impl fmt::Display for FrameRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.action {
            FrameAction::Delay(by) => write!(formatter, "delay by {}", show(by))?,
            FrameAction::DropConnection => write!(formatter, "drop the connection at")?,
            FrameAction::HoldUntil(time) => write!(formatter, "hold until {}", show(time))?,
        }
        let direction = if self.direction == Direction::Request {
            "request"
        } else {
            "response"
        };
        if let Some(nth) = self.nth {
            write!(formatter, " #{nth}")?;
        }
        write!(formatter, " {direction} of api {}", self.api_key)?;
        if let Some(topic) = &self.topic {
            write!(formatter, " for {topic}")?;
        }
        if let Some(partition) = self.partition {
            write!(formatter, "-{partition}")?;
        }
        if let Some((low, high)) = self.epochs {
            write!(formatter, " in epochs {low}..={high}")?;
        }
        if let Some(batch_type) = &self.batch_type {
            write!(formatter, " with {batch_type} batches")?;
        }
        let any = "*".to_owned();
        if self.from.is_some() || self.to.is_some() {
            write!(
                formatter,
                " {} -> {}",
                self.from.as_ref().unwrap_or(&any),
                self.to.as_ref().unwrap_or(&any)
            )?;
        }
        if self.chance != Chance::ALWAYS {
            write!(formatter, " with {}", self.chance)
        } else {
            Ok(())
        }
    }
}

struct ActiveRule {
    rule: FrameRule,
    matches: u64,
}

/// The typed rules of a world, with the classifier they need.
pub struct FrameRules {
    classifier: Arc<dyn FrameClassifier>,
    active: Vec<ActiveRule>,
    counts: std::collections::BTreeMap<&'static str, u64>,
}

impl FrameRules {
    pub fn new(classifier: Arc<dyn FrameClassifier>) -> FrameRules {
        FrameRules {
            classifier,
            active: Vec::new(),
            counts: std::collections::BTreeMap::new(),
        }
    }

    /// Whether any rule is set.
    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }

    pub fn inject(&mut self, rule: &FrameRule) {
        self.active.push(ActiveRule {
            rule: rule.clone(),
            matches: 0,
        });
    }

    /// Takes back one rule of this very value; false if none is set.
    pub fn heal(&mut self, rule: &FrameRule) -> bool {
        let position = self.active.iter().position(|active| active.rule == *rule);
        position
            .map(|position| self.active.remove(position))
            .is_some()
    }

    pub fn heal_all(&mut self) {
        self.active.clear();
    }

    /// How often a rule of each kind has struck.
    pub fn fault_counts(&self) -> &std::collections::BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// A connection is gone.
    pub fn closed(&self, connection: u64) {
        self.classifier.closed(connection);
    }

    fn judge(
        &mut self,
        place: &Place,
        frame: &[u8],
        rng: &mut impl RngCore,
    ) -> Option<FrameAction> {
        // Classified even if no rule is set: the classifier must see each request to know its answer.
        let info = self
            .classifier
            .classify(place.connection, place.direction, frame)?;
        for active in &mut self.active {
            let rule = &active.rule;
            if !rule.matches(&place.from, &place.to, place.direction, &info) {
                continue;
            }
            active.matches += 1;
            if rule.nth.is_none_or(|nth| nth == active.matches) && rule.chance.strikes(rng) {
                *self.counts.entry(rule.kind()).or_insert(0) += 1;
                return Some(rule.action);
            }
        }
        None
    }
}

/// Where a tap sits.
#[derive(Clone, Debug)]
struct Place {
    connection: u64,
    from: String,
    to: String,
    direction: Direction,
}

/// Bytes that leave a tap: whole frames, or pieces of what is no Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tapped {
    pub bytes: Bytes,
    pub action: Option<FrameAction>,
}

impl Tapped {
    /// When the bytes may leave, given true time `now` in ns; none if the connection must break.
    pub fn leaves_at(&self, now: u64) -> Option<u64> {
        match self.action {
            None => Some(now),
            Some(FrameAction::Delay(by)) => Some(now.saturating_add(nanos(by))),
            Some(FrameAction::HoldUntil(time)) => Some(now.max(nanos(time))),
            Some(FrameAction::DropConnection) => None,
        }
    }
}

/// Lengths above this are no Kafka frame but TLS or HTTP; the tap lets the stream pass for ever.
const FRAME_LIMIT: usize = 128 << 20;

/// Cuts one direction of one connection into frames. Make one only in runs that may set typed rules.
pub struct FrameTap {
    place: Place,
    buffer: BytesMut,
    opaque: bool,
}

impl FrameTap {
    /// On what `from` sends to `to`. Both directions of a connection share its number.
    pub fn new(connection: u64, from: &str, to: &str, direction: Direction) -> FrameTap {
        let place = Place {
            connection,
            from: from.into(),
            to: to.into(),
            direction,
        };
        FrameTap {
            place,
            buffer: BytesMut::new(),
            opaque: false,
        }
    }

    /// Takes written bytes; gives what may go on. An incomplete frame stays until its rest comes.
    pub fn push(
        &mut self,
        bytes: &[u8],
        rules: &mut FrameRules,
        rng: &mut impl RngCore,
    ) -> Vec<Tapped> {
        if self.opaque {
            return vec![Tapped {
                bytes: Bytes::copy_from_slice(bytes),
                action: None,
            }];
        }
        self.buffer.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(length) = self.frame_length() {
            if length > FRAME_LIMIT {
                self.opaque = true;
                out.push(Tapped {
                    bytes: self.buffer.split().freeze(),
                    action: None,
                });
                break;
            }
            if self.buffer.len() < 4 + length {
                break;
            }
            let bytes = self.buffer.split_to(4 + length).freeze();
            let action = rules.judge(&self.place, &bytes[4..], rng);
            out.push(Tapped { bytes, action });
        }
        out
    }

    /// The stream ended: what is left of an incomplete frame.
    pub fn finish(&mut self) -> Bytes {
        self.buffer.split().freeze()
    }

    fn frame_length(&self) -> Option<usize> {
        let prefix: [u8; 4] = self.buffer.get(..4)?.try_into().expect("4 bytes");
        usize::try_from(u32::from_be_bytes(prefix)).ok()
    }
}
