//! What a pool is told when it starts.

use std::time::Duration;

use bitcoin::Network;

use crate::admission::BanRules;
use crate::vardiff::Goal;

/// How a pool treats its miners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Wanted time between two shares of one connection.
    pub share_interval: Duration,
    /// Difficulty for a miner that suggests none.
    pub start_difficulty: f64,
    /// The lowest difficulty, unless the network's is lower.
    pub minimum_difficulty: f64,
    /// The highest difficulty, unless a miner itself wants a higher one.
    pub maximum_difficulty: f64,
    /// What a peer can take of us.
    pub limits: Limits,
    /// When an address is banned.
    pub bans: BanRules,
}

/// What a peer can take of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; further ones are closed at once.
    pub connections: usize,
    /// Length of a line in bytes; a longer one ends its connection.
    pub line_bytes: usize,
    /// Messages per second of one connection, after a burst of as many; more have to wait in its socket.
    pub messages_per_second: u32,
    /// Time for a connection to authorize its first worker.
    pub authorize_within: Duration,
    /// Time for a connection to take what it is sent.
    pub write_within: Duration,
}

/// What all sessions have in common.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Difficulty wanted.
    pub goal: Goal,
    /// Time for the first `mining.authorize`.
    pub authorize_within: Duration,
    /// Blocks pay the addresses in the workers' names, which are of this network.
    pub pays_users: Option<Network>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            share_interval: Duration::from_secs(1),
            start_difficulty: 0.001,
            minimum_difficulty: 1e-6,
            maximum_difficulty: f64::INFINITY,
            limits: Limits::default(),
            bans: BanRules::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 16_384,
            line_bytes: stratum::connection::MINER_LINE_LIMIT,
            messages_per_second: 1_000,
            authorize_within: Duration::from_secs(30),
            write_within: Duration::from_secs(20),
        }
    }
}

impl Config {
    /// What a session needs to know of this.
    pub(crate) fn settings(&self, pays_users: Option<Network>) -> Settings {
        Settings {
            goal: Goal {
                share_interval: self.share_interval,
                start: self.start_difficulty,
                minimum: self.minimum_difficulty,
                maximum: self.maximum_difficulty,
            },
            authorize_within: self.limits.authorize_within,
            pays_users,
        }
    }
}
