//! The engine: mining threads in their own rayon pool. They sleep while there is no job.
//!
//! ```text
//! mine(job) ─generation + 1→ threads ─claim→ unit ─Work→ scan, scan, scan … ─FoundShare→ channel
//! ```
//!
//! Each call of `mine` increments the generation, which the threads check after each chunk of some 20 µs. A found share carries
//! its job, so no share is lost when the job changes. After a change, each thread returns the unsearched rest of its unit, so
//! that no header is skipped if the pool sends the old job again.

mod cpu_throttle;
pub mod cpus;
mod first_hash;
mod job_headers;
mod job_search;
mod mining_thread;
mod search_space;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hasher::{BackendChoice, Digest, Header};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use stratum::job::Job;
use tokio::sync::{mpsc, watch};

use self::cpus::CpuAllocation;
pub use self::first_hash::FirstHash;
use self::first_hash::FirstHashes;
use self::job_search::{JobSearch, JobSearches};

/// Maximum number of found shares that wait for the miner to take them. While the queue is full, the mining threads wait.
const FOUND_QUEUE: usize = 1024;

/// A share that the engine has found: a header that meets the target of its job.
#[derive(Clone, Debug)]
pub struct FoundShare {
    /// The job, with the target that was in force when the share was found.
    pub job: Arc<Job>,
    /// The generation that [`Engine::mine`] returned for that job.
    pub generation: u64,
    /// The bytes of extranonce2, as they appear in the coinbase.
    pub extranonce2: Vec<u8>,
    /// The header, with its version and nonce.
    pub header: Header,
    /// The hash of the header.
    pub digest: Digest,
}

/// A job for the threads.
#[derive(Debug)]
struct ThreadJob {
    job: Arc<Job>,
    search: Arc<JobSearch>,
    generation: u64,
}

/// The counters of one thread, aligned so that no two threads share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ThreadCounters {
    hashes: AtomicU64,
    generation: AtomicU64,
    /// When the thread finished its first chunk of the current `generation`, in nanoseconds since the start of the engine.
    switched: AtomicU64,
}

impl ThreadCounters {
    /// Adds hashes. Only the owning thread writes, so load and store need not be one atomic operation.
    fn add(&self, hashes: u64, generation: u64, start: Instant) {
        self.hashes.store(self.hashes.load(Ordering::Relaxed).wrapping_add(hashes), Ordering::Relaxed);
        if self.generation.load(Ordering::Relaxed) != generation {
            let since = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.switched.store(since, Ordering::Relaxed);
            self.generation.store(generation, Ordering::Release);
        }
    }

    /// The thread's entry of [`Counters::switches`].
    fn switch(&self, start: Instant) -> (u64, Instant) {
        let generation = self.generation.load(Ordering::Acquire);
        (generation, start + Duration::from_nanos(self.switched.load(Ordering::Relaxed)))
    }
}

/// The current generation. All threads read it after every chunk, so it has a cache line of its own.
#[derive(Debug, Default, derive_more::Deref)]
#[repr(align(128))]
struct Generation(AtomicU64);

/// The state that all threads share.
#[derive(Debug)]
struct EngineState {
    backends: BackendChoice,
    start: Instant,
    generation: Generation,
    first_hashes: FirstHashes,
    current: Mutex<JobSlot>,
    changed: Condvar,
}

/// The current job. `thread_job` is `None` while the engine is paused.
#[derive(Debug)]
struct JobSlot {
    thread_job: Option<Arc<ThreadJob>>,
    generation: u64,
    stopped: bool,
}

