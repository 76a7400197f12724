//! Interaction scripts with recorded output, `testdata/raft/*.txt`: they read as the protocol's
//! documentation. `UPDATE=1` records them anew.
//!
//! Commands, one a line, grouped into blocks: the block's commands, `----`, what happened, an empty line.
//! - `cluster VOTERS [OBSERVERS]`; `state` prints the nodes
//! - `timer NODE election|check-quorum|begin-quorum-epoch|retry-N|voter-change|observers|update-voter`; `append NODE COUNT`; `resign NODE`;
//!   `shutdown NODE`; `power-loss NODE`; `wipe-disk NODE`; `start NODE`
//! - `dynamic VOTERS [OBSERVERS]`: a cluster with bootstrap snapshots and directory ids; `telling VOTERS
//!   OBSERVERS`: the same, and nodes tell about themselves (KIP-853); `upgradable VOTERS`: static voters that
//!   tell; `upgrade NODE`: finalize `kraft.version` 1
//! - `snapshot NODE END`; `delete-before NODE END EPOCH`; `damage NODE`: its fetched snapshot
//! - `add-voter LEADER NODE`; `remove-voter LEADER NODE`; `replace-disk NODE`; `move NODE`
//! - `slow-disk NODE` / `fast-disk NODE`: its flushes wait until then
//! - `cut NODE..` / `heal`: messages between these nodes and the others fail
//! - `run`: everything on its way arrives, disks finish, fetches are repeated, until nothing moves;
//!   `run-until-leader NODE` stops at the moment when the node leads

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey};

use crate::raft::cluster::{Action, Cluster, Envelope, QuorumKind, Shape, describe_change};
use crate::raft::{OffsetAndEpoch, Output, Role, Timer};

const STEPS_MAX: usize = 2000;

struct Script {
    cluster: Cluster,
    cut: BTreeSet<NodeId>,
    slow: BTreeSet<NodeId>,
    output: String,
    /// A `run` was given up.
    restless: bool,
}

impl Script {
    fn new() -> Script {
        Script {
            cluster: cluster("cluster", 1, 0),
            cut: BTreeSet::new(),
            slow: BTreeSet::new(),
            output: String::new(),
            restless: false,
        }
    }

    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<i32> = words.iter().filter_map(|word| word.parse().ok()).collect();
        let node = NodeId(numbers.first().copied().unwrap_or(0));
        match words[0] {
            "cluster" | "dynamic" | "telling" | "upgradable" => {
                self.cluster = cluster(words[0], node.0, numbers.get(1).copied().unwrap_or(0));
            }
            "snapshot" => self.apply(&Action::CreateSnapshot(node, numbers[1].into())),
            "delete-before" => {
                let (offset, epoch) = (numbers[1].into(), LeaderEpoch(numbers[2]));
                self.apply(&Action::DeleteBefore(
                    node,
                    OffsetAndEpoch { offset, epoch },
                ));
            }
            "damage" => self.apply(&Action::DamageSnapshot(node)),
            "add-voter" => self.apply(&Action::AddVoter(node, self.key(numbers[1]))),
            "remove-voter" => self.apply(&Action::RemoveVoter(node, self.key(numbers[1]))),
            "replace-disk" => self.apply(&Action::ReplaceDisk(node)),
            "move" => self.apply(&Action::Move(node)),
            "upgrade" => self.apply(&Action::Upgrade(node, 1)),
            "state" => write!(self.output, "{}", self.cluster).expect("a String takes everything"),
            "timer" => self.apply(&Action::Timer(node, timer(words[2]))),
            "append" => {
                let count = u32::try_from(numbers[1]).expect("a count");
                self.apply(&Action::Append(node, count));
            }
            "resign" => self.apply(&Action::Resign(node)),
            "shutdown" => self.apply(&Action::Shutdown(node)),
            "power-loss" => self.apply(&Action::PowerLoss(node)),
            "wipe-disk" => self.apply(&Action::WipeDisk(node)),
            "start" => self.apply(&Action::Start(node)),
            "slow-disk" => drop(self.slow.insert(node)),
            "fast-disk" => drop(self.slow.remove(&node)),
            "cut" => self.cut = numbers.into_iter().map(NodeId).collect(),
            "heal" => self.cut.clear(),
            "run" => self.run(|_| false),
            "run-until-leader" => self.run(|script| script.leads(node)),
            other => panic!("unknown command {other}"),
        }
    }

    fn run(&mut self, done: impl Fn(&Script) -> bool) {
        for _ in 0..STEPS_MAX {
            if done(self) {
                return;
            }
            let Some(action) = self.next() else { return };
            self.apply(&action);
        }
        self.restless = true;
    }

    fn next(&self) -> Option<Action> {
        let slow = |action: &Action| matches!(action, Action::FinishFlush(id) | Action::FinishSnapshot(id) if self.slow.contains(id));
        let disk = self
            .cluster
            .disk_work()
            .into_iter()
            .find(|action| !slow(action));
        let message = || {
            self.cluster
                .network
                .first()
                .cloned()
                .map(|envelope| self.fate(envelope))
        };
        disk.or_else(message).or_else(|| {
            self.cluster
                .timers()
                .into_iter()
                .find(|action| self.fires(action))
        })
    }

    fn fate(&self, envelope: Envelope) -> Action {
        let (from, to) = match &envelope {
            Envelope::Request { to, from, .. } => (from.unwrap_or(*to), *to),
            Envelope::Response { to, from, .. } => (*from, *to),
        };
        if self.cut.contains(&from) == self.cut.contains(&to) {
            Action::Deliver(envelope)
        } else {
            Action::Lose(envelope)
        }
    }

    /// Fetches are repeated once there is a leader; other retries wait for the script, or never end.
    fn fires(&self, action: &Action) -> bool {
        let Action::Timer(id, Timer::Retry(to)) = action else {
            return false;
        };
        let reachable = self.cut.contains(id) == self.cut.contains(to);
        let up = self.cluster.node(*to).raft.is_some();
        let fetches = match self.cluster.raft(*id).role() {
            Role::Follower { .. } => self.leads(*to),
            Role::Unattached => self.cluster.leaders().next().is_some(),
            _ => false,
        };
        reachable && up && fetches
    }

    fn key(&self, id: i32) -> ReplicaKey {
        self.cluster.node(NodeId(id)).key
    }

    fn leads(&self, id: NodeId) -> bool {
        self.cluster.leaders().any(|leader| leader.id() == id)
    }

    fn apply(&mut self, action: &Action) {
        if !matches!(
            action,
            Action::FinishSave(_) | Action::FinishFlush(_) | Action::FinishSnapshot(_)
        ) {
            writeln!(self.output, "{action}").expect("a String takes everything");
        }
        let output = &mut self.output;
        self.cluster.apply(action, &mut |id, change: &Output| {
            if let Some(change) = describe_change(change) {
                writeln!(output, "    {id} {change}").expect("a String takes everything");
            }
        });
        if let Some(violation) = &self.cluster.violation {
            panic!("{violation}\n{}", self.output);
        }
    }
}

