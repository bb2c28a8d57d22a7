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

/// Generous: only a hang should meet it.
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

/// Takes `n` finds.
fn take(found: &mut tokio::sync::mpsc::Receiver<FoundShare>, n: usize) -> Vec<FoundShare> {
    let started = Instant::now();
    let mut next = || loop {
        match found.try_recv() {
            Ok(found) => return found,
            Err(_) => assert!(started.elapsed() < DEADLINE, "the engine finds nothing more"),
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    (0..n).map(|_| next()).collect()
}

/// Every hash meets the easiest target, so finds and hashes must agree to the last one, whatever happens.
#[test]
fn no_find_is_lost_and_none_comes_twice_over_changes_of_job() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(3, 1.0)).expect("threads");
    let counters = engine.counters();
    let mut all = Vec::new();
    // The same content under other names and targets, with another job in between and a pause.
    for (id, coinb1) in [("a", 1), ("a", 1), ("b", 2), ("again", 1), ("b", 2)] {
        engine.mine(job(id, coinb1, Target::MAX));
        all.extend(take(&mut found, 3000));
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
fn a_find_keeps_the_job_it_was_found_for() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(2, 1.0)).expect("threads");
    let easy = engine.mine(job("easy", 1, Target::MAX));
    let first = take(&mut found, 10);
    let hard = engine.mine(job("hard", 1, Target::ZERO));
    engine.stop();
    let rest: Vec<_> = std::iter::from_fn(|| found.blocking_recv()).collect();
    assert!(hard > easy);
    assert!(first.iter().chain(&rest).all(|f| f.generation == easy && f.job.id == "easy"));
}

#[test]
fn all_threads_take_a_new_job() {
    let (mut engine, _found) = Engine::start(Backend::portable(), &plan(4, 1.0)).expect("threads");
    let counters = engine.counters();
    for coinb1 in 1..4 {
        let started = Instant::now();
        let generation = engine.mine(job("j", coinb1, Target::ZERO));
        while !counters.switches().all(|(seen, _)| seen == generation) {
            assert!(started.elapsed() < DEADLINE, "a thread does not take the job");
            std::thread::sleep(Duration::from_millis(1));
        }
        let now = Instant::now();
        assert!(counters.switches().all(|(_, at)| started < at && at <= now));
    }
}

#[test]
fn a_part_time_thread_still_finds_everything() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(1, 0.5)).expect("threads");
    engine.mine(job("j", 1, Target::from_difficulty(1e-6)));
    let finds = take(&mut found, 20);
    engine.stop();
    assert!(finds.iter().all(|found| found.job.target.is_met_by(&found.digest)));
}

#[test]
fn threads_end_when_nobody_takes_their_finds() {
    let (mut engine, found) = Engine::start(Backend::portable(), &plan(2, 1.0)).expect("threads");
    engine.mine(job("j", 1, Target::MAX));
    drop(found);
    // Would hang here if a thread kept waiting for room in the queue.
    drop(engine);
}

#[test]
fn same_content_is_one_search_and_other_content_another() {
    let mut searches = JobSearches::default();
    let first = searches.of(&job("a", 1, Target::MAX));
    assert!(Arc::ptr_eq(&first, &searches.of(&job("other name", 1, Target::ZERO))));
    assert!(!Arc::ptr_eq(&first, &searches.of(&job("a", 2, Target::MAX))));
    assert!(Arc::ptr_eq(&first, &searches.of(&job("a", 1, Target::MAX))), "remembered");
}

