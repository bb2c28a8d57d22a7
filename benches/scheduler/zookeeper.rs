//! A real ZooKeeper, where one is installed.

use std::time::Duration;

use crate::support::peer;
use crate::support::zookeeper::ZooKeeper;

/// The shortest session that ZooKeeper gives, and its time to find out that one has ended (two of its ticks each).
const SESSION: &str = "4s";
/// After so long, that of a killed scheduler has ended.
pub const SESSION_ENDS: Duration = Duration::from_secs(8);

/// A running one, and a place in it.
pub struct Place {
    address: String,
    _server: ZooKeeper,
}

/// Starts one; `None`, said aloud, if none is installed. With `REQUIRE_PEERS=1` that is a failure.
pub fn start() -> Option<Place> {
    let command = peer::mesos()?;
    peer::zookeeper()?;
    let server = ZooKeeper::start(&command);
    Some(Place { address: server.address("bench"), _server: server })
}

impl Place {
    /// The scheduler's options.
    pub fn options(&self) -> Vec<String> {
        let options = ["--zk", &self.address, "--zk-session-timeout", SESSION];
        options.map(str::to_owned).to_vec()
    }
}
