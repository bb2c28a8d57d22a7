//! The engine around the search: how it scales with threads, the cost of a job before its first hash, and a change of job.
//!
//! Run with `cargo bench --bench engine`. `hasher`'s bench `job` measures midstates for k versions, and
//! `cargo bench --bench whole_miner` measures the whole miner.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use executor::engine::Engine;
use executor::engine::cpus::{CpuLimits, CpuRequest, allocate};
use hasher::{Backend, CALIBRATION_TIME, calibrate};
use stratum::job::merkle_root;

#[path = "shared/job.rs"]
mod job;

use job::sample_job;

/// The number of hashes in one iteration of the scaling bench. One thread computes them in a few milliseconds.
const BATCH: u64 = 1 << 20;
/// How long this bench sleeps between two reads of the engine's hash counters. Frequent reads would take CPU time from the mining
/// threads.
const LOOK: Duration = Duration::from_millis(2);

fn fastest() -> Backend {
    calibrate(CALIBRATION_TIME).choice().rolled
}

/// Starts an engine with this many mining threads, as `mine -t` does.
fn engine(backend: Backend, threads: NonZeroUsize) -> Engine {
    let request = CpuRequest { threads: Some(threads.get()), ..CpuRequest::default() };
    let plan = allocate(&request, &CpuLimits::of_this_process()).expect("a number of threads");
    // No hash meets the target zero, so nothing is found, and the channel needs no reader.
    Engine::start(backend, &plan).expect("threads").0
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The numbers of threads to measure: 1, 2, 4 …, and the number of cores.
fn thread_counts() -> Vec<NonZeroUsize> {
    let powers = std::iter::successors(Some(NonZeroUsize::MIN), |n| n.checked_mul(NonZeroUsize::new(2)?));
    let mut counts: Vec<_> = powers.take_while(|n| *n < cores()).collect();
    counts.push(cores());
    counts
}

fn thread_scaling(c: &mut Criterion) {
    let backend = fastest();
    let mut group = c.benchmark_group("threads");
    group.throughput(Throughput::Elements(BATCH));
    for threads in thread_counts() {
        let mut engine = engine(backend, threads);
        let counters = engine.counters();
        engine.mine(sample_job(0, 12));
        group.bench_function(BenchmarkId::from_parameter(threads), |b| {
            b.iter_custom(|iterations| {
                let wanted = u128::from(iterations * BATCH);
                let (before, start) = (counters.hashes(), Instant::now());
                loop {
                    std::thread::sleep(LOOK);
                    let (done, time) = (counters.hashes() - before, start.elapsed());
                    if done >= wanted {
                        return time.mul_f64(wanted as f64 / done as f64);
                    }
                }
            });
        });
    }
    group.finish();
}

/// The time from the call until the slowest thread has finished its first chunk of the new job. The chunk itself takes 15 to
/// 40 µs.
fn job_switch(c: &mut Criterion) {
    let mut engine = engine(fastest(), cores());
    let counters = engine.counters();
    let mut id = 0;
    c.bench_function("job switch, all threads", |b| {
        b.iter_custom(|iterations| {
            let mut sum = Duration::ZERO;
            for _ in 0..iterations {
                id += 1;
                let job = sample_job(id, 12);
                let start = Instant::now();
                let generation = engine.mine(job);
                while counters.switches().any(|(seen, _)| seen != generation) {
                    std::thread::sleep(LOOK);
                }
                sum += counters.switches().map(|(_, at)| at - start).max().unwrap_or_default();
            }
            sum
        });
    });
}

fn building(c: &mut Criterion) {
    let mut group = c.benchmark_group("coinbase to header");
    for depth in [0, 4, 12] {
        let job = sample_job(0, depth);
        group.bench_function(BenchmarkId::new("branch", depth), |b| {
            b.iter(|| job.header(black_box(&[3; 8]), job.ntime, job.version));
        });
    }
    group.finish();
    let job = sample_job(0, 12);
    let mut group = c.benchmark_group("merkle root");
    group.throughput(Throughput::Elements(12));
    group.bench_function(BenchmarkId::new("branch", 12), |b| {
        b.iter(|| merkle_root(black_box([9; 32]), &job.branch));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = thread_scaling, job_switch, building
}
criterion_main!(benches);
