//! A way of the partition's model: brokers 1 to 3 have the replicas, node 4 is the controller. Every window lets just
//! those fetches, AlterPartitions and metadata through that the way delivers in it. Clients produce all the time.

use std::collections::BTreeSet;
use std::time::Duration;

use models::counterexample::{Api, Counterexample, Message, Party, What};
use sim_faults::plan::{Action, Planned};
use sim_faults::{
    Direction, Fault, FaultSpec, FrameAction, FrameRule, Operation, ProcessFault, Target,
};

use super::timeline::{Timeline, Window, all_links};
use super::{Draft, NoCounterpart, Pace, host};

const FETCH: i16 = 1;
const ALTER_PARTITION: i16 = 56;
const BROKER_HEARTBEAT: i16 = 63;

const BROKERS: i32 = 3;
const CONTROLLER: i32 = 4;
const TOPIC: &str = "orders";

/// Longer than `broker.session.timeout.ms` and `replica.lag.time.max.ms`.
const SESSION: Duration = Duration::from_millis(2_800);
const MOMENT: Duration = Duration::from_millis(800);
const START: Duration = Duration::from_millis(2_000);

/// What happens in a window, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Nothing,
    /// Something at the controller or to a process.
    Event,
    Metadata,
    Messages,
    /// Nothing may be added.
    Over,
}

/// What gets through in a window, beside what its links let through.
#[derive(Clone, Debug, Default)]
struct Passes {
    phase: Phase,
    /// Brokers that act on metadata.
    metadata: BTreeSet<i32>,
    /// Leaders whose AlterPartition arrives, and whose answer does.
    asks: BTreeSet<i32>,
    answers: BTreeSet<i32>,
    /// Running brokers whose sessions are over.
    fenced: BTreeSet<i32>,
}

struct Builder<'a> {
    way: &'a Counterexample,
    pace: Pace,
    windows: Vec<Window>,
    passes: Vec<Passes>,
    fenced: BTreeSet<i32>,
    down: BTreeSet<i32>,
    lag: bool,
}

/// # Errors
/// A step that no scenario can make happen.
pub fn draft(
    way: &Counterexample,
    leader: i32,
    min_insync_replicas: i32,
    pace: Pace,
) -> Result<Draft, NoCounterpart> {
    let mut builder = Builder {
        way,
        pace,
        windows: Vec::new(),
        passes: Vec::new(),
        fenced: BTreeSet::new(),
        down: BTreeSet::new(),
        lag: false,
    };
    for index in 0..way.steps.len() {
        builder.step(index)?;
    }
    let lag = builder.lag;
    let begins = Duration::from_secs(if leader == 1 { 3 } else { 10 });
    let timeline = builder.timeline(begins);
    let mut faults = prelude(leader);
    faults.extend(timeline.faults());
    faults.sort_by_key(|spec| spec.at);
    Ok(Draft {
        sections: sections(min_insync_replicas, lag),
        faults,
        timeline,
    })
}

/// The preferred leader is away until another leads, and back in the ISR when the way begins.
fn prelude(leader: i32) -> Vec<FaultSpec> {
    if leader == 1 {
        return Vec::new();
    }
    let away = Planned::On(Target::Node(host(1)), Action::Isolate);
    let away = FaultSpec::once(Duration::from_secs(1), away);
    vec![away.lasting(Duration::from_secs(4))]
}

fn drop_frames(api_key: i16, direction: Direction, from: i32, to: i32) -> Fault {
    Fault::Frames(FrameRule {
        from: Some(host(from)),
        to: Some(host(to)),
        ..FrameRule::each(api_key, direction, FrameAction::DropConnection)
    })
}

