//! Ports for processes under test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Below the range from which Linux takes ports of outgoing connections (`ip_local_port_range`): a port the kernel
/// hands out could become some client's in the time until the broker listens.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// A frame with an ApiVersions request of version 0: key 18, correlation id 1, no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255];

/// A port nobody listens on, which no other caller of this process gets.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side start far from each other.
    let start = std::process::id().wrapping_mul(397);
    (0..COUNT)
        .map(|_| start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT + FIRST)
        .map(|port| u16::try_from(port).expect("below 32 000"))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port is free")
}

/// A broker answers there. To connect is not enough: a process that another test starts meanwhile holds, until its
/// exec, a copy of the socket with which `free_port` tried this port, and the kernel accepts connections for it.
pub fn answers(port: u16) -> bool {
    let answer = || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(&API_VERSIONS)?;
        stream.read_exact(&mut [0; 4])
    };
    answer().is_ok()
}
