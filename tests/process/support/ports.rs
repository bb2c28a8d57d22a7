//! Ports for clusters: Mesos can't be told "any port", and all clusters of a machine share its loopback.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// Ports that a cluster has for itself.
pub const STEP: u16 = 128;

/// The first of `count` ports in a row that are free now.
pub fn free(count: u16) -> u16 {
    /// Clusters of one test binary never try the same ports, not even at the same moment.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Below the ports that the system hands out, so that no other test can be given one in between.
    let start = (std::process::id() % 128) as u16 * STEP;
    let candidates = std::iter::repeat_with(|| 12_000 + (start + NEXT.fetch_add(STEP, Relaxed)) % 19_968);
    let is_free = |first: &u16| (*first..first + count).all(free);
    candidates.take(256).find(is_free).expect("there are free ports")
}

/// An address that nobody listens on.
pub fn closed_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}
