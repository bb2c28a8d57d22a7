//! Bans: addresses that send mostly rejected shares are refused for a while.
//!
//! The percentage of rejected shares decides, so a bad miner among many good ones behind the same address causes no ban.
//! Stale shares do not count. This machine's own addresses are not banned by default, since all miners behind a proxy on
//! the same host have such an address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::builder::BoolishValueParser;
use command_line::{duration, whole_number};
use text::InWords;

/// The highest value that `--ban-shares` accepts.
const MAX_SHARES: u64 = u32::MAX as u64;
/// Maximum number of addresses whose shares are counted. While the table is full, shares of further addresses are not counted.
const MAX_ADDRESSES: usize = 65_536;
/// When the table is full, an address that is not banned and has sent no share for this long is removed.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// When an address is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct BanRules {
    /// Judge this many shares of an address together, and ban the address if too many were rejected; 0: no bans. Stale
    /// shares do not count
    #[arg(id = "ban_shares", long = "ban-shares", value_name = "N", env = "MINER_BAN_SHARES",
        value_parser = whole_number::<u32>(0..=MAX_SHARES), default_value_t = Self::default().shares)]
    pub shares: u32,
    /// Percentage of rejected shares at which an address is banned
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
    accepted: u32,
    rejected: u32,
    last_share: Instant,
    banned_until: Option<Instant>,
}

impl AddressRecord {
    fn is_banned(&self, now: Instant) -> bool {
        self.banned_until.is_some_and(|until| now < until)
    }
}

impl Bans {
    /// Makes an empty table, in which no address is banned yet.
    pub fn new(rules: BanRules) -> Self {
        Bans { rules, state: Mutex::default() }
    }

    /// Counts a share from this address. Returns whether the address is banned now.
    pub fn count_share(&self, peer: IpAddr, accepted: bool, now: Instant) -> bool {
        let BanRules { shares, percent, time, .. } = self.rules;
        let Some(address) = self.key(peer) else { return false };
        let mut state = self.lock();
        let State { addresses, total } = &mut *state;
        if addresses.len() >= MAX_ADDRESSES && !addresses.contains_key(&address) {
            addresses.retain(|_, record| record.is_banned(now) || now < record.last_share + FORGET_AFTER);
            if addresses.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let new = || AddressRecord { accepted: 0, rejected: 0, last_share: now, banned_until: None };
        let record = addresses.entry(address).or_insert_with(new);
        if record.is_banned(now) {
            return true;
        }
        record.last_share = now;
        match accepted {
            true => record.accepted += 1,
            false => record.rejected += 1,
        }
        if record.accepted + record.rejected < shares {
            return false;
        }
        let rejected = record.rejected;
        let ban = u64::from(rejected) * 100 >= u64::from(shares) * u64::from(percent);
        *record = AddressRecord { banned_until: ban.then(|| now + time), ..new() };
        if ban {
            *total += 1;
            tracing::warn!(%address, rejected, of = shares, time = %InWords(time), "address banned");
        }
        ban
    }

    /// Whether connections from this address are refused.
    pub fn is_banned(&self, peer: IpAddr, now: Instant) -> bool {
        let Some(address) = self.key(peer) else { return false };
        self.lock().addresses.get(&address).is_some_and(|record| record.is_banned(now))
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

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BanRules =
        BanRules { shares: 10, percent: 50, time: Duration::from_secs(60), loopback: false };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Sends shares until the address is banned, and returns the number of shares sent.
    fn flood(bans: &Bans, peer: &str, rejected_of_ten: u32, now: Instant) -> Option<u32> {
        (1..=100).find(|n| bans.count_share(ip(peer), n % 10 >= rejected_of_ten, now))
    }

    #[test]
    fn rejected_shares_get_a_network_banned_for_a_while() {
        let (bans, now) = (Bans::new(RULES), Instant::now());
        assert_eq!(flood(&bans, "192.0.2.1", 4, now), None);
        assert_eq!(flood(&bans, "192.0.2.2", 5, now), Some(10));
        assert!(bans.is_banned(ip("192.0.2.2"), now) && bans.is_banned(ip("::ffff:192.0.2.2"), now));
        assert!(!bans.is_banned(ip("192.0.2.1"), now));
        // Another connection from the same address ends with its next share, even if that share is accepted.
        assert!(bans.count_share(ip("192.0.2.2"), true, now));
        assert_eq!((bans.active(now), bans.total()), (1, 1));
        let later = now + RULES.time;
        assert!(!bans.is_banned(ip("192.0.2.2"), later));
        assert!(!bans.count_share(ip("192.0.2.2"), false, later));
        assert_eq!((bans.active(later), bans.total()), (0, 1));

        flood(&bans, "2001:db8:1:2::3", 10, now);
        assert!(bans.is_banned(ip("2001:db8:1:2:ffff::"), now) && !bans.is_banned(ip("2001:db8:1:3::"), now));
    }

    #[test]
    fn good_miners_behind_an_address_outweigh_a_bad_one() {
        let (bans, now) = (Bans::new(RULES), Instant::now());
        for n in 0..10_000 {
            assert!(!bans.count_share(ip("198.51.100.1"), n % 3 > 0, now));
        }
    }

    #[test]
    fn loopback_is_not_banned_and_bans_can_be_turned_off() {
        let now = Instant::now();
        for (rules, banned) in [
            (RULES, None),
            (BanRules { loopback: true, ..RULES }, Some(10)),
            (BanRules { loopback: true, shares: 0, ..RULES }, None),
        ] {
            let bans = Bans::new(rules);
            for own in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
                let bans = if own == "127.0.0.1" { &bans } else { &Bans::new(rules) };
                assert_eq!(flood(bans, own, 10, now), banned, "{own} {rules:?}");
            }
        }
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let (bans, now) = (Bans::new(RULES), Instant::now());
        for n in 0..MAX_ADDRESSES as u32 + 100 {
            bans.count_share(IpAddr::from((n + (1 << 28)).to_be_bytes()), true, now);
        }
        assert_eq!(bans.lock().addresses.len(), MAX_ADDRESSES);
        // In a full table, shares of known addresses are still counted. These addresses are kept while they send shares or
        // are banned.
        let (busy, banned) = ("16.0.0.1", "16.0.0.2");
        let soon = now + FORGET_AFTER / 2;
        assert!(!bans.count_share(ip(busy), true, soon));
        assert!(flood(&bans, banned, 10, now).is_some());
        bans.lock().addresses.get_mut(&ip(banned)).unwrap().banned_until = Some(now + 2 * FORGET_AFTER);
        bans.count_share(ip("192.0.2.1"), false, now + FORGET_AFTER);
        assert_eq!(bans.lock().addresses.len(), 3);
        assert!(bans.is_banned(ip(banned), now + FORGET_AFTER));
    }
}
