//! Who sends mostly rubbish is sent away for a while, by address.
//!
//! What counts is the portion of rejected shares, so that many good miners behind one address outweigh a bad one among
//! them. Stale shares count for nothing. This machine's own addresses are spared unless told otherwise: behind a proxy on
//! the same host, all miners have them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are watched at once.
const MAX_ADDRESSES: usize = 65_536;
/// An address that has sent no share for so long is forgotten, when there is no room for another.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// When to ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanRules {
    /// So many shares of an address are judged together; 0 for no bans at all.
    pub shares: u32,
    /// Ban if at least so many percent of them were rejected.
    pub percent: u32,
    /// For how long.
    pub time: Duration,
    /// Also this machine's own addresses.
    pub loopback: bool,
}

impl Default for BanRules {
    fn default() -> BanRules {
        BanRules { shares: 500, percent: 50, time: Duration::from_secs(600), loopback: false }
    }
}

/// The addresses that are watched or banned.
#[derive(Debug)]
pub struct Bans {
    rules: BanRules,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    addresses: HashMap<IpAddr, Tally>,
    total: u64,
}

#[derive(Debug)]
struct Tally {
    accepted: u32,
    rejected: u32,
    last: Instant,
    until: Option<Instant>,
}

impl Tally {
    fn is_banned(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

impl Bans {
    /// Nobody is banned.
    pub fn new(rules: BanRules) -> Bans {
        Bans { rules, state: Mutex::default() }
    }

    /// Counts a share of a connection from this address; whether the address is banned now.
    pub fn count(&self, peer: IpAddr, accepted: bool, now: Instant) -> bool {
        let BanRules { shares, percent, time, .. } = self.rules;
        let Some(address) = self.watched(peer) else { return false };
        let mut state = self.lock();
        let State { addresses, total } = &mut *state;
        if addresses.len() >= MAX_ADDRESSES && !addresses.contains_key(&address) {
            addresses.retain(|_, tally| tally.is_banned(now) || now < tally.last + FORGET_AFTER);
            if addresses.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let new = || Tally { accepted: 0, rejected: 0, last: now, until: None };
        let tally = addresses.entry(address).or_insert_with(new);
        if tally.is_banned(now) {
            return true;
        }
        tally.last = now;
        match accepted {
            true => tally.accepted += 1,
            false => tally.rejected += 1,
        }
        if tally.accepted + tally.rejected < shares {
            return false;
        }
        let rejected = tally.rejected;
        let ban = u64::from(rejected) * 100 >= u64::from(shares) * u64::from(percent);
        *tally = Tally { until: ban.then(|| now + time), ..new() };
        if ban {
            *total += 1;
            tracing::warn!(%address, rejected, of = shares, seconds = time.as_secs(), "address banned");
        }
        ban
    }

    /// Whether connections from this address are refused.
    pub fn is_banned(&self, peer: IpAddr, now: Instant) -> bool {
        let Some(address) = self.watched(peer) else { return false };
        self.lock().addresses.get(&address).is_some_and(|tally| tally.is_banned(now))
    }

    /// How many addresses are banned at present.
    pub fn present(&self, now: Instant) -> usize {
        self.lock().addresses.values().filter(|tally| tally.is_banned(now)).count()
    }

    /// How many bans there have been.
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// What stands for an address: with IPv6, the network that one customer mostly gets. None if nobody watches it.
    fn watched(&self, peer: IpAddr) -> Option<IpAddr> {
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

    /// Sends shares until banned; after how many it was.
    fn flood(bans: &Bans, peer: &str, rejected_of_ten: u32, now: Instant) -> Option<u32> {
        (1..=100).find(|n| bans.count(ip(peer), n % 10 >= rejected_of_ten, now))
    }

    #[test]
    fn rubbish_is_banned_for_a_while_and_its_network_with_it() {
        let (bans, now) = (Bans::new(RULES), Instant::now());
        assert_eq!(flood(&bans, "192.0.2.1", 4, now), None);
        assert_eq!(flood(&bans, "192.0.2.2", 5, now), Some(10));
        assert!(bans.is_banned(ip("192.0.2.2"), now) && bans.is_banned(ip("::ffff:192.0.2.2"), now));
        assert!(!bans.is_banned(ip("192.0.2.1"), now));
        // Another connection of the same address goes with its next share, even a good one.
        assert!(bans.count(ip("192.0.2.2"), true, now));
        assert_eq!((bans.present(now), bans.total()), (1, 1));
        let later = now + RULES.time;
        assert!(!bans.is_banned(ip("192.0.2.2"), later));
        assert!(!bans.count(ip("192.0.2.2"), false, later));
        assert_eq!((bans.present(later), bans.total()), (0, 1));

        flood(&bans, "2001:db8:1:2::3", 10, now);
        assert!(bans.is_banned(ip("2001:db8:1:2:ffff::"), now) && !bans.is_banned(ip("2001:db8:1:3::"), now));
    }

    #[test]
    fn many_good_ones_behind_an_address_outweigh_a_bad_one() {
        let (bans, now) = (Bans::new(RULES), Instant::now());
        for n in 0..10_000 {
            assert!(!bans.count(ip("198.51.100.1"), n % 3 > 0, now));
        }
    }

    #[test]
    fn loopback_is_spared_and_all_bans_can_be_switched_off() {
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
    fn addresses_without_end_take_bounded_room() {
        let (bans, now) = (Bans::new(RULES), Instant::now());
        for n in 0..MAX_ADDRESSES as u32 + 100 {
            bans.count(IpAddr::from((n + (1 << 28)).to_be_bytes()), true, now);
        }
        assert_eq!(bans.lock().addresses.len(), MAX_ADDRESSES);
        // Those that are known are watched as before, and kept for as long as they go on or are banned.
        let (busy, banned) = ("16.0.0.1", "16.0.0.2");
        let soon = now + FORGET_AFTER / 2;
        assert!(!bans.count(ip(busy), true, soon));
        assert!(flood(&bans, banned, 10, now).is_some());
        bans.lock().addresses.get_mut(&ip(banned)).unwrap().until = Some(now + 2 * FORGET_AFTER);
        bans.count(ip("192.0.2.1"), false, now + FORGET_AFTER);
        assert_eq!(bans.lock().addresses.len(), 3);
        assert!(bans.is_banned(ip(banned), now + FORGET_AFTER));
    }
}
