//! What is in the log: committed offsets and each group's last record.

use std::collections::BTreeMap;

use super::record::{GroupMetadata, OffsetAndMetadata, Record};

/// Rebuilt by replay; only [`Hard::apply`] changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hard {
    pub(super) groups: BTreeMap<String, Group>,
}

/// A group as the log has it; one without members and metadata is a simple one, that only stores offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Group {
    pub metadata: Option<GroupMetadata>,
    /// By topic and partition.
    pub offsets: BTreeMap<(String, i32), OffsetAndMetadata>,
}

impl Hard {
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    pub fn groups(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter()
    }

    /// Takes any record in any state: after compaction a tombstone may be all that is left of something, and
    /// offsets may come before their group (G-10).
    pub fn apply(&mut self, record: &Record) {
        let (id, gone) = match record {
            Record::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                let offsets = &mut self.groups.entry(group.clone()).or_default().offsets;
                let key = (topic.clone(), *partition);
                match value {
                    Some(value) => drop(offsets.insert(key, value.clone())),
                    None => drop(offsets.remove(&key)),
                }
                (group, value.is_none())
            }
            Record::Group { group, value } => {
                self.groups.entry(group.clone()).or_default().metadata = value.clone();
                (group, value.is_none())
            }
        };
        if gone && self.groups[id] == Group::default() {
            self.groups.remove(id);
        }
    }
}
