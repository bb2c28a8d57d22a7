//! The search through a job: threads claim units of the job and return the unsearched rest of a unit.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hasher::{Cursor, MAX_VERSIONS};
use stratum::job::Job;

use super::search_space::SearchSpace;

/// Maximum number of versions in a unit of a search space: as many as a backend searches together.
const GROUP: NonZeroUsize = NonZeroUsize::new(MAX_VERSIONS).expect("a backend takes at least one version");

/// Number of searches that are remembered. If a pool sends the same work again, its search continues where it stopped. This may
/// happen minutes later, when a session is resumed after the miner has worked for other pools.
const REMEMBERED: usize = 64;

/// A unit, or the unsearched remainder of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitRemainder {
    /// The number of the unit in its [`SearchSpace`].
    pub unit: u64,
    /// Where to continue in the unit.
    pub cursor: Cursor,
}

/// The search through the headers of a job. All jobs with the same headers share one search.
#[derive(Debug)]
pub struct JobSearch {
    job: Arc<Job>,
    space: SearchSpace,
    /// The number of the first unit that no thread has claimed. Several searches use the same counter if their headers differ
    /// only in the version.
    next: Arc<AtomicU64>,
    /// The remainders of units that threads returned unsearched when the job changed. Threads claim remainders before new units,
    /// so that no header is skipped.
    returned: Mutex<Vec<UnitRemainder>>,
    /// Whether `returned` may have elements. If it is empty, threads need not lock it.
    any_returned: AtomicBool,
}

impl JobSearch {
    fn new(job: &Arc<Job>, next: Arc<AtomicU64>) -> Self {
        JobSearch {
            job: job.clone(),
            space: SearchSpace::new(job, GROUP),
            next,
            returned: Mutex::default(),
            any_returned: AtomicBool::new(false),
        }
    }

    /// The search space.
    pub fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// Claims a unit, or the rest of a unit, that no other thread has. Returns `None` if none is left.
    pub fn claim(&self) -> Option<UnitRemainder> {
        if self.any_returned.load(Ordering::Acquire) {
            let mut returned = self.returned.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(remainder) = returned.pop() {
                self.any_returned.store(!returned.is_empty(), Ordering::Release);
                return Some(remainder);
            }
        }
        let claimed = |next| (next < self.space.units()).then_some(next + 1);
        let unit = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claimed).ok()?;
        Some(UnitRemainder { unit, cursor: Cursor::default() })
    }

    /// Takes back the unsearched rest of a unit, which a thread has claimed and now searches no further. Another claim gets it.
    pub fn give_back(&self, remainder: UnitRemainder) {
        let mut returned = self.returned.lock().unwrap_or_else(PoisonError::into_inner);
        returned.push(remainder);
        self.any_returned.store(true, Ordering::Release);
    }
}

/// The searches of the last jobs, the latest first.
#[derive(Debug, Default)]
pub struct JobSearches {
    recent: VecDeque<Arc<JobSearch>>,
}

impl JobSearches {
    /// The search of a job. A job with the same headers as an earlier job continues the search of that job.
    ///
    /// Ids and targets of jobs do not matter. Jobs that differ only in version or version mask may have headers in common. To
    /// avoid searching these headers twice, such jobs share one counter: each value of extranonce2 goes to only one of them,
    /// until all values are used up. (With two bytes of extranonce2 and no version rolling, one core needs a month to use them
    /// up.)
    pub fn of(&mut self, job: &Arc<Job>) -> Arc<JobSearch> {
        let known = self.recent.iter().position(|search| same_headers(&search.job, job));
        let search = known.and_then(|index| self.recent.remove(index)).unwrap_or_else(|| {
            let related = self.recent.iter().find(|search| search.job.same_but_for_version(job));
            Arc::new(JobSearch::new(job, related.map(|search| search.next.clone()).unwrap_or_default()))
        });
        self.recent.push_front(search.clone());
        self.recent.truncate(REMEMBERED);
        search
    }
}

fn same_headers(a: &Job, b: &Job) -> bool {
    (a.version, a.version_mask) == (b.version, b.version_mask) && a.same_but_for_version(b)
}
