//! What a backend must show before it is used.

use thiserror::Error;

use super::Backend;
use crate::{Cursor, Header, Hit, HitBuffer, MAX_VERSIONS, Target, Work};

/// A backend that found something else than the portable one.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "backend {backend} is broken: from nonce {start:08x} on, rolling {versions} versions, it found {found} hits \
     where there are {expected}, or others"
)]
pub struct SelfTestError {
    /// The backend that must not be used.
    pub backend: &'static str,
    /// First nonce of the search that went wrong.
    pub start: u32,
    /// How many versions that search rolled.
    pub versions: usize,
    /// How many hits the backend found.
    pub found: usize,
    /// How many hits there are.
    pub expected: usize,
}

/// Starts whose nonces carry into every byte, reach the sign bit, and reach the very end of the space.
const STARTS: [u32; 4] = [0x7fff_ffe1, 0x00ff_fff3, 0xffff_ffab, 0xffff_0000];
/// Counts of versions that fill a backend's streams and ones that leave gaps.
const VERSIONS: [usize; 4] = [1, 2, 7, MAX_VERSIONS];
/// Nonces searched for each start, where there are as many.
const NONCES: u32 = 96;

pub(super) fn self_test(backend: Backend) -> Result<(), SelfTestError> {
    for (start, count) in STARTS.into_iter().zip(VERSIONS) {
        let found = search(backend, start, count);
        let expected = search(Backend::portable(), start, count);
        if found != expected {
            return Err(SelfTestError {
                backend: backend.name(),
                start,
                versions: count,
                found: found.len(),
                expected: expected.len(),
            });
        }
    }
    Ok(())
}

/// All hits of a short range, with a target that some hashes of every vector meet.
fn search(backend: Backend, start: u32, count: usize) -> Vec<Hit> {
    let versions: Vec<u32> = (0..count as u32).map(|i| 0x2000_0000 | i << 13).collect();
    let target = Target::from_difficulty(2f64.powi(-28));
    let work = Work::new(&Header { ntime: start, ..Header::genesis() }, &versions, &target)
        .expect("distinct versions, not too many")
        .with_end(u64::from(start) + u64::from(NONCES));
    let (mut buffer, mut hits) = (HitBuffer::new(), Vec::new());
    let mut next = Some(Cursor::at_nonce(start));
    while let Some(from) = next {
        next = backend.scan(&work, from, &mut buffer).next;
        hits.extend(buffer.drain());
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, portable};
    use super::*;
    use crate::hit::Memory;

    /// A backend that misses whatever is in its last item.
    static BROKEN: Entry = Entry { name: "broken", search: misses_the_last, ..portable::ENTRY };

    #[allow(unsafe_code)]
    unsafe fn misses_the_last(work: &Work, first: u32, memory: &mut Memory, candidates: &mut [u16]) -> bool {
        // SAFETY: the portable backend needs nothing.
        let any = unsafe { (portable::ENTRY.search)(work, first, memory, candidates) };
        *candidates.last_mut().unwrap() = 0;
        any
    }

    impl Backend {
        /// One that must never be used.
        pub(crate) fn broken() -> Backend {
            Backend(&BROKEN)
        }
    }

    #[test]
    fn a_backend_that_misses_hits_is_found_out() {
        let error = self_test(Backend::broken()).unwrap_err();
        assert_eq!(error.backend, "broken");
        assert!(error.found < error.expected, "{error}");
    }
}
