//! A real ZooKeeper, where one is installed.

use std::time::Duration;

use crate::support::peer;
use crate::support::zookeeper::ZooKeeper;

/// After so long the session of a killed scheduler has ended, which takes 10 s by default.
pub const SESSION_ENDS: Duration = Duration::from_secs(12);
/// ZooKeeper keeps all in memory.
const HEAP: &str = "1g";

/// A running one, and a place in it.
pub struct Place {
    address: String,
    _server: ZooKeeper,
}

/// Starts one; `None`, said aloud, if none is installed. With `REQUIRE_PEERS=1` that is a failure.
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
