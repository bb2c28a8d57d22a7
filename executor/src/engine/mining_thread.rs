//! A mining thread: claims units, prepares their work, scans it chunk by chunk, and sends the shares that it finds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hasher::{HitBuffer, Work};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tracing::{debug, error};

use super::cpu_throttle::CpuThrottle;
use super::job_headers::UnitWork;
use super::job_search::UnitRemainder;
use super::{EngineState, FoundShare, ThreadCounters, ThreadJob};

/// The lowest priority, so that the machine stays responsive and the network threads run as soon as data arrives.
const NICE: i32 = 19;

/// Mines until the engine stops. `fraction` is the fraction of a CPU that the thread may use.
pub(super) fn run(
    state: &EngineState,
    counters: &ThreadCounters,
    found: mpsc::Sender<FoundShare>,
    core: Option<usize>,
    fraction: f64,
) {
    if let Some(id) = core
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        debug!(core = id, "cannot pin a mining thread; the kernel places it");
    }
    // On Linux this affects only the calling thread.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        debug!(%error, "cannot lower the priority of a mining thread");
    }
    let throttle = CpuThrottle::new(fraction, Instant::now(), cpu_time());
    let mut miner = Thread { state, counters, found, hits: HitBuffer::new(), throttle };
    let mut generation = 0;
    while let Some(thread_job) = state.wait(generation) {
        generation = thread_job.generation;
        if !miner.search(&thread_job) {
            return;
        }
    }
}

struct Thread<'a> {
    state: &'a EngineState,
    counters: &'a ThreadCounters,
    found: mpsc::Sender<FoundShare>,
    hits: HitBuffer,
    throttle: Option<CpuThrottle>,
}

impl Thread<'_> {
    /// Searches a job until it is replaced or all its units are claimed. Returns false if the receiver of shares is gone.
    fn search(&mut self, thread_job: &Arc<ThreadJob>) -> bool {
        while self.is_current(thread_job)
            && let Some(remainder) = thread_job.search.claim()
        {
            let Some(unit) = thread_job.search.space().unit(remainder.unit) else { return true };
            let unit = UnitWork::new(thread_job, &unit);
            match unit.work() {
                Ok(work) => {
                    if !self.scan(&unit, &work, remainder) {
                        return false;
                    }
                }
                // Cannot happen: a unit has 1 to MAX_VERSIONS different versions.
                Err(error) => error!(%error, "cannot search a unit"),
            }
        }
        true
    }

    fn is_current(&self, thread_job: &ThreadJob) -> bool {
        self.state.generation.load(Ordering::Acquire) == thread_job.generation
    }

    /// Searches a unit from `remainder` on, to its end or until the job is replaced. Returns false if the receiver of shares is
    /// gone. Allocates and locks only when it finds a share.
    fn scan(&mut self, unit: &UnitWork, work: &Work, remainder: UnitRemainder) -> bool {
        let thread_job = unit.thread_job;
        let (mut cursor, backend) = (remainder.cursor, self.state.backends.backend(work));
        let mut first = self.state.first_hashes.begin(thread_job.generation);
        loop {
            let progress = backend.scan(work, cursor, &mut self.hits);
            self.counters.add(progress.hashes, thread_job.generation, self.state.start);
            if let Some(first) = first.take() {
                self.state.first_hashes.tell(first);
            }
            for hit in self.hits.drain() {
                // Waits while the queue is full. The receiver is gone only when the engine is being dropped.
                if self.found.blocking_send(unit.found(hit)).is_err() {
                    return false;
                }
            }
            match progress.next {
                None => return true,
                Some(next) => cursor = next,
            }
            if !self.is_current(thread_job) {
                thread_job.search.give_back(UnitRemainder { cursor, ..remainder });
                return true;
            }
            self.throttle(thread_job.generation);
        }
    }

    fn throttle(&mut self, generation: u64) {
        if let Some(throttle) = &mut self.throttle {
            let now = Instant::now();
            if throttle.is_due(now)
                && let Some(pause) = throttle.pause(now, cpu_time())
            {
                self.state.sleep(pause, generation);
            }
        }
    }
}

/// The CPU time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_grows_with_work() {
        let before = cpu_time();
        let started = Instant::now();
        let mut bytes = [0; 32];
        while cpu_time() == before && started.elapsed() < Duration::from_secs(30) {
            bytes = std::hint::black_box(hasher::sha256d(&bytes));
        }
        assert!(cpu_time() > before);
    }
}
