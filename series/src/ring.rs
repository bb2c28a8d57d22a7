//! The points of one step.

use std::collections::VecDeque;

use crate::Step;
use crate::sample::{Counters, Figures, Sample};

/// One step of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When the step begins, in seconds since the Unix epoch: a multiple of the step.
    pub at: u64,
    /// The figures; `None` if nothing was recorded in this step.
    pub figures: Option<Figures>,
}

/// The points of one step that have figures, oldest first. Their times ascend, and lie within the time for which the step is
/// kept, so that there are never more than its capacity.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    step: Step,
    points: VecDeque<(u64, Figures)>,
}

impl Ring {
    pub fn new(step: Step) -> Self {
        Self { step, points: VecDeque::new() }
    }

    pub fn record(&mut self, unix_time: u64, sample: &Sample, grown: &Counters) {
        let at = self.begin_of(unix_time);
        self.forget_outside(at);
        match self.points.back_mut() {
            Some((last, figures)) if *last == at => figures.add(sample, grown),
            _ => {
                let mut figures = Figures::default();
                figures.add(sample, grown);
                self.points.push_back((at, figures));
            }
        }
    }

    /// Puts back a point that was stored. Points must come in the order of their times; others are ignored, as are those without a
    /// sample.
    pub fn restore(&mut self, at: u64, figures: Figures) {
        let ordered = self.points.back().is_none_or(|(last, _)| *last < at);
        if ordered && at == self.begin_of(at) && figures.samples > 0 && figures.hashrate.is_finite() {
            self.forget_outside(at);
            self.points.push_back((at, figures));
        }
    }

    /// All points from the first one with figures to the last one, including those without.
    pub fn points(&self) -> Vec<Point> {
        let mut points = Vec::new();
        let mut next = None;
        for (at, figures) in &self.points {
            let gap = next.unwrap_or(*at)..*at;
            points.extend(gap.step_by(self.step.seconds() as usize).map(|at| Point { at, figures: None }));
            points.push(Point { at: *at, figures: Some(*figures) });
            next = Some(at.saturating_add(self.step.seconds()));
        }
        points
    }

    /// The last point, if it has figures.
    pub fn last(&self) -> Option<(u64, Figures)> {
        self.points.back().copied()
    }

    /// The point that begins then.
    pub fn get(&self, at: u64) -> Option<Figures> {
        let place = self.points.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        self.points.get(place).map(|(_, figures)| *figures)
    }

    pub fn begin_of(&self, unix_time: u64) -> u64 {
        unix_time - unix_time % self.step.seconds()
    }

    /// Forgets what is too old when the present step begins at `at`, and what lies in the future since the clock was set back:
    /// these times are still to come.
    fn forget_outside(&mut self, at: u64) {
        while self.points.back().is_some_and(|(last, _)| *last > at) {
            self.points.pop_back();
        }
        let oldest = (at + self.step.seconds()).saturating_sub(self.step.kept_seconds());
        while self.points.front().is_some_and(|(first, _)| *first < oldest) {
            self.points.pop_front();
        }
    }
}
