use std::collections::BTreeMap;

use super::*;

/// Maximum number of downloads that the artifact server sends at the same time.
const DOWNLOADS: usize = 16;
const SECOND: Duration = Duration::from_secs(1);

fn pacing() -> (FetchPacing, Instant) {
    let now = Instant::now();
    (FetchPacing::new(true), now)
}

fn sent(per_second: f64) -> DownloadStats {
    DownloadStats { per_second, ..DownloadStats::default() }
}

fn launch(pacing: &mut FetchPacing, agents: std::ops::Range<u64>, now: Instant) {
    agents.for_each(|n| pacing.launched(&format!("agent{n}"), now));
}

#[test]
fn agents_that_fetch_from_elsewhere_are_not_paced() {
    let now = Instant::now();
    let mut pacing = FetchPacing::new(false);
    launch(&mut pacing, 0..1000, now);
    assert_eq!((pacing.room(), pacing.must_fetch("other"), pacing.fetching.len()), (u64::MAX, false, 0));
}

#[test]
fn an_agent_fetches_once_for_all_of_its_tasks_until_it_is_gone() {
    let (mut pacing, now) = pacing();
    assert!(pacing.must_fetch("a"));
    pacing.launched("a", now);
    assert!(!pacing.must_fetch("a"), "others of its tasks wait for the same fetch");
    assert_eq!(pacing.room(), 63);
    pacing.launched("a", now);
    assert_eq!(pacing.room(), 63);
    pacing.started("a", now + SECOND);
    pacing.ended("a");
    assert!(!pacing.must_fetch("a"), "it has it, whatever becomes of the task");
    assert_eq!(pacing.room(), 64);
    pacing.gone("a");
    assert!(pacing.must_fetch("a"));
    pacing.launched("a", now);
    pacing.ended("a");
    assert!(pacing.must_fetch("a"), "it ended before it started");
    assert_eq!(pacing.room(), 64);
    pacing.started("b", now);
    assert!(pacing.must_fetch("b"), "an earlier run has launched it, which served another address");
}

#[test]
fn each_fetch_takes_no_longer_than_a_third_of_a_minute() {
    let (mut pacing, now) = pacing();
    launch(&mut pacing, 0..64, now);
    assert_eq!(pacing.room(), 0);
    for _ in 0..20 {
        pacing.measure(&sent(5.8));
    }
    assert_eq!(pacing.most(), 115, "5.8 a second for 20 s");
    launch(&mut pacing, 64..179, now);
    for _ in 0..40 {
        pacing.measure(&sent(1.0));
    }
    assert_eq!(pacing.most(), 20);
    for _ in 0..100 {
        pacing.measure(&sent(0.0));
    }
    assert_eq!(pacing.most(), LEAST);
    for _ in 0..20 {
        pacing.measure(&sent(1000.0));
    }
    assert!(pacing.most() > 19_000);
}

#[test]
fn measurements_of_few_fetches_do_not_lower_the_rate() {
    let (mut pacing, now) = pacing();
    launch(&mut pacing, 0..31, now);
    for _ in 0..20 {
        pacing.measure(&sent(0.5));
    }
    assert_eq!(pacing.most(), 64);
    launch(&mut pacing, 31..32, now);
    pacing.measure(&sent(0.5));
    assert!(pacing.most() < 64);
}

#[test]
fn agents_with_the_executor_in_their_cache_raise_the_rate() {
    let (mut pacing, mut now) = pacing();
    launch(&mut pacing, 0..64, now);
    // All agents start their tasks together after ten seconds, because they had to fetch the executor first.
    now += 10 * SECOND;
    (0..64).for_each(|n| pacing.started(&format!("agent{n}"), now));
    pacing.tick(now);
    assert!((60..=100).contains(&pacing.most()), "{}", pacing.most());
    // The next agents start their tasks within a tenth of a second, because they already had the executor.
    launch(&mut pacing, 64..128, now);
    (64..128).for_each(|n| pacing.started(&format!("agent{n}"), now + SECOND / 10));
    pacing.tick(now + SECOND);
    assert!(pacing.most() > 600, "{}", pacing.most());
    // A single agent that already had the executor does not raise the number of agents that may fetch at the same time.
    let most = pacing.most();
    launch(&mut pacing, 128..200, now + SECOND);
    pacing.started("agent128", now + SECOND);
    pacing.tick(now + 2 * SECOND);
    assert_eq!(pacing.most(), most);
}

