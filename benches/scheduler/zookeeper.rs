//! A real ZooKeeper, if it is installed.

use std::time::Duration;

use crate::support::peer;
use crate::support::zookeeper::ZooKeeper;

/// After this time, ZooKeeper has expired the session of a killed scheduler.
pub const SESSION_ENDS: Duration = Duration::from_secs(12);
/// The heap size of ZooKeeper. It is large because ZooKeeper keeps all data in memory.
const HEAP: &str = "1g";

/// A running ZooKeeper, and a path in its tree.
pub struct ZooKeeperServer {
    address: String,
    _server: ZooKeeper,
}

/// Starts a ZooKeeper. If none is installed, prints a message and returns `None`, or fails if `REQUIRE_PEERS=1`.
pub fn start() -> Option<ZooKeeperServer> {
    let command = peer::mesos()?;
    peer::zookeeper()?;
    let server = ZooKeeper::with_heap(&command, HEAP);
    Some(ZooKeeperServer { address: server.address("bench"), _server: server })
}

impl ZooKeeperServer {
    /// The scheduler's options for this ZooKeeper.
    pub fn options(&self) -> Vec<String> {
        vec!["--zk".to_owned(), self.address.clone()]
    }
}
