//! What the process tests share: real processes with deadlines, a scripted pool, plain HTTP, the real peers.

pub mod books;
pub mod cluster;
pub mod descent;
pub mod embedded;
pub mod framework;
pub mod http;
pub mod mesos_box;
pub mod peer;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod scripted_pool;
pub mod summary;
pub mod zookeeper;

use std::time::{Duration, Instant};

/// For what takes milliseconds on an idle machine. A deadline, never a wait: machines may be slow.
pub const SOON: Duration = Duration::from_secs(60);
/// For what takes seconds on an idle machine: a search, a whole launch on a cluster.
pub const LATER: Duration = Duration::from_secs(600);

/// Asks `condition` until it gives a value.
///
/// # Panics
///
/// When `within` has passed.
pub fn until<T>(what: &str, within: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + within;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < limit, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
