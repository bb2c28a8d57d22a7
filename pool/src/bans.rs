//! Bans: miners that send mostly rejected shares lose their connection, and their address is refused for a while.
//!
//! Many miners may share an address, for example behind a router. So each connection is judged by its own shares, and a ban ends
//! only the bad connection. A banned address is refused only if no healthy connection of it is known: one with accepted shares
//! in the last ten minutes, even if it has ended since. Where there is one, the address may open new connections, because a healthy
//! miner must be able to return. Each of them ends after a few rejected shares as long as it has no accepted share.
//!
//! The shares of all connections of an address are judged together, too, because a bad miner may open a new connection again and
//! again.
//!
//! Stale shares do not count. This machine's own addresses are not banned by default, since all miners behind a proxy on
//! the same host have such an address.

mod conduct;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::builder::BoolishValueParser;
use command_line::{duration, whole_number};
use text::InWords;

pub use self::conduct::Conduct;
use self::conduct::{HEALTHY_FOR, ShareWindow};

/// The highest value that `--ban-shares` accepts.
const MAX_SHARES: u64 = u32::MAX as u64;
/// Maximum number of addresses whose shares are counted. While the table is full, shares of further addresses are not counted.
const MAX_ADDRESSES: usize = 65_536;
/// When the table is full, an address that is not banned and has sent no share for this long is removed.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Maximum number of healthy connections that are remembered of one address. One is enough to keep the address from being refused.
const MAX_HEALTHY: usize = 8;

/// When an address is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct BanRules {
    /// Judge this many shares of a connection, and of an address, together, and ban if too many were rejected: the bad
    /// connection ends, and its address is refused if no healthy connection of it is known; 0: no bans. Stale shares do not count
    #[arg(id = "ban_shares", long = "ban-shares", value_name = "N", env = "MINER_BAN_SHARES",
        value_parser = whole_number::<u32>(0..=MAX_SHARES), default_value_t = Self::default().shares)]
    pub shares: u32,
    /// Percentage of rejected shares at which a connection and its address are banned
    #[arg(id = "ban_percent", long = "ban-percent", value_name = "PERCENT", env = "MINER_BAN_PERCENT",
        value_parser = whole_number::<u32>(1..=100), default_value_t = Self::default().percent)]
    pub percent: u32,
    /// How long an address is banned
    #[arg(id = "ban_time", long = "ban-time", value_name = "TIME", env = "MINER_BAN_TIME",
        value_parser = duration, default_value = "10m")]
    pub time: Duration,
    /// Ban this machine's own addresses, too; all miners behind a proxy on the same machine have such an address
    #[arg(id = "ban_loopback", long = "ban-loopback", env = "MINER_BAN_LOOPBACK", value_parser = BoolishValueParser::new())]
    pub loopback: bool,
}

impl Default for BanRules {
    fn default() -> Self {
        BanRules { shares: 500, percent: 50, time: Duration::from_secs(600), loopback: false }
    }
}

/// The addresses that have sent shares, and those that are banned.
#[derive(Debug)]
pub struct Bans {
    rules: BanRules,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    addresses: HashMap<IpAddr, AddressRecord>,
    /// Number of bans since the pool started.
    total: u64,
}

#[derive(Debug)]
struct AddressRecord {
    /// The shares of all connections.
    shares: ShareWindow,
    last_share: Instant,
    banned_until: Option<Instant>,
    /// The healthy connections, each with the time of its last accepted share.
    healthy: Vec<(u64, Instant)>,
}

impl AddressRecord {
    fn new(now: Instant) -> Self {
        AddressRecord {
            shares: ShareWindow::default(),
            last_share: now,
            banned_until: None,
            healthy: Vec::new(),
        }
    }

    fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }

    fn has_healthy(&self, now: Instant) -> bool {
        self.healthy.iter().any(|(_, at)| now < *at + HEALTHY_FOR)
    }

    /// Whether new connections are refused.
    fn is_refused(&self, now: Instant) -> bool {
        self.is_banned(now) && !self.has_healthy(now)
    }

    /// Notes whether a connection is healthy.
    fn note(&mut self, conduct: &Conduct, accepted: bool, now: Instant) {
        if accepted && conduct.is_healthy(now) {
            match self.healthy.iter_mut().find(|(connection, _)| *connection == conduct.connection) {
                Some((_, at)) => *at = now,
                None => {
                    if self.healthy.len() >= MAX_HEALTHY {
                        self.healthy.remove(0);
                    }
                    self.healthy.push((conduct.connection, now));
                }
            }
        }
    }
}

impl Bans {
    /// Makes an empty table, in which no address is banned yet.
    pub fn new(rules: BanRules) -> Self {
        Bans { rules, state: Mutex::default() }
    }

    /// Counts a share of a connection from this address. Returns whether the connection must end.
    pub fn count_share(&self, peer: IpAddr, conduct: &mut Conduct, accepted: bool, now: Instant) -> bool {
        let rules = &self.rules;
        let Some(address) = self.key(peer) else { return false };
        let bad_connection = conduct.count(accepted, rules, now);
        let mut state = self.lock();
        let State { addresses, total } = &mut *state;
        if addresses.len() >= MAX_ADDRESSES && !addresses.contains_key(&address) {
            addresses.retain(|_, record| record.is_banned(now) || now < record.last_share + FORGET_AFTER);
            if addresses.len() >= MAX_ADDRESSES {
                return bad_connection;
            }
        }
        let record = addresses.entry(address).or_insert_with(|| AddressRecord::new(now));
        record.note(conduct, accepted, now);
        if bad_connection {
            record.healthy.retain(|(connection, _)| *connection != conduct.connection);
        }
        record.last_share = now;
        let bad_address = record.shares.count(accepted, rules);
        if (bad_connection || bad_address) && !record.is_banned(now) {
            record.banned_until = Some(now + rules.time);
            *total += 1;
            let refused = !record.has_healthy(now);
            tracing::warn!(%address, refused, time = %InWords(rules.time), "banned: too many of its shares are rejected");
        }
        bad_connection || record.is_banned(now) && conduct.failed_probation(now)
    }

    /// Whether connections from this address are refused.
    pub fn refuses(&self, peer: IpAddr, now: Instant) -> bool {
        let Some(address) = self.key(peer) else { return false };
        self.lock().addresses.get(&address).is_some_and(|record| record.is_refused(now))
    }

    /// The number of addresses that are banned now.
    pub fn active(&self, now: Instant) -> usize {
        self.lock().addresses.values().filter(|record| record.is_banned(now)).count()
    }

    /// The number of bans since the start.
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// The address under which the shares of `peer` are counted. For IPv6, this is the /64 network, since a customer usually gets
    /// a whole one. `None` if the rules never ban `peer`, for instance because it is a loopback address.
    fn key(&self, peer: IpAddr) -> Option<IpAddr> {
        let address = match peer.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            other => other,
        };
        (self.rules.shares > 0 && (self.rules.loopback || !address.is_loopback())).then_some(address)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
