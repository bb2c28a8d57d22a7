//! The rings of all steps.

use crate::ring::{Point, Ring};
use crate::sample::{Counters, Figures, Sample};
use crate::step::Step;

/// The latest time that can be recorded, so that no sum of times overflows.
const LATEST: u64 = u64::MAX / 2;

/// Figures over time.
#[derive(Clone, Debug)]
pub struct Series {
    rings: [Ring; 3],
    /// The counters of the last sample; `None` before the first one.
    counted: Option<Counters>,
}

impl Default for Series {
    fn default() -> Self {
        Self { rings: Step::ALL.map(Ring::new), counted: None }
    }
}

impl Series {
    /// Records a sample. What its counters have more than those of the sample before counts as found in the step to which
    /// `unix_time` (in seconds) belongs; the first sample only says where the counters begin.
    ///
    /// After a jump of the clock forward there is a gap. After a jump back, what was recorded for the times that are still to
    /// come is forgotten.
    pub fn record(&mut self, unix_time: u64, sample: Sample) {
        let grown = self.counted.map(|before| sample.counters.since(&before)).unwrap_or_default();
        self.counted = Some(sample.counters);
        for ring in &mut self.rings {
            ring.record(unix_time.min(LATEST), &sample, &grown);
        }
    }

    /// Puts back a point that an earlier run has stored. The points of a step must come in the order of their times, before the
    /// first sample. A point that cannot be is ignored.
    pub fn restore(&mut self, step: Step, at: u64, figures: Figures) {
        if at <= LATEST {
            self.rings[step as usize].restore(at, figures);
        }
    }

    /// The points from the first to the last one with figures, oldest first, at most [`Step::capacity`]. The last one is not
    /// complete before its step is over.
    pub fn points(&self, step: Step) -> Vec<Point> {
        self.ring(step).points()
    }

    /// The last point.
    pub fn last(&self, step: Step) -> Option<(u64, Figures)> {
        self.ring(step).last()
    }

    /// The figures of the step that begins at `at`.
    pub fn figures(&self, step: Step, at: u64) -> Option<Figures> {
        self.ring(step).get(at)
    }

    fn ring(&self, step: Step) -> &Ring {
        &self.rings[step as usize]
    }
}

#[cfg(test)]
mod tests;
