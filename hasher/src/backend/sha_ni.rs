//! One nonce a stream, four streams: the SHA extensions of x86, which do two rounds in one instruction.
//!
//! The instruction for two rounds has a latency of twice its throughput or more, so streams run side by side until
//! its unit is never idle: two are not enough, and six give nothing more. Words come in groups of four, and so do
//! rounds here.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // An index stands for a stream in several arrays at once.

use std::arch::x86_64::*;

use super::Entry;
use super::unroll::unroll;
use crate::Work;
use crate::fold::{FoldedRounds, FoldedSchedule};
use crate::hit::Memory;
use crate::sha256::{DIGEST_BITS, HEADER_BITS, IV, K, PAD, small_sigma0};

pub(super) const ENTRY: Entry = Entry {
    name: "sha-ni",
    lanes: 1,
    // Not for its vectors: with it, instructions name their result, which saves moves.
    features: &["sha_ni", "avx"],
    available: || is_x86_feature_detected!("sha") && is_x86_feature_detected!("avx"),
    items: |versions| STREAMS * (600 / (STREAMS * versions)),
    search,
};

const STREAMS: usize = 4;

/// K + W of the rounds of hash 1 for one nonce, in groups of four.
type Schedule = [__m128i; 16];

/// The working variables as the instructions want them, the first named in the highest lane.
#[derive(Clone, Copy)]
struct State {
    abef: __m128i,
    cdgh: __m128i,
}

/// What is constant for a version.
#[derive(Clone, Copy)]
struct Version {
    midstate: State,
    /// The state after round 1; the nonce enters in round 3.
    state_1: State,
}

/// See `Search` for what it does.
///
/// # Safety
/// The CPU must have the features of the entry.
unsafe fn search(work: &Work, first: u32, _memory: &mut Memory, candidates: &mut [u16]) -> bool {
    // SAFETY: the caller checked the features.
    unsafe { search_enabled(work, first, candidates) }
}

#[target_feature(enable = "sha,avx")]
fn search_enabled(work: &Work, first: u32, candidates: &mut [u16]) -> bool {
    if let [rounds] = work.rounds() {
        return search_single(work, &Version::new(rounds), first, candidates);
    }
    let count = work.rounds().len();
    let mut versions = [Version::new(&work.rounds()[0]); crate::MAX_VERSIONS];
    for (version, rounds) in versions.iter_mut().zip(work.rounds()) {
        *version = Version::new(rounds);
    }
    let mut schedules = empty_schedules();
    let mut nonce = first;
    let mut any = false;
    for candidates in candidates.chunks_exact_mut(STREAMS * count) {
        schedule(work.schedule(), nonce, &mut schedules);
        nonce = nonce.wrapping_add(STREAMS as u32);
        // Where the next item is in the rectangle of nonces and versions; four nonces fill the streams for any count.
        // Written out: with functions for this and for the marking below, the search was seen to take a seventh longer.
        let (mut row, mut column) = (0, 0);
        for candidates in candidates.as_chunks_mut::<STREAMS>().0 {
            let mut items = [(&versions[0], &schedules[0]); STREAMS];
            for item in &mut items {
                *item = (&versions[column], &schedules[row]);
                column += 1;
                if column == count {
                    (row, column) = (row + 1, 0);
                }
            }
            let last = last_words(items);
            for (candidate, last) in candidates.iter_mut().zip(last) {
                let found = last & work.candidate_mask() == 0;
                *candidate = u16::from(found);
                any |= found;
            }
        }
    }
    any
}

/// Hashes a chunk under one version: no two items share a schedule, so each computes its own between its rounds.
#[target_feature(enable = "sha,avx")]
fn search_single(work: &Work, version: &Version, first: u32, candidates: &mut [u16]) -> bool {
    let (mut nonce, mut any) = (first, false);
    for candidates in candidates.as_chunks_mut::<STREAMS>().0 {
        let last = last_words_single(work.schedule(), version, nonce);
        nonce = nonce.wrapping_add(STREAMS as u32);
        for (candidate, last) in candidates.iter_mut().zip(last) {
            let found = last & work.candidate_mask() == 0;
            *candidate = u16::from(found);
            any |= found;
        }
    }
    any
}

