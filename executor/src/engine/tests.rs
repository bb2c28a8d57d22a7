use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hasher::{Backend, Cursor, Header, Target};
use proptest::prelude::*;
use stratum::Job;

use super::cpus::CpuPlan;
use super::search::{Piece, Searches};
use super::{Engine, Found};

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

fn plan(threads: usize, duty: f64) -> CpuPlan {
    CpuPlan { threads: NonZeroUsize::new(threads).expect("at least one"), duty, pins: Vec::new() }
}

/// Takes `n` finds.
fn take(found: &mut tokio::sync::mpsc::Receiver<Found>, n: usize) -> Vec<Found> {
    (0..n).map(|_| found.blocking_recv().expect("the engine runs")).collect()
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
    let mut searches = Searches::default();
    let first = searches.of(&job("a", 1, Target::MAX));
    assert!(Arc::ptr_eq(&first, &searches.of(&job("other name", 1, Target::ZERO))));
    assert!(!Arc::ptr_eq(&first, &searches.of(&job("a", 2, Target::MAX))));
    assert!(Arc::ptr_eq(&first, &searches.of(&job("a", 1, Target::MAX))), "remembered");
}

#[test]
fn another_mask_goes_on_behind_what_was_taken() {
    let mut searches = Searches::default();
    let first = searches.of(&job("a", 1, Target::MAX));
    let taken: Vec<_> = (0..5).filter_map(|_| first.claim()).collect();
    let masked = Arc::new(Job { version_mask: 0x0000_e000, ..Job::clone(&job("a", 1, Target::MAX)) });
    let second = searches.of(&masked);
    assert!(!Arc::ptr_eq(&first, &second));
    let next = second.claim().expect("a large space");
    assert!(taken.iter().all(|piece| piece.unit < next.unit));
    // Back again, behind what was taken meanwhile.
    let again = searches.of(&job("a", 1, Target::MAX));
    assert!(Arc::ptr_eq(&first, &again));
    assert!(again.claim().is_some_and(|piece| piece.unit > next.unit));
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
        let search = Searches::default().of(&Arc::new(small));
        // A unit is four places long here; a piece's cursor says how many of them are done.
        let mut done = HashSet::new();
        let mut threads: [Option<Piece>; 4] = [None; 4];
        let mut mark = |piece: Piece, places: u32| {
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
                        search.give_back(Piece { cursor: Cursor::at_nonce(to), ..piece });
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
