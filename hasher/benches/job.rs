//! Measures the work before the first hash: midstates and constants for each job, self-tests and calibration for each process.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hasher::{Backend, CALIBRATION_TIME, Header, Target, Work, calibrate};

fn build_work(c: &mut Criterion) {
    let header = Header::genesis();
    let target = Target::from_difficulty(1.0);
    let mut group = c.benchmark_group("build work");
    for count in [1, 4, 8, 24] {
        let versions: Vec<u32> = (0..count).map(|i| 0x2000_0000 | i << 13).collect();
        group.bench_with_input(BenchmarkId::new("versions", count), &versions, |b, versions| {
            b.iter(|| Work::new(black_box(&header), versions, &target));
        });
    }
    group.finish();
}

fn targets(c: &mut Criterion) {
    c.bench_function("target from difficulty", |b| b.iter(|| Target::from_difficulty(black_box(1234.5))));
    c.bench_function("header digest", |b| b.iter(|| black_box(Header::genesis()).digest()));
}

fn start(c: &mut Criterion) {
    let mut group = c.benchmark_group("start");
    group.sample_size(10);
    group.bench_function("self-tests", |b| {
        b.iter(|| Backend::available().all(|backend| backend.self_test().is_ok()))
    });
    group.bench_function("calibration", |b| b.iter(|| calibrate(CALIBRATION_TIME)));
    group.finish();
}

criterion_group!(benches, build_work, targets, start);
criterion_main!(benches);