impl State {
    #[target_feature(enable = "avx")]
    #[inline]
    fn new([a, b, c, d, e, f, g, h]: [u32; 8]) -> State {
        State { abef: words([f, e, b, a]), cdgh: words([h, g, d, c]) }
    }
}

impl Version {
    #[target_feature(enable = "avx")]
    #[inline]
    fn new(folded: &FoldedRounds) -> Version {
        Version { midstate: State::new(folded.midstate), state_1: State::new(folded.state_1) }
    }
}

/// Four words, the first in the lowest lane.
#[target_feature(enable = "avx")]
#[inline]
fn words([w0, w1, w2, w3]: [u32; 4]) -> __m128i {
    _mm_set_epi32(w3 as i32, w2 as i32, w1 as i32, w0 as i32)
}

/// The round constants of a group of four rounds.
#[target_feature(enable = "avx")]
#[inline]
fn constants(group: usize) -> __m128i {
    words(std::array::from_fn(|i| K[4 * group + i]))
}

/// The next four words of a schedule after sixteen, of which `m[0]` are the first four.
#[target_feature(enable = "sha,avx")]
#[inline]
fn next_words(m0: __m128i, m1: __m128i, m2: __m128i, m3: __m128i) -> __m128i {
    let with_seventh = _mm_add_epi32(_mm_sha256msg1_epu32(m0, m1), _mm_alignr_epi8::<4>(m3, m2));
    _mm_sha256msg2_epu32(with_seventh, m3)
}

/// Two rounds for each stream, whose K + W are in the lower half of `k_plus_w`.
#[target_feature(enable = "sha,avx")]
#[inline]
fn two_rounds(states: &mut [State; STREAMS], k_plus_w: [__m128i; STREAMS]) {
    for s in 0..STREAMS {
        let State { abef, cdgh } = states[s];
        states[s] = State { abef: _mm_sha256rnds2_epu32(cdgh, abef, k_plus_w[s]), cdgh: abef };
    }
}

/// Four rounds for each stream.
#[target_feature(enable = "sha,avx")]
#[inline]
fn four_rounds(states: &mut [State; STREAMS], mut k_plus_w: [__m128i; STREAMS]) {
    two_rounds(states, k_plus_w);
    for upper in &mut k_plus_w {
        *upper = _mm_shuffle_epi32::<0b_00_00_11_10>(*upper);
    }
    two_rounds(states, k_plus_w);
}

/// Words 4 to 15 of the second block of a header, in groups of four.
const PADDING: [[u32; 4]; 3] = [[PAD, 0, 0, 0], [0; 4], [0, 0, 0, HEADER_BITS]];

/// Makes schedules in which the groups that do not depend on the nonce are ready.
#[target_feature(enable = "sha,avx")]
#[inline]
fn empty_schedules() -> [Schedule; STREAMS] {
    let mut schedule = [_mm_setzero_si128(); 16];
    for (i, padding) in PADDING.into_iter().enumerate() {
        schedule[1 + i] = _mm_add_epi32(words(padding), constants(1 + i));
    }
    [schedule; STREAMS]
}

/// What is constant in groups 5 and 7 of the schedule of hash 1.
struct Terms {
    group_5: __m128i,
    group_7: __m128i,
}

impl Terms {
    #[target_feature(enable = "avx")]
    #[inline]
    fn new(folded: &FoldedSchedule) -> Terms {
        let group_5 = words([PAD, 0, HEADER_BITS, folded.w16]);
        Terms { group_5, group_7: words([0, 0, const { small_sigma0(HEADER_BITS) }, folded.w31]) }
    }
}

/// Words 0 to 3 of the second block of a header.
#[target_feature(enable = "avx")]
#[inline]
fn nonce_words(folded: &FoldedSchedule, nonce: u32) -> __m128i {
    let [w0, w1, w2] = folded.tail;
    // The header is little-endian, SHA-256 reads big-endian words.
    words([w0, w1, w2, nonce.swap_bytes()])
}

