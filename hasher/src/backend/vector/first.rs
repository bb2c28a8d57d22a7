//! Hash 1 and the first 16 rounds of hash 2: all the rounds that need no schedule of their own.

use std::hint::black_box;

use super::{Item, Lanes, Schedule, State, round, unroll};
use crate::fold::FoldedRounds;
use crate::sha256::{DIGEST_BITS, IV, K, PAD};

/// K + W of rounds 8 to 15 of hash 2, where W is the padding.
#[inline(always)]
pub(in crate::backend) fn padding<L: Lanes>(proof: L) -> [L; 8] {
    let mut padding = [proof; 8];
    for (i, k_plus_w) in padding.iter_mut().enumerate() {
        let word = match i + 8 {
            8 => PAD,
            15 => DIGEST_BITS,
            _ => 0,
        };
        *k_plus_w = proof.splat(K[i + 8].wrapping_add(word));
    }
    padding
}

/// Runs some items, each a version and a schedule, through hash 1 and rounds 0 to 15 of hash 2.
///
/// Both runs of rounds with ready K + W, 8 to 63 of hash 1 and 8 to 15 of hash 2, go through the same loop: the code
/// of eight rounds of three streams is 1500 instructions' worth of decoding that exists once.
#[inline(always)]
pub(in crate::backend) fn first<L: Lanes, const S: usize>(
    versions: [&FoldedRounds; S],
    schedules: [&Schedule<L>; S],
    padding: &[L; 8],
    items: &mut [Item<L>; S],
) {
    let mut states = rounds_3_to_7(versions, schedules);
    let mut rows: [&[[L; 8]]; S] = schedules.map(|schedule| schedule.k_plus_w.as_chunks().0);
    let mut hash = 1;
    loop {
        // The compiler shall not know how many rows there are, or it would unroll them.
        for row in 0..black_box(rows[0].len()) {
            unroll!(I in 0 1 2 3 4 5 6 7 => {
                let mut k_plus_w = [padding[0]; S];
                for s in 0..S {
                    k_plus_w[s] = rows[s][row][I];
                }
                round(&mut states, k_plus_w);
            });
        }
        if hash == 2 {
            break;
        }
        hash = 2;
        states = rounds_0_to_7(versions, states, items);
        rows = [std::slice::from_ref(padding); S];
    }
    for s in 0..S {
        items[s].state = states[s];
    }
}

/// Rounds 3 to 7 of hash 1; what is folded into the constants is told in `fold`.
#[inline(always)]
fn rounds_3_to_7<L: Lanes, const S: usize>(
    versions: [&FoldedRounds; S],
    schedules: [&Schedule<L>; S],
) -> [State<L>; S] {
    let mut states = [[schedules[0].nonces; 8]; S];
    for s in 0..S {
        let nonces = schedules[s].nonces;
        let FoldedRounds { a3_e3, a, e, h, .. } = versions[s];
        let [a0, a1, a2] = a.map(|value| nonces.splat(value));
        let [_, e1, e2] = e.map(|value| nonces.splat(value));

        let (a3, e3) = (nonces.plus(a3_e3[0]), nonces.plus(a3_e3[1]));
        let t1 = e3.choose(e2, e1).plus(h[0]).add(e3.big_sigma1());
        let (a4, e4) = (t1.add(a3.majority(a2, a1)).add(a3.big_sigma0()), a0.add(t1));
        let t1 = e4.choose(e3, e2).plus(h[1]).add(e4.big_sigma1());
        let (a5, e5) = (t1.add(a4.majority(a3, a2)).add(a4.big_sigma0()), a1.add(t1));
        let t1 = e5.choose(e4, e3).plus(h[2]).add(e5.big_sigma1());
        let (a6, e6) = (t1.add(a5.majority(a4, a3)).add(a5.big_sigma0()), a2.add(t1));
        states[s] = [a6, a5, a4, a3, e6, e5, e4, e3];
    }
    let k = states[0][0].splat(K[7]);
    round(&mut states, [k; S]);
    states
}

/// The end of hash 1, whose words are stored as the message of hash 2, and rounds 0 to 7 of hash 2.
///
/// Hash 2 starts from the initial state, so round 0 is two additions, and rounds 1 to 3 still read constants for some
/// working variables: the initial a, b, c, d count as a−1, a−2, a−3, a−4, and likewise e to h.
#[inline(always)]
fn rounds_0_to_7<L: Lanes, const S: usize>(
    versions: [&FoldedRounds; S],
    mut states: [State<L>; S],
    items: &mut [Item<L>; S],
) -> [State<L>; S] {
    /// a0 and e0 for a message word of zero.
    const A0_E0: [u32; 2] = {
        let [a0, _, _, _, e0, _, _, _] = crate::sha256::round(IV, K[0]);
        [a0, e0]
    };
    for s in 0..S {
        let mut w = states[s];
        unroll!(I in 0 1 2 3 4 5 6 7 => {
            w[I] = w[I].plus(versions[s].midstate[I]);
            items[s].words[I] = w[I];
        });
        let constant = |value: u32| w[0].splat(value);
        let [before_a0, before_a1] = [constant(IV[0]), constant(IV[1])];
        let [before_e0, before_e1] = [constant(IV[4]), constant(IV[5])];

        let (a0, e0) = (w[0].plus(A0_E0[0]), w[0].plus(A0_E0[1]));
        let h = const { IV[6].wrapping_add(K[1]) };
        let t1 = w[1].plus(h).add(e0.choose(before_e0, before_e1)).add(e0.big_sigma1());
        let (a1, e1) = (t1.add(a0.majority(before_a0, before_a1)).add(a0.big_sigma0()), t1.plus(IV[2]));
        let h = const { IV[5].wrapping_add(K[2]) };
        let t1 = w[2].plus(h).add(e1.choose(e0, before_e0)).add(e1.big_sigma1());
        let (a2, e2) = (t1.add(a1.majority(a0, before_a0)).add(a1.big_sigma0()), t1.plus(IV[1]));
        let h = const { IV[4].wrapping_add(K[3]) };
        let t1 = w[3].plus(h).add(e2.choose(e1, e0)).add(e2.big_sigma1());
        let (a3, e3) = (t1.add(a2.majority(a1, a0)).add(a2.big_sigma0()), t1.plus(IV[0]));
        states[s] = [a3, a2, a1, a0, e3, e2, e1, e0];
    }
    // Words 4 to 7 are read back where they are used: known to be what was stored, they would be kept, and spilled.
    let items = black_box(items);
    unroll!(T in 4 5 6 7 => {
        for state in &mut states {
            state[7] = state[7].plus(K[T]).pin();
        }
        let mut words = [states[0][0]; S];
        for s in 0..S {
            words[s] = items[s].words[T];
        }
        round(&mut states, words);
    });
    states
}
