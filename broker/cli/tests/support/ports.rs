//! Ports for processes under test.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which Linux takes ports of outgoing connections (`ip_local_port_range`): a port the kernel
/// hands out could become some client's in the time until the broker listens.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

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
