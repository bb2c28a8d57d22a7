//! Who searches what: the pieces of a job that threads claim and give back.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hasher::{Cursor, MAX_VERSIONS};
use stratum::job::Job;

use super::space::{Shape, Space};

/// Versions per unit: as many as a backend takes at once.
const GROUP: NonZeroUsize = NonZeroUsize::new(MAX_VERSIONS).expect("a backend takes at least one version");

/// Contents that are remembered, in case a pool announces one of them again: also one whose session is resumed after
/// others stood in for it for some minutes.
const REMEMBERED: usize = 64;

/// A unit, or what is left of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Number of the unit in its [`Space`].
    pub unit: u64,
    /// Where to go on in it.
    pub cursor: Cursor,
}

/// The search through one job's content; all announcements of that content share it.
#[derive(Debug)]
pub struct Search {
    job: Arc<Job>,
    space: Space,
    /// The first unit that nobody claimed.
    next: AtomicU64,
    /// Pieces that were given back when the job changed. Taken before new units, so that none is skipped.
    left: Mutex<Vec<Piece>>,
    /// Whether `left` may hold something; spares threads that start on a new job the lock.
    any_left: AtomicBool,
}

impl Search {
    fn new(job: &Arc<Job>, first: u64) -> Search {
        let shape = Shape {
            extranonce2_len: job.extranonce2_len,
            version: job.version,
            version_mask: job.version_mask,
            ntime: job.ntime,
        };
        Search {
            job: job.clone(),
            space: Space::new(shape, GROUP),
            next: AtomicU64::new(first),
            left: Mutex::default(),
            any_left: AtomicBool::new(false),
        }
    }

    /// The units.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Takes a piece that nobody else has; `None` when all are taken.
    pub fn claim(&self) -> Option<Piece> {
        if self.any_left.load(Ordering::Acquire) {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(piece) = left.pop() {
                self.any_left.store(!left.is_empty(), Ordering::Release);
                return Some(piece);
            }
        }
        // The counter must not move beyond the end, where it could wrap in the course of ages.
        let claimed = |next| (next < self.space.units()).then_some(next + 1);
        let unit = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claimed).ok()?;
        Some(Piece { unit, cursor: Cursor::default() })
    }

    /// Returns the unsearched rest of a piece.
    pub fn give_back(&self, piece: Piece) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(piece);
        self.any_left.store(true, Ordering::Release);
    }
}

/// The searches of the last few jobs.
#[derive(Debug, Default)]
pub struct Searches {
    recent: VecDeque<Arc<Search>>,
}

impl Searches {
    /// The search for a job: the one already going on if its content was announced before.
    ///
    /// Two jobs have the same content if they lead to the same headers; names and targets do not matter. If only the
    /// version mask changed, the search goes on behind the units already taken under any mask, since headers of one
    /// may be headers of the other, too.
    pub fn of(&mut self, job: &Arc<Job>) -> Arc<Search> {
        let same: Vec<_> = self.recent.iter().filter(|search| same_headers(&search.job, job)).collect();
        let first = same.iter().map(|search| search.next.load(Ordering::Relaxed)).max().unwrap_or(0);
        if let Some(search) = same.iter().find(|search| same_mask(&search.job, job)) {
            search.next.fetch_max(first, Ordering::Relaxed);
            return Arc::clone(search);
        }
        let search = Arc::new(Search::new(job, first));
        self.recent.push_front(search.clone());
        self.recent.truncate(REMEMBERED);
        search
    }
}

/// Whether two jobs have the same content, see [`Searches::of`].
pub fn same_content(a: &Job, b: &Job) -> bool {
    same_headers(a, b) && same_mask(a, b)
}

fn same_mask(a: &Job, b: &Job) -> bool {
    a.version_mask == b.version_mask
}

fn same_headers(a: &Job, b: &Job) -> bool {
    (a.version, a.ntime, a.nbits, a.extranonce2_len) == (b.version, b.ntime, b.nbits, b.extranonce2_len)
        && a.prev_hash == b.prev_hash
        && a.extranonce1 == b.extranonce1
        && a.coinb1 == b.coinb1
        && a.coinb2 == b.coinb2
        && a.branch == b.branch
}
