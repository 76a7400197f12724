//! Actions in words.

use std::fmt;

use broker_core::replica::cluster::{Message, id};
use broker_core::replica::{Fetched, Isr};

use super::state::Action;

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Deliver(message) => message_arrives(formatter, message),
            Action::Duplicate(message) => {
                write!(formatter, "a copy: ")?;
                message_arrives(formatter, message)
            }
            Action::Delay(message) => {
                message_arrives(formatter, message)?;
                write!(formatter, ", the answer takes its time")
            }
            Action::GiveUp(message) => {
                write!(formatter, "nobody waits any more that ")?;
                message_arrives(formatter, message)
            }
            Action::Produce(node) => write!(formatter, "{}: a client produces", id(*node)),
            Action::LagWindow(node) => write!(formatter, "{}: the lag window is over", id(*node)),
            Action::RetryAlterPartition(node) => {
                write!(formatter, "{} sends AlterPartition again", id(*node))
            }
            Action::Publish(node, end) => {
                write!(formatter, "{} acts on the metadata below {end}", id(*node))
            }
            Action::Fence(node) => write!(formatter, "{} is fenced", id(*node)),
            Action::Unfence(node) => write!(formatter, "{} is unfenced", id(*node)),
            Action::Crash(node) => write!(formatter, "{} crashes", id(*node)),
            Action::ShutDown(node) => write!(formatter, "{} shuts down in good order", id(*node)),
            Action::Start(node, 0) => write!(formatter, "{} starts with its log", id(*node)),
            Action::Start(node, lost) => {
                write!(
                    formatter,
                    "{} starts without its last {lost} records",
                    id(*node)
                )
            }
            Action::ElectPreferred => write!(formatter, "the preferred replica is to lead"),
            Action::SetMinInsyncReplicas(value) => {
                write!(formatter, "min.insync.replicas is set to {value}")
            }
            Action::DeleteRecords(node) => {
                write!(formatter, "{} deletes all that is committed", id(*node))
            }
        }
    }
}

fn message_arrives(formatter: &mut fmt::Formatter<'_>, message: &Message) -> fmt::Result {
    match message {
        Message::Fetch { from, request, .. } => {
            let last = request.last_fetched_epoch;
            let last = last.map_or("nothing".to_owned(), |epoch| format!("epoch {epoch}"));
            write!(
                formatter,
                "{} gets the fetch of {} from {} after {last}, in epoch {}",
                request.leader,
                id(*from),
                request.fetch_offset,
                request.leader_epoch
            )
        }
        Message::Fetched { to, response, .. } => {
            let (offset, epoch) = (response.request.fetch_offset, response.request.leader_epoch);
            write!(
                formatter,
                "{} gets the answer to its fetch from {offset} in epoch {epoch}: ",
                id(*to)
            )?;
            match &response.result {
                Err(error) => write!(formatter, "{}", error.name()),
                Ok(fetched) => fetched_in_words(formatter, fetched),
            }
        }
        Message::QueryOffsets { from, leader, .. } => {
            write!(
                formatter,
                "{leader} is asked for its bounds by {}",
                id(*from)
            )
        }
        Message::Offsets { to, offsets, .. } => {
            write!(
                formatter,
                "{} is told the leader's bounds {offsets:?}",
                id(*to)
            )
        }
        Message::AlterPartition { from, asked, .. } => {
            let isr: Isr = asked.isr.iter().map(|(id, _)| *id).collect();
            write!(
                formatter,
                "the controller is asked by {} for ISR {} in {}/{}",
                id(*from),
                list(&isr),
                asked.leader_epoch,
                asked.partition_epoch
            )
        }
        Message::Altered { to, result, .. } => {
            write!(formatter, "{} gets the answer to AlterPartition: ", id(*to))?;
            match result {
                Err(error) => write!(formatter, "{}", error.name()),
                Ok(altered) => {
                    let isr: Isr = altered.isr.iter().copied().collect();
                    write!(
                        formatter,
                        "ISR {} in {}",
                        list(&isr),
                        altered.partition_epoch
                    )
                }
            }
        }
    }
}

fn fetched_in_words(formatter: &mut fmt::Formatter<'_>, fetched: &Fetched) -> fmt::Result {
    if let Some(end) = fetched.diverging {
        return write!(formatter, "epoch {} ends at {}", end.epoch, end.end_offset);
    }
    let high_watermark = fetched.high_watermark;
    write!(
        formatter,
        "{} records, high watermark {high_watermark}",
        fetched.batches.len()
    )
}

fn list(isr: &Isr) -> String {
    let ids: Vec<String> = isr.iter().map(ToString::to_string).collect();
    ids.join(",")
}
