//! While nothing is found and no job comes, the mining threads allocate nothing.
//!
//! A program of its own with one test, since what is counted is counted of the whole process.

use std::alloc::System;
use std::time::{Duration, Instant};

use executor::engine::cpus::{CpuLimits, CpuRequest, allocate};
use executor::engine::{Counters, Engine};
use hasher::Backend;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "../../benches/shared/job.rs"]
mod job;

use job::sample_job;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Some hundred chunks of the search, and far fewer hashes than a unit of it has.
const HASHES: u128 = 1 << 21;
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until so many more hashes are done, without an allocation of its own.
fn wait_for(counters: &Counters, hashes: u128) {
    let (goal, start) = (counters.hashes() + hashes, Instant::now());
    while counters.hashes() < goal {
        assert!(start.elapsed() < PATIENCE, "the engine does not hash");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_search_allocates_nothing() {
    let half = CpuRequest { cpus: Some(0.5), ..CpuRequest::default() };
    let two = CpuRequest { threads: Some(2), ..CpuRequest::default() };
    for (backend, request) in Backend::available().flat_map(|b| [(b, half.clone()), (b, two.clone())]) {
        let allocate = allocate(&request, &CpuLimits::of_this_process()).expect("a number of threads");
        let (mut engine, _found) = Engine::start(backend, &allocate).expect("threads");
        let counters = engine.counters();
        let all = Region::new(ALLOCATOR);
        engine.mine(sample_job(0, 12));
        wait_for(&counters, HASHES);
        assert!(all.change().allocations > 0, "a job is built on the heap, or nothing is counted here");

        let search = Region::new(ALLOCATOR);
        wait_for(&counters, HASHES);
        let done = search.change();
        let counts = (done.allocations, done.reallocations, done.deallocations);
        assert_eq!(counts, (0, 0, 0), "{}, {request:?}", backend.name());
    }
}
