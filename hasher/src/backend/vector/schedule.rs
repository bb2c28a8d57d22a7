//! The schedule of hash 1, shared by all versions.

use std::hint::black_box;

use super::{Lanes, SCHEDULE_STREAMS, Schedule, Words, unroll, word};
use crate::fold::FoldedSchedule;
use crate::sha256::{HEADER_BITS, K, PAD, small_sigma0};

/// Writes K + W of rounds 8 to 17, which do not depend on the nonce.
#[inline(always)]
pub(in crate::backend) fn constants<L: Lanes>(proof: L, folded: &FoldedSchedule, schedule: &mut Schedule<L>) {
    for t in 8..18 {
        let word = match t {
            15 => HEADER_BITS,
            16 => folded.w16,
            17 => folded.w17,
            _ => 0,
        };
        schedule.k_plus_w[t - 8] = proof.splat(K[t].wrapping_add(word));
    }
}

/// Writes the nonce vectors and K + W of rounds 18 to 63 for some nonce vectors.
///
/// `words` is memory for the schedule without K.
#[inline(always)]
pub(in crate::backend) fn schedule<L: Lanes>(
    folded: &FoldedSchedule,
    nonces: [L; SCHEDULE_STREAMS],
    schedules: &mut [Schedule<L>; SCHEDULE_STREAMS],
    words: &mut [Words<L>; SCHEDULE_STREAMS],
) {
    for (schedule, nonces) in schedules.iter_mut().zip(nonces) {
        schedule.nonces = nonces;
    }
    words_18_to_33(folded, nonces, schedules, words);
    // The compiler shall not know how many turns there are, or it would unroll them.
    for turn in 0..black_box(TURNS).min(TURNS) {
        let t = 34 + turn * STEP;
        let k = K[t..].first_chunk::<STEP>().expect("three turns of ten end at 64");
        unroll!(I in 0 1 2 3 4 5 6 7 8 9 => {
            for s in 0..SCHEDULE_STREAMS {
                // The 16 words before this turn, and those of this turn.
                let window: &mut [L; 16 + STEP] = words[s][t - 32..].first_chunk_mut().expect("as above");
                let word = word(window, 16 + I);
                window[16 + I] = word;
                schedules[s].k_plus_w[t - 8 + I] = word.plus(k[I]);
            }
        });
    }
}

/// Words 34 to 63 are computed in a loop.
const TURNS: usize = 3;
const STEP: usize = 10;

/// The words in which something is folded: 5 to 14 are zero, 4 is the padding bit and 15 the length. See `fold`.
#[inline(always)]
fn words_18_to_33<L: Lanes>(
    folded: &FoldedSchedule,
    nonces: [L; SCHEDULE_STREAMS],
    schedules: &mut [Schedule<L>; SCHEDULE_STREAMS],
    words: &mut [Words<L>; SCHEDULE_STREAMS],
) {
    let mut w = [[nonces[0]; 34]; SCHEDULE_STREAMS];
    macro_rules! word {
        // Word t from n, the nonces, and w, the words before it.
        ($t:expr, $n:ident, $w:ident => $word:expr) => {
            for s in 0..SCHEDULE_STREAMS {
                let ($n, $w) = (nonces[s], &w[s]);
                let word = $word.pin();
                w[s][$t] = word;
                words[s][$t - 16] = word;
                schedules[s].k_plus_w[$t - 8] = word.plus(K[$t]);
            }
        };
    }
    word!(18, n, _w => n.small_sigma0().plus(folded.w18));
    word!(19, n, _w => n.plus(folded.w19));
    word!(20, _n, w => w[18].small_sigma1().plus(PAD));
    word!(21, _n, w => w[19].small_sigma1());
    word!(22, _n, w => w[20].small_sigma1().plus(HEADER_BITS));
    word!(23, _n, w => w[21].small_sigma1().plus(folded.w16));
    word!(24, _n, w => w[22].small_sigma1().plus(folded.w17));
    unroll!(T in 25 26 27 28 29 => {
        word!(T, _n, w => w[T - 2].small_sigma1().add(w[T - 7]));
    });
    word!(30, _n, w => w[23].plus(const { small_sigma0(HEADER_BITS) }).pin().add(w[28].small_sigma1()));
    word!(31, _n, w => w[24].plus(folded.w31).pin().add(w[29].small_sigma1()));
    word!(32, _n, w => w[25].plus(folded.w32).pin().add(w[30].small_sigma1()));
    word!(33, _n, w => w[18].small_sigma0().plus(folded.w17).add(w[26]).pin().add(w[31].small_sigma1()));
}
