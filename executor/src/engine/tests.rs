use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hasher::{Backend, CompactTarget, Cursor, Header, MAX_VERSIONS, Target};
use proptest::prelude::*;
use stratum::Job;

use super::cpus::CpuAllocation;
use super::job_search::{JobSearches, UnitRemainder};
use super::search_space::NTIME_SPAN;
use super::{Engine, FoundShare};

/// A generous limit, exceeded only if something hangs.
const DEADLINE: Duration = Duration::from_secs(60);

fn job(id: &str, coinb1: u8, target: Target) -> Arc<Job> {
    Arc::new(Job {
        id: id.into(),
        prev_hash: [7; 32],
        coinb1: vec![coinb1],
        coinb2: vec![2],
        branch: vec![[3; 32]],
        version: 0x2000_0000,
        nbits: Header::genesis().nbits,
        ntime: 1_700_000_000,
        clean: false,
        target,
        version_mask: 0x1fff_e000,
        extranonce1: vec![1, 2, 3, 4],
        extranonce2_len: 4,
    })
}

fn plan(threads: usize, duty: f64) -> CpuAllocation {
    CpuAllocation { threads: NonZeroUsize::new(threads).expect("at least one"), duty, pins: Vec::new() }
}

/// Receives `n` shares.
fn receive(found: &mut tokio::sync::mpsc::Receiver<FoundShare>, n: usize) -> Vec<FoundShare> {
    let started = Instant::now();
    let mut next = || loop {
        match found.try_recv() {
            Ok(found) => return found,
            Err(_) => assert!(started.elapsed() < DEADLINE, "the engine finds no more shares"),
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    (0..n).map(|_| next()).collect()
}

/// Every hash meets the easiest target, so the number of shares must equal the number of hashes.
#[test]
fn no_share_is_lost_or_found_twice_when_jobs_change() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(3, 1.0)).expect("threads");
    let counters = engine.counters();
    let mut all = Vec::new();
    // Jobs "a" and "again" have the same headers, and jobs "a" and "b" come twice. Their searches must not start over.
    for (id, coinb1) in [("a", 1), ("a", 1), ("b", 2), ("again", 1), ("b", 2)] {
        engine.mine(job(id, coinb1, Target::MAX));
        all.extend(receive(&mut found, 3000));
        if id == "again" {
            engine.pause();
        }
    }
    engine.stop();
    all.extend(std::iter::from_fn(|| found.blocking_recv()));
    assert_eq!(all.len() as u128, counters.hashes());
    let headers: HashSet<_> = all.iter().map(|found| found.header.to_bytes()).collect();
    assert_eq!(headers.len(), all.len());
    for found in &all {
        assert_eq!(found.header.digest(), found.digest);
        let rebuilt = found.job.header(&found.extranonce2, found.header.ntime, found.header.version);
        assert_eq!(rebuilt.merkle_root, found.header.merkle_root);
    }
}

#[test]
fn a_share_carries_the_job_for_which_it_was_found() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(2, 1.0)).expect("threads");
    let easy = engine.mine(job("easy", 1, Target::MAX));
    let first = receive(&mut found, 10);
    let hard = engine.mine(job("hard", 1, Target::ZERO));
    engine.stop();
    let rest: Vec<_> = std::iter::from_fn(|| found.blocking_recv()).collect();
    assert!(hard > easy);
    assert!(first.iter().chain(&rest).all(|f| f.generation == easy && f.job.id == "easy"));
}

#[test]
fn all_threads_switch_to_a_new_job() {
    let (mut engine, _found) = Engine::start(Backend::portable(), &plan(4, 1.0)).expect("threads");
    let counters = engine.counters();
    for coinb1 in 1..4 {
        let started = Instant::now();
        let generation = engine.mine(job("j", coinb1, Target::ZERO));
        while !counters.switches().all(|(seen, _)| seen == generation) {
            assert!(started.elapsed() < DEADLINE, "a thread does not switch to the job");
            std::thread::sleep(Duration::from_millis(1));
        }
        let now = Instant::now();
        assert!(counters.switches().all(|(_, at)| started < at && at <= now));
    }
}

