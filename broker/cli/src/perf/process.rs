//! A process on this machine, as /proc shows it.

use std::fs;
use std::time::Duration;

use broker_env::Address;

/// Ticks per second in /proc/PID/stat: USER_HZ, 100 on every Linux.
const TICKS_PER_SECOND: u64 = 100;
const STATE_LISTEN: &str = "0A";

/// A process and what it had used when it was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pid: u32,
    cpu: Duration,
}

/// What a process used since.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub pid: u32,
    /// User and system time.
    pub cpu: Duration,
    /// Resident at the end.
    pub rss_bytes: u64,
}

impl Process {
    /// `None` if there is no such process.
    pub fn of(pid: u32) -> Option<Process> {
        Some(Process {
            pid,
            cpu: cpu(pid)?,
        })
    }

    /// `None` if it has ended.
    pub fn since(&self) -> Option<Usage> {
        let cpu = cpu(self.pid)?.saturating_sub(self.cpu);
        Some(Usage {
            pid: self.pid,
            cpu,
            rss_bytes: rss_bytes(self.pid)?,
        })
    }
}

fn cpu(pid: u32) -> Option<Duration> {
    cpu_of_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 14 and 15; the second field, a name in brackets, may hold spaces.
fn cpu_of_stat(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system) * 1000 / TICKS_PER_SECOND,
    ))
}

fn rss_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The process that listens on a loopback address, if it is ours to look at.
pub fn listening_on(address: &Address) -> Option<u32> {
    let loopback =
        address.host == "localhost" || address.host.starts_with("127.") || address.host == "::1";
    if !loopback {
        return None;
    }
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, address.port))?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| holds(*pid, &socket))
}

/// Columns: number, local address, remote address, state, .., inode tenth.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == STATE_LISTEN;
        if listens {
            fields.get(9).map(ToString::to_string)
        } else {
            None
        }
    })
}

fn holds(pid: u32, socket: &str) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    open.flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 100 1 1";
        assert_eq!(cpu_of_stat(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn this_process_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        assert_eq!(
            listening_on(&Address::new("127.0.0.1", port)),
            Some(std::process::id())
        );
        let usage = Process::of(std::process::id())
            .and_then(|process| process.since())
            .expect("we run");
        assert!(usage.rss_bytes > 0);
    }

    #[test]
    fn processes_elsewhere_are_not_looked_for() {
        assert_eq!(listening_on(&Address::new("192.0.2.1", 9092)), None);
    }
}
