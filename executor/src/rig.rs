//! What mines here: a backend, threads, and an estimate of their speed.

use anyhow::Context;
use hasher::{Backend, CALIBRATION_TIME, Choice, MAX_VERSIONS, Target, calibrate};
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{error, info};

use crate::engine::cpus::{self, CpuLimits, CpuRequest};
use crate::engine::{Engine, Found};

/// Time to measure a backend that was chosen by name.
const MEASURE_TIME: Duration = Duration::from_millis(10);

/// Parked threads, ready for a job.
#[derive(Debug)]
pub struct Rig {
    /// The threads.
    pub engine: Engine,
    /// What they find.
    pub found: mpsc::Receiver<Found>,
    /// What they run.
    pub backends: Choice,
    /// How many they are.
    pub threads: u32,
    /// Expected hashes per second of all threads together, with versions rolled.
    pub hashrate: f64,
}

impl Rig {
    /// Chooses the backend (by calibration, unless one is named) and starts the threads. Takes some 50 ms.
    ///
    /// # Errors
    /// If the backend fails its self-test, the request for CPUs can't be met, or there are no threads to be had.
    pub fn assemble(backend: Option<&str>, request: &CpuRequest) -> anyhow::Result<Rig> {
        let cpus = cpus::plan(request, &CpuLimits::of_this_process())?;
        let (backends, rate) = match backend {
            Some(name) => named(name)?,
            None => fastest()?,
        };
        let (engine, found) = Engine::start(backends, &cpus).context("can't start the mining threads")?;
        let threads = u32::try_from(cpus.threads.get()).unwrap_or(u32::MAX);
        let hashrate = rate * f64::from(threads) * cpus.duty;
        info!(%backends, threads, duty = cpus.duty, pinned = !cpus.pins.is_empty(), "ready to mine");
        Ok(Rig { engine, found, backends, threads, hashrate })
    }

    /// The same on a thread where it may block.
    ///
    /// # Errors
    /// As [`Rig::assemble`].
    pub async fn assemble_in_background(backend: Option<String>, request: CpuRequest) -> anyhow::Result<Rig> {
        tokio::task::spawn_blocking(move || Rig::assemble(backend.as_deref(), &request)).await?
    }
}

fn named(name: &str) -> anyhow::Result<(Choice, f64)> {
    let backend = Backend::named(name)?;
    backend.self_test()?;
    Ok((backend.into(), backend.measure(MAX_VERSIONS, MEASURE_TIME).rate()))
}

fn fastest() -> anyhow::Result<(Choice, f64)> {
    let calibration = calibrate(CALIBRATION_TIME);
    for failure in &calibration.rejected {
        error!(%failure, "a backend computes wrong hashes here and is not used");
    }
    let best = calibration.rolled.first().context("no backend passed its self-test")?;
    Ok((calibration.choice(), best.hashes_per_second))
}

/// The difficulty at which so many hashes per second give a share about every `interval`.
pub fn difficulty_for(hashrate: f64, interval: Duration) -> f64 {
    hashrate * interval.as_secs_f64() / Target::HASHES_PER_DIFFICULTY
}