/// Group G of the schedule of hash 1, of those that depend on the nonce: 4 to 15.
///
/// It is σ1(…) of the group before, an instruction of its own that takes the sum of the other three terms: w_t−16 +
/// σ0(w_t−15), an instruction as well, and w_t−7. In groups 4 to 7 some of them are constant.
#[target_feature(enable = "sha,avx")]
#[inline]
fn header_words<const G: usize>(terms: &Terms, m: &[__m128i; 16]) -> __m128i {
    match G {
        4 => _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(m[0], words(PADDING[0])), words(PADDING[2])),
        5 => _mm_sha256msg2_epu32(terms.group_5, m[4]),
        6 => _mm_sha256msg2_epu32(_mm_alignr_epi8::<4>(m[5], m[4]), m[5]),
        7 => _mm_sha256msg2_epu32(_mm_add_epi32(terms.group_7, _mm_alignr_epi8::<4>(m[6], m[5])), m[6]),
        _ => next_words(m[G - 4], m[G - 3], m[G - 2], m[G - 1]),
    }
}

/// Computes the rest of the schedules of hash 1 for four nonces.
#[target_feature(enable = "sha,avx")]
#[inline]
fn schedule(folded: &FoldedSchedule, first: u32, schedules: &mut [Schedule; STREAMS]) {
    let terms = Terms::new(folded);
    let mut m = [[_mm_setzero_si128(); 16]; STREAMS];
    for s in 0..STREAMS {
        m[s][0] = nonce_words(folded, first.wrapping_add(s as u32));
        schedules[s][0] = _mm_add_epi32(m[s][0], constants(0));
    }
    unroll!(G in 4 5 6 7 8 9 10 11 12 13 14 15 => {
        for s in 0..STREAMS {
            m[s][G] = header_words::<G>(&terms, &m[s]);
            schedules[s][G] = _mm_add_epi32(m[s][G], constants(G));
        }
    });
}

/// Hashes one item in each stream; returns the last words of the hashes.
///
/// Not inlined: as a part of something larger, the compiler was seen to take one stream out of the interleaving, which
/// costs a quarter of the speed.
#[target_feature(enable = "sha,avx")]
#[inline(never)]
fn last_words(items: [(&Version, &Schedule); STREAMS]) -> [u32; STREAMS] {
    second_hash(first_hash(items))
}

/// The same for nonces in a row under one version.
#[target_feature(enable = "sha,avx")]
#[inline(never)]
fn last_words_single(folded: &FoldedSchedule, version: &Version, first: u32) -> [u32; STREAMS] {
    second_hash(first_hash_single(folded, version, first))
}

/// Runs hash 1 from round 2 on with its schedule carried along: the units of the rounds and of the schedule then work at
/// the same time.
#[target_feature(enable = "sha,avx")]
#[inline]
fn first_hash_single(folded: &FoldedSchedule, version: &Version, first: u32) -> [[__m128i; 2]; STREAMS] {
    let terms = Terms::new(folded);
    let mut states = [version.state_1; STREAMS];
    let mut m = [[_mm_setzero_si128(); 16]; STREAMS];
    let mut k_plus_w = [_mm_setzero_si128(); STREAMS];
    for s in 0..STREAMS {
        m[s][0] = nonce_words(folded, first.wrapping_add(s as u32));
        k_plus_w[s] = _mm_shuffle_epi32::<0b_00_00_11_10>(_mm_add_epi32(m[s][0], constants(0)));
    }
    two_rounds(&mut states, k_plus_w);
    unroll!(G in 1 2 3 => {
        four_rounds(&mut states, [_mm_add_epi32(words(PADDING[G - 1]), constants(G)); STREAMS]);
    });
    unroll!(G in 4 5 6 7 8 9 10 11 12 13 14 15 => {
        for s in 0..STREAMS {
            m[s][G] = header_words::<G>(&terms, &m[s]);
            k_plus_w[s] = _mm_add_epi32(m[s][G], constants(G));
        }
        four_rounds(&mut states, k_plus_w);
    });
    words_of_hash_1(states, [&version.midstate; STREAMS])
}

