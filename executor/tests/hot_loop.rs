//! The mining threads allocate memory only for shares and changes of job.
//!
//! This is a separate test program because it counts the allocations of the whole process.

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

/// The number of hashes to wait for.
const HASHES: u128 = 1 << 21;
const TIMEOUT: Duration = Duration::from_secs(300);

/// Waits until `hashes` more hashes are computed, without allocating.
fn wait_for(counters: &Counters, hashes: u128) {
    let (goal, start) = (counters.hashes() + hashes, Instant::now());
    while counters.hashes() < goal {
        assert!(start.elapsed() < TIMEOUT, "the engine does not hash");
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
        assert!(all.change().allocations > 0, "a new job allocates, so the counter works");

        let search = Region::new(ALLOCATOR);
        wait_for(&counters, HASHES);
        let done = search.change();
        let counts = (done.allocations, done.reallocations, done.deallocations);
        assert_eq!(counts, (0, 0, 0), "{}, {request:?}", backend.name());
    }
}
