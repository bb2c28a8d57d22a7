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
    /// How many blocks there may be, and how often.
    #[command(flatten)]
    pub blocks: BlockLimits,
    /// Do not log miners that join or leave, accepted blocks, and the pool's figures once a minute
    #[arg(short, long, env = "MINER_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
}

/// How many blocks there may be, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Blocks")]
pub struct BlockLimits {
    /// End after this many blocks have been accepted by the node or by the built-in chain [default: never]
    #[arg(id = "blocks", long = "blocks", value_name = "N", env = "MINER_BLOCKS", value_parser = whole_number::<u64>(1..=u64::MAX))]
    pub count: Option<u64>,
    /// Time between two blocks: the built-in chain's difficulty follows the miners' hashrate so that it is met on average; on a
    /// node, no block is submitted sooner after the last one, as developers want it on regtest [default: 20s on the built-in
    /// chain; no limit on a node]
    #[arg(id = "block_interval", long = "block-interval", value_name = "TIME", env = "MINER_BLOCK_INTERVAL", value_parser = duration)]
    pub interval: Option<Duration>,
}

impl BlockLimits {
    /// The time between two blocks of the built-in chain if the user gives none.
    pub const BUILTIN_INTERVAL: Duration = Duration::from_secs(20);

    /// Returns an option that the user has given.
    pub fn given(&self) -> Option<&'static str> {
        let interval = self.interval.map(|_| "--block-interval");
        self.count.map(|_| "--blocks").or(interval)
    }
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
