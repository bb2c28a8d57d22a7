//! The mining threads: a rayon pool of their own, parked while there is no job.
//!
//! ```text
//! mine(job) ─generation + 1→ threads ─claim→ unit ─Work→ scan, scan, scan … ─FoundShare→ channel
//! ```
//!
//! A thread looks at the generation between two chunks of some 20 µs; what it found before goes into the channel
//! with the job it was found for, so a change of job loses nothing. What it did not search goes back to the
//! search, so nothing is skipped if that job comes again.

mod cpu_throttle;
pub mod cpus;
mod job_search;
mod search_space;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hasher::{BackendChoice, Digest, Header};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use stratum::job::Job;
use tokio::sync::mpsc;

use self::cpus::CpuAllocation;
use self::job_search::{JobSearch, JobSearches};

/// Finds that wait for the miner. With a target so easy that the miner can't keep up, threads wait.
const FOUND_QUEUE: usize = 1024;

/// A header that meets its job's target.
#[derive(Clone, Debug)]
pub struct FoundShare {
    /// The job that it was found for, with the target of that time.
    pub job: Arc<Job>,
    /// What [`Engine::mine`] returned for that job.
    pub generation: u64,
    /// The bytes of extranonce2 as they stand in the coinbase.
    pub extranonce2: Vec<u8>,
    /// The header, with its version and nonce.
    pub header: Header,
    /// Its hash.
    pub digest: Digest,
}

/// A job as the threads get it.
#[derive(Debug)]
struct ThreadJob {
    job: Arc<Job>,
    search: Arc<JobSearch>,
    generation: u64,
}

/// Counters of one thread, alone on their cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ThreadCounters {
    hashes: AtomicU64,
    generation: AtomicU64,
    /// When the first chunk of this generation was done, in nanoseconds since the engine's start.
    switched: AtomicU64,
}

impl ThreadCounters {
    /// Only the owning thread writes, so load and store need not be one operation.
    fn add(&self, hashes: u64, generation: u64, start: Instant) {
        self.hashes.store(self.hashes.load(Ordering::Relaxed).wrapping_add(hashes), Ordering::Relaxed);
        if self.generation.load(Ordering::Relaxed) != generation {
            let since = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.switched.store(since, Ordering::Relaxed);
            self.generation.store(generation, Ordering::Release);
        }
    }

    /// See [`Counters::switches`].
    fn switch(&self, start: Instant) -> (u64, Instant) {
        let generation = self.generation.load(Ordering::Acquire);
        (generation, start + Duration::from_nanos(self.switched.load(Ordering::Relaxed)))
    }
}

/// Read by all threads after every chunk, so not on a cache line with anything that is written.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Generation(AtomicU64);

impl std::ops::Deref for Generation {
    type Target = AtomicU64;

    fn deref(&self) -> &AtomicU64 {
        &self.0
    }
}

#[derive(Debug)]
struct EngineState {
    backends: BackendChoice,
    start: Instant,
    generation: Generation,
    current: Mutex<JobSlot>,
    changed: Condvar,
}

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

    /// Waits for a job newer than `seen`; `None` when the engine stops.
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

    /// Waits for a time, or until the job changes.
    fn rest(&self, time: Duration, generation: u64) {
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

/// Reads the engine's counters; stays valid after the engine has stopped.
#[derive(Clone, Debug)]
pub struct Counters {
    slots: Arc<[ThreadCounters]>,
    start: Instant,
}

impl Counters {
    /// Hashes since the engine started.
    pub fn hashes(&self) -> u128 {
        self.slots.iter().map(|slot| u128::from(slot.hashes.load(Ordering::Relaxed))).sum()
    }

    /// For each thread, the generation of its last chunk (0 before its first) and when it had done the first chunk of
    /// that generation; if a thread changes at this moment, the time may be that of the next one.
    pub fn switches(&self) -> impl Iterator<Item = (u64, Instant)> + '_ {
        self.slots.iter().map(|slot| slot.switch(self.start))
    }
}

/// The running threads. Dropping it stops them.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<EngineState>,
    slots: Arc<[ThreadCounters]>,
    searches: JobSearches,
    /// Holds the threads; they end by themselves once `stopped` is set.
    _pool: ThreadPool,
}

impl Engine {
    /// Starts the threads, parked; what they find comes out of the receiver.
    ///
    /// # Errors
    /// If the system gives us no threads.
    pub fn start(
        backends: impl Into<BackendChoice>,
        cpus: &CpuAllocation,
    ) -> Result<(Engine, mpsc::Receiver<FoundShare>), ThreadPoolBuildError> {
        let threads = cpus.threads.get();
        let (found, receiver) = mpsc::channel(FOUND_QUEUE);
        let current = JobSlot { thread_job: None, generation: 0, stopped: false };
        let shared = Arc::new(EngineState {
            backends: backends.into(),
            start: Instant::now(),
            generation: Generation::default(),
            current: Mutex::new(current),
            changed: Condvar::new(),
        });
        let slots: Arc<[ThreadCounters]> = (0..threads).map(|_| ThreadCounters::default()).collect();
        let pool =
            ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("miner-{i}")).build()?;
        let (body, counters, pins, share) = (shared.clone(), slots.clone(), cpus.pins.clone(), cpus.duty);
        pool.spawn_broadcast(move |context| {
            if let Some(slot) = counters.get(context.index()) {
                thread::run(&body, slot, found.clone(), pins.get(context.index()).copied(), share);
            }
        });
        Ok((Engine { shared, slots, searches: JobSearches::default(), _pool: pool }, receiver))
    }

    /// Sets all threads on a job and returns its generation, which rises with each call.
    pub fn mine(&mut self, job: Arc<Job>) -> u64 {
        let search = self.searches.of(&job);
        self.shared.change(|current, generation| {
            current.thread_job = Some(Arc::new(ThreadJob { job, search, generation }));
        })
    }

    /// Parks all threads, and returns the generation of what they find from now on: nothing.
    pub fn pause(&mut self) -> u64 {
        self.shared.change(|current, _| current.thread_job = None)
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        Counters { slots: self.slots.clone(), start: self.shared.start }
    }

    /// Ends the threads. The receiver of finds ends (`None`) when the last thread has; then the counters are final.
    pub fn stop(&mut self) {
        self.shared.change(|current, _| {
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
