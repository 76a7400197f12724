//! A way of the quorum's model: combined nodes 1 to n are the voters. First node 1 is made the leader; then every
//! window opens just the links on which the way delivers something, and only who asks for votes in it may.

use std::collections::BTreeSet;
use std::time::Duration;

use models::counterexample::{Api, Counterexample, Message, Party, What};
use sim_faults::plan::{Action, Planned};
use sim_faults::{
    Direction, DiskFault, Fault, FaultSpec, FrameAction, FrameRule, Operation, ProcessFault, Target,
};

use super::timeline::{Timeline, Window, all_links};
use super::{Draft, NoCounterpart, Pace, host};

/// Vote, for votes and pre-votes.
const VOTE: i16 = 52;

/// What tells more about the whole way than a step does.
#[derive(Default)]
struct Whole {
    /// Leaders whose last append is not flushed on their own disk.
    unflushed: BTreeSet<i32>,
    /// Requests that arrived: (from, to), so that an answer to an older one can be told.
    asked: BTreeSet<(i32, i32)>,
    snapshots: bool,
}

struct Builder<'a> {
    pace: Pace,
    hosts: Vec<String>,
    windows: Vec<Window>,
    /// Who asks for votes, by window.
    asking: Vec<BTreeSet<i32>>,
    whole: Whole,
    way: &'a Counterexample,
}

/// # Errors
/// A step that no scenario can make happen.
pub fn draft(
    way: &Counterexample,
    voters: i32,
    dynamic: bool,
    pace: Pace,
) -> Result<Draft, NoCounterpart> {
    let hosts: Vec<String> = (1..=voters).map(host).collect();
    let mut builder = Builder {
        pace,
        hosts: hosts.clone(),
        windows: Vec::new(),
        asking: Vec::new(),
        whole: Whole::default(),
        way,
    };
    builder.open_window();
    for index in 0..way.steps.len() {
        builder.step(index)?;
    }
    let snapshots = builder.whole.snapshots;
    let begins = pace.of(Duration::from_secs(if dynamic { 8 } else { 6 }));
    let mut faults = prelude(&hosts, begins, dynamic);
    let timeline = builder.timeline(begins);
    faults.extend(timeline.faults());
    faults.sort_by_key(|spec| spec.at);
    Ok(Draft {
        sections: sections(voters, snapshots),
        faults,
        timeline,
    })
}

/// Nobody but node 1 can win an election while the leader, whoever it is, is cut off for a while.
fn prelude(hosts: &[String], begins: Duration, dynamic: bool) -> Vec<FaultSpec> {
    let others = hosts.iter().skip(1);
    let mut faults: Vec<FaultSpec> = others
        .map(|host| {
            FaultSpec::once(Duration::ZERO, Planned::Fault(no_votes_for(host))).lasting(begins)
        })
        .collect();
    let (at, lasts) = (begins / 4, begins / 2);
    let cut = Planned::On(Target::Controller, Action::Isolate);
    faults.push(FaultSpec::once(at, cut).lasting(lasts));
    if dynamic {
        let features = [("kraft.version".to_owned(), 1)].into();
        let upgrade = Fault::Operation(Operation::UpgradeFeatures { features });
        faults.push(FaultSpec::once(
            Duration::from_millis(100),
            Planned::Fault(upgrade),
        ));
    }
    faults
}

fn no_votes_for(host: &str) -> Fault {
    Fault::Frames(FrameRule {
        from: Some(host.to_owned()),
        ..FrameRule::each(VOTE, Direction::Request, FrameAction::DropConnection)
    })
}