/// Each field but the name and the target tells headers apart.
#[test]
fn whatever_changes_the_headers_is_another_search() {
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
fn what_was_mined_lately_is_remembered() {
    let mut searches = JobSearches::default();
    let kept = searches.of(&job("a", 1, Target::MAX));
    let once = searches.of(&job("b", 2, Target::MAX));
    for coinb1 in 3..100 {
        searches.of(&job("other", coinb1, Target::MAX));
        assert!(Arc::ptr_eq(&kept, &searches.of(&job("a", 1, Target::MAX))), "in use all the while");
    }
    assert!(!Arc::ptr_eq(&once, &searches.of(&job("b", 2, Target::MAX))), "not for ever");
}

/// A thread may still claim for the job before when the next one is there already.
#[test]
fn searches_that_differ_in_their_versions_share_no_extranonce2() {
    let job = Job::clone(&job("a", 1, Target::MAX));
    let mut searches = JobSearches::default();
    let different: Vec<_> = [(0x2000_0000, 0x1fff_e000), (0x2000_0000, 0xe000), (0x2000_2000, 0x1fff_e000)]
        .map(|(version, version_mask)| searches.of(&Arc::new(Job { version, version_mask, ..job.clone() })))
        .into();
    let mut seen = HashSet::new();
    for search in different.iter().cycle().take(30) {
        let unit = search.claim().and_then(|piece| search.space().unit(piece.unit)).expect("a large space");
        assert!(seen.insert(unit.extranonce2), "{unit:?}");
    }
}

/// What a thread had not searched when the job changed is searched when the job comes again: all places follow each other.
#[test]
fn a_job_that_comes_again_goes_on_where_it_stopped() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(1, 1.0)).expect("threads");
    let mut finds = Vec::new();
    for coinb1 in [1, 2, 1, 2, 1] {
        engine.mine(job("j", coinb1, Target::MAX));
        // So many that the last of them are of this job.
        finds.extend(take(&mut found, 3000));
    }
    engine.stop();
    finds.extend(std::iter::from_fn(|| found.blocking_recv()));
    for coinb1 in [1, 2] {
        let of_job = finds.iter().filter(|found| found.job.coinb1 == [coinb1]);
        for (place, found) in of_job.enumerate() {
            assert_eq!(found.extranonce2, [0, 0, 0, 0], "still the first unit");
            assert_eq!(found.header.nonce as usize, place / MAX_VERSIONS);
        }
    }
}

/// The last nonces of a unit were given back: they are searched first, then the next unit from its start.
#[test]
fn the_end_of_a_unit_is_searched_to_its_last_nonce() {
    const LEFT: u32 = 10;
    let job = job("a", 1, Target::MAX);
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(1, 1.0)).expect("threads");
    let search = engine.searches.of(&job);
    let piece = search.claim().expect("the first unit");
    search.give_back(UnitRemainder { cursor: Cursor::at_nonce(u32::MAX - LEFT + 1), ..piece });
    engine.mine(job);
    let places = LEFT as usize * MAX_VERSIONS;
    let (first, second) = (take(&mut found, places), take(&mut found, places));
    engine.stop();
    for (finds, extranonce2, nonces) in
        [(first, [0, 0, 0, 0], u32::MAX - LEFT + 1..=u32::MAX), (second, [0, 0, 0, 1], 0..=LEFT - 1)]
    {
        assert!(finds.iter().all(|found| found.extranonce2 == extranonce2));
        let headers: HashSet<_> =
            finds.iter().map(|found| (found.header.nonce, found.header.version)).collect();
        assert_eq!(headers.len(), places, "none twice");
        assert!(headers.iter().all(|(nonce, _)| nonces.contains(nonce)));
    }
}

