//! Which backend is the fastest here: found by trying, since no fixed order holds on all CPUs.

use std::time::Duration;

use crate::{Backend, SelfTestError};

/// What [`calibrate`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Calibration {
    /// The backends that passed their self-test, the fastest first; never empty, since the portable one is the
    /// measure of the test.
    pub rates: Vec<Rate>,
    /// The backends that failed it: worth a loud message, for the CPU or this program is broken.
    pub rejected: Vec<SelfTestError>,
}

/// The speed of a backend.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    /// The backend.
    pub backend: Backend,
    /// Hashes per second of one thread.
    pub hashes_per_second: f64,
}

impl Calibration {
    /// The fastest backend.
    pub fn best(&self) -> Backend {
        self.rates.first().map_or(Backend::portable(), |rate| rate.backend)
    }
}

/// The time that calibration takes unless there is a reason for more.
pub const CALIBRATION_TIME: Duration = Duration::from_millis(50);
/// Each backend runs this often, all in turn, and its best run counts: an interruption only ever makes one slower.
const ROUNDS: u32 = 4;

/// Tests every available backend and measures it, with so many versions rolled, in `time` in all, on this thread.
///
/// The self-tests take a few milliseconds more.
pub fn calibrate(versions: usize, time: Duration) -> Calibration {
    let mut rejected = Vec::new();
    let passed = |backend: &Backend| backend.self_test().map_err(|error| rejected.push(error)).is_ok();
    let mut rates: Vec<Rate> =
        Backend::available().filter(passed).map(|backend| Rate { backend, hashes_per_second: 0.0 }).collect();
    let slice = time / (ROUNDS * rates.len().max(1) as u32);
    for _ in 0..ROUNDS {
        for rate in &mut rates {
            let measured = rate.backend.measure(versions, slice).rate();
            rate.hashes_per_second = rate.hashes_per_second.max(measured);
        }
    }
    rates.sort_by(|a, b| b.hashes_per_second.total_cmp(&a.hashes_per_second));
    Calibration { rates, rejected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_every_available_backend_once() {
        let calibration = calibrate(1, Duration::from_millis(1));
        assert_eq!(calibration.rejected, []);
        assert_eq!(calibration.rates.len(), Backend::available().count());
        assert!(calibration.rates.is_sorted_by(|a, b| a.hashes_per_second >= b.hashes_per_second));
        assert!(calibration.rates.iter().all(|rate| rate.hashes_per_second > 0.0));
        assert_eq!(calibration.best(), calibration.rates[0].backend);
    }
}
