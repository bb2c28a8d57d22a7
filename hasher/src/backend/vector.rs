//! The search on vectors: many nonces at a time, one in each lane. Written once for all vector widths.
//!
//! The work item is *(version, nonce vector)*. Its cost is that of the arithmetic, so the design is about doing less
//! of it and keeping the units busy:
//!
//! * What is constant is folded ([`fold`](crate::fold)); the schedule of hash 1 depends on the nonce alone, so all
//!   versions share it ([`schedule()`]), and it is stored with the round constants added.
//! * Hash 1 and rounds 0 to 15 of hash 2 read ready K + W and need no schedule ([`first()`]); the rest of hash 2 carries
//!   its schedule along ([`second()`]). The stages are functions of their own, each run over a batch of items.
//! * A round is a chain of dependent operations; several items, *streams*, run side by side so that one's gaps are
//!   filled by the others.
//! * Code is kept small by loops of eight rounds (after which each working variable is back in its register), since
//!   straight-line code beyond some 5000 instructions falls out of the caches of decoded instructions.

#![allow(clippy::needless_range_loop)] // An index stands for a stream in several arrays at once.

use std::hint::black_box;

mod chunk;
mod first;
mod places;
mod schedule;
mod second;

pub(super) use chunk::{Stages, backend, items, search};
pub(super) use first::first;
pub(super) use schedule::schedule;
pub(super) use second::second;

use super::unroll::{streams, unroll};

/// A vector of 32-bit lanes in a register. The operations are those of SHA-256, so that an instruction set can use
/// what it has for them.
///
/// A value proves that the CPU has the instructions: the first one is only made where they are enabled. All methods
/// must be inlined into functions that enable the features.
///
/// # Safety
/// The type must be a plain vector of integers: any bytes are a value, and the memory it is stored in has no other
/// meaning.
#[allow(unsafe_code)]
pub(super) unsafe trait Lanes: Copy {
    /// Number of lanes, at most 16.
    const COUNT: usize;

    /// A vector with the same value in each lane, given one as proof. By reference, because the CPU takes it from memory.
    fn splat(self, value: &u32) -> Self;
    /// The message words for nonces `first`, `first + 1`, …: each with its bytes swapped, for a header is
    /// little-endian. Given a vector as proof.
    fn nonces(self, first: u32) -> Self;
    fn add(self, other: Self) -> Self;
    fn rotate_right<const BITS: i32>(self) -> Self;
    fn shift_right<const BITS: u32>(self) -> Self;
    fn xor3(self, b: Self, c: Self) -> Self;
    /// Bits of `f` where self has ones, of `g` elsewhere.
    fn choose(self, f: Self, g: Self) -> Self;
    fn majority(self, b: Self, c: Self) -> Self;
    /// The vector itself, as a value whose origin the compiler must not look into.
    ///
    /// LLVM reassociates chains of additions: it would move the addition of K + W, which is ready long before, behind
    /// those on the critical path. This costs no instruction and keeps the order as written.
    fn pin(self) -> Self;
    /// One bit for each lane that has zeros wherever `mask` has ones.
    fn zero_lanes(self, mask: Self) -> u16;

    /// Adds the same value to each lane.
    #[inline(always)]
    fn plus(self, value: &u32) -> Self {
        self.add(self.splat(value))
    }
    #[inline(always)]
    fn big_sigma1(self) -> Self {
        self.rotate_right::<6>().xor3(self.rotate_right::<11>(), self.rotate_right::<25>())
    }
    #[inline(always)]
    fn small_sigma0(self) -> Self {
        self.rotate_right::<7>().xor3(self.rotate_right::<18>(), self.shift_right::<3>())
    }
    #[inline(always)]
    fn small_sigma1(self) -> Self {
        self.rotate_right::<17>().xor3(self.rotate_right::<19>(), self.shift_right::<10>())
    }
}

/// The working variables of one stream: a, b, …, h.
pub(super) type State<L> = [L; 8];
/// What all versions share of a nonce vector.
#[repr(C)]
pub(super) struct Schedule<L> {
    /// The nonces as message words.
    nonces: L,
    /// K + W of rounds 8 to 63 of hash 1: that of round t in place t − 8.
    k_plus_w: [L; 56],
}

/// Schedule words 16 to 63 of one stream, word t in place t − 16, where their recurrence is computed.
pub(super) type Words<L> = [L; 48];

/// Word t of a schedule, for place t − 16 of the words, by the whole recurrence.
#[inline(always)]
fn word<L: Lanes, const N: usize>(words: &[L; N], place: usize) -> L {
    let back = |distance: usize| words[place - distance];
    let (sigma0, sigma1) = (back(15).small_sigma0(), back(2).small_sigma1());
    sigma0.add(back(16)).pin().add(back(7)).pin().add(sigma1).pin()
}

/// What [`first()`] leaves of an item for [`second()`].
#[repr(C)]
pub(super) struct Item<L> {
    /// Words 0 to 7 of the message of hash 2: hash 1.
    words: [L; 8],
    /// The working variables after round 15 of hash 2.
    state: State<L>,
    /// Makes the distance between items odd in vectors, so that they don't fall into the same sets of the cache.
    _padding: L,
}

/// Makes the compiler align the stack of the function that this is inlined into, for what it spills there.
///
/// It does not by itself, and a vector that lies across two cache lines costs twice: by where the stack happened to be,
/// the search with AVX2 took 176 or 199 cycles.
#[inline(always)]
pub(super) fn align_spills() {
    #[repr(align(64))]
    struct Aligned(#[allow(dead_code)] u8);
    black_box(&mut Aligned(0));
}

/// Nonce vectors that [`schedule()`] prepares at a time.
pub(super) const SCHEDULE_STREAMS: usize = 2;

/// One round, with K + W given.
#[inline(always)]
fn round<L: Lanes>(state: State<L>, k_plus_w: L) -> State<L> {
    let h = state[7];
    round_with(state, |choose| h.add(k_plus_w).pin().add(choose).pin())
}

/// One round, in which a function adds h, K and W to what it is given.
///
/// The statements stand in an order that keeps the units busy, and AVX-512 executes them in just this order: rotations
/// first, since only half of the units can do them, then what needs nothing but the state, then the sums, of which the
/// one that makes e comes first as the next round starts with it. One stream after the other: the CPU looks far enough
/// ahead to fill one's gaps with the next.
#[inline(always)]
fn round_with<L: Lanes>([a, b, c, d, e, f, g, _]: State<L>, sum: impl FnOnce(L) -> L) -> State<L> {
    let (e25, e11) = (e.rotate_right::<25>(), e.rotate_right::<11>());
    let a2 = a.rotate_right::<2>();
    let e6 = e.rotate_right::<6>();
    let (a13, a22) = (a.rotate_right::<13>(), a.rotate_right::<22>());
    let big_sigma1 = e6.xor3(e11, e25);
    let majority = a.majority(b, c);
    let t1 = sum(e.choose(f, g)).add(big_sigma1).pin();
    let next_e = d.add(t1).pin();
    let big_sigma0 = a2.xor3(a13, a22);
    let next_a = t1.add(majority).pin().add(big_sigma0).pin();
    [next_a, a, b, c, next_e, e, f, g]
}