impl EngineState {
    fn lock(&self) -> MutexGuard<'_, JobSlot> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job newer than generation `seen`. Returns `None` when the engine stops.
    fn wait(&self, seen: u64) -> Option<Arc<ThreadJob>> {
        let mut current = self.lock();
        loop {
            if current.stopped {
                return None;
            }
            match &current.thread_job {
                Some(thread_job) if thread_job.generation > seen => return Some(thread_job.clone()),
                _ => current = self.changed.wait(current).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Sleeps for this time, or until the job changes.
    fn sleep(&self, time: Duration, generation: u64) {
        let unchanged = |current: &mut JobSlot| current.generation == generation && !current.stopped;
        drop(self.changed.wait_timeout_while(self.lock(), time, unchanged));
    }

    fn change(&self, change: impl FnOnce(&mut JobSlot, u64)) -> u64 {
        let mut current = self.lock();
        current.generation += 1;
        let generation = current.generation;
        change(&mut current, generation);
        self.generation.store(generation, Ordering::Release);
        self.changed.notify_all();
        generation
    }
}

/// Reads the counters of the engine, even after the engine has stopped.
#[derive(Clone, Debug)]
pub struct Counters {
    threads: Arc<[ThreadCounters]>,
    start: Instant,
}

impl Counters {
    /// Hashes since the engine started.
    pub fn hashes(&self) -> u128 {
        self.by_thread().map(u128::from).sum()
    }

    /// The hashes of each thread since the engine started.
    pub fn by_thread(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.threads.iter().map(|thread| thread.hashes.load(Ordering::Relaxed))
    }

    /// Returns, for each thread, the generation of its last chunk (0 before the first) and the time when the thread finished its
    /// first chunk of that generation. While a thread switches to a new job, the time may already be that of the next generation.
    pub fn switches(&self) -> impl Iterator<Item = (u64, Instant)> + '_ {
        self.threads.iter().map(|thread| thread.switch(self.start))
    }
}

/// The engine. Dropping it stops the threads.
#[derive(Debug)]
pub struct Engine {
    state: Arc<EngineState>,
    counters: Arc<[ThreadCounters]>,
    searches: JobSearches,
    /// Owns the threads, which end once `stopped` is set.
    _pool: ThreadPool,
}

impl Engine {
    /// Starts the threads, which sleep until the first job. The returned receiver yields the shares that they find.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn start(
        backends: impl Into<BackendChoice>,
        cpus: &CpuAllocation,
    ) -> Result<(Self, mpsc::Receiver<FoundShare>), ThreadPoolBuildError> {
        let threads = cpus.threads.get();
        let (found, receiver) = mpsc::channel(FOUND_QUEUE);
        let current = JobSlot { thread_job: None, generation: 0, stopped: false };
        let state = Arc::new(EngineState {
            backends: backends.into(),
            start: Instant::now(),
            generation: Generation::default(),
            first_hashes: FirstHashes::default(),
            current: Mutex::new(current),
            changed: Condvar::new(),
        });
        let counters: Arc<[ThreadCounters]> = (0..threads).map(|_| ThreadCounters::default()).collect();
        let pool =
            ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("miner-{i}")).build()?;
        let (shared, all_counters, pins, duty) =
            (state.clone(), counters.clone(), cpus.pins.clone(), cpus.duty);
        pool.spawn_broadcast(move |context| {
            if let Some(counters) = all_counters.get(context.index()) {
                mining_thread::run(
                    &shared,
                    counters,
                    found.clone(),
                    pins.get(context.index()).copied(),
                    duty,
                );
            }
        });
        Ok((Engine { state, counters, searches: JobSearches::default(), _pool: pool }, receiver))
    }

    /// Makes all threads mine this job. Returns the generation of the job, which increases with each call.
    pub fn mine(&mut self, job: Arc<Job>) -> u64 {
        let search = self.searches.of(&job);
        self.state.change(|current, generation| {
            current.thread_job = Some(Arc::new(ThreadJob { job, search, generation }));
        })
    }

    /// Makes all threads sleep. Returns the new generation, in which no share will be found.
    pub fn pause(&mut self) -> u64 {
        self.state.change(|current, _| current.thread_job = None)
    }

    /// Returns a reader of the counters.
    pub fn counters(&self) -> Counters {
        Counters { threads: self.counters.clone(), start: self.state.start }
    }

    /// Returns a receiver of the first hash of each generation. Of several generations that follow each other at once, only the
    /// last may be seen. Its first value, of generation 0, is no hash.
    pub fn first_hashes(&self) -> watch::Receiver<FirstHash> {
        self.state.first_hashes.subscribe()
    }

    /// Ends the threads. The receiver of shares returns `None` after the last thread has ended; then the counters are final.
    pub fn stop(&mut self) {
        self.state.change(|current, _| {
            current.thread_job = None;
            current.stopped = true;
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}
