//! One mining thread: claim a piece, build its work, scan it chunk by chunk, hand over what is found.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hasher::{Hit, HitBuffer, Work};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tracing::{debug, error};

use super::cpu_throttle::CpuThrottle;
use super::job_search::UnitRemainder;
use super::search_space::Unit;
use super::{EngineState, FoundShare, ThreadCounters, ThreadJob};

/// The nicest of all: the machine stays usable, and the network threads run at once when something arrives.
const NICE: i32 = 19;

/// Mines until the engine stops; `share` is the part of a CPU that it may use.
pub(super) fn run(
    shared: &EngineState,
    slot: &ThreadCounters,
    found: mpsc::Sender<FoundShare>,
    core: Option<usize>,
    share: f64,
) {
    if let Some(id) = core
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        debug!(core = id, "can't pin a mining thread; the kernel places it");
    }
    // On Linux this is the calling thread's alone.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        debug!(%error, "can't lower the priority of a mining thread");
    }
    let duty = CpuThrottle::new(share, Instant::now(), cpu_time());
    let mut miner = Thread { shared, slot, found, hits: HitBuffer::new(), duty };
    let mut generation = 0;
    while let Some(thread_job) = shared.wait(generation) {
        generation = thread_job.generation;
        if !miner.search(&thread_job) {
            return;
        }
    }
}

struct Thread<'a> {
    shared: &'a EngineState,
    slot: &'a ThreadCounters,
    found: mpsc::Sender<FoundShare>,
    hits: HitBuffer,
    duty: Option<CpuThrottle>,
}

impl Thread<'_> {
    /// Works on a job until it is replaced or all claimed; false if nobody takes what is found any more.
    fn search(&mut self, thread_job: &Arc<ThreadJob>) -> bool {
        while self.is_current(thread_job)
            && let Some(piece) = thread_job.search.claim()
        {
            let Some(unit) = thread_job.search.space().unit(piece.unit) else { return true };
            let part = UnitWork::new(thread_job, &unit);
            match part.work() {
                Ok(work) => {
                    if !self.scan(thread_job, &part, &work, piece) {
                        return false;
                    }
                }
                // Units hold 1 to MAX_VERSIONS different versions, which is all that a work asks for.
                Err(error) => error!(%error, "a unit can't be searched"),
            }
        }
        true
    }

    fn is_current(&self, thread_job: &ThreadJob) -> bool {
        self.shared.generation.load(Ordering::Acquire) == thread_job.generation
    }

    /// JobSearches a piece to its end or until the job is replaced. No allocation and no lock but for hits.
    fn scan(
        &mut self,
        thread_job: &Arc<ThreadJob>,
        part: &UnitWork,
        work: &Work,
        piece: UnitRemainder,
    ) -> bool {
        let (mut cursor, backend) = (piece.cursor, self.shared.backends.backend(work));
        loop {
            let progress = backend.scan(work, cursor, &mut self.hits);
            self.slot.add(progress.hashes, thread_job.generation, self.shared.start);
            for hit in self.hits.drain() {
                // Waits while the queue is full. Nobody listens only when the engine is being dropped.
                if self.found.blocking_send(part.found(hit)).is_err() {
                    return false;
                }
            }
            match progress.next {
                None => return true,
                Some(next) => cursor = next,
            }
            if !self.is_current(thread_job) {
                thread_job.search.give_back(UnitRemainder { cursor, ..piece });
                return true;
            }
            self.rest(thread_job.generation);
        }
    }

    fn rest(&mut self, generation: u64) {
        if let Some(duty) = &mut self.duty {
            let now = Instant::now();
            if duty.is_due(now)
                && let Some(rest) = duty.rest(now, cpu_time())
            {
                self.shared.rest(rest, generation);
            }
        }
    }
}

/// A unit of a job with all that is needed to make headers of it.
struct UnitWork<'a> {
    thread_job: &'a Arc<ThreadJob>,
    extranonce2: Vec<u8>,
    unit: &'a Unit,
    header: hasher::Header,
}

impl<'a> UnitWork<'a> {
    fn new(thread_job: &'a Arc<ThreadJob>, unit: &'a Unit) -> UnitWork<'a> {
        let extranonce2 = thread_job.search.space().extranonce2(unit);
        let header = thread_job.job.header(&extranonce2, unit.ntime, thread_job.job.version);
        UnitWork { thread_job, extranonce2, unit, header }
    }

    fn work(&self) -> Result<Work, hasher::WorkError> {
        let versions: Vec<u32> = self.thread_job.search.space().versions(self.unit).collect();
        Work::new(&self.header, &versions, &self.thread_job.job.target)
    }

    fn found(&self, hit: Hit) -> FoundShare {
        let header = hasher::Header { version: hit.version, nonce: hit.nonce, ..self.header };
        FoundShare {
            job: self.thread_job.job.clone(),
            generation: self.thread_job.generation,
            extranonce2: self.extranonce2.clone(),
            header,
            digest: header.digest(),
        }
    }
}

/// CPU time of the calling thread.
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
