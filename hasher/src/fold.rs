//! What of the two hashes does not depend on the nonce: computed once per [`Work`](crate::Work), so that the search
//! need not.
//!
//! The second block of a header, as message words, is
//!
//! ```text
//!  w0 w1 w2   w3     w4   w5 … w14   w15
//!  the tail   nonce  PAD  0          640
//! ```
//!
//! and only the nonce varies. So rounds 0 to 2 of that block are constant, rounds 3 to 6 mix constants into what
//! varies, and half of the first schedule words are sums of constants and one or two words that vary.
//!
//! Names: `a3` is the working variable a *after* round 3. After round t the state is
//! (a, b, c, d, e, f, g, h) = (a_t, a_t−1, a_t−2, a_t−3, e_t, e_t−1, e_t−2, e_t−3), because a round only makes a new a
//! and a new e and shifts the others. In these terms a round is
//!
//! ```text
//! t1_t = e_t−4 + Σ1(e_t−1) + choose(e_t−1, e_t−2, e_t−3) + K_t + w_t
//! e_t  = a_t−4 + t1_t
//! a_t  = t1_t + Σ0(a_t−1) + majority(a_t−1, a_t−2, a_t−3)
//! ```

use crate::sha256::{HEADER_BITS, K, PAD, round, small_sigma0, small_sigma1};

/// Constants of one version in the rounds of hash 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FoldedRounds {
    /// State after the first block: what the state after the second is added to.
    pub midstate: [u32; 8],
    /// The state after round 1, for backends that begin in the middle of a pair of rounds.
    pub state_1: [u32; 8],
    /// a3 and e3 without the nonce, which is added to both.
    pub a3_e3: [u32; 2],
    /// a0, a1, a2.
    pub a: [u32; 3],
    /// e1, e2, in places 1 and 2 so that indices are round numbers; e0 only enters `h`.
    pub e: [u32; 3],
    /// What rounds 4, 5 and 6 add that is constant: e_t−4 + K_t + w_t.
    pub h: [u32; 3],
}

impl FoldedRounds {
    pub(crate) fn new(midstate: [u32; 8], tail: [u32; 3]) -> FoldedRounds {
        let state_1 = round(round(midstate, K[0].wrapping_add(tail[0])), K[1].wrapping_add(tail[1]));
        let state_2 = round(state_1, K[2].wrapping_add(tail[2]));
        let [a2, a1, a0, _, e2, e1, e0, _] = state_2;
        // Round 3 with a nonce of zero.
        let [a3, _, _, _, e3, ..] = round(state_2, K[3]);
        FoldedRounds {
            midstate,
            state_1,
            a3_e3: [a3, e3],
            a: [a0, a1, a2],
            e: [e0, e1, e2],
            h: [e0.wrapping_add(K[4]).wrapping_add(PAD), e1.wrapping_add(K[5]), e2.wrapping_add(K[6])],
        }
    }
}

/// Constants of the schedule of hash 1, the same for all versions.
///
/// Word t of the schedule is w_t = w_t−16 + σ0(w_t−15) + w_t−7 + σ1(w_t−2). The fields are what is constant in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoldedSchedule {
    /// w0, w1, w2.
    pub tail: [u32; 3],
    /// All of w16: w0 + σ0(w1).
    pub w16: u32,
    /// All of w17: w1 + σ0(w2) + σ1(w15).
    pub w17: u32,
    /// w18 = σ0(nonce) + this.
    pub w18: u32,
    /// w19 = nonce + this.
    pub w19: u32,
    /// w31 = w24 + σ1(w29) + this.
    pub w31: u32,
    /// w32 = w25 + σ1(w30) + this.
    pub w32: u32,
}

impl FoldedSchedule {
    pub(crate) fn new(tail: [u32; 3]) -> FoldedSchedule {
        let [w0, w1, w2] = tail;
        let w16 = w0.wrapping_add(small_sigma0(w1));
        let w17 = w1.wrapping_add(small_sigma0(w2)).wrapping_add(small_sigma1(HEADER_BITS));
        FoldedSchedule {
            tail,
            w16,
            w17,
            w18: w2.wrapping_add(small_sigma1(w16)),
            w19: small_sigma0(PAD).wrapping_add(small_sigma1(w17)),
            w31: HEADER_BITS.wrapping_add(small_sigma0(w16)),
            w32: w16.wrapping_add(small_sigma0(w17)),
        }
    }
}