impl Builder<'_> {
    /// The window that something of this phase belongs to.
    fn at(&mut self, phase: Phase, length: Duration) -> (&mut Window, &mut Passes) {
        let now = self
            .passes
            .last()
            .map_or(Phase::Over, |passes| passes.phase);
        if phase < now || phase == Phase::Event {
            self.windows.push(Window::default());
            self.passes.push(Passes {
                fenced: self.fenced.clone(),
                ..Passes::default()
            });
        }
        let window = self.windows.last_mut().expect("just opened at the latest");
        let passes = self.passes.last_mut().expect("one for each window");
        passes.phase = phase;
        window.length = window.length.max(self.pace.of(length));
        (window, passes)
    }

    fn event(&mut self, length: Duration, fault: Option<Fault>) {
        let (window, _) = self.at(Phase::Event, length);
        window.beginning.extend(fault.map(|fault| (fault, None)));
    }

    fn step(&mut self, index: usize) -> Result<(), NoCounterpart> {
        let step = &self.way.steps[index];
        match &step.what {
            What::Arrives(message) | What::ArrivesTwice(message) => self.arrives(*message, true),
            What::AnswerTakesTime(message) => self.arrives(*message, false),
            What::ActsOnMetadata(node) => {
                let (_, passes) = self.at(Phase::Metadata, MOMENT);
                passes.metadata.insert(*node);
            }
            What::Produces(_) => self.event(MOMENT, None),
            What::LagWindow(_) => {
                self.lag = true;
                self.event(SESSION, None);
                self.passes.last_mut().expect("just opened").phase = Phase::Over;
            }
            What::Fenced(node) => {
                if !self.down.contains(node) {
                    self.fenced.insert(*node);
                }
                self.event(SESSION, None);
            }
            What::Unfenced(node) => {
                self.fenced.remove(node);
                self.event(MOMENT, None);
            }
            What::Killed(node) => self.stop(*node, index),
            What::StopsInGoodOrder(node) => {
                self.down.insert(*node);
                let grace = Duration::from_secs(5);
                let stop = Fault::process(&host(*node), ProcessFault::Stop { grace });
                self.event(START, Some(stop));
            }
            What::Starts { node, .. } => {
                self.down.remove(node);
                let start = Fault::process(&host(*node), ProcessFault::Start);
                self.event(START, Some(start));
            }
            What::PreferredLeaderElected => {
                let (topic, partition) = (TOPIC.to_owned(), 0);
                let elect = Operation::ElectPreferredLeader { topic, partition };
                self.event(MOMENT, Some(Fault::Operation(elect)));
            }
            What::MinInsyncReplicas(value) => {
                let config = [("min.insync.replicas".to_owned(), value.to_string())].into();
                let topic = TOPIC.to_owned();
                let configure = Operation::ConfigureTopic { topic, config };
                self.event(MOMENT, Some(Fault::Operation(configure)));
            }
            What::Lost(_) | What::ByItself => {
                self.at(Phase::Messages, MOMENT);
            }
            _ => return Err(NoCounterpart(step.text.clone())),
        }
        let window = self.windows.last_mut().expect("every step has one");
        window.texts.push(step.text.clone());
        Ok(())
    }

    fn arrives(&mut self, message: Message, answered: bool) {
        let (window, passes) = self.at(Phase::Messages, MOMENT);
        match (message.from, message.to) {
            (Party::Node(from), Party::Node(to)) => {
                window.open.insert((host(from), host(to)));
                if answered && !message.answer {
                    window.open.insert((host(to), host(from)));
                }
            }
            (Party::Node(from), Party::Controller) if message.api == Api::AlterPartition => {
                passes.asks.insert(from);
            }
            // The retry asks and is answered.
            (Party::Controller, Party::Node(to)) => {
                passes.asks.insert(to);
                passes.answers.insert(to);
            }
            _ => {}
        }
    }

    fn stop(&mut self, node: i32, index: usize) {
        let lossy = self.way.steps[index..].iter().any(
            |step| matches!(step.what, What::Starts { node: back, lossy: true } if back == node),
        );
        let how = match lossy {
            true => ProcessFault::PowerLoss,
            false => ProcessFault::Kill,
        };
        self.down.insert(node);
        self.fenced.remove(&node);
        self.event(MOMENT, Some(Fault::process(&host(node), how)));
    }

    fn timeline(mut self, begins: Duration) -> Timeline {
        if let Some(last) = self.windows.last_mut() {
            last.length += self.pace.of(Duration::from_secs(3));
        }
        for (window, passes) in self.windows.iter_mut().zip(&self.passes) {
            for broker in 1..=BROKERS {
                window.lasting.extend(passes.held_back(broker));
            }
        }
        let hosts: Vec<String> = (1..=BROKERS).map(host).collect();
        Timeline {
            begins,
            links: all_links(&hosts),
            windows: self.windows,
        }
    }
}

impl Passes {
    /// What does not get through between the controller and the broker.
    fn held_back(&self, broker: i32) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !self.metadata.contains(&broker) {
            let response = Direction::Response;
            faults.push(drop_frames(FETCH, response, CONTROLLER, broker));
        }
        if !self.asks.contains(&broker) {
            let request = Direction::Request;
            faults.push(drop_frames(ALTER_PARTITION, request, broker, CONTROLLER));
        } else if !self.answers.contains(&broker) {
            let response = Direction::Response;
            faults.push(drop_frames(ALTER_PARTITION, response, CONTROLLER, broker));
        }
        if self.fenced.contains(&broker) {
            let request = Direction::Request;
            faults.push(drop_frames(BROKER_HEARTBEAT, request, broker, CONTROLLER));
        }
        faults
    }
}

fn sections(min_insync_replicas: i32, lag: bool) -> String {
    let lag = if lag { 2_000 } else { 30_000 };
    format!(
        r#"[cluster]
brokers = {BROKERS}
controllers = 1

[cluster.config]
"broker.session.timeout.ms" = 2000
"broker.heartbeat.interval.ms" = 300
"auto.leader.rebalance.enable" = false
"replica.lag.time.max.ms" = {lag}
"replica.fetch.backoff.ms" = 100
"replica.fetch.wait.max.ms" = 100
"controller.quorum.request.timeout.ms" = 1000

[[topic]]
name = "{TOPIC}"
replicas = {BROKERS}
assignment = [[1, 2, 3]]
config = {{ "min.insync.replicas" = {min_insync_replicas} }}

[[workload]]
kind = "produce-consume"
producers = 2
consumers = 1
rate = 20
request_timeout = "1s"
"#
    )
}