impl Builder<'_> {
    fn open_window(&mut self) {
        self.windows.push(Window {
            length: self.pace.of(Duration::from_millis(1_500)),
            ..Window::default()
        });
        self.asking.push(BTreeSet::new());
    }

    fn window(&mut self) -> &mut Window {
        self.windows.last_mut().expect("one is opened at first")
    }

    /// A new one, unless nothing has happened in this one.
    fn next_window(&mut self) {
        if !self.window().texts.is_empty() {
            self.open_window();
        }
    }

    fn step(&mut self, index: usize) -> Result<(), NoCounterpart> {
        let step = &self.way.steps[index];
        let election = self.pace.of(Duration::from_secs(4));
        match &step.what {
            What::Arrives(message) | What::ArrivesTwice(message) => self.arrives(*message),
            What::ElectionTimeout(_) => {
                let quiet = self.window().open.is_empty();
                if !quiet {
                    self.next_window();
                }
                self.window().length = election;
            }
            What::PowerLoss(node) => {
                self.stop(*node, ProcessFault::PowerLoss, index);
                if self.whole.unflushed.remove(node) {
                    self.stall_before_this(*node);
                }
            }
            What::Killed(node) => self.stop(*node, ProcessFault::Kill, index),
            What::Starts { .. } => {
                self.window().texts.push(step.text.clone());
                self.open_window();
                return Ok(());
            }
            What::Appends(node) => {
                self.whole.unflushed.insert(*node);
            }
            What::Flushes(node) => {
                self.whole.unflushed.remove(node);
            }
            What::TakesSnapshot(_) | What::DeletesLog(_) => self.whole.snapshots = true,
            What::VoterRemoved(node) => {
                self.next_window();
                let node = host(*node);
                let removal = Fault::Operation(Operation::RemoveVoter { node });
                self.window().beginning.push((removal, None));
            }
            What::Lost(_) | What::ByItself => {}
            _ => return Err(NoCounterpart(step.text.clone())),
        }
        let text = step.text.clone();
        self.window().texts.push(text);
        Ok(())
    }

    fn arrives(&mut self, message: Message) {
        let (Party::Node(from), Party::Node(to)) = (message.from, message.to) else {
            return;
        };
        self.open(from, to);
        match (message.api, message.answer) {
            // Pre-votes and their answers are not told one by one.
            (Api::Vote, answer) => {
                self.open(to, from);
                if !answer {
                    let asking = self.asking.last_mut().expect("one is opened at first");
                    asking.insert(from);
                }
            }
            (_, false) => {
                self.whole.asked.insert((from, to));
            }
            // It was asked for before the way began.
            (_, true) => {
                if !self.whole.asked.contains(&(to, from)) {
                    self.open(to, from);
                }
            }
        }
    }

    fn open(&mut self, from: i32, to: i32) {
        self.window().open.insert((host(from), host(to)));
    }

    fn stop(&mut self, node: i32, how: ProcessFault, index: usize) {
        self.next_window();
        let back = self.way.steps[index..]
            .iter()
            .any(|step| matches!(step.what, What::Starts { node: back, .. } if back == node));
        let down = self.pace.of(Duration::from_millis(300));
        let fault = Fault::process(&host(node), how);
        self.window().length = down;
        self.window().beginning.push((fault, back.then_some(down)));
    }

    /// So that what the node appends in the window before is not durable when the power fails.
    fn stall_before_this(&mut self, node: i32) {
        let before = self.windows.len().checked_sub(2);
        if let Some(before) = before {
            let stalled = Fault::disk(&host(node), DiskFault::Stalled);
            self.windows[before].lasting.push(stalled);
        }
    }

    fn timeline(mut self, begins: Duration) -> Timeline {
        if self.window().texts.is_empty() {
            self.windows.pop();
        }
        if let Some(last) = self.windows.last_mut() {
            last.length += self.pace.of(Duration::from_secs(3));
        }
        for (window, asking) in self.windows.iter_mut().zip(&self.asking) {
            let silent = (1..)
                .zip(&self.hosts)
                .filter(|(id, _)| !asking.contains(id));
            window
                .lasting
                .extend(silent.map(|(_, host)| no_votes_for(host)));
        }
        Timeline {
            begins,
            links: all_links(&self.hosts),
            windows: self.windows,
        }
    }
}

fn sections(voters: i32, snapshots: bool) -> String {
    let often = "\"metadata.log.max.record.bytes.between.snapshots\" = 1000\n\
                 \"metadata.max.retention.bytes\" = 2000\n\
                 \"metadata.log.segment.bytes\" = 1000\n";
    let snapshots = if snapshots { often } else { "" };
    let replicas = voters.min(3);
    format!(
        r#"[cluster]
nodes = {voters}

[cluster.config]
"broker.session.timeout.ms" = 3000
"broker.heartbeat.interval.ms" = 500
"controller.quorum.fetch.timeout.ms" = 1000
"controller.quorum.election.timeout.ms" = 500
"controller.quorum.request.timeout.ms" = 1000
{snapshots}
[[topic]]
name = "orders"
replicas = {replicas}
config = {{ "min.insync.replicas" = {}, "flush.messages" = 1 }}

# Its creations and deletions are what the quorum's leader appends.
[[workload]]
kind = "create-delete-topics"
producers = 1
rate = 4
request_timeout = "2s"

# Time between write and sync, in which the power can fail.
[disk]
sync_min = "2ms"
sync_max = "40ms"

[budget]
durability = "flushed"
"#,
        (replicas + 1) / 2,
    )
}