/// The words of hash 1, in two groups of four.
#[target_feature(enable = "sha,avx")]
#[inline]
fn words_of_hash_1(states: [State; STREAMS], midstates: [&State; STREAMS]) -> [[__m128i; 2]; STREAMS] {
    let mut hashes = [[states[0].abef; 2]; STREAMS];
    for s in 0..STREAMS {
        // From a, b, e, f in falling lanes to rising ones; then the halves change places.
        let abef = _mm_shuffle_epi32::<0b_00_01_10_11>(_mm_add_epi32(states[s].abef, midstates[s].abef));
        let cdgh = _mm_shuffle_epi32::<0b_00_01_10_11>(_mm_add_epi32(states[s].cdgh, midstates[s].cdgh));
        hashes[s] = [_mm_unpacklo_epi64(abef, cdgh), _mm_unpackhi_epi64(abef, cdgh)];
    }
    hashes
}

/// Runs hash 1 from round 2 on; returns its words, in two groups of four.
#[target_feature(enable = "sha,avx")]
#[inline]
fn first_hash(items: [(&Version, &Schedule); STREAMS]) -> [[__m128i; 2]; STREAMS] {
    let mut states = [items[0].0.state_1; STREAMS];
    let mut k_plus_w = [items[0].1[0]; STREAMS];
    for s in 0..STREAMS {
        states[s] = items[s].0.state_1;
        k_plus_w[s] = _mm_shuffle_epi32::<0b_00_00_11_10>(items[s].1[0]);
    }
    two_rounds(&mut states, k_plus_w);
    unroll!(G in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 => {
        for s in 0..STREAMS {
            k_plus_w[s] = items[s].1[G];
        }
        four_rounds(&mut states, k_plus_w);
    });
    words_of_hash_1(states, items.map(|(version, _)| &version.midstate))
}

/// Runs hash 2 as far as its last word needs it, and returns that word.
#[target_feature(enable = "sha,avx")]
#[inline]
fn second_hash(hashes: [[__m128i; 2]; STREAMS]) -> [u32; STREAMS] {
    let padding = [words([PAD, 0, 0, 0]), words([0, 0, 0, DIGEST_BITS])];
    let mut states = [State::new(IV); STREAMS];
    let mut m = [[padding[0]; 16]; STREAMS];
    let mut k_plus_w = [padding[0]; STREAMS];
    for s in 0..STREAMS {
        [m[s][0], m[s][1]] = hashes[s];
        [m[s][2], m[s][3]] = padding;
    }
    macro_rules! rounds {
        ($rounds:ident, $g:expr, $s:ident => $words:expr) => {
            for $s in 0..STREAMS {
                m[$s][$g] = $words;
                k_plus_w[$s] = _mm_add_epi32(m[$s][$g], constants($g));
            }
            $rounds(&mut states, k_plus_w);
        };
    }
    unroll!(G in 0 1 2 3 => {
        rounds!(four_rounds, G, s => m[s][G]);
    });
    // What padding makes constant or zero is left out, as in `schedule`.
    rounds!(four_rounds, 4, s => _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(m[s][0], m[s][1]), m[s][3]));
    rounds!(four_rounds, 5, s => next_words(m[s][1], m[s][2], m[s][3], m[s][4]));
    rounds!(four_rounds, 6, s => {
        _mm_sha256msg2_epu32(_mm_add_epi32(padding[0], _mm_alignr_epi8::<4>(m[s][5], m[s][4])), m[s][5])
    });
    unroll!(G in 7 8 9 10 11 12 13 14 => {
        rounds!(four_rounds, G, s => next_words(m[s][G - 4], m[s][G - 3], m[s][G - 2], m[s][G - 1]));
    });
    // The last word is h after round 63, which is f after round 61, in the lowest lane.
    rounds!(two_rounds, 15, s => next_words(m[s][11], m[s][12], m[s][13], m[s][14]));
    let mut last = [0; STREAMS];
    for s in 0..STREAMS {
        last[s] = (_mm_cvtsi128_si32(states[s].abef) as u32).wrapping_add(IV[7]);
    }
    last
}
