//! The backends: several implementations of one search, in one table.
//!
//! A backend supplies an [`Entry`]: a function that hashes a chunk of nonces under all versions and marks those whose
//! last word looks good. Everything else is common to all ([`scan`]): where to go on, the ends of the space, the
//! exact check, a full buffer.
//!
//! To add one: a file beside the others that defines an `ENTRY`, and its row in [`BACKENDS`]. Forcing it by name, the
//! self-test, calibration, agreement tests and benches all go by that table.

use std::fmt;

use thiserror::Error;

use crate::cursor::{Cursor, Progress};
use crate::hit::HitBuffer;
use crate::hit::Memory;
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

/// All backends, usually the fastest first; which is really the fastest, calibration decides.
static BACKENDS: &[Entry] = &[
    #[cfg(target_arch = "x86_64")]
    avx512::ENTRY,
    #[cfg(target_arch = "x86_64")]
    sha_ni::ENTRY,
    #[cfg(target_arch = "x86_64")]
    avx2::ENTRY,
    portable::ENTRY,
];

/// What the table knows of a backend.
struct Entry {
    name: &'static str,
    /// Nonces that one item of a chunk stands for: the lanes of a vector, at most 16.
    lanes: usize,
    /// The CPU features it needs, as Linux names them in /proc/cpuinfo.
    features: &'static [&'static str],
    available: fn() -> bool,
    /// Items of `lanes` nonces in a chunk of work with that many versions; a chunk takes 20 to 50 µs.
    items: fn(versions: usize) -> usize,
    search: Search,
}

/// Hashes a chunk: `lanes` nonces for each item, from `first` on (wrapping), each under all versions.
///
/// `candidates` has a word for each version of each item, item by item; in it, bit `i` says that the hash of the
/// item's nonce number `i` passes the work's candidate mask. Returns whether any bit is set.
///
/// # Safety
/// The entry's `available` must have returned true.
type Search = unsafe fn(work: &Work, first: u32, memory: &mut Memory, candidates: &mut [u16]) -> bool;

/// One implementation of the search, known to run on this CPU.
#[derive(Clone, Copy)]
pub struct Backend(&'static Entry);

/// A name that gives no backend here.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No backend has this name.
    #[error("unknown backend {name:?}; there are {}", names())]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The CPU lacks features that the backend needs.
    #[error("backend {name} needs a CPU with {}", features.join(", "))]
    Unavailable {
        /// The name asked for.
        name: &'static str,
        /// All CPU features that it needs, as Linux names them.
        features: &'static [&'static str],
    },
}

impl Backend {
    /// Iterates over the backends that run on this CPU, usually the fastest first; the last is the portable one.
    pub fn available() -> impl Iterator<Item = Backend> {
        BACKENDS.iter().filter(|entry| (entry.available)()).map(Backend)
    }

    /// Iterates over the names of all backends, in the same order, whether they run on this CPU or not.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BACKENDS.iter().map(|entry| entry.name)
    }

    /// Returns the backend of that name.
    ///
    /// # Errors
    /// If there is none, or this CPU lacks what it needs.
    pub fn named(name: &str) -> Result<Backend, BackendError> {
        let entry = BACKENDS
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| BackendError::Unknown { name: name.to_owned() })?;
        if !(entry.available)() {
            return Err(BackendError::Unavailable { name: entry.name, features: entry.features });
        }
        Ok(Backend(entry))
    }

    /// Returns the backend that runs everywhere and that all others must agree with.
    pub fn portable() -> Backend {
        Backend(&portable::ENTRY)
    }

    /// The backend's name, as [`Backend::named`] takes it.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// How many nonces it hashes at a time.
    pub fn lanes(self) -> usize {
        self.0.lanes
    }

    /// Hashes headers from a place in the work's space on, for some 20 to 50 µs, and appends those that meet the target
    /// to `hits`.
    ///
    /// Ends earlier where the space ends or `hits` is full; no place between `from` and the returned
    /// [`Progress::next`] is skipped or judged twice, and no hit there is lost. Each hit's full hash was compared with
    /// the target. Never allocates.
    pub fn scan(self, work: &Work, from: Cursor, hits: &mut HitBuffer) -> Progress {
        scan::scan(self.0, work, from, hits)
    }

    /// Checks that this backend finds exactly what the portable one finds, in a few milliseconds.
    ///
    /// # Errors
    /// If it does not; it must not be used then.
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

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.name())
    }
}

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
    fn an_unknown_name_is_told_with_the_known_ones() {
        let message = Backend::named("abacus").unwrap_err().to_string();
        assert!(message.contains("\"abacus\"") && message.contains("portable"), "{message}");
    }
}
