//! Every backend finds exactly the same hits as the portable one, wherever a search starts and ends.
//!
//! Backends that the CPU does not support are printed as skipped. The backends named in HASHER_REQUIRE (such as
//! `avx2,sha-ni,avx512`) must be supported. HASHER_CASES sets the number of random cases.

use std::io::Write;

use hasher::{
    Backend, BackendError, CompactTarget, Cursor, Digest, Header, Hit, HitBuffer, MAX_VERSIONS, Target, Work,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// The backends that run on this CPU, without the portable one.
fn backends() -> Vec<Backend> {
    Backend::available().filter(|backend| *backend != Backend::portable()).collect()
}

/// Returns all hits from a cursor to the end of the work, and the number of hashes. `leave_in_buffer` hits may stay in the buffer
/// between scans.
fn search(backend: Backend, work: &Work, start: Cursor, leave_in_buffer: usize) -> (Vec<Hit>, u64) {
    let (mut buffer, mut hits, mut hashes) = (HitBuffer::new(), Vec::new(), 0);
    let (mut next, mut seen) = (Some(start), 0);
    while let Some(from) = next {
        let progress = backend.scan(work, from, &mut buffer);
        assert!(progress.next != Some(from) || buffer.is_full(), "a scan with room in its buffer goes on");
        assert!(progress.next.is_none_or(|next| next >= from), "a cursor never goes back");
        hits.extend(buffer.iter().skip(seen));
        seen = buffer.len();
        if buffer.is_full() || seen > leave_in_buffer {
            buffer.clear();
            seen = 0;
        }
        hashes += progress.hashes;
        next = progress.next;
    }
    (hits, hashes)
}

#[derive(Clone, Debug)]
struct Case {
    header: [u8; 80],
    versions: Vec<u32>,
    start: u32,
    nonces: u64,
    /// The difficulty of the target is 2^−bits. At one end of the range a hit is unlikely; at the other end hits fill the buffer.
    bits: i32,
    leave_in_buffer: usize,
}

impl Case {
    fn work(&self) -> Work {
        let header = Header::from_bytes(&self.header);
        let target =
            if self.bits > 32 { Target::MAX } else { Target::from_difficulty(2f64.powi(-self.bits)) };
        let work = Work::new(&header, &self.versions, &target).unwrap();
        work.with_end(u64::from(self.start) + self.nonces)
    }

    fn check(&self, backend: Backend) {
        let (work, start) = (self.work(), Cursor::at_nonce(self.start));
        let found = search(backend, &work, start, self.leave_in_buffer);
        let expected = search(Backend::portable(), &work, start, 0);
        assert_eq!(found, expected, "{backend}");
        let positions = (work.end() - u64::from(self.start)) * self.versions.len() as u64;
        assert_eq!(found.1, positions, "{backend}: each position once");
    }
}

fn starts() -> impl Strategy<Value = u32> {
    // Vector code is likely to fail at carries into each byte, at the sign bit, and at the end of the search space.
    prop_oneof![
        any::<u32>(),
        0x7fff_ff00u32..=0x8000_0000,
        0xffff_fe00u32..=u32::MAX,
        0x00ff_ff80u32..0x0100_0000,
        0u32..200
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let header = proptest::array::uniform32(any::<u8>())
        .prop_map(|seed| std::array::from_fn(|i| seed[i % 32].wrapping_mul(i as u8 | 1)));
    let versions = proptest::collection::hash_set(any::<u32>(), 1..=MAX_VERSIONS)
        .prop_map(|versions| versions.into_iter().collect::<Vec<u32>>());
    let bits = prop_oneof![20..=33i32, Just(24), Just(28)];
    (header, versions, starts(), 0u64..700, bits, 0usize..=HitBuffer::CAPACITY).prop_map(
        |(header, versions, start, nonces, bits, leave_in_buffer)| Case {
            header,
            versions,
            start,
            nonces,
            bits,
            leave_in_buffer,
        },
    )
}

#[test]
fn random_work() {
    let cases_wanted =
        std::env::var("HASHER_CASES").map_or(96, |n| n.parse().expect("HASHER_CASES is a number"));
    let config = Config { cases: cases_wanted, failure_persistence: None, ..Config::default() };
    for backend in backends() {
        TestRunner::new(config.clone())
            .run(&cases(), |case| {
                case.check(backend);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{backend}: {error}"));
    }
}

/// Tests each number of versions. The searches cross the end of a chunk and find several hits in each vector.
#[test]
fn every_number_of_versions() {
    for backend in backends() {
        for count in 1..=MAX_VERSIONS as u32 {
            let versions = (0..count).map(|i| 0x2000_0000 | i << 13).collect();
            let case = Case {
                header: Header { ntime: count, ..Header::genesis() }.to_bytes(),
                versions,
                start: 0x7fff_ff00 + count,
                nonces: 2500 / u64::from(count) + 100,
                bits: 28,
                leave_in_buffer: 7,
            };
            case.check(backend);
        }
    }
}

/// A search of 2^24 nonces finds all hits that the `sha2` crate finds.
#[test]
fn two_to_the_24_nonces() {
    let target = Target::from_difficulty(2f64.powi(-20));
    let header = Header::genesis();
    let start = 0x8000_0000 - (1 << 23) + 5;
    let end = start + (1 << 24);
    let expected: Vec<Hit> = by_sha2(&header, start..end)
        .filter(|(_, digest)| target.is_met_by(digest))
        .map(|(nonce, _)| Hit { version: header.version, nonce })
        .collect();
    // The expected number of hits is 2^12, and 6 standard deviations are 384.
    assert!(expected.len().abs_diff(1 << 12) < 384, "{} hits", expected.len());
    let rolled = [header.version, 0x2000_0000, 0x2000_2000, 0x2000_4000];
    for backend in backends() {
        for versions in [&rolled[..1], &rolled] {
            let work = Work::new(&header, versions, &target).unwrap().with_end(end.into());
            let (mut hits, hashes) = search(backend, &work, Cursor::at_nonce(start), 0);
            assert_eq!(hashes, versions.len() as u64 * (1 << 24));
            hits.retain(|hit| hit.version == header.version);
            assert!(hits == expected, "{backend}: {} hits, not {}", hits.len(), expected.len());
        }
    }
}

/// The digests of a header with each nonce of a range.
fn by_sha2(header: &Header, nonces: std::ops::Range<u32>) -> impl Iterator<Item = (u32, Digest)> {
    use sha2::{Digest as _, Sha256};
    let bytes = header.to_bytes();
    let start = Sha256::new_with_prefix(&bytes[..76]);
    nonces.map(move |nonce| {
        let first = start.clone().chain_update(nonce.to_le_bytes()).finalize();
        (nonce, Digest::from_bytes(Sha256::digest(first).into()))
    })
}

/// The candidate mask checks only leading zeros. For this target, half of the hashes that pass the mask do not meet the
/// target.
#[test]
fn only_what_meets_the_target_is_a_hit() {
    let target = Target::from_difficulty(1.9 * 2f64.powi(-27));
    let header = Header::genesis();
    let expected: Vec<Hit> = by_sha2(&header, 0..5000)
        .filter(|(_, digest)| target.is_met_by(digest))
        .map(|(nonce, _)| Hit { version: header.version, nonce })
        .collect();
    assert!((40..130).contains(&expected.len()), "82 hits expected, not {}", expected.len());
    let work = Work::new(&header, &[header.version], &target).unwrap().with_end(5000);
    for backend in Backend::available() {
        assert_eq!(search(backend, &work, Cursor::default(), 0).0, expected, "{backend}");
    }
}

/// With a target that every hash meets, each position becomes a hit, in order.
#[test]
fn a_full_buffer_loses_nothing() {
    let versions = [7, 5, 6];
    let work = Work::new(&Header::genesis(), &versions, &Target::MAX).unwrap().with_end(0x8000_0020);
    for backend in Backend::available() {
        let (hits, hashes) = search(backend, &work, Cursor::at_nonce(0x7fff_fff0), 0);
        let every =
            (0x7fff_fff0u32..0x8000_0020).flat_map(|nonce| versions.map(|version| Hit { version, nonce }));
        assert_eq!((hits, hashes), (every.collect(), 3 * 0x30), "{backend}");

        let mut full = HitBuffer::new();
        let stopped = backend.scan(&work, Cursor::at_nonce(0x7fff_fff0), &mut full);
        assert_eq!(
            (stopped.hashes, full.len(), full.is_full()),
            (32, HitBuffer::CAPACITY, true),
            "{backend}"
        );
        let again = backend.scan(&work, stopped.next.unwrap(), &mut full);
        assert_eq!((again.hashes, again.next), (0, stopped.next), "{backend}: no room, no progress");
    }
}

/// Half of all hashes meet the target of regtest.
#[test]
fn regtest() {
    let target = Target::from_compact(CompactTarget(0x207f_ffff)).unwrap();
    let work = Work::new(&Header::genesis(), &[0x2000_0000], &target).unwrap().with_end(2000);
    for backend in Backend::available() {
        let (hits, hashes) = search(backend, &work, Cursor::default(), 0);
        assert_eq!(hashes, 2000);
        assert!((850..1150).contains(&hits.len()), "{backend}: {}", hits.len());
        assert!(hits.iter().all(|hit| target.is_met_by(&work.digest(*hit))));
    }
}

#[test]
fn searches_at_the_ends_of_the_space_have_defined_results() {
    let impossible = Work::new(&Header::genesis(), &[1, 2], &Target::ZERO).unwrap();
    for backend in Backend::available() {
        let mut hits = HitBuffer::new();
        let mut scan = |work: &Work, from| backend.scan(work, from, &mut hits);
        let empty = scan(&impossible.clone().with_end(0), Cursor::default());
        assert_eq!((empty.hashes, empty.next), (0, None), "{backend}: an empty range");
        let behind = scan(&impossible.clone().with_end(5), Cursor::at_nonce(9));
        assert_eq!((behind.hashes, behind.next), (0, None), "{backend}: a start after the end");
        let last = scan(&impossible, Cursor::at_nonce(u32::MAX));
        assert_eq!((last.hashes, last.next), (2, None), "{backend}: the last nonce");
        assert!(scan(&impossible, Cursor::default()).hashes > 0);
        assert!(hits.is_empty(), "{backend}: nothing meets a target of zero");
    }
}

/// If a cursor has a version index that the work does not have, the scan continues with the next nonce.
#[test]
fn a_cursor_of_other_work_skips_no_nonce() {
    let work = |versions: &[u32]| Work::new(&Header::genesis(), versions, &Target::MAX).unwrap();
    let many: Vec<u32> = (0..MAX_VERSIONS as u32).collect();
    for backend in Backend::available() {
        let mut full = HitBuffer::new();
        let between = backend.scan(&work(&many), Cursor::at_nonce(6), &mut full).next.unwrap();
        assert_eq!(between.nonce(), 7, "{backend}: between two versions of one nonce");
        let mut hits = HitBuffer::new();
        backend.scan(&work(&[1, 2]), between, &mut hits);
        assert_eq!(hits.iter().next(), Some(Hit { version: 1, nonce: 8 }), "{backend}");
    }
}

#[test]
fn every_backend_passes_its_self_test() {
    for backend in Backend::available() {
        assert_eq!(backend.self_test(), Ok(()));
    }
}

/// Prints to stderr directly, because the test harness hides the output of `print!` in tests that pass.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("stderr is writable");
}

#[test]
fn required_backends_are_available() {
    for name in Backend::names() {
        match Backend::named(name) {
            Ok(backend) => say(&format!("tested: backend {backend}")),
            Err(error @ BackendError::Unavailable { .. }) => say(&format!("skipped: {error}")),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    let required = std::env::var("HASHER_REQUIRE").unwrap_or_default();
    for name in required.split(',').filter(|name| !name.is_empty()) {
        if let Err(error) = Backend::named(name.trim()) {
            panic!("HASHER_REQUIRE asks for {name}: {error}");
        }
    }
}
