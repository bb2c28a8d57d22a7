//! Who searches what: the pieces of a job that threads claim and give back.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hasher::{Cursor, MAX_VERSIONS};
use stratum::job::Job;

use super::search_space::{JobShape, SearchSpace};

/// Versions per unit: as many as a backend takes at once.
const GROUP: NonZeroUsize = NonZeroUsize::new(MAX_VERSIONS).expect("a backend takes at least one version");

/// Contents that are remembered, in case a pool announces one of them again: also one whose session is resumed after
/// others stood in for it for some minutes.
const REMEMBERED: usize = 64;

/// A unit, or what is left of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitRemainder {
    /// Number of the unit in its [`SearchSpace`].
    pub unit: u64,
    /// Where to go on in it.
    pub cursor: Cursor,
}

/// The search through one job's content; all announcements of that content share it.
#[derive(Debug)]
pub struct JobSearch {
    job: Arc<Job>,
    space: SearchSpace,
    /// The first unit that nobody claimed, here or in a search of the same headers under other versions.
    next: Arc<AtomicU64>,
    /// Pieces that were given back when the job changed. Taken before new units, so that none is skipped.
    left: Mutex<Vec<UnitRemainder>>,
    /// Whether `left` may hold something; spares threads that start on a new job the lock.
    any_left: AtomicBool,
}

impl JobSearch {
    fn new(job: &Arc<Job>, next: Arc<AtomicU64>) -> JobSearch {
        let shape = JobShape {
            extranonce2_len: job.extranonce2_len,
            version: job.version,
            version_mask: job.version_mask,
            ntime: job.ntime,
        };
        JobSearch {
            job: job.clone(),
            space: SearchSpace::new(shape, GROUP),
            next,
            left: Mutex::default(),
            any_left: AtomicBool::new(false),
        }
    }

    /// The units.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// Takes a piece that nobody else has; `None` when all are taken.
    pub fn claim(&self) -> Option<UnitRemainder> {
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
        Some(UnitRemainder { unit, cursor: Cursor::default() })
    }

    /// Returns the unsearched rest of a piece.
    pub fn give_back(&self, piece: UnitRemainder) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(piece);
        self.any_left.store(true, Ordering::Release);
    }
}

/// The searches of the last few jobs, the latest first.
#[derive(Debug, Default)]
pub struct JobSearches {
    recent: VecDeque<Arc<JobSearch>>,
}

impl JobSearches {
    /// The search for a job: the one already going on if its content was announced before.
    ///
    /// Two jobs have the same content if they lead to the same headers; names and targets do not matter. Those that
    /// differ only in version or version mask may have some headers in common, so their searches count their units
    /// together: no value of extranonce2 is searched under both. (That ends when all its values are used up; with two
    /// bytes and no version rolling, one core needs a month for that.)
    pub fn of(&mut self, job: &Arc<Job>) -> Arc<JobSearch> {
        let known = self.recent.iter().position(|search| same_content(&search.job, job));
        let search = known.and_then(|place| self.recent.remove(place)).unwrap_or_else(|| {
            let relative = self.recent.iter().find(|search| same_but_for_versions(&search.job, job));
            Arc::new(JobSearch::new(job, relative.map(|search| search.next.clone()).unwrap_or_default()))
        });
        self.recent.push_front(search.clone());
        self.recent.truncate(REMEMBERED);
        search
    }
}

/// See [`JobSearches::of`].
fn same_content(a: &Job, b: &Job) -> bool {
    (a.version, a.version_mask) == (b.version, b.version_mask) && same_but_for_versions(a, b)
}

fn same_but_for_versions(a: &Job, b: &Job) -> bool {
    (a.ntime, a.nbits, a.extranonce2_len) == (b.ntime, b.nbits, b.extranonce2_len)
        && a.prev_hash == b.prev_hash
        && a.extranonce1 == b.extranonce1
        && a.coinb1 == b.coinb1
        && a.coinb2 == b.coinb2
        && a.branch == b.branch
}
