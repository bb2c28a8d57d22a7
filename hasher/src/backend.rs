//! The backends: several implementations of the same search, in one table.
//!
//! A backend supplies an [`Entry`] with a function that hashes a chunk of nonces with all versions. The function marks a hash as
//! a candidate if its last word has the required zeros. The other parts of a scan are common to all backends ([`scan`]):
//! progress, the end of the search space, the exact check of candidates, and the case of a full buffer.
//!
//! To add a backend, add a file that defines an `ENTRY`, and add the `ENTRY` to [`BACKENDS`]. The choice by name, the
//! self-test, calibration, agreement tests and benches all use that table.

use std::fmt;

use thiserror::Error;

use crate::cursor::{Cursor, Progress};
use crate::hit::{HitBuffer, Scratch};
use crate::work::Work;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
mod scan;
mod self_test;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
#[cfg(target_arch = "x86_64")]
mod unroll;
#[cfg(target_arch = "x86_64")]
mod vector;

pub use self_test::SelfTestError;

/// All backends, usually the fastest first. Calibration finds the backend that is fastest on this CPU.
static BACKENDS: &[Entry] = &[
    #[cfg(target_arch = "x86_64")]
    avx512::ENTRY,
    #[cfg(target_arch = "x86_64")]
    sha_ni::ENTRY,
    #[cfg(target_arch = "x86_64")]
    avx2::ENTRY,
    portable::ENTRY,
];

/// A row of the table of backends.
struct Entry {
    name: &'static str,
    /// The number of nonces in a vector of the backend, at most 16; 1 if the backend has no vectors.
    lanes: usize,
    /// The CPU features that the backend requires, as Linux names them in /proc/cpuinfo.
    features: &'static [&'static str],
    available: fn() -> bool,
    /// A chunk consists of this many groups of `lanes` nonces. The number depends on the number of header versions, so that a
    /// chunk takes 20 to 50 µs.
    items: fn(versions: usize) -> usize,
    search: Search,
}

/// Hashes a chunk: `lanes` nonces for each item, starting at `first` (wrapping), each nonce with all versions.
///
/// `candidates` has a word for each version of each item, item by item. Bit `i` of a word is set if the hash of nonce `i` of
/// the item passes the candidate mask of the work. Returns whether any bit is set.
///
/// # Safety
/// The CPU must support the backend: the function `available` in the same [`Entry`] must have returned true.
type Search = unsafe fn(work: &Work, first: u32, scratch: &mut Scratch, candidates: &mut [u16]) -> bool;

/// An implementation of the search that runs on this CPU.
#[derive(Clone, Copy, derive_more::Debug)]
#[debug("Backend({})", self.name())]
pub struct Backend(&'static Entry);

/// Why no backend can be selected by a name.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No backend has this name.
    #[error("unknown backend {name:?}; the backends are {}", names())]
    Unknown {
        /// The name.
        name: String,
    },
    /// The CPU lacks features that the backend requires.
    #[error("backend {name} needs a CPU with {}", features.join(", "))]
    Unavailable {
        /// The name.
        name: &'static str,
        /// All CPU features that the backend requires, as Linux names them.
        features: &'static [&'static str],
    },
}

impl Backend {
    /// The backends that run on this CPU, usually the fastest first. The last is the portable one.
    pub fn available() -> impl Iterator<Item = Self> {
        BACKENDS.iter().filter(|entry| (entry.available)()).map(Backend)
    }

    /// The names of all backends, whether they run on this CPU or not, in the order of [`Backend::available`].
    pub fn names() -> impl Iterator<Item = &'static str> {
        BACKENDS.iter().map(|entry| entry.name)
    }

    /// Returns the backend with this name.
    ///
    /// # Errors
    /// If no backend has this name, or if this CPU lacks features that the backend requires.
    pub fn named(name: &str) -> Result<Self, BackendError> {
        let entry = BACKENDS
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| BackendError::Unknown { name: name.to_owned() })?;
        if !(entry.available)() {
            return Err(BackendError::Unavailable { name: entry.name, features: entry.features });
        }
        Ok(Backend(entry))
    }

    /// The backend that runs on every CPU. All others must find the same hits.
    pub fn portable() -> Self {
        Backend(&portable::ENTRY)
    }

    /// The name of the backend, for [`Backend::named`].
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The number of nonces that the backend hashes at a time.
    pub fn lanes(self) -> usize {
        self.0.lanes
    }

    /// Hashes headers for 20 to 50 µs, starting at the position `from` in the search space, and appends those that meet the
    /// target to `hits`.
    ///
    /// Stops earlier at the end of the search space or when `hits` is full. Every position from `from` to the returned
    /// [`Progress::next`] is checked exactly once, and no hit is lost. The complete hash of each hit is compared with the
    /// target. The method never allocates.
    pub fn scan(self, work: &Work, from: Cursor, hits: &mut HitBuffer) -> Progress {
        scan::scan(self.0, work, from, hits)
    }

    /// Checks that this backend finds exactly the same hits as the portable one. Takes a few milliseconds.
    ///
    /// # Errors
    /// If the hits differ. The backend must then not be used.
    pub fn self_test(self) -> Result<(), SelfTestError> {
        self_test::self_test(self)
    }
}

impl PartialEq for Backend {
    fn eq(&self, other: &Backend) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Backend {}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// All names in one line, for messages.
fn names() -> String {
    Backend::names().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_lead_to_their_backends() {
        for backend in Backend::available() {
            assert_eq!(Backend::named(backend.name()), Ok(backend));
            assert_eq!(Backend::names().filter(|name| *name == backend.name()).count(), 1);
        }
        assert_eq!(Backend::available().last(), Some(Backend::portable()));
    }

    #[test]
    fn chunks_fit_the_candidates_of_a_scan() {
        for entry in BACKENDS {
            for versions in 1..=crate::MAX_VERSIONS {
                let items = (entry.items)(versions);
                assert!(
                    (1..=scan::MAX_CANDIDATES / versions).contains(&items),
                    "{}, {versions}: {items}",
                    entry.name
                );
                assert!(entry.lanes <= u16::BITS as usize);
            }
        }
    }

    #[test]
    fn the_error_for_an_unknown_name_lists_the_known_ones() {
        let message = Backend::named("abacus").unwrap_err().to_string();
        assert!(message.contains("\"abacus\"") && message.contains("portable"), "{message}");
    }
}