/// A job with nothing left to search parks the threads; the next one wakes them.
#[test]
fn the_end_of_the_space_is_no_end_of_the_engine() {
    const LEFT: u32 = 7;
    let small = Job { extranonce2_len: 0, version_mask: 0, ..Job::clone(&job("a", 1, Target::MAX)) };
    let small = Arc::new(small);
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(3, 1.0)).expect("threads");
    let search = engine.searches.of(&small);
    let claimed: Vec<_> = std::iter::from_fn(|| search.claim()).collect();
    assert_eq!(claimed.len() as u32, NTIME_SPAN + 1);
    for piece in &claimed {
        search.give_back(UnitRemainder { cursor: Cursor::at_nonce(u32::MAX - LEFT + 1), ..*piece });
    }
    engine.mine(small);
    let finds = take(&mut found, LEFT as usize * claimed.len());
    let headers: HashSet<_> = finds.iter().map(|found| (found.header.ntime, found.header.nonce)).collect();
    assert_eq!(headers.len(), finds.len(), "none twice");
    assert!(headers.iter().all(|(ntime, _)| (1_700_000_000..=1_700_000_000 + NTIME_SPAN).contains(ntime)));
    let next = engine.mine(job("b", 2, Target::MAX));
    assert!(take(&mut found, 100).iter().all(|found| found.generation == next), "the first was used up");
}

/// Else a thread that has used a job up would look at it for ever instead of being parked.
#[test]
fn a_thread_waits_for_another_job_than_the_last() {
    let (mut engine, _found) = Engine::start(Backend::portable(), &plan(1, 1.0)).expect("threads");
    let mut seen = engine.mine(job("0", 0, Target::ZERO));
    for id in 1..20 {
        let (shared, (waits, waiting)) = (engine.shared.clone(), std::sync::mpsc::channel());
        let thread = std::thread::spawn(move || {
            waits.send(()).expect("somebody listens");
            shared.wait(seen).map(|thread_job| thread_job.generation)
        });
        waiting.recv().expect("it waits");
        let next = engine.mine(job(&id.to_string(), id, Target::ZERO));
        assert_eq!(thread.join().expect("no panic"), Some(next));
        seen = next;
    }
}

#[test]
fn parked_threads_hash_nothing() {
    let (mut engine, mut found) = Engine::start(Backend::portable(), &plan(2, 1.0)).expect("threads");
    let counters = engine.counters();
    assert_eq!(counters.hashes(), 0, "no job, no hashes");
    engine.mine(job("j", 1, Target::MAX));
    take(&mut found, 100);
    engine.pause();
    // All that a thread still had in hand comes out; then the queue stays empty.
    let started = Instant::now();
    let mut last = (0, Instant::now());
    while last.1.elapsed() < Duration::from_millis(100) {
        assert!(started.elapsed() < DEADLINE, "the threads do not rest");
        if counters.hashes() != last.0 {
            last = (counters.hashes(), Instant::now());
        }
        while found.try_recv().is_ok() {}
        std::thread::sleep(Duration::from_millis(1));
    }
}

proptest! {
    /// Threads that claim pieces and give back the rest at random: in the end each place was searched once.
    #[test]
    fn claims_and_returns_cover_the_space_once(steps in prop::collection::vec((0usize..4, 0u32..4), 0..200)) {
        let small = Job { extranonce2_len: 0, version_mask: 0, ..Job::clone(&job("a", 1, Target::MAX)) };
        let search = JobSearches::default().of(&Arc::new(small));
        // A unit is four places long here; a piece's cursor says how many of them are done.
        let mut done = HashSet::new();
        let mut threads: [Option<UnitRemainder>; 4] = [None; 4];
        let mut mark = |piece: UnitRemainder, places: u32| {
            let from = piece.cursor.nonce();
            let to = (from + places).min(4);
            (from..to).for_each(|place| assert!(done.insert((piece.unit, place)), "searched twice"));
            to
        };
        for (thread, places) in steps {
            match threads[thread].take() {
                None => threads[thread] = search.claim(),
                Some(piece) => {
                    let to = mark(piece, places);
                    if to < 4 {
                        search.give_back(UnitRemainder { cursor: Cursor::at_nonce(to), ..piece });
                    }
                }
            }
        }
        for piece in threads.into_iter().flatten().chain(std::iter::from_fn(|| search.claim())) {
            mark(piece, 4);
        }
        prop_assert_eq!(done.len() as u64, 4 * search.space().units());
    }
}
