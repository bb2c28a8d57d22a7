//! Chooses a backend, starts the mining threads, and estimates their speed.

use std::time::Duration;

use anyhow::Context;
use command_line::UsageError;
use hasher::{Backend, BackendChoice, CALIBRATION_TIME, MAX_VERSIONS, Target, calibrate};
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::engine::cpus::{self, CpuLimits, CpuRequest};
use crate::engine::{Engine, FoundShare};

/// How long to measure the speed of a backend that was chosen by name.
const MEASURE_TIME: Duration = Duration::from_millis(10);

/// An engine whose threads wait for a job.
#[derive(Debug)]
pub struct StartedEngine {
    /// The engine.
    pub engine: Engine,
    /// The shares that the engine finds.
    pub found: mpsc::Receiver<FoundShare>,
    /// The backends in use.
    pub backends: BackendChoice,
    /// The number of mining threads.
    pub threads: u32,
    /// The core of each thread; empty if the threads are not pinned.
    pub pins: Vec<usize>,
    /// Expected hashes per second of all threads together, with version rolling.
    pub hashrate: f64,
}

impl StartedEngine {
    /// Chooses the backend (by calibration, unless one is named) and starts the threads. This takes some 50 ms.
    ///
    /// # Errors
    /// [`UsageError`] if the options for CPUs do not fit this machine. Other errors if the backend fails its self-test, or no
    /// threads can be started.
    pub fn start(backend: Option<&str>, request: &CpuRequest) -> anyhow::Result<Self> {
        let cpus = cpus::allocate(request, &CpuLimits::of_this_process())
            .map_err(|error| UsageError(error.to_string()))?;
        let (backends, rate) = match backend {
            Some(name) => named(name)?,
            None => fastest()?,
        };
        let (engine, found) = Engine::start(backends, &cpus).context("cannot start the mining threads")?;
        let threads = u32::try_from(cpus.threads.get()).unwrap_or(u32::MAX);
        let hashrate = rate * f64::from(threads) * cpus.duty;
        info!(%backends, threads, duty = cpus.duty, pinned = !cpus.pins.is_empty(), "ready to mine");
        Ok(StartedEngine { engine, found, backends, threads, pins: cpus.pins, hashrate })
    }

    /// Like [`StartedEngine::start`], but runs on a blocking thread.
    ///
    /// # Errors
    /// The errors of [`StartedEngine::start`].
    pub async fn start_in_background(backend: Option<String>, request: CpuRequest) -> anyhow::Result<Self> {
        tokio::task::spawn_blocking(move || StartedEngine::start(backend.as_deref(), &request)).await?
    }
}

fn named(name: &str) -> anyhow::Result<(BackendChoice, f64)> {
    let backend = Backend::named(name)?;
    backend.self_test()?;
    Ok((backend.into(), backend.measure(MAX_VERSIONS, MEASURE_TIME).rate()))
}

fn fastest() -> anyhow::Result<(BackendChoice, f64)> {
    let calibration = calibrate(CALIBRATION_TIME);
    for failure in &calibration.rejected {
        error!(%failure, "a backend computes wrong hashes on this CPU and is not used");
    }
    let best = calibration.rolled.first().context("no backend passed its self-test")?;
    Ok((calibration.choice(), best.hashes_per_second))
}

/// The difficulty at which this hashrate, in H/s, gives one share per `interval` on average.
pub fn difficulty_for(hashrate: f64, interval: Duration) -> f64 {
    hashrate * interval.as_secs_f64() / Target::HASHES_PER_DIFFICULTY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cpus::Affinity;

    #[test]
    fn cores_that_this_machine_does_not_have_are_bad_usage() {
        for affinity in [Affinity::Cores(vec![4095]), Affinity::Mask(vec![4095])] {
            let request = CpuRequest { affinity, ..CpuRequest::default() };
            let error = StartedEngine::start(None, &request).unwrap_err();
            assert!(error.is::<UsageError>() && error.to_string().contains("--cpu-affinity"), "{error}");
        }
    }
}
