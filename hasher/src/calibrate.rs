//! Which backend is the fastest here: found by trying, since no fixed order holds on all CPUs.

use std::fmt;
use std::time::Duration;

use crate::{Backend, MAX_VERSIONS, SelfTestError, Work};

/// What [`calibrate`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Calibration {
    /// The backends that passed their self-test, the fastest with [`MAX_VERSIONS`] versions rolled first; never empty,
    /// since the portable one is the measure of the test.
    pub rolled: Vec<Rate>,
    /// The same backends, the fastest without version rolling first.
    pub single: Vec<Rate>,
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

/// The backends to search with. Only a pool says whether versions may be rolled, and what is the fastest with that need
/// not be so without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// For several versions.
    pub rolled: Backend,
    /// For one.
    pub single: Backend,
}

impl Choice {
    /// The backend for this work.
    pub fn backend(self, work: &Work) -> Backend {
        if work.versions().len() > 1 { self.rolled } else { self.single }
    }
}

impl From<Backend> for Choice {
    /// One backend for everything.
    fn from(backend: Backend) -> Choice {
        Choice { rolled: backend, single: backend }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rolled == self.single {
            return write!(f, "{}", self.rolled);
        }
        write!(f, "{} ({} without version rolling)", self.rolled, self.single)
    }
}

impl Calibration {
    /// The fastest backends.
    pub fn choice(&self) -> Choice {
        let fastest = |rates: &[Rate]| rates.first().map_or(Backend::portable(), |rate| rate.backend);
        Choice { rolled: fastest(&self.rolled), single: fastest(&self.single) }
    }
}

/// The time that calibration takes unless there is a reason for more.
pub const CALIBRATION_TIME: Duration = Duration::from_millis(50);
/// Each backend runs this often, all in turn, and its best run counts: an interruption only ever makes one slower.
const ROUNDS: u32 = 4;

/// Tests every available backend and measures it, with and without version rolling, in `time` in all, on this thread.
///
/// The self-tests take a few milliseconds more.
pub fn calibrate(time: Duration) -> Calibration {
    calibrate_among(Backend::available(), time)
}

fn calibrate_among(backends: impl Iterator<Item = Backend>, time: Duration) -> Calibration {
    let mut rejected = Vec::new();
    let passed = |backend: &Backend| backend.self_test().map_err(|error| rejected.push(error)).is_ok();
    let passed: Vec<Backend> = backends.filter(passed).collect();
    let rolled = measure(&passed, MAX_VERSIONS, time / 2);
    let single = measure(&passed, 1, time / 2);
    Calibration { rolled, single, rejected }
}

/// Measures backends in `time` in all; the fastest comes first.
fn measure(backends: &[Backend], versions: usize, time: Duration) -> Vec<Rate> {
    let slice = time / (ROUNDS * backends.len().max(1) as u32);
    let mut rates: Vec<Rate> =
        backends.iter().map(|backend| Rate { backend: *backend, hashes_per_second: 0.0 }).collect();
    for _ in 0..ROUNDS {
        for rate in &mut rates {
            let measured = rate.backend.measure(versions, slice).rate();
            rate.hashes_per_second = rate.hashes_per_second.max(measured);
        }
    }
    rates.sort_by(|a, b| b.hashes_per_second.total_cmp(&a.hashes_per_second));
    rates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Header, Target};

    #[test]
    fn measures_every_available_backend_with_and_without_rolling() {
        let calibration = calibrate(Duration::from_millis(1));
        assert_eq!(calibration.rejected, []);
        for rates in [&calibration.rolled, &calibration.single] {
            assert_eq!(rates.len(), Backend::available().count());
            assert!(rates.is_sorted_by(|a, b| a.hashes_per_second >= b.hashes_per_second));
            assert!(rates.iter().all(|rate| rate.hashes_per_second > 0.0));
        }
        let Choice { rolled, single } = calibration.choice();
        assert_eq!((rolled, single), (calibration.rolled[0].backend, calibration.single[0].backend));
    }

    #[test]
    fn a_broken_backend_is_not_chosen_but_told() {
        let both = [Backend::broken(), Backend::portable()];
        let calibration = calibrate_among(both.into_iter(), Duration::from_millis(1));
        assert_eq!(calibration.rejected.len(), 1);
        assert_eq!(calibration.rejected[0].backend, "broken");
        assert_eq!(calibration.choice(), Choice::from(Backend::portable()));
        assert!(
            calibration.rolled.iter().chain(&calibration.single).all(|rate| rate.hashes_per_second > 0.0)
        );
    }

    #[test]
    fn the_number_of_versions_decides() {
        let other = Backend::available().next().unwrap();
        let choice = Choice { rolled: other, single: Backend::portable() };
        let work = |versions: &[u32]| Work::new(&Header::genesis(), versions, &Target::MAX).unwrap();
        assert_eq!(choice.backend(&work(&[1])), Backend::portable());
        assert_eq!(choice.backend(&work(&[1, 2])), other);
        assert_eq!(Choice::from(other).to_string(), other.name());
        if other != Backend::portable() {
            assert_eq!(choice.to_string(), format!("{other} (portable without version rolling)"));
        }
    }
}
