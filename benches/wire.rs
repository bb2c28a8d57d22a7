//! Decoding of network input: Mesos' RecordIO records and Stratum's lines.
//!
//! `cargo bench --bench wire`

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hasher::CompactTarget;
use mesos::recordio::{RecordReader, encode};
use stratum::message::{Notification, Request, Submit};
use stratum::{Id, Message, Notify};

/// The number of bytes that the reader receives at a time.
const PIECE: usize = 16 << 10;

fn recordio(c: &mut Criterion) {
    let mut group = c.benchmark_group("recordio");
    for size in [100, 1 << 10, 1 << 20] {
        let stream: Vec<u8> =
            std::iter::repeat_n(encode(&vec![0; size]), (1 << 20) / size).flatten().collect();
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_with_input(BenchmarkId::new("bytes per record", size), &stream, |b, stream| {
            b.iter(|| {
                let mut reader = RecordReader::default();
                let mut records = 0;
                for piece in stream.chunks(PIECE) {
                    reader.push(black_box(piece));
                    while let Some(record) = reader.next().expect("RecordIO") {
                        black_box(record);
                        records += 1;
                    }
                }
                assert_eq!(records, (1 << 20) / size);
            });
        });
    }
    group.finish();
}

fn notify() -> Notify {
    Notify {
        job: "1a2b".to_owned(),
        prev_hash: [7; 32],
        coinb1: vec![1; 60],
        coinb2: vec![2; 160],
        branch: (0..12).map(|level| [level; 32]).collect(),
        version: 0x2000_0000,
        nbits: CompactTarget(0x1703_4219),
        ntime: 1_700_000_000,
        clean: Some(true),
    }
}

fn submit() -> Submit {
    Submit {
        user: "worker.1".to_owned(),
        job: "1a2b".to_owned(),
        extranonce2: vec![3; 8],
        ntime: 1_700_000_000,
        nonce: 0x1234_5678,
        version_bits: Some(0x0002_e000),
    }
}

fn stratum_lines(c: &mut Criterion) {
    let mut group = c.benchmark_group("stratum line");
    let line = Message::from(notify().to_call()).to_line();
    group.throughput(Throughput::Bytes(line.len() as u64));
    group.bench_function("notify", |b| {
        b.iter(|| match Message::from_line(black_box(&line)) {
            Ok(Message::Call(call)) => Notification::from_call(&call).expect("a notification"),
            other => panic!("no call: {other:?}"),
        });
    });
    let line = Message::from(Request::Submit(submit()).to_call(Id::Number(7))).to_line();
    group.throughput(Throughput::Bytes(line.len() as u64));
    group.bench_function("submit", |b| {
        b.iter(|| match Message::from_line(black_box(&line)) {
            Ok(Message::Call(call)) => Request::from_call(&call).expect("a request"),
            other => panic!("no call: {other:?}"),
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = recordio, stratum_lines
}
criterion_main!(benches);
