//! Broker processes on loopback, with a folder each.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use broker_env::Address;
use sim_faults::ProcessFault;

use crate::scenario::{NodeSpec, Scenario};

/// Of every cluster made here: each has folders of its own.
const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

/// The cluster's processes.
pub struct Processes {
    broker: PathBuf,
    nodes: BTreeMap<String, Node>,
}

struct Node {
    folder: PathBuf,
    address: Address,
    is_broker: bool,
    child: Option<Child>,
    is_paused: bool,
    /// It ends because it was told to.
    is_expected: bool,
    starts: u32,
}

/// One that ended although nobody told it to.
pub struct Death {
    pub node: String,
    /// The end of what it said.
    pub said: String,
}

impl Processes {
    /// Writes the configurations; nothing runs yet.
    pub fn prepare(scenario: &Scenario, broker: &Path, folder: &Path) -> io::Result<Processes> {
        let specs = scenario.cluster.nodes();
        let listening: io::Result<Vec<(TcpListener, TcpListener)>> = specs
            .iter()
            .map(|_| {
                Ok((
                    TcpListener::bind("127.0.0.1:0")?,
                    TcpListener::bind("127.0.0.1:0")?,
                ))
            })
            .collect();
        let listening = listening?;
        let ports: Vec<(u16, u16)> = listening
            .iter()
            .map(|(one, other)| Ok((one.local_addr()?.port(), other.local_addr()?.port())))
            .collect::<io::Result<_>>()?;
        // All were taken at once, so they differ; now the brokers may have them.
        drop(listening);
        let voters: Vec<String> = specs
            .iter()
            .zip(&ports)
            .filter(|(spec, _)| spec.is_voter)
            .map(|(spec, (_, controller))| format!("{}@127.0.0.1:{controller}", spec.id))
            .collect();
        let mut nodes = BTreeMap::new();
        for (spec, (port, controller)) in specs.iter().zip(&ports) {
            let folder = folder.join(&spec.name);
            fs::create_dir_all(&folder)?;
            let properties = properties(scenario, spec, (*port, *controller), &voters, &folder);
            fs::write(folder.join("server.properties"), properties)?;
            let node = Node {
                folder,
                address: Address::new("127.0.0.1", *port),
                is_broker: spec.is_broker,
                child: None,
                is_paused: false,
                is_expected: true,
                starts: 0,
            };
            nodes.insert(spec.name.clone(), node);
        }
        let broker = broker.to_owned();
        Ok(Processes { broker, nodes })
    }

    pub fn bootstrap(&self) -> Vec<Address> {
        let brokers = self.nodes.values().filter(|node| node.is_broker);
        brokers.map(|node| node.address.clone()).collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    pub fn is_up(&self, name: &str) -> bool {
        self.nodes
            .get(name)
            .is_some_and(|node| node.child.is_some())
    }

    pub fn is_paused(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|node| node.is_paused)
    }

    pub fn start_all(&mut self) -> io::Result<()> {
        for name in self.names() {
            self.apply(&name, ProcessFault::Start)?;
        }
        Ok(())
    }

    pub fn resume_all(&mut self) -> io::Result<()> {
        for name in self.names() {
            self.apply(&name, ProcessFault::Resume)?;
        }
        Ok(())
    }

    /// A fault without object does nothing.
    pub fn apply(&mut self, name: &str, fault: ProcessFault) -> io::Result<()> {
        let broker = self.broker.clone();
        let Some(node) = self.nodes.get_mut(name) else {
            return Err(io::Error::other(format!("there is no {name}")));
        };
        match (fault, &mut node.child) {
            (ProcessFault::Start, None) => node.start(&broker),
            (ProcessFault::Kill | ProcessFault::PowerLoss, Some(child)) => {
                child.kill()?;
                child.wait()?;
                (node.child, node.is_paused) = (None, false);
                Ok(())
            }
            (ProcessFault::Pause, Some(child)) => {
                node.is_paused = true;
                signal(child, "STOP")
            }
            (ProcessFault::Resume, Some(child)) => {
                node.is_paused = false;
                signal(child, "CONT")
            }
            (ProcessFault::Stop { .. }, Some(child)) => {
                node.is_expected = true;
                signal(child, "TERM")
            }
            _ => Ok(()),
        }
    }

    /// Notices who has ended; those that nobody told to.
    pub fn reap(&mut self) -> io::Result<Vec<Death>> {
        let mut deaths = Vec::new();
        for (name, node) in &mut self.nodes {
            let Some(child) = &mut node.child else {
                continue;
            };
            if child.try_wait()?.is_none() {
                continue;
            }
            (node.child, node.is_paused) = (None, false);
            if !node.is_expected {
                deaths.push(Death {
                    node: name.clone(),
                    said: node.last_words(),
                });
            }
        }
        Ok(deaths)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for node in self.nodes.values_mut() {
            if let Some(child) = &mut node.child {
                // Gone already, or gone now.
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}

impl Node {
    fn start(&mut self, broker: &Path) -> io::Result<()> {
        self.starts += 1;
        let child = Command::new(broker)
            .args(["start", "--cluster-id", CLUSTER_ID, "--config"])
            .arg(self.folder.join("server.properties"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.log())?)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", broker.display()))
            })?;
        (self.child, self.is_expected) = (Some(child), false);
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("broker{}.log", self.starts))
    }

    fn last_words(&self) -> String {
        const LINES: usize = 5;
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

fn signal(child: &Child, name: &str) -> io::Result<()> {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .stderr(Stdio::null())
        .status()?;
    // One that has ended meanwhile is noticed as such.
    let _either_way = status;
    Ok(())
}

fn properties(
    scenario: &Scenario,
    spec: &NodeSpec,
    (port, controller): (u16, u16),
    voters: &[String],
    folder: &Path,
) -> String {
    let (mut roles, mut listeners) = (Vec::new(), Vec::new());
    if spec.is_broker {
        roles.push("broker");
        listeners.push(format!("PLAINTEXT://127.0.0.1:{port}"));
    }
    if spec.is_controller {
        roles.push("controller");
        listeners.push(format!("CONTROLLER://127.0.0.1:{controller}"));
    }
    let cluster = &scenario.cluster;
    let directories: Vec<String> = (0..cluster.log_dirs)
        .map(|number| folder.join(format!("data{number}")).display().to_string())
        .collect();
    let mut text = format!(
        "node.id={}\nprocess.roles={}\ncontroller.quorum.voters={}\nlisteners={}\nlog.dirs={}\n",
        spec.id,
        roles.join(","),
        voters.join(","),
        listeners.join(","),
        directories.join(",")
    );
    if !cluster.racks.is_empty() {
        let turn = usize::try_from(spec.id - 1).expect("ids begin at 1");
        text += &format!(
            "broker.rack={}\n",
            cluster.racks[turn % cluster.racks.len()]
        );
    }
    for (name, value) in &cluster.config {
        text += &format!("{name}={value}\n");
    }
    text
}
