//! What can happen next.

use std::fmt;

use super::client::{Client, Phase};
use super::state::{Action, Message, PARTITIONS, State};

impl State {
    pub fn actions(&self, actions: &mut Vec<Action>) {
        for (instance, client) in self.clients.iter().enumerate() {
            self.client_actions(instance, client, actions);
        }
        let mut last = None;
        for message in &self.network {
            if last == Some(message) {
                continue;
            }
            last = Some(message);
            actions.push(Action::Arrives(*message));
            let may_be_lost = match message {
                Message::EndTxn { .. } => self.left.lost_answers,
                Message::Marker { .. } => self.left.lost_reports,
                Message::Produce(_) | Message::Verified(..) => 0,
            };
            if may_be_lost > 0 {
                actions.push(Action::AnswerLost(*message));
            }
        }
        if self.left.fail_overs > 0 && self.known().is_some() {
            actions.push(Action::FailOver);
        }
        let is_ongoing = self.current.is_some() && !self.is_completing();
        if self.left.timeouts > 0 && is_ongoing {
            actions.push(Action::Timeout);
        }
        if self.left.instances > 0 && self.clients[0].producer.is_some() {
            actions.push(Action::NewInstance);
        }
        if self.left.strangers > 0 && is_ongoing {
            actions.push(Action::Stranger);
        }
    }

    fn client_actions(&self, instance: usize, client: &Client, actions: &mut Vec<Action>) {
        match client.phase {
            Phase::Starting => actions.push(Action::Init(instance)),
            Phase::Idle => actions.push(Action::Begin(instance)),
            Phase::Writing if client.acknowledged == [true; PARTITIONS] => {
                actions.push(Action::End(instance));
            }
            Phase::Writing if self.left.give_ups > 0 => actions.push(Action::GiveUp(instance)),
            Phase::Ending { .. } => {
                let tag = client.tag(instance);
                let under_way = self
                    .network
                    .iter()
                    .any(|it| matches!(it, Message::EndTxn { tag: other, .. } if *other == tag));
                if !under_way || self.left.resends > 0 {
                    actions.push(Action::Resend(instance));
                }
            }
            Phase::Writing | Phase::Over => {}
        }
    }

    pub fn apply(&mut self, action: &Action) {
        match action {
            Action::Init(instance) => self.client_init(*instance),
            Action::Begin(instance) => self.client_begin(*instance),
            Action::End(instance) => self.client_end(*instance, true),
            Action::GiveUp(instance) => {
                self.left.give_ups -= 1;
                self.client_end(*instance, false);
            }
            Action::Resend(instance) => self.resend(*instance),
            Action::Arrives(message) => {
                self.take(message);
                self.deliver(message, true);
            }
            Action::AnswerLost(message) => {
                // A marker goes out again, an EndTxn if its client wants.
                if let Message::Marker { .. } = message {
                    self.left.lost_reports -= 1;
                } else {
                    self.left.lost_answers -= 1;
                    self.take(message);
                }
                self.deliver(message, false);
            }
            Action::FailOver => {
                self.left.fail_overs -= 1;
                self.fail_over();
            }
            Action::Timeout => {
                self.left.timeouts -= 1;
                self.time_out();
            }
            Action::NewInstance => {
                self.left.instances -= 1;
                self.clients.push(Client::new(1));
            }
            Action::Stranger => {
                self.left.strangers -= 1;
                self.stranger();
            }
        }
    }

    fn resend(&mut self, instance: usize) {
        let tag = self.clients[instance].tag(instance);
        let under_way =
            |it: &Message| matches!(it, Message::EndTxn { tag: other, .. } if *other == tag);
        if self.network.iter().any(under_way) {
            self.left.resends -= 1;
        } else if self.is_completing() {
            // It would be told to come again.
            return;
        }
        self.send_end(instance);
    }

    fn deliver(&mut self, message: &Message, answered: bool) {
        match *message {
            Message::Produce(sent) => self.on_produce(sent),
            Message::Verified(sent, guard) => self.append_verified(sent, guard),
            Message::EndTxn {
                tag,
                producer,
                committed,
            } => self.on_end(tag, producer, committed, answered),
            Message::Marker { .. } => {
                let report = self.on_marker(message);
                if let Some(report) = report.filter(|_| answered) {
                    self.report(&report);
                }
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Init(instance) => write!(formatter, "producer {instance} asks who it is"),
            Action::Begin(instance) => write!(formatter, "producer {instance} begins"),
            Action::GiveUp(instance) => write!(formatter, "producer {instance} gives up"),
            Action::End(instance) => write!(formatter, "producer {instance} commits"),
            Action::Resend(instance) => write!(formatter, "producer {instance} sends EndTxn again"),
            Action::Arrives(message) => write!(formatter, "{message} arrives"),
            Action::AnswerLost(message) => {
                write!(formatter, "{message} arrives, its answer is lost")
            }
            Action::FailOver => write!(formatter, "another broker coordinates"),
            Action::Timeout => write!(formatter, "the transaction is over its timeout"),
            Action::NewInstance => write!(formatter, "a second producer starts"),
            Action::Stranger => write!(formatter, "EndTxn with a made-up epoch arrives"),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Produce(sent) => write!(
                formatter,
                "record of transaction {}.{} epoch {} for partition {}",
                sent.tag.instance, sent.tag.number, sent.producer.epoch, sent.partition
            ),
            Message::Verified(sent, _) => write!(
                formatter,
                "verification of transaction {}.{} for partition {}",
                sent.tag.instance, sent.tag.number, sent.partition
            ),
            Message::EndTxn {
                tag,
                producer,
                committed,
            } => write!(
                formatter,
                "EndTxn ({}) of transaction {}.{} epoch {}",
                if *committed { "commit" } else { "abort" },
                tag.instance,
                tag.number,
                producer.epoch
            ),
            Message::Marker {
                coordinator_epoch,
                producer,
                committed,
                partition,
                ..
            } => write!(
                formatter,
                "{} marker epoch {} of coordinator epoch {coordinator_epoch} for partition {partition}",
                if *committed { "commit" } else { "abort" },
                producer.epoch
            ),
        }
    }
}
