//! What a new job costs before the first hash: midstates for k versions and the folded constants.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hasher::{Header, Target, Work};

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

criterion_group!(benches, build_work, targets);
criterion_main!(benches);
