//! The first stage: the first SHA-256 and the first 16 rounds of the second SHA-256, which read precomputed K + W.

use std::hint::black_box;

use super::{Item, Lanes, Schedule, State, round, round_with, streams, unroll};
use crate::fold::FoldedRounds;
use crate::sha256::{DIGEST_BITS, IV, K, PAD};

/// K + W for rounds 8 to 15 of the second SHA-256. In these rounds, the message words W are the padding.
#[inline(always)]
pub(in crate::backend) fn padding<L: Lanes>(proof: L) -> [L; 8] {
    let mut padding = [proof; 8];
    for (i, k_plus_w) in padding.iter_mut().enumerate() {
        let word = match i + 8 {
            8 => PAD,
            15 => DIGEST_BITS,
            _ => 0,
        };
        *k_plus_w = proof.splat(&K[i + 8].wrapping_add(word));
    }
    padding
}

/// Computes the first SHA-256 and rounds 0 to 15 of the second SHA-256 for several items. Each item is a version and a schedule.
///
/// Rounds 8 to 63 of the first SHA-256 and rounds 8 to 15 of the second SHA-256 share one loop, because its body is long: some
/// 1500 instructions. Two separate loops would take twice the room in the CPU's cache of decoded instructions.
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
        // `black_box` hides the number of rows from the compiler, which would otherwise unroll the loop.
        for row in 0..black_box(rows[0].len()) {
            unroll!(I in 0 1 2 3 4 5 6 7 => {
                streams!(s in 0..S => {
                    states[s] = round(states[s], rows[s][row][I]);
                });
            });
        }
        if hash == 2 {
            break;
        }
        hash = 2;
        states = rounds_0_to_7(versions, states, items);
        rows = [std::slice::from_ref(padding); S];
    }
    streams!(s in 0..S => {
        items[s].state = states[s];
    });
}

/// Computes rounds 3 to 7 of the first SHA-256. The module [`fold`](crate::fold) describes the constants.
#[inline(always)]
fn rounds_3_to_7<L: Lanes, const S: usize>(
    versions: [&FoldedRounds; S],
    schedules: [&Schedule<L>; S],
) -> [State<L>; S] {
    let nonces = schedules[0].nonces;
    let splat = |value: &u32| nonces.splat(value);
    let mut states = [[nonces; 8]; S];
    streams!(s in 0..S => {
        let FoldedRounds { a3_e3, a, e, .. } = versions[s];
        let n = schedules[s].nonces;
        let ([a0, a1, a2], [_, e1, e2]) = (a.each_ref().map(splat), e.each_ref().map(splat));
        // No round reads the last element, so its value does not matter. The constants in `versions[s].h` already include the
        // variable h.
        states[s] = [n.plus(&a3_e3[0]), a2, a1, a0, n.plus(&a3_e3[1]), e2, e1, n];
    });
    unroll!(I in 0 1 2 => {
        streams!(s in 0..S => {
            states[s] = round_with(states[s], |choose| choose.plus(&versions[s].h[I]));
        });
    });
    streams!(s in 0..S => {
        let h = states[s][7];
        states[s] = round_with(states[s], |choose| h.plus(&K[7]).add(choose));
    });
    states
}

/// Completes the first SHA-256, stores its words as the message of the second SHA-256, and computes rounds 0 to 7 of the second.
///
/// The second SHA-256 starts from the constant initial state, so its round 0 only adds the message word to two constants. In
/// rounds 1 to 3, some working variables are still constants of the initial state. In the notation of [`fold`](crate::fold), they
/// are a−1 to a−4 and e−1 to e−4.
#[inline(always)]
fn rounds_0_to_7<L: Lanes, const S: usize>(
    versions: [&FoldedRounds; S],
    mut states: [State<L>; S],
    items: &mut [Item<L>; S],
) -> [State<L>; S] {
    /// The working variables a and e after the first round, for a message word of zero.
    const A0_E0: [u32; 2] = {
        let [a0, _, _, _, e0, _, _, _] = crate::sha256::round(IV, K[0]);
        [a0, e0]
    };
    streams!(s in 0..S => {
        unroll!(I in 0 1 2 3 4 5 6 7 => {
            states[s][I] = states[s][I].plus(&versions[s].midstate[I]);
            items[s].words[I] = states[s][I];
        });
    });
    let words = states;
    let [a, b, c, _, e, f, g, _] = IV.each_ref().map(|value| states[0][0].splat(value));
    streams!(s in 0..S => {
        let w0 = words[s][0];
        // The constants of the rounds below include h, so the last element is never read.
        states[s] = [w0.plus(&A0_E0[0]), a, b, c, w0.plus(&A0_E0[1]), e, f, g];
    });
    unroll!(T in 1 2 3 => {
        let h: &u32 = const { &IV[7 - T].wrapping_add(K[T]) };
        streams!(s in 0..S => {
            states[s] = round_with(states[s], |choose| words[s][T].plus(h).add(choose));
        });
    });
    // `black_box` makes the compiler reload words 4 to 7 from memory. It would otherwise keep these words in registers and spill
    // others.
    let items = black_box(items);
    unroll!(T in 4 5 6 7 => {
        streams!(s in 0..S => {
            let h = states[s][7];
            states[s] = round_with(states[s], |choose| {
                h.plus(&K[T]).pin().add(items[s].words[T]).pin().add(choose).pin()
            });
        });
    });
    states
}