#[test]
fn the_first_hash_of_a_generation_is_told() {
    let (mut engine, _found) = Engine::start(Backend::portable(), &plan(3, 1.0)).expect("threads");
    let told = engine.first_hashes();
    for coinb1 in 1..4 {
        let started = Instant::now();
        let generation = engine.mine(job("j", coinb1, Target::ZERO));
        while told.borrow().generation != generation {
            assert!(started.elapsed() < DEADLINE, "no thread tells of its first hash");
            std::thread::sleep(Duration::from_millis(1));
        }
        let at = told.borrow().at;
        assert!(started < at && at <= Instant::now());
    }
}

#[test]
fn a_throttled_thread_finds_shares() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(1, 0.5)).expect("threads");
    engine.mine(job("j", 1, Target::from_difficulty(1e-6)));
    let shares = receive(&mut found, 20);
    engine.stop();
    assert!(shares.iter().all(|found| found.job.target.is_met_by(&found.digest)));
}

#[test]
fn threads_end_when_the_receiver_of_shares_is_gone() {
    let (mut engine, found) = Engine::start(Backend::portable(), &plan(2, 1.0)).expect("threads");
    engine.mine(job("j", 1, Target::MAX));
    drop(found);
    // Dropping the engine would hang if a thread still waited for space in the queue.
    drop(engine);
}

#[test]
fn jobs_with_the_same_headers_share_a_search() {
    let mut searches = JobSearches::default();
    let first = searches.of(&job("a", 1, Target::MAX));
    assert!(Arc::ptr_eq(&first, &searches.of(&job("other name", 1, Target::ZERO))));
    assert!(!Arc::ptr_eq(&first, &searches.of(&job("a", 2, Target::MAX))));
    assert!(Arc::ptr_eq(&first, &searches.of(&job("a", 1, Target::MAX))), "remembered");
}

/// Every field but the id and the target changes the headers.
#[test]
fn jobs_with_other_headers_have_their_own_search() {
    let job = Job::clone(&job("a", 1, Target::MAX));
    let mut searches = JobSearches::default();
    let first = searches.of(&Arc::new(job.clone()));
    for other in [
        Job { prev_hash: [8; 32], ..job.clone() },
        Job { coinb1: vec![9], ..job.clone() },
        Job { coinb2: vec![9], ..job.clone() },
        Job { branch: vec![[3; 32]; 2], ..job.clone() },
        Job { version: 0x3000_0000, ..job.clone() },
        Job { nbits: CompactTarget(0x207f_ffff), ..job.clone() },
        Job { ntime: job.ntime + 1, ..job.clone() },
        Job { version_mask: 0xe000, ..job.clone() },
        Job { extranonce1: vec![1, 2, 3, 5], ..job.clone() },
        Job { extranonce2_len: 3, ..job.clone() },
    ] {
        assert!(!Arc::ptr_eq(&first, &searches.of(&Arc::new(other.clone()))), "{other:?}");
    }
}

#[test]
fn recent_searches_are_remembered() {
    let mut searches = JobSearches::default();
    let kept = searches.of(&job("a", 1, Target::MAX));
    let once = searches.of(&job("b", 2, Target::MAX));
    for coinb1 in 3..100 {
        searches.of(&job("other", coinb1, Target::MAX));
        assert!(Arc::ptr_eq(&kept, &searches.of(&job("a", 1, Target::MAX))), "in use all the time");
    }
    assert!(!Arc::ptr_eq(&once, &searches.of(&job("b", 2, Target::MAX))), "not for ever");
}

