//! The part of a history that a lawful loss spared: unclean elections take back what is above some offset
//! (KAFKA-977), and below it all promises stand.

use crate::cluster::Losses;
use crate::history::{Action, History, Operation, Outcome, Partition, Record};

/// The history as if nobody had been told of what is at or above a lost offset: sends that were acknowledged there have
/// an unknown outcome, polls and named offsets end there.
pub fn spared(history: &History, losses: &Losses) -> History {
    let lost = |partition: &Partition| {
        let key = (partition.topic.clone(), partition.index);
        losses.get(&key).copied()
    };
    let operations = history.operations.iter().cloned();
    History {
        operations: operations.map(|one| cut(one, &lost)).collect(),
    }
}

fn cut(mut operation: Operation, lost: &impl Fn(&Partition) -> Option<i64>) -> Operation {
    match &mut operation.action {
        Action::Send {
            partition, offset, ..
        } => {
            let from = lost(partition);
            if offset.is_some_and(|offset| from.is_some_and(|from| offset >= from)) {
                *offset = None;
                operation.outcome = Outcome::Info("lost lawfully".to_owned());
            }
        }
        Action::Poll {
            partition,
            from,
            records,
            next,
            ..
        } => {
            if let Some(end) = lost(partition) {
                records.retain(|record: &Record| record.offset < end);
                *from = (*from).min(end);
                *next = (*next).min(end);
            }
        }
        Action::Assign {
            partition,
            position: offset,
        }
        | Action::DeleteRecords {
            partition,
            before: offset,
        } => {
            if let Some(end) = lost(partition) {
                *offset = (*offset).min(end);
            }
        }
        Action::ListOffsets {
            partition,
            earliest,
            latest,
            ..
        } => {
            if let Some(end) = lost(partition) {
                *earliest = (*earliest).min(end);
                *latest = (*latest).min(end);
            }
        }
        Action::Group(_) | Action::InitTransactions { .. } | Action::Transaction(_) => {}
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(action: Action, outcome: Outcome) -> Operation {
        Operation {
            process: 1,
            invoked_ns: 1,
            completed_ns: 2,
            invoked_event: 1,
            completed_event: 2,
            transaction: None,
            action,
            outcome,
        }
    }

    fn partition() -> Partition {
        Partition {
            topic: "t".to_owned(),
            index: 0,
        }
    }

    fn sent(offset: i64) -> Operation {
        let action = Action::Send {
            partition: partition(),
            value: 1,
            content: 1,
            acks: -1,
            offset: Some(offset),
            sequence: 0,
        };
        at(action, Outcome::Ok)
    }

    #[test]
    fn only_what_is_above_the_lost_offset_is_taken_back() {
        let record = |offset| Record {
            offset,
            value: None,
            content: 0,
        };
        let polled = Action::Poll {
            partition: partition(),
            from: 3,
            records: vec![record(3), record(4), record(5)],
            next: 6,
            isolation: Default::default(),
        };
        let history = History {
            operations: vec![sent(4), sent(5), at(polled, Outcome::Ok)],
        };
        let losses = Losses::from([(("t".to_owned(), 0), 5)]);
        let left = spared(&history, &losses);
        assert_eq!(left.operations[0], history.operations[0]);
        assert!(matches!(left.operations[1].outcome, Outcome::Info(_)));
        let Action::Poll { records, next, .. } = &left.operations[2].action else {
            panic!("{left:?}");
        };
        assert_eq!((records.len(), *next), (2, 5));
        assert_eq!(spared(&history, &Losses::new()), history);
    }
}
