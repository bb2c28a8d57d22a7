//! A real ZooKeeper, if it is installed.

use std::time::Duration;

use crate::support::peer;
use crate::support::zookeeper::ZooKeeper;

/// The session of a killed scheduler has expired after this time.
pub const SESSION_ENDS: Duration = Duration::from_secs(12);
/// The heap of ZooKeeper, which keeps all data in memory.
const HEAP: &str = "1g";

/// A running ZooKeeper, and a path in it.
pub struct Place {
    address: String,
    _server: ZooKeeper,
}

/// Starts a ZooKeeper; `None`, with a message, if it is not installed. With `REQUIRE_PEERS=1` that is a failure.
pub fn start() -> Option<Place> {
    let command = peer::mesos()?;
    peer::zookeeper()?;
    let server = ZooKeeper::with_heap(&command, HEAP);
    Some(Place { address: server.address("bench"), _server: server })
}

impl Place {
    /// The scheduler's options.
    pub fn options(&self) -> Vec<String> {
        vec!["--zk".to_owned(), self.address.clone()]
    }
}
