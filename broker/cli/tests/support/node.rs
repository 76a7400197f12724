//! One broker process with a data folder of its own, which goes with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::ports::{answers, free_port};
use super::wire::Wire;

const LIMIT: Duration = Duration::from_secs(30);

pub struct Node {
    pub directory: PathBuf,
    pub port: u16,
    pub controller_port: u16,
    process: Option<Child>,
    /// Starts of the process so far; each has a log of its own.
    starts: u32,
    /// More arguments of `broker start`.
    pub arguments: Vec<String>,
    /// Instead of starting the broker itself: a shell that sets limits first.
    pub shell: Option<String>,
}

impl Node {
    /// A running node with these properties beside the needed ones.
    pub fn start(properties: &str) -> Node {
        let mut node = Node::prepare(properties);
        node.launch();
        node
    }

    /// Configured, not started.
    pub fn prepare(properties: &str) -> Node {
        static NODES: AtomicU32 = AtomicU32::new(0);
        let number = NODES.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("trial-node-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a temporary folder can be made");
        let (port, controller_port) = (free_port(), free_port());
        let (arguments, shell) = (Vec::new(), None);
        let node = Node {
            directory,
            port,
            controller_port,
            process: None,
            starts: 0,
            arguments,
            shell,
        };
        node.configure(1, properties);
        node
    }

    /// Rewrites the configuration, for the next start.
    pub fn configure(&self, node_id: i32, properties: &str) {
        let (port, controller_port) = (self.port, self.controller_port);
        // After a kill the controller holds the old registration until its session is over.
        let text = format!(
            "node.id={node_id}\nbroker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
             log.dirs={}\n{properties}\n",
            self.data().display()
        );
        std::fs::write(self.config(), text).expect("the configuration can be written");
    }

    pub fn config(&self) -> PathBuf {
        self.directory.join("server.properties")
    }

    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// A file in the data folder.
    pub fn file(&self, path: &str) -> PathBuf {
        self.data().join(path)
    }

    pub fn launch(&mut self) {
        self.spawn();
        let deadline = Instant::now() + LIMIT;
        while !answers(self.port) {
            let ended = self
                .process
                .as_mut()
                .expect("just started")
                .try_wait()
                .expect("a child can be asked");
            assert!(ended.is_none(), "ended at start, {ended:?}: {}", self.log());
            assert!(Instant::now() < deadline, "does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts a node that must not come up; what it said and its exit status.
    pub fn refuses(&mut self) -> (String, ExitStatus) {
        self.spawn();
        let mut process = self.process.take().expect("just started");
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = process.try_wait().expect("a child can be asked") {
                assert!(!status.success(), "started, and should not: {}", self.log());
                return (self.log(), status);
            }
            if Instant::now() > deadline {
                let _ended_just_now = process.kill();
                panic!("still running, and should have refused: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn(&mut self) {
        assert!(self.process.is_none(), "runs already");
        self.starts += 1;
        let log = std::fs::File::create(self.log_file()).expect("the log can be created");
        let broker = env!("CARGO_BIN_EXE_broker");
        let mut command = match &self.shell {
            None => Command::new(broker),
            Some(setting) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("{setting}; exec \"$0\" \"$@\""), broker]);
                command
            }
        };
        command
            .args(["start", "--config"])
            .arg(self.config())
            .args(&self.arguments);
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.process = Some(process.expect("the broker can be started"));
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join(format!("broker{}.log", self.starts))
    }

    /// What the last start said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("runs").id()
    }

    /// SIGKILL: what was written stays.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("runs");
        process.kill().expect("a child can be killed");
        process.wait().expect("a killed child ends");
    }

    /// SIGTERM, and the graceful stop.
    pub fn terminate(&mut self) {
        let mut process = self.process.take().expect("runs");
        let sent = Command::new("kill")
            .args(["-TERM", &process.id().to_string()])
            .status();
        assert!(sent.expect("kill can be run").success());
        let status = process.wait().expect("the child ends");
        assert!(
            status.success(),
            "no graceful stop, {status}: {}",
            self.log()
        );
    }

    /// The process is there and has not panicked.
    pub fn assert_alive(&mut self) {
        let ended = self
            .process
            .as_mut()
            .expect("was started")
            .try_wait()
            .expect("a child can be asked");
        assert!(
            ended.is_none(),
            "the broker died, {ended:?}: {}",
            self.log()
        );
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }

    /// A connection to the broker's listener.
    pub fn connect(&self) -> Wire {
        Wire::connect(self.port)
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("Linux tells it");
        let kib: u64 = line
            .trim()
            .trim_end_matches("kB")
            .trim()
            .parse()
            .expect("a number");
        kib * 1024
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _already_gone = process.kill();
            let _already_gone = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("left behind: {}", self.directory.display());
        } else {
            let _left_behind = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// Changes a file in place.
pub fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes =
        std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
