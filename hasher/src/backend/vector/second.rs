//! Rounds 16 to 60 of hash 2, which carry the schedule along, and the test of the last word.

use std::hint::black_box;

use super::{Item, Lanes, State, Words, round, unroll, word};
use crate::sha256::{DIGEST_BITS, IV, K, PAD, small_sigma0, small_sigma1};

/// Finishes hash 2 of some items, as far as its last word needs it, and returns a bit for each lane in which that word
/// has zeros where `mask` has ones.
///
/// The last word is h after round 63 plus a constant, and h after round 63 is e after round 60: rounds 61 to 63 are
/// not needed, and of rounds 57 to 60 only the half that makes e.
#[inline(always)]
pub(in crate::backend) fn second<L: Lanes, const S: usize>(
    items: &[Item<L>; S],
    words: &mut [Words<L>; S],
    mask: L,
) -> [u16; S] {
    let mut states = [items[0].state; S];
    for s in 0..S {
        states[s] = items[s].state;
    }
    rounds_16_to_31(&mut states, items, words);
    // The compiler shall not know how many turns there are, or it would unroll them.
    for turn in 0..black_box(3).min(3) {
        let t = 32 + 8 * turn;
        let k = K[t..].first_chunk::<8>().expect("three turns of eight end at 56");
        unroll!(I in 0 1 2 3 4 5 6 7 => {
            let mut w = [mask; S];
            for s in 0..S {
                // The 16 words before this turn, and those of this turn.
                let window: &mut [L; 24] = words[s][t - 32..].first_chunk_mut().expect("as above");
                w[s] = word(window, 16 + I);
                window[16 + I] = w[s];
            }
            round_with_k(&mut states, k[I], w);
        });
    }
    rounds_56_to_60(&mut states, words);
    let mut found = [0; S];
    for s in 0..S {
        found[s] = states[s][4].zero_lanes(mask);
    }
    found
}

/// Rounds 16 to 31, in whose schedule the padding is folded: words 8 to 15 are PAD, six zeros and 256.
///
/// The compiler shall not know what the words in memory are: it would keep in registers what there is no room for, and
/// spill it. Only the last two words, whose σ1 is on the critical path, stay in registers.
#[inline(always)]
fn rounds_16_to_31<L: Lanes, const S: usize>(
    states: &mut [State<L>; S],
    items: &[Item<L>; S],
    words: &mut [Words<L>; S],
) {
    let mut recent = [[states[0][0]; 2]; S];
    macro_rules! step {
        // Word t from: h, words 0 to 7; w, words 16 to 31, word 16 + i in place i; and r, word t − 2.
        ($t:expr, $h:ident, $w:ident, $r:ident => $word:expr) => {
            let mut w = [states[0][0]; S];
            let words = black_box(&mut *words);
            for s in 0..S {
                let ($h, $w, $r) = (&items[s].words, &words[s], recent[s][0]);
                w[s] = $word;
                words[s][$t - 16] = w[s];
                recent[s] = [recent[s][1], w[s]];
            }
            round_with_k(states, K[$t], w);
        };
    }
    step!(16, h, _w, _r => h[0].add(h[1].small_sigma0()));
    step!(17, h, _w, _r => h[1].add(h[2].small_sigma0()).plus(const { small_sigma1(DIGEST_BITS) }));
    unroll!(T in 18 19 20 21 => {
        step!(T, h, _w, r => h[T - 16].add(h[T - 15].small_sigma0()).pin().add(r.small_sigma1()));
    });
    step!(22, h, _w, r => h[6].add(h[7].small_sigma0()).plus(DIGEST_BITS).pin().add(r.small_sigma1()));
    step!(23, h, w, r => h[7].plus(const { small_sigma0(PAD) }).add(w[0]).pin().add(r.small_sigma1()));
    step!(24, _h, w, r => w[1].plus(PAD).pin().add(r.small_sigma1()));
    unroll!(T in 25 26 27 28 29 => {
        step!(T, _h, w, r => w[T - 23].add(r.small_sigma1()));
    });
    step!(30, _h, w, r => w[7].plus(const { small_sigma0(DIGEST_BITS) }).pin().add(r.small_sigma1()));
    step!(31, _h, w, r => w[0].small_sigma0().plus(DIGEST_BITS).add(w[8]).pin().add(r.small_sigma1()));
}

/// Rounds 56 to 60; from 57 on only the half that makes e, the last with the constant that hash 2 ends with added.
#[inline(always)]
fn rounds_56_to_60<L: Lanes, const S: usize>(states: &mut [State<L>; S], words: &mut [Words<L>; S]) {
    let mut w = [states[0][0]; S];
    for s in 0..S {
        w[s] = word(&words[s], 56 - 16);
        words[s][56 - 16] = w[s];
    }
    round_with_k(states, K[56], w);
    unroll!(T in 57 58 59 60 => {
        let k = if T == 60 { const { K[60].wrapping_add(IV[7]) } } else { K[T] };
        for s in 0..S {
            let w = word(&words[s], T - 16);
            words[s][T - 16] = w;
            let [a, b, c, d, e, f, g, h] = states[s];
            let t1 = h.plus(k).pin().add(w).pin().add(e.choose(f, g)).add(e.big_sigma1());
            // The a of this round is never used; the one before stands in its place.
            states[s] = [a, a, b, c, d.add(t1), e, f, g];
        }
    });
}

/// A round whose K and W are not added yet.
#[inline(always)]
fn round_with_k<L: Lanes, const S: usize>(states: &mut [State<L>; S], k: u32, w: [L; S]) {
    for s in 0..S {
        states[s][7] = states[s][7].plus(k).pin();
    }
    round(states, w);
}
