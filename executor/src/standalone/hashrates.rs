//! The hashrate of each mining thread over the last 10 s, minute and quarter of an hour.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often [`Hashrates::record`] is to be called.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// The windows, as miners know them from xmrig.
pub const WINDOWS: [Duration; 3] =
    [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(900)];
/// The number of samples that the longest window needs.
const SAMPLES: usize = 91;

/// The hashes of each thread at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadHashes {
    /// The moment.
    pub at: Instant,
    /// Hashes since the threads started.
    pub hashes: Vec<u64>,
}

impl ThreadHashes {
    /// The hashes per second of each thread since an earlier moment; `None` if no time has passed.
    fn rates_since(&self, earlier: &ThreadHashes) -> Option<Vec<f64>> {
        let seconds = self.at.saturating_duration_since(earlier.at).as_secs_f64();
        let pairs = self.hashes.iter().zip(&earlier.hashes);
        (seconds > 0.0)
            .then(|| pairs.map(|(now, before)| now.saturating_sub(*before) as f64 / seconds).collect())
    }
}

/// Samples of the threads' hashes, the newest last.
#[derive(Debug, Default)]
pub struct Hashrates(VecDeque<ThreadHashes>);

impl Hashrates {
    /// Adds a sample.
    pub fn record(&mut self, sample: ThreadHashes) {
        self.0.push_back(sample);
        let superfluous = self.0.len().saturating_sub(SAMPLES);
        self.0.drain(..superfluous);
    }

    /// The hashrates of the threads during about this time before `now`: since the sample whose age is closest to it. A window
    /// that is longer than the threads run counts from their start. `None` before there is a sample.
    pub fn over(&self, window: Duration, now: &ThreadHashes) -> Option<Vec<f64>> {
        let age = |sample: &ThreadHashes| now.at.saturating_duration_since(sample.at);
        let closest = self.0.iter().filter(|sample| !age(sample).is_zero());
        let closest = closest.min_by_key(|sample| age(sample).abs_diff(window))?;
        now.rates_since(closest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_has_the_mean_of_its_time() {
        let start = Instant::now();
        // The first thread speeds up after a quarter of an hour; the second one sleeps.
        let at = |seconds: u64| ThreadHashes {
            at: start + Duration::from_secs(seconds),
            hashes: vec![100 * seconds + 900 * seconds.saturating_sub(900), 7],
        };
        let mut rates = Hashrates::default();
        assert_eq!(rates.over(WINDOWS[0], &at(0)), None);
        rates.record(at(0));
        assert_eq!(rates.over(WINDOWS[0], &at(0)), None, "no time has passed");
        assert_eq!(
            WINDOWS.map(|window| rates.over(window, &at(3))),
            [(); 3].map(|()| Some(vec![100.0, 0.0]))
        );
        (1..=93).for_each(|sample| rates.record(at(10 * sample)));
        assert_eq!(rates.0.len(), SAMPLES);
        let [ten, minute, quarter] = WINDOWS.map(|window| rates.over(window, &at(932)).expect("samples"));
        // Since 920 s, 870 s and 30 s.
        assert_eq!(ten, [1000.0, 0.0]);
        assert_eq!(minute, [(900.0 * 32.0 + 100.0 * 62.0) / 62.0, 0.0]);
        assert!((quarter[0] - (900.0 * 32.0 + 100.0 * 902.0) / 902.0).abs() < 1e-9, "{quarter:?}");
    }
}
