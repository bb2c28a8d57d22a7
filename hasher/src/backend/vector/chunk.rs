//! A chunk of work items, led through the stages in batches.

use super::places::Places;
use super::{Item, Lanes, SCHEDULE_STREAMS, Schedule, Words, first, schedule};
use crate::Work;
use crate::fold::{FoldedRounds, FoldedSchedule};
use crate::hit::Memory;

/// The stages, each compiled with the instruction set of the lanes, as functions of their own.
///
/// The `backend!` macro implements this; the functions only add `#[target_feature]`.
pub(in crate::backend) trait Stages<const FIRST: usize, const SECOND: usize>:
    Lanes
{
    fn schedule(
        folded: &FoldedSchedule,
        nonces: [Self; SCHEDULE_STREAMS],
        out: &mut [Schedule<Self>; SCHEDULE_STREAMS],
        words: &mut [Words<Self>; SCHEDULE_STREAMS],
    );
    fn first(
        versions: [&FoldedRounds; FIRST],
        schedules: [&Schedule<Self>; FIRST],
        padding: &[Self; 8],
        items: &mut [Item<Self>; FIRST],
    );
    fn second(items: &[Item<Self>; SECOND], words: &mut [Words<Self>; SECOND], mask: Self) -> [u16; SECOND];
}

/// Items in a batch: few enough for the first-level cache, enough to stay in each stage for a while.
const BATCH: usize = 12;
/// Nonce vectors whose schedules exist at a time: a multiple of it times the versions fills all streams.
const SCHEDULES: usize = 6;
/// The memory of a search; everything in it is written in each chunk before it is read.
#[repr(C)]
struct Scratch<L> {
    schedules: [Schedule<L>; SCHEDULES],
    items: [Item<L>; BATCH],
    words: [Words<L>; SCHEDULE_STREAMS],
    /// K + W of rounds 8 to 15 of hash 2, where W is padding.
    padding: [L; 8],
}

impl<L: Lanes> Scratch<L> {
    /// Makes working memory a scratch, given a vector as proof.
    fn in_memory(_proof: L, memory: &mut Memory) -> &mut Scratch<L> {
        const { assert!(size_of::<Scratch<L>>() <= size_of::<Memory>()) };
        const { assert!(align_of::<Scratch<L>>() <= align_of::<Memory>()) };
        // SAFETY: it is large and aligned enough, and by the contract of `Lanes` any bytes are vectors.
        #[allow(unsafe_code)]
        unsafe {
            &mut *std::ptr::from_mut(memory).cast()
        }
    }
}

/// How many nonce vectors are searched together under so many versions: such that their items fill the streams of both
/// stages, of which there are one, two or three.
const fn group(versions: usize) -> usize {
    if versions.is_multiple_of(3) { SCHEDULE_STREAMS } else { SCHEDULES }
}

/// Nonce vectors in a chunk of about so many work items.
pub(in crate::backend) const fn items(versions: usize, about: usize) -> usize {
    let group = group(versions);
    let groups = about / (group * versions);
    if groups == 0 { group } else { group * groups }
}

/// Hashes a chunk, see [`Search`](super::super::Search).
#[inline(always)]
pub(in crate::backend) fn search<L: Stages<FIRST, SECOND>, const FIRST: usize, const SECOND: usize>(
    proof: L,
    work: &Work,
    start: u32,
    memory: &mut Memory,
    candidates: &mut [u16],
) -> bool {
    const {
        assert!(
            BATCH.is_multiple_of(FIRST) && BATCH.is_multiple_of(SECOND) && BATCH.is_multiple_of(SCHEDULES)
        );
        assert!(
            SCHEDULES.is_multiple_of(FIRST) && SCHEDULES.is_multiple_of(SECOND) && SECOND <= SCHEDULE_STREAMS
        );
    }
    let versions = work.rounds();
    let group = group(versions.len());
    let Scratch { schedules, items, words, padding } = Scratch::in_memory(proof, memory);
    let schedules = &mut schedules[..group];
    *padding = first::padding(proof);
    for out in &mut *schedules {
        schedule::constants(proof, work.schedule(), out);
    }
    let mask = proof.splat(&work.candidate_mask());
    let mut any = 0;
    let mut nonce = start;
    for candidates in candidates.chunks_exact_mut(group * versions.len()) {
        for pair in schedules.as_chunks_mut::<SCHEDULE_STREAMS>().0 {
            let mut nonces = [proof; SCHEDULE_STREAMS];
            for vector in &mut nonces {
                *vector = proof.nonces(nonce);
                nonce = nonce.wrapping_add(L::COUNT as u32);
            }
            L::schedule(work.schedule(), nonces, pair, words);
        }
        let mut places = Places::new(versions.len());
        for candidates in candidates.chunks_mut(BATCH) {
            let items = &mut items[..candidates.len()];
            for items in items.as_chunks_mut::<FIRST>().0 {
                let places = places.take::<FIRST>();
                let rounds = places.map(|(_, version)| &versions[version]);
                L::first(rounds, places.map(|(vector, _)| &schedules[vector]), padding, items);
            }
            let (items, candidates) = (items.as_chunks::<SECOND>().0, candidates.as_chunks_mut().0);
            for (items, candidates) in items.iter().zip(candidates) {
                let words = words.first_chunk_mut().expect("as many as the schedule's streams");
                *candidates = L::second(items, words, mask);
                any |= candidates.iter().fold(0, |any, candidates| any | candidates);
            }
        }
    }
    any != 0
}