fn cluster(kind: &str, voters: i32, observers: i32) -> Cluster {
    let quorum = match kind {
        "dynamic" | "telling" => QuorumKind::Dynamic,
        "upgradable" => QuorumKind::Upgradable,
        _ => QuorumKind::Static,
    };
    let shape = Shape {
        voters,
        observers,
        quorum,
        tell: matches!(kind, "telling" | "upgradable"),
        ..Shape::default()
    };
    Cluster::new(shape, &mut |_, _| {})
}

fn timer(name: &str) -> Timer {
    match name.split_once('-') {
        Some(("retry", node)) => Timer::Retry(NodeId(node.parse().expect("a node id"))),
        _ if name == "election" => Timer::Election,
        _ if name == "check-quorum" => Timer::CheckQuorum,
        _ if name == "begin-quorum-epoch" => Timer::BeginQuorumEpoch,
        _ if name == "voter-change" => Timer::VoterChange,
        _ if name == "observers" => Timer::Observers,
        _ if name == "update-voter" => Timer::UpdateVoter,
        _ => panic!("unknown timer {name}"),
    }
}

/// The cluster after these commands.
pub(super) fn after(commands: &[&str]) -> Cluster {
    let mut script = Script::new();
    for command in commands {
        script.command(command);
    }
    script.cluster
}

/// Runs the script's commands and gives it back with what happened.
fn record(script: &str) -> String {
    let mut runner = Script::new();
    let mut recorded = String::new();
    let mut in_output = false;
    for line in script.lines() {
        match line {
            "----" => {
                in_output = true;
                assert!(
                    !runner.restless,
                    "the cluster does not come to rest:\n{}",
                    runner.output
                );
                recorded.push_str("----\n");
                recorded.push_str(&std::mem::take(&mut runner.output));
            }
            "" => {
                in_output = false;
                recorded.push('\n');
            }
            _ if in_output => {}
            _ => {
                if !line.starts_with('#') {
                    runner.command(line);
                }
                recorded.push_str(line);
                recorded.push('\n');
            }
        }
    }
    recorded
}

#[test]
#[expect(clippy::disallowed_methods, reason = "records its own test data")]
fn scripts_give_their_recorded_output() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/raft");
    let mut paths: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(
        paths.len() >= 6,
        "only {} scripts in {}",
        paths.len(),
        folder.display()
    );
    for path in paths {
        let script = std::fs::read_to_string(&path).unwrap();
        let recorded = record(&script);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, recorded).unwrap();
        } else {
            assert_eq!(
                recorded,
                script,
                "{} (UPDATE=1 records it anew)",
                path.display()
            );
        }
    }
}
