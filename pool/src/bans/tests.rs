use super::conduct::PROBATION;
use super::*;

const RULES: BanRules = BanRules { shares: 20, percent: 50, time: Duration::from_secs(60), loopback: false };

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Sends up to `count` shares over one connection, of which the first `rejected_of_ten` of each ten are rejected. Returns the number
/// after which the connection ended, if it did.
fn send(
    bans: &Bans,
    peer: &str,
    conduct: &mut Conduct,
    rejected_of_ten: u32,
    count: u32,
    now: Instant,
) -> Option<u32> {
    (1..=count).find(|n| bans.count_share(ip(peer), conduct, (n - 1) % 10 >= rejected_of_ten, now))
}

/// The same over a new connection.
fn flood(bans: &Bans, peer: &str, rejected_of_ten: u32, now: Instant) -> Option<u32> {
    send(bans, peer, &mut Conduct::default(), rejected_of_ten, 100, now)
}

#[test]
fn rejected_shares_get_a_network_banned_for_a_while() {
    let (bans, now) = (Bans::new(RULES), Instant::now());
    assert_eq!(flood(&bans, "192.0.2.1", 4, now), None);
    assert_eq!(flood(&bans, "192.0.2.2", 5, now), Some(20));
    assert!(bans.refuses(ip("192.0.2.2"), now) && bans.refuses(ip("::ffff:192.0.2.2"), now));
    assert!(!bans.refuses(ip("192.0.2.1"), now));
    assert_eq!((bans.active(now), bans.total()), (1, 1));
    let later = now + RULES.time;
    assert!(!bans.refuses(ip("192.0.2.2"), later));
    assert!(!bans.count_share(ip("192.0.2.2"), &mut Conduct::default(), false, later));
    assert_eq!((bans.active(later), bans.total()), (0, 1));

    flood(&bans, "2001:db8:1:2::3", 10, now);
    assert!(bans.refuses(ip("2001:db8:1:2:ffff::"), now) && !bans.refuses(ip("2001:db8:1:3::"), now));
}

#[test]
fn a_bad_miner_loses_its_connection_and_a_good_one_behind_the_same_address_nothing() {
    let (bans, now, nat) = (Bans::new(RULES), Instant::now(), "198.51.100.1");
    let (mut good, mut bad) = (Conduct::default(), Conduct::default());
    assert_eq!(send(&bans, nat, &mut good, 0, 2, now), None);
    assert!(send(&bans, nat, &mut bad, 10, 100, now).is_some());
    assert_eq!((bans.active(now), bans.total()), (1, 1));
    // The good miner goes on, also with a few rejected shares, and may open a new connection.
    assert!(!bans.refuses(ip(nat), now));
    assert_eq!(send(&bans, nat, &mut good, 4, 1_000, now), None);
    let mut returned = Conduct::default();
    assert_eq!(send(&bans, nat, &mut returned, 4, 1_000, now), None);
    // So may the bad one, but each of its connections is short.
    for _ in 0..3 {
        assert_eq!(send(&bans, nat, &mut Conduct::default(), 10, 100, now), Some(PROBATION));
    }
    assert_eq!(bans.total(), 1);
}

#[test]
fn an_address_is_refused_once_its_healthy_miners_are_long_gone() {
    let rules = BanRules { time: 2 * HEALTHY_FOR, ..RULES };
    let (bans, now, nat) = (Bans::new(rules), Instant::now(), "198.51.100.1");
    assert_eq!(send(&bans, nat, &mut Conduct::default(), 0, 1, now), None);
    flood(&bans, nat, 10, now);
    let last = now + HEALTHY_FOR - Duration::from_secs(1);
    assert!(!bans.refuses(ip(nat), last) && bans.refuses(ip(nat), now + HEALTHY_FOR));
}

#[test]
fn a_connection_that_has_become_bad_is_not_healthy() {
    let (bans, now, peer) = (Bans::new(RULES), Instant::now(), "192.0.2.7");
    let mut conduct = Conduct::default();
    assert_eq!(send(&bans, peer, &mut conduct, 0, 40, now), None);
    assert_eq!(send(&bans, peer, &mut conduct, 10, 100, now), Some(20));
    assert!(bans.refuses(ip(peer), now));
}

#[test]
fn many_short_connections_get_an_address_banned_too() {
    let (bans, now, peer) = (Bans::new(RULES), Instant::now(), "192.0.2.8");
    let mut open = Conduct::default();
    for _ in 0..4 {
        assert!(!bans.refuses(ip(peer), now));
        send(&bans, peer, &mut Conduct::default(), 10, 5, now);
    }
    assert!(bans.refuses(ip(peer), now));
    // A connection that was open before ends as soon as its shares are rejected.
    assert_eq!(send(&bans, peer, &mut open, 10, 100, now), Some(PROBATION));
}

#[test]
fn rejected_shares_of_a_bad_miner_do_not_count_against_its_neighbours() {
    let (bans, now, nat) = (Bans::new(RULES), Instant::now(), "198.51.100.1");
    let mut good = [Conduct::default(), Conduct::default()];
    let mut bad = Conduct::default();
    let mut cut = 0;
    for n in 0..10_000 {
        for conduct in &mut good {
            assert!(!bans.count_share(ip(nat), conduct, n % 5 > 0, now), "{n}");
        }
        if bans.count_share(ip(nat), &mut bad, false, now) {
            (bad, cut) = (Conduct::default(), cut + 1);
        }
        assert!(!bans.refuses(ip(nat), now), "{n}");
    }
    assert!(cut > 100, "{cut}");
}

#[test]
fn loopback_is_not_banned_and_bans_can_be_turned_off() {
    let now = Instant::now();
    for (rules, banned) in [
        (RULES, None),
        (BanRules { loopback: true, ..RULES }, Some(20)),
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
    let count = |peer: IpAddr, at| bans.count_share(peer, &mut Conduct::default(), true, at);
    for n in 0..MAX_ADDRESSES as u32 + 100 {
        count(IpAddr::from((n + (1 << 28)).to_be_bytes()), now);
    }
    assert_eq!(bans.lock().addresses.len(), MAX_ADDRESSES);
    // In a full table, shares of known addresses are still counted. These addresses are kept while they send shares or
    // are banned.
    let (busy, banned) = ("16.0.0.1", "16.0.0.2");
    let soon = now + FORGET_AFTER / 2;
    assert!(!count(ip(busy), soon));
    assert!(flood(&bans, banned, 10, now).is_some());
    bans.lock().addresses.get_mut(&ip(banned)).unwrap().banned_until = Some(now + 2 * FORGET_AFTER);
    bans.count_share(ip("192.0.2.1"), &mut Conduct::default(), false, now + FORGET_AFTER);
    assert_eq!(bans.lock().addresses.len(), 3);
    assert!(bans.refuses(ip(banned), now + FORGET_AFTER));
}

#[test]
fn the_number_of_healthy_connections_is_bounded() {
    let (bans, now) = (Bans::new(RULES), Instant::now());
    for _ in 0..100 {
        bans.count_share(ip("192.0.2.9"), &mut Conduct::default(), true, now);
    }
    assert_eq!(bans.lock().addresses[&ip("192.0.2.9")].healthy.len(), MAX_HEALTHY);
}
