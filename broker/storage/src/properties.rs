//! `meta.properties` and `partition.metadata`.

use std::collections::BTreeMap;

use broker_protocol::ids::{NodeId, Uuid};

/// `meta.properties`, version 1: whose data directory this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: NodeId,
    pub directory_id: Uuid,
}

impl MetaProperties {
    pub const FILE: &'static str = "meta.properties";

    pub fn encode(&self) -> Vec<u8> {
        let MetaProperties {
            cluster_id,
            node_id,
            directory_id,
        } = self;
        format!("#\ncluster.id={cluster_id}\ndirectory.id={directory_id}\nnode.id={node_id}\nversion=1\n").into_bytes()
    }

    /// The error says which property is missing or wrong.
    pub fn decode(bytes: &[u8]) -> Result<MetaProperties, String> {
        let properties = properties(bytes)?;
        let get = |key: &str| properties.get(key).ok_or_else(|| format!("no {key}"));
        match get("version")?.as_str() {
            "1" => {}
            other => return Err(format!("version {other} is not supported, only 1 is")),
        }
        let node_id = get("node.id")?;
        let directory_id = get("directory.id")?;
        Ok(MetaProperties {
            cluster_id: get("cluster.id")?.clone(),
            node_id: NodeId(
                node_id
                    .parse()
                    .map_err(|_| format!("node.id {node_id} is not a number"))?,
            ),
            directory_id: Uuid::parse(directory_id)
                .ok_or_else(|| format!("directory.id {directory_id} is not a Uuid"))?,
        })
    }
}

/// Java's properties format as far as Kafka writes it: comments, `key=value`, `\` escapes the next character.
fn properties(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let mut properties = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("line without '=': {line}"))?;
        properties.insert(unescape(key.trim()), unescape(value.trim()));
    }
    Ok(properties)
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

/// `partition.metadata`: which incarnation of the topic the directory belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    pub topic_id: Uuid,
}

impl PartitionMetadata {
    pub const FILE: &'static str = "partition.metadata";

    pub fn encode(&self) -> Vec<u8> {
        format!("version: 0\ntopic_id: {}", self.topic_id).into_bytes()
    }

    /// `None` if malformed.
    pub fn decode(bytes: &[u8]) -> Option<PartitionMetadata> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        if lines.next()?.trim() != "version: 0" {
            return None;
        }
        let topic_id = Uuid::parse(lines.next()?.strip_prefix("topic_id:")?.trim())?;
        (!topic_id.is_zero()).then_some(PartitionMetadata { topic_id })
    }
}