/// Makes a vector type a backend: compiles the stages with its instruction set and defines the `search` of the table.
///
/// `first` and `second` are the numbers of streams of these stages: as many as the registers hold. `$proof` makes the
/// first vector, in a function that enables the features.
macro_rules! backend {
    ($lanes:ident, $features:literal, first: $first:literal, second: $second:literal, $proof:expr) => {
        impl vector::Stages<$first, $second> for $lanes {
            #[inline(always)]
            fn schedule(
                folded: &FoldedSchedule,
                nonces: [$lanes; vector::SCHEDULE_STREAMS],
                out: &mut [vector::Schedule<$lanes>; vector::SCHEDULE_STREAMS],
                words: &mut [vector::Words<$lanes>; vector::SCHEDULE_STREAMS],
            ) {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn stage(
                    folded: &FoldedSchedule,
                    nonces: [$lanes; vector::SCHEDULE_STREAMS],
                    out: &mut [vector::Schedule<$lanes>; vector::SCHEDULE_STREAMS],
                    words: &mut [vector::Words<$lanes>; vector::SCHEDULE_STREAMS],
                ) {
                    vector::align_spills();
                    vector::schedule(folded, nonces, out, words);
                }
                // SAFETY: `nonces` prove that the CPU has the features.
                unsafe { stage(folded, nonces, out, words) }
            }

            #[inline(always)]
            fn first(
                versions: [&FoldedRounds; $first],
                schedules: [&vector::Schedule<$lanes>; $first],
                padding: &[$lanes; 8],
                items: &mut [vector::Item<$lanes>; $first],
            ) {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn stage(
                    versions: [&FoldedRounds; $first],
                    schedules: [&vector::Schedule<$lanes>; $first],
                    padding: &[$lanes; 8],
                    items: &mut [vector::Item<$lanes>; $first],
                ) {
                    vector::align_spills();
                    vector::first(versions, schedules, padding, items);
                }
                // SAFETY: `padding` proves that the CPU has the features.
                unsafe { stage(versions, schedules, padding, items) }
            }

            #[inline(always)]
            fn second(
                items: &[vector::Item<$lanes>; $second],
                words: &mut [vector::Words<$lanes>; $second],
                mask: $lanes,
            ) -> [u16; $second] {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn stage(
                    items: &[vector::Item<$lanes>; $second],
                    words: &mut [vector::Words<$lanes>; $second],
                    mask: $lanes,
                ) -> [u16; $second] {
                    vector::align_spills();
                    vector::second(items, words, mask)
                }
                // SAFETY: `mask` proves that the CPU has the features.
                unsafe { stage(items, words, mask) }
            }
        }

        /// See `Search` for what it does.
        ///
        /// # Safety
        /// The CPU must have the features of the entry.
        unsafe fn search(work: &Work, first: u32, memory: &mut Memory, candidates: &mut [u16]) -> bool {
            #[target_feature(enable = $features)]
            fn enabled(work: &Work, first: u32, memory: &mut Memory, candidates: &mut [u16]) -> bool {
                vector::search::<_, $first, $second>($proof, work, first, memory, candidates)
            }
            // SAFETY: the caller checked the features.
            unsafe { enabled(work, first, memory, candidates) }
        }
    };
}
pub(in crate::backend) use backend;
