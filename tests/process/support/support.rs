//! Shared code of the process tests: processes, clusters, a scripted pool, plain HTTP, and the real peers.

pub mod checking_pool;
pub mod cluster;
pub mod embedded;
pub mod framework;
pub mod http;
pub mod ledger;
pub mod log;
pub mod mesos_box;
pub mod node_pool;
pub mod peer;
pub mod process;
pub mod process_tree;
pub mod proxy;
pub mod raw_miner;
pub mod recorded_pool;
pub mod scripted_pool;
pub mod small_disk;
pub mod summary;
pub mod tcp_server;
pub mod zookeeper;

use std::time::{Duration, Instant};

/// The deadline for actions that take milliseconds on an idle machine.
pub const DEADLINE: Duration = testing::DEADLINE;
/// The deadline for actions that take seconds on an idle machine, such as a search or a launch on a cluster.
pub const LONG_DEADLINE: Duration = Duration::from_secs(600);

/// Polls `condition` until it returns a value.
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
