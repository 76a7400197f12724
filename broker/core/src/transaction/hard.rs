//! What is in the log: each transactional id's last record.

use std::collections::BTreeMap;

use super::record::{Record, TransactionMetadata};

/// A function of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hard {
    ids: BTreeMap<String, TransactionMetadata>,
}

impl Hard {
    pub fn get(&self, transactional_id: &str) -> Option<&TransactionMetadata> {
        self.ids.get(transactional_id)
    }

    /// By transactional id.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &TransactionMetadata)> {
        self.ids.iter()
    }

    pub fn completing(&self) -> impl Iterator<Item = (&String, &TransactionMetadata)> {
        let completes = |(_, it): &(&String, &TransactionMetadata)| it.state.is_completing();
        self.ids.iter().filter(completes)
    }

    /// The only writer.
    pub fn apply(&mut self, record: &Record) {
        let Record {
            transactional_id,
            value,
        } = record;
        match value {
            Some(value) => drop(self.ids.insert(transactional_id.clone(), value.clone())),
            None => drop(self.ids.remove(transactional_id)),
        }
    }
}
