use std::sync::Arc;
use std::time::Duration;

use hasher::{CompactTarget, Target};
use problem::ProblemKind;
use stratum::Reason;
use task::ShareRow;

use super::*;

fn job(id: &str, index: usize) -> Event {
    let job = Job {
        id: id.into(),
        prev_hash: [0; 32],
        coinb1: vec![1],
        coinb2: vec![2],
        branch: Vec::new(),
        version: 1,
        nbits: CompactTarget(0x1d00_ffff),
        ntime: 1_231_006_505,
        clean: true,
        target: Target::from_difficulty(2.0),
        version_mask: 0,
        extranonce1: Vec::new(),
        extranonce2_len: 4,
    };
    Event::Job { job: Arc::new(job), index }
}

fn share(verdict: Verdict, difficulty: f64, index: usize) -> Event {
    let row = ShareRow {
        job: "a".into(),
        extranonce2: vec![0; 4],
        ntime: 1,
        version: 2,
        nonce: 3,
        difficulty,
        verdict,
        round_trip: Duration::from_millis(3),
    };
    let reason = matches!(verdict, Verdict::Rejected(_)).then(|| Reason::new(23, "low"));
    let share = Box::new(MinedShare { row, work: 10, candidate: difficulty > 100.0 });
    Event::Share { share, reason, index }
}

fn lost(index: usize) -> Event {
    Event::Lost { error: format!("pool {index} is gone"), index, problem: None, retry_in: Duration::ZERO }
}

fn authorized(index: usize) -> Event {
    Event::Authorized { pool: "a:1".parse().unwrap(), index }
}

/// A record of two pools, and its clock.
struct Bench(Record, Instant, SystemTime);

impl Bench {
    fn new() -> Self {
        let mut record = Record::new(Instant::now());
        let pool = |url: &str| Pool { url: url.parse().unwrap(), user: "me".into(), password: "x".into() };
        record.set_pools(&[pool("a:1"), pool("b:1")]);
        Bench(record, Instant::now(), SystemTime::now())
    }

    fn on(&mut self, event: Event) -> &mut Self {
        let Bench(record, now, time) = self;
        record.on_event(&event, *now, *time);
        self
    }

    fn states(&self) -> [PoolState; 2] {
        [self.0.pools[0].state, self.0.pools[1].state]
    }
}

#[test]
fn one_pool_at_a_time_is_mined_for() {
    use PoolState::{Connected, Lost, Mining, Standby};
    let mut bench = Bench::new();
    assert_eq!((bench.states(), bench.0.job(), bench.0.trouble()), ([Standby, Standby], None, None));
    assert_eq!(bench.on(lost(0)).states(), [Lost, Standby]);
    assert_eq!(bench.0.trouble(), Some("pool 0 is gone"));
    assert_eq!(bench.on(authorized(1)).states(), [Lost, Connected]);
    assert_eq!(bench.on(job("a", 1)).states(), [Lost, Mining]);
    assert_eq!(
        (bench.0.trouble(), bench.0.pool().map(|pool| pool.url.as_str())),
        (None, Some("stratum+tcp://b:1"))
    );
    // The better pool recovers.
    assert_eq!(bench.on(job("b", 0)).on(authorized(0)).states(), [Mining, Standby]);
    assert_eq!(bench.on(lost(0)).states(), [Lost, Standby]);
    assert!(bench.0.job().is_none() && bench.0.pool().is_none() && bench.0.jobs().len() == 2);
    let problem = bench.0.pools[0].last_problem.clone().expect("a problem");
    assert_eq!((problem.text.as_str(), problem.at), ("pool 0 is gone", bench.2));
}

#[test]
fn a_silent_or_useless_pool_has_a_problem() {
    let mut bench = Bench::new();
    let problem = Problem::new(ProblemKind::PoolRejectsShares, "useless");
    bench.on(job("a", 1)).on(Event::Unfit { error: "rejects all".into(), problem });
    bench.on(Event::Waiting { pool: "a:1".parse().unwrap(), awaited: client::Awaited::Job });
    let texts = bench.0.pools().iter().map(|pool| pool.last_problem.as_ref().map(|it| it.text.as_str()));
    let texts: Vec<_> = texts.collect();
    assert!(texts[0].is_some_and(|text| text.contains("a:1 is silent")), "{texts:?}");
    assert_eq!(texts[1], Some("rejects all"));
    // It is of no use until the miner says otherwise.
    assert!(bench.on(job("b", 1)).on(share(Verdict::Accepted, 5.0, 1)).0.unfit().is_some());
    assert_eq!(bench.on(Event::Fit).0.unfit(), None);
}

#[test]
fn shares_are_counted_by_verdict_and_pool() {
    let mut bench = Bench::new();
    bench.on(share(Verdict::Accepted, 5.0, 0)).on(share(Verdict::Accepted, 200.0, 1));
    bench.on(share(Verdict::Rejected(23), 900.0, 1)).on(share(Verdict::Stale, 7.0, 1));
    bench.on(share(Verdict::Unanswered, 7.0, 0)).on(share(Verdict::Accepted, 6.0, 9));
    let Bench(record, now, _) = &mut bench;
    let ShareCounts { accepted, rejected, stale, unanswered } = record.shares();
    assert_eq!([accepted, rejected, stale, unanswered], [3, 1, 1, 1]);
    assert_eq!((record.totals(77).hashes, record.totals(77).candidates, record.best_share()), (77, 1, 200.0));
    let by_pool = record.pools().iter().map(|pool| ShareCounts::from(pool.shares)).collect::<Vec<_>>();
    assert_eq!((by_pool[0].accepted, by_pool[0].unanswered), (1, 1));
    assert_eq!((by_pool[1].accepted, by_pool[1].rejected, by_pool[1].stale), (1, 1, 1));
    // A share that was dropped, or never answered, has no round trip.
    let round_trip = record.delays.share_round_trip.quantiles(*now).expect("answers");
    assert!((3_000..3_200).contains(&round_trip.median), "{round_trip:?}");
}

#[test]
fn the_last_jobs_are_kept() {
    let mut bench = Bench::new();
    for id in 0..50 {
        bench.on(job(&id.to_string(), 0));
    }
    let ids: Vec<_> = bench.0.jobs().map(|job| job.id.clone()).collect();
    assert_eq!((ids.len(), ids[0].as_str(), ids[20].as_str()), (21, "49", "29"));
    assert_eq!(bench.0.jobs().map(|job| job.number).collect::<Vec<_>>(), (30..=50).rev().collect::<Vec<_>>());
    let last = bench.0.job().expect("a job");
    assert_eq!((last.difficulty.round(), last.network_difficulty, last.height), (2.0, 1.0, None));
}
