//! How a pool treats its miners: settings, with their command-line options.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use command_line::{duration, whole_number};

use crate::bans::BanRules;
use crate::vardiff::VardiffConfig;

/// The highest value of `--max-connections`, which is more than any machine can serve.
const MAX_CONNECTIONS: u64 = 10_000_000;
const MAX: u64 = u32::MAX as u64;

/// How a pool treats its miners.
#[derive(Clone, Copy, Debug, Default, PartialEq, clap::Args)]
pub struct Config {
    /// How the difficulty of a connection is chosen.
    #[command(flatten)]
    pub vardiff: VardiffConfig,
    /// Limits on what a miner may use of the pool.
    #[command(flatten)]
    pub limits: ConnectionLimits,
    /// When an address is banned.
    #[command(flatten)]
    pub bans: BanRules,
    /// Do not log miners that join or leave, accepted blocks, and the pool's figures once a minute
    #[arg(short, long, env = "MINER_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
}

/// Limits on what a miner may use of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct ConnectionLimits {
    /// Maximum number of miners that are connected at the same time
    #[arg(id = "max_connections", long = "max-connections", value_name = "N", env = "MINER_MAX_CONNECTIONS",
        value_parser = whole_number::<usize>(1..=MAX_CONNECTIONS), default_value_t = Self::default().connections)]
    pub connections: usize,
    /// Maximum number of messages per second of one miner; further messages wait
    #[arg(long, value_name = "N", env = "MINER_MESSAGES_PER_SECOND",
        value_parser = whole_number::<u32>(1..=MAX), default_value_t = Self::default().messages_per_second)]
    pub messages_per_second: u32,
    /// Time for a miner to authorize its first worker
    #[arg(long, value_name = "TIME", env = "MINER_AUTHORIZE_WITHIN", default_value = "30s", value_parser = duration)]
    pub authorize_within: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        ConnectionLimits {
            connections: 16_384,
            messages_per_second: 1_000,
            authorize_within: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// The default configuration, but with this time between two shares of one miner.
    pub fn with_share_interval(share_interval: Duration) -> Self {
        let vardiff = VardiffConfig { share_interval, ..VardiffConfig::default() };
        Config { vardiff, ..Config::default() }
    }
}
