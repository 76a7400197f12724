//! Broker processes on loopback, in a folder of their own that goes with them.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::ports::{answers, free_port};

const START_LIMIT: Duration = Duration::from_secs(20);

pub struct Cluster {
    directory: PathBuf,
    nodes: Vec<Node>,
}

struct Node {
    id: usize,
    port: u16,
    process: Option<Child>,
}

impl Cluster {
    /// Starts `count` combined nodes and waits until they take connections.
    pub fn start(count: usize) -> Cluster {
        let unique = format!(
            "trial-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        );
        let directory = std::env::temp_dir().join(unique.replace(['(', ')'], ""));
        std::fs::create_dir_all(&directory).expect("a temporary folder can be made");
        let ports: Vec<u16> = (0..2 * count).map(|_| free_port()).collect();
        let voters: Vec<String> = (1..=count)
            .map(|id| format!("{id}@127.0.0.1:{}", ports[count + id - 1]))
            .collect();
        let mut nodes = Vec::new();
        for id in 1..=count {
            let node = Node {
                id,
                port: ports[id - 1],
                process: None,
            };
            let properties = format!(
                "node.id={id}\nprocess.roles=broker,controller\n\
                 listeners=PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}\n\
                 controller.quorum.voters={}\nlog.dirs={}\nnum.partitions={count}\n\
                 default.replication.factor={count}\nmin.insync.replicas={}\n\
                 log.segment.bytes=1048576\n\
                 offsets.topic.replication.factor={count}\noffsets.topic.num.partitions=4\n\
                 transaction.state.log.replication.factor={count}\ntransaction.state.log.min.isr={}\n\
                 transaction.state.log.num.partitions=4\n\
                 group.initial.rebalance.delay.ms=500\n\
                 group.consumer.session.timeout.ms=6000\ngroup.consumer.heartbeat.interval.ms=500\n\
                 broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n",
                node.port,
                ports[count + id - 1],
                voters.join(","),
                directory.join(format!("data{id}")).display(),
                count / 2 + 1,
                count / 2 + 1,
            );
            std::fs::write(config(&directory, id), properties)
                .expect("the configuration can be written");
            nodes.push(node);
        }
        let mut cluster = Cluster { directory, nodes };
        (1..=count).for_each(|id| cluster.spawn(id));
        (1..=count).for_each(|id| cluster.wait(id));
        cluster
    }

    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        addresses.join(",")
    }

    /// Starts a node that is down and waits for it.
    pub fn launch(&mut self, id: usize) {
        self.spawn(id);
        self.wait(id);
    }

    /// SIGKILL.
    pub fn kill(&mut self, id: usize) {
        let mut process = self.nodes[id - 1].process.take().expect("the node runs");
        process.kill().expect("a child can be killed");
        process.wait().expect("a killed child ends");
    }

    /// SIGTERM, and waits for the graceful stop.
    pub fn terminate(&mut self, id: usize) {
        let mut process = self.nodes[id - 1].process.take().expect("the node runs");
        let pid = process.id().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill can be run");
        assert!(sent.success());
        let status = process.wait().expect("the child ends");
        assert!(
            status.success(),
            "node {id} did not stop gracefully: {status}"
        );
    }

    fn spawn(&mut self, id: usize) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join(format!("node{id}.log")))
            .expect("the log can be opened");
        let process = Command::new(env!("CARGO_BIN_EXE_broker"))
            .args([
                "start",
                "--cluster-id",
                "AAAAAAAAAAAAAAAAAAAAAQ",
                "--config",
            ])
            .arg(config(&self.directory, id))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the broker can be started");
        self.nodes[id - 1].process = Some(process);
    }

    fn wait(&mut self, id: usize) {
        let node = &mut self.nodes[id - 1];
        let deadline = Instant::now() + START_LIMIT;
        while !answers(node.port) {
            let process = node.process.as_mut().expect("just started");
            let ended = process
                .try_wait()
                .expect("a child's state can be asked for");
            assert!(
                ended.is_none(),
                "node {} ended at start: {ended:?}; see {}",
                node.id,
                self.directory.display()
            );
            assert!(Instant::now() < deadline, "node {id} does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process {
                let _already_gone = process.kill();
                let _already_gone = process.wait();
            }
        }
        if !std::thread::panicking() {
            let _left_behind = std::fs::remove_dir_all(&self.directory);
        }
    }
}

fn config(directory: &Path, id: usize) -> PathBuf {
    directory.join(format!("node{id}.properties"))
}