#[test]
fn a_slow_fetch_stops_counting_after_a_while() {
    let (mut pacing, now) = pacing();
    launch(&mut pacing, 0..64, now);
    pacing.tick(now + REGISTRATION - SECOND);
    assert_eq!(pacing.room(), 0);
    pacing.tick(now + REGISTRATION);
    assert_eq!(pacing.room(), 64);
    pacing.started("agent3", now + REGISTRATION + SECOND);
    pacing.ended("agent4");
    assert_eq!(pacing.room(), 64);
    // The time limit of an agent that fetches again begins with the new fetch.
    pacing.launched("agent4", now + REGISTRATION);
    pacing.tick(now + REGISTRATION + SECOND);
    assert_eq!(pacing.room(), 63);
}

#[test]
fn waiting_agents_are_offered_again_at_their_turn() {
    let (mut pacing, now) = pacing();
    launch(&mut pacing, 0..64, now);
    for _ in 0..40 {
        pacing.measure(&sent(5.0));
    }
    let mut waits: BTreeMap<u64, u32> = BTreeMap::new();
    for n in 0..10_000u32 {
        let spread = f64::from(n % 100) / 100.0;
        let wait = pacing.wait(&format!("waiting{n}"), spread, now);
        assert_eq!(wait, Duration::from_secs(wait.as_secs()), "whole seconds");
        *waits.entry(wait.as_secs()).or_default() += 1;
    }
    // Agents fetch at a rate of 5 per second, as measured above. Turns come at `EARLY` (2) times this rate: 10 per second.
    assert!((1..=50).all(|second| (8..=12).contains(&waits[&second])), "{waits:?}");
    assert!(waits.keys().all(|second| *second <= 121), "{waits:?}");
    let largest = waits.values().max().unwrap();
    assert!(*largest < 200, "no wave: {waits:?}");
    // If the master offers the resources of a waiting agent too early, the time of the agent's turn stays the same.
    let wait = pacing.wait("waiting400", 0.0, now + 10 * SECOND);
    assert!((29..=32).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(pacing.waiting.len(), 10_000);
}

#[test]
fn offers_are_not_revived_in_a_loop() {
    let (mut pacing, mut now) = pacing();
    launch(&mut pacing, 0..64, now);
    (100..200).for_each(|n| _ = pacing.wait(&format!("agent{n}"), 0.5, now));
    let asked = |pacing: &mut FetchPacing, now: &mut Instant, seconds: u32| {
        let mut asked = Vec::new();
        for second in 0..seconds {
            *now += SECOND;
            if pacing.tick(*now) {
                asked.push(second);
            }
        }
        asked
    };
    assert!(asked(&mut pacing, &mut now, 30).is_empty(), "as many fetch as may");
    (0..64).for_each(|n| pacing.started(&format!("agent{n}"), now));
    let times = asked(&mut pacing, &mut now, 300);
    assert!((3..=8).contains(&times.len()), "{times:?}");
    // Agents whose resources are not offered again are forgotten. Then no more REVIVEs are sent.
    asked(&mut pacing, &mut now, 300);
    assert_eq!((pacing.waiting_text(), pacing.waiting.len(), pacing.turns.len()), (None, 0, 0));
    assert!(asked(&mut pacing, &mut now, 100).is_empty());
}

#[test]
fn the_remark_says_how_many_agents_wait_and_what_helps() {
    let (mut pacing, now) = pacing();
    assert_eq!(pacing.waiting_text(), None);
    launch(&mut pacing, 0..64, now);
    (100..1304).for_each(|n| _ = pacing.wait(&format!("agent{n}"), 0.5, now));
    assert!(
        pacing
            .waiting_text()
            .unwrap()
            .starts_with("agents fetch the executor from this scheduler: 1204 wait")
    );
    for _ in 0..40 {
        pacing.measure(&sent(5.8));
    }
    let remark = pacing.waiting_text().unwrap();
    assert!(
        remark.starts_with("agents fetch the executor from this scheduler at 5.8 a second: 1204 wait"),
        "{remark}"
    );
    assert!(remark.contains("--executor-path") && remark.contains("--executor-uri"), "{remark}");
    (100..1304).for_each(|n| pacing.launched(&format!("agent{n}"), now));
    assert_eq!(pacing.waiting_text(), None);
}

/// Agents that fetch over one link, and a master that offers their resources.
struct Cluster {
    pacing: FetchPacing,
    now: Instant,
    /// Idle agent → when its resources are offered next.
    offered: BTreeMap<u64, Instant>,
    /// The agents that fetch the executor, in the order of their launches. For each: the agent, the time of its launch, and
    /// the fraction of the executor that it still has to receive.
    fetching: Vec<(u64, Instant, f64)>,
    longest: Duration,
    asked: u32,
    declined: u64,
}

impl Cluster {
    fn of(agents: u64) -> Self {
        let (pacing, now) = pacing();
        let offered = (0..agents).map(|agent| (agent, now)).collect();
        Self { pacing, now, offered, fetching: vec![], longest: Duration::ZERO, asked: 0, declined: 0 }
    }

    /// One second passes, in which the link carries this many copies of the executor.
    fn second(&mut self, link: f64) {
        let due: Vec<u64> =
            self.offered.iter().filter(|(_, at)| **at <= self.now).map(|(agent, _)| *agent).collect();
        for agent in due {
            let name = agent.to_string();
            if self.pacing.room() > 0 {
                self.pacing.launched(&name, self.now);
                self.offered.remove(&agent);
                self.fetching.push((agent, self.now, 1.0));
            } else {
                let spread = (agent * 37 % 100) as f64 / 100.0;
                self.offered.insert(agent, self.now + self.pacing.wait(&name, spread, self.now));
                self.declined += 1;
            }
        }
        self.now += SECOND;
        let mut sent = 0.0;
        // The downloads share the link, and waiting ones begin when others end.
        while link - sent > 1e-6 && !self.fetching.is_empty() {
            let share = (link - sent) / self.fetching.len().min(DOWNLOADS) as f64;
            let step =
                self.fetching.iter().take(DOWNLOADS).fold(share, |least, (_, _, lacks)| least.min(*lacks));
            for (_, _, lacks) in self.fetching.iter_mut().take(DOWNLOADS) {
                *lacks -= step;
                sent += step;
            }
            let done: Vec<_> = self.fetching.extract_if(.., |(_, _, lacks)| *lacks < 1e-9).collect();
            for (agent, begun, _) in done {
                self.longest = self.longest.max(self.now - begun);
                self.pacing.started(&agent.to_string(), self.now);
            }
        }
        if sent > 0.0 {
            self.pacing.measure(&DownloadStats { per_second: sent, ..DownloadStats::default() });
        }
        if self.pacing.tick(self.now) {
            self.asked += 1;
            self.offered.values_mut().for_each(|at| *at = self.now);
        }
    }
}

#[test]
fn on_any_link_all_fetches_are_in_time_and_the_link_is_busy() {
    for (link, agents) in [(1.2, 200), (5.8, 1000), (12.0, 3000), (120.0, 10_000), (1200.0, 10_000)] {
        let mut cluster = Cluster::of(agents);
        let begun = cluster.now;
        while !(cluster.offered.is_empty() && cluster.fetching.is_empty()) {
            cluster.second(link);
            assert!(
                cluster.now - begun < Duration::from_secs(3600),
                "{link}: {} left",
                cluster.offered.len()
            );
        }
        let (took, best) = ((cluster.now - begun).as_secs_f64(), agents as f64 / link);
        let Cluster { longest, asked, declined, .. } = cluster;
        println!(
            "{link} a second: {agents} in {took} s, at best {best:.0} s; {longest:?}; {asked}, {declined}"
        );
        assert!(longest < Duration::from_secs(56), "{link} a second: {longest:?} until it started");
        assert!(took < 1.25 * best + 30.0, "{link} a second: {took} s instead of {best}");
        assert!(asked <= 8, "asked {asked} times");
        assert!(declined < 30 * agents, "{declined} declined");
    }
}

#[test]
fn a_link_that_becomes_half_as_fast_is_noticed_in_time() {
    let mut cluster = Cluster::of(3000);
    (0..60).for_each(|_| cluster.second(12.0));
    (0..60).for_each(|_| cluster.second(6.0));
    (0..60).for_each(|_| cluster.second(12.0));
    assert!(cluster.longest < Duration::from_secs(50), "{:?}", cluster.longest);
    let rate = cluster.pacing.rate;
    assert!((11.0..13.0).contains(&rate), "{rate}");
}
