//! Bitcoin's proof of work on the CPU: headers, targets and the search for nonces.
//!
//! This crate does no I/O, starts no threads and writes no logs; it is the only one of the workspace with `unsafe`
//! code, and its public API is safe. The straight line through it:
//!
//! ```text
//! Header + versions + Target ─Work::new→ Work ─Backend::scan(work, cursor)→ Progress { hashes, next } + Hits
//! ```
//!
//! [`Work`] is everything a search needs, computed once per job; [`Backend`] is one of several implementations of the
//! same search, listed in one table and chosen at run time ([`calibrate()`]). Every backend finds exactly the hits of
//! the portable one, which is written to be read and serves as the oracle of all tests.
//!
//! ```
//! use hasher::{Backend, Cursor, Header, HitBuffer, Target, Work};
//!
//! // Bitcoin's genesis block: the search that starts a little below its nonce finds it.
//! let genesis = Header::genesis();
//! let work = Work::new(&genesis, &[genesis.version], &Target::from_compact(genesis.nbits)?)?;
//! let mut hits = HitBuffer::new();
//! let mut cursor = Some(Cursor::at_nonce(genesis.nonce - 100));
//! while hits.is_empty() && let Some(from) = cursor {
//!     cursor = Backend::portable().scan(&work, from, &mut hits).next;
//! }
//! assert_eq!(hits.drain().next().map(|hit| hit.nonce), Some(2_083_236_893));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
mod calibrate;
mod cursor;
mod digest;
mod fold;
mod header;
mod hit;
pub mod measure;
mod sha256;
mod target;
mod work;

pub use backend::{Backend, BackendError, SelfTestError};
pub use calibrate::{CALIBRATION_TIME, Calibration, Rate, calibrate};
pub use cursor::{Cursor, Progress};
pub use digest::{Digest, sha256d};
pub use header::Header;
pub use hit::{Hit, HitBuffer};
pub use target::{CompactTarget, CompactTargetError, Target};
pub use work::{MAX_VERSIONS, Work, WorkError};