/// A thread may still claim units of the previous job after the next job has come. These units, too, must use other values of
/// extranonce2 than the units of the next job.
#[test]
fn searches_that_differ_in_their_versions_share_no_extranonce2() {
    let job = Job::clone(&job("a", 1, Target::MAX));
    let mut searches = JobSearches::default();
    let different: Vec<_> = [(0x2000_0000, 0x1fff_e000), (0x2000_0000, 0xe000), (0x2000_2000, 0x1fff_e000)]
        .map(|(version, version_mask)| searches.of(&Arc::new(Job { version, version_mask, ..job.clone() })))
        .into();
    let mut seen = HashSet::new();
    for search in different.iter().cycle().take(30) {
        let unit =
            search.claim().and_then(|remainder| search.space().unit(remainder.unit)).expect("a large space");
        assert!(seen.insert(unit.extranonce2), "{unit:?}");
    }
}

/// When a job comes again, its search continues where it stopped. So no nonce is skipped or repeated.
#[test]
fn a_job_that_comes_again_continues_where_it_stopped() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(1, 1.0)).expect("threads");
    let mut shares = Vec::new();
    for coinb1 in [1, 2, 1, 2, 1] {
        engine.mine(job("j", coinb1, Target::MAX));
        // Receive more shares than the queue holds. So even if the queue was full of shares of the previous job, the last shares
        // belong to this job.
        shares.extend(receive(&mut found, 3000));
    }
    engine.stop();
    shares.extend(std::iter::from_fn(|| found.blocking_recv()));
    for coinb1 in [1, 2] {
        let of_job = shares.iter().filter(|found| found.job.coinb1 == [coinb1]);
        for (place, found) in of_job.enumerate() {
            assert_eq!(found.extranonce2, [0, 0, 0, 0], "still the first unit");
            assert_eq!(found.header.nonce as usize, place / MAX_VERSIONS);
        }
    }
}

/// A thread has given back the rest of a unit. This rest is searched first. Then the next unit is searched from its start.
#[test]
fn the_end_of_a_unit_is_searched_to_its_last_nonce() {
    const LEFT: u32 = 10;
    let job = job("a", 1, Target::MAX);
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(1, 1.0)).expect("threads");
    let search = engine.searches.of(&job);
    let remainder = search.claim().expect("the first unit");
    search.give_back(UnitRemainder { cursor: Cursor::at_nonce(u32::MAX - LEFT + 1), ..remainder });
    engine.mine(job);
    let places = LEFT as usize * MAX_VERSIONS;
    let (first, second) = (receive(&mut found, places), receive(&mut found, places));
    engine.stop();
    for (shares, extranonce2, nonces) in
        [(first, [0, 0, 0, 0], u32::MAX - LEFT + 1..=u32::MAX), (second, [0, 0, 0, 1], 0..=LEFT - 1)]
    {
        assert!(shares.iter().all(|found| found.extranonce2 == extranonce2));
        let headers: HashSet<_> =
            shares.iter().map(|found| (found.header.nonce, found.header.version)).collect();
        assert_eq!(headers.len(), places, "none twice");
        assert!(headers.iter().all(|(nonce, _)| nonces.contains(nonce)));
    }
}

/// Threads sleep when a job has no units left, and the next job wakes them.
#[test]
fn the_engine_continues_after_the_end_of_a_search_space() {
    const LEFT: u32 = 7;
    let small = Job { extranonce2_len: 0, version_mask: 0, ..Job::clone(&job("a", 1, Target::MAX)) };
    let small = Arc::new(small);
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(3, 1.0)).expect("threads");
    let search = engine.searches.of(&small);
    let claimed: Vec<_> = std::iter::from_fn(|| search.claim()).collect();
    assert_eq!(claimed.len() as u32, NTIME_SPAN + 1);
    for remainder in &claimed {
        search.give_back(UnitRemainder { cursor: Cursor::at_nonce(u32::MAX - LEFT + 1), ..*remainder });
    }
    engine.mine(small);
    let shares = receive(&mut found, LEFT as usize * claimed.len());
    let headers: HashSet<_> = shares.iter().map(|found| (found.header.ntime, found.header.nonce)).collect();
    assert_eq!(headers.len(), shares.len(), "none twice");
    assert!(headers.iter().all(|(ntime, _)| (1_700_000_000..=1_700_000_000 + NTIME_SPAN).contains(ntime)));
    let next = engine.mine(job("b", 2, Target::MAX));
    assert!(
        receive(&mut found, 100).iter().all(|found| found.generation == next),
        "the first job has no units left"
    );
}

