//! How long the master waits for the scheduler. The driver records it; the HTTP API shows it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use api::Histogram;

/// The bounds of the buckets, in seconds.
const BOUNDS: &[f64] =
    &[1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Something that the master has sent and that a call answers, with the time of its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A status update, which ACKNOWLEDGE answers.
    Update(Instant),
    /// An offer, which ACCEPT answers with a launch. The oldest one, if the call uses several.
    Offer(Instant),
}

/// The waits that have ended in this run of the scheduler. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallDelays(Arc<Mutex<DelayHistograms>>);

/// The distributions of the waits, in seconds. A wait ends when the master has taken the call.
#[derive(Clone, Debug)]
pub(crate) struct DelayHistograms {
    /// From the receipt of a status update to its acknowledgement.
    pub update_to_acknowledgement: Histogram,
    /// From the receipt of an offer to the launch of tasks on it.
    pub offer_to_launch: Histogram,
}

impl Default for DelayHistograms {
    fn default() -> Self {
        Self { update_to_acknowledgement: Histogram::new(BOUNDS), offer_to_launch: Histogram::new(BOUNDS) }
    }
}

impl CallDelays {
    /// The distributions until now.
    pub fn histograms(&self) -> DelayHistograms {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a wait that ends now.
    pub(super) fn record(&self, wait: Wait, now: Instant) {
        let mut histograms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (histogram, since) = match wait {
            Wait::Update(since) => (&mut histograms.update_to_acknowledgement, since),
            Wait::Offer(since) => (&mut histograms.offer_to_launch, since),
        };
        histogram.observe(now.saturating_duration_since(since).as_secs_f64());
    }
}
