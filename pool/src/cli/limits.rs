//! Options of what miners may take of the pool.

use std::time::Duration;

use clap::builder::BoolishValueParser;
use command_line::{duration, whole_number};

use crate::admission::BanRules;
use crate::config::Limits;

/// More than any machine has ports and memory for.
const MAX_CONNECTIONS: u64 = 10_000_000;
const MAX: u64 = u32::MAX as u64;

/// What miners may take of the pool, and who is sent away.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Miners connected at once
    #[arg(long, value_name = "N", env = "MINER_MAX_CONNECTIONS", default_value_t = Limits::default().connections)]
    #[arg(value_parser = whole_number::<usize>(1..=MAX_CONNECTIONS))]
    pub max_connections: usize,
    /// Messages per second of one miner; more have to wait
    #[arg(long, value_name = "N", env = "MINER_MESSAGES_PER_SECOND", value_parser = whole_number::<u32>(1..=MAX),
        default_value_t = Limits::default().messages_per_second)]
    pub messages_per_second: u32,
    /// Time for a miner to authorize its first worker
    #[arg(long, value_name = "TIME", env = "MINER_AUTHORIZE_WITHIN", default_value = "30s", value_parser = duration)]
    pub authorize_within: Duration,
    /// Judge so many shares of an address together, and ban it if too many were rejected; 0: no bans. Stale shares don't
    /// count
    #[arg(long, value_name = "N", env = "MINER_BAN_SHARES", default_value_t = BanRules::default().shares)]
    #[arg(value_parser = whole_number::<u32>(0..=MAX))]
    pub ban_shares: u32,
    /// Percentage of rejected shares for which an address is banned
    #[arg(long, value_name = "PERCENT", env = "MINER_BAN_PERCENT", value_parser = whole_number::<u32>(1..=100),
        default_value_t = BanRules::default().percent)]
    pub ban_percent: u32,
    /// How long an address is banned
    #[arg(long, value_name = "TIME", env = "MINER_BAN_TIME", default_value = "10m", value_parser = duration)]
    pub ban_time: Duration,
    /// Ban this machine's own addresses, too: behind a proxy on the same machine, all miners have them
    #[arg(long, env = "MINER_BAN_LOOPBACK", value_parser = BoolishValueParser::new())]
    pub ban_loopback: bool,
}

impl LimitArgs {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            messages_per_second: self.messages_per_second,
            authorize_within: self.authorize_within,
            ..Limits::default()
        }
    }

    pub(super) fn bans(&self) -> BanRules {
        let Self { ban_shares: shares, ban_percent: percent, ban_time: time, ban_loopback: loopback, .. } =
            *self;
        BanRules { shares, percent, time, loopback }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn numbers_that_make_no_sense_are_named() {
        assert_eq!(Cli::try_parse_from(["x"]).unwrap().limits.limits(), Limits::default());
        for (option, bad) in [
            ("--max-connections", ["0", "18446744073709551615"]),
            ("--messages-per-second", ["0", "-1"]),
            ("--ban-percent", ["0", "101"]),
        ] {
            for bad in bad {
                let error = Cli::try_parse_from(["x", &format!("{option}={bad}")]).unwrap_err().to_string();
                assert!(error.contains(option) && error.contains(bad), "{error}");
            }
        }
    }
}