/// If `wait` returned the same job again, a thread that has finished the job would spin instead of sleeping.
#[test]
fn a_thread_waits_for_a_newer_job() {
    let (mut engine, _found) = Engine::start(Backend::portable(), &plan(1, 1.0)).expect("threads");
    let mut seen = engine.mine(job("0", 0, Target::ZERO));
    for id in 1..20 {
        let (shared, (waits, waiting)) = (engine.state.clone(), std::sync::mpsc::channel());
        let thread = std::thread::spawn(move || {
            waits.send(()).expect("the test receives it");
            shared.wait(seen).map(|thread_job| thread_job.generation)
        });
        waiting.recv().expect("it waits");
        let next = engine.mine(job(&id.to_string(), id, Target::ZERO));
        assert_eq!(thread.join().expect("no panic"), Some(next));
        seen = next;
    }
}

#[test]
fn sleeping_threads_compute_no_hashes() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(2, 1.0)).expect("threads");
    let counters = engine.counters();
    assert_eq!(counters.hashes(), 0, "no job, no hashes");
    engine.mine(job("j", 1, Target::MAX));
    receive(&mut found, 100);
    let thread_job = Arc::downgrade(engine.state.lock().thread_job.as_ref().expect("a job"));
    engine.pause();
    // A thread finishes its chunk and drops its job before it sleeps. Without a job it cannot compute hashes.
    let started = Instant::now();
    while thread_job.strong_count() > 0 {
        assert!(started.elapsed() < DEADLINE, "the threads do not sleep");
        while found.try_recv().is_ok() {}
        std::thread::sleep(Duration::from_millis(1));
    }
    let hashes = counters.hashes();
    while found.try_recv().is_ok() {}
    assert_eq!(counters.hashes(), hashes);
    // If a thread had found a share during the pause, the test would receive it before the share of the next job.
    engine.mine(job("next", 2, Target::MAX));
    assert_eq!(receive(&mut found, 1)[0].job.id, "next");
}

proptest! {
    /// Threads claim units and return the remainders of units in random order. In the end, each position has been searched once.
    #[test]
    fn claims_and_returns_cover_the_space_once(steps in prop::collection::vec((0usize..4, 0u32..4), 0..200)) {
        let small = Job { extranonce2_len: 0, version_mask: 0, ..Job::clone(&job("a", 1, Target::MAX)) };
        let search = JobSearches::default().of(&Arc::new(small));
        // In this test a unit has four positions. The cursor is the number of positions that are done.
        let mut done = HashSet::new();
        let mut threads: [Option<UnitRemainder>; 4] = [None; 4];
        let mut mark = |remainder: UnitRemainder, places: u32| {
            let from = remainder.cursor.nonce();
            let to = (from + places).min(4);
            (from..to).for_each(|place| assert!(done.insert((remainder.unit, place)), "searched twice"));
            to
        };
        for (thread, places) in steps {
            match threads[thread].take() {
                None => threads[thread] = search.claim(),
                Some(remainder) => {
                    let to = mark(remainder, places);
                    if to < 4 {
                        search.give_back(UnitRemainder { cursor: Cursor::at_nonce(to), ..remainder });
                    }
                }
            }
        }
        for remainder in threads.into_iter().flatten().chain(std::iter::from_fn(|| search.claim())) {
            mark(remainder, 4);
        }
        prop_assert_eq!(done.len() as u64, 4 * search.space().units());
    }
}
