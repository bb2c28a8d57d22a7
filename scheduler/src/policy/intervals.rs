//! How often workers send live messages and reports follows how many workers there are: the master carries the messages and
//! updates of all its frameworks, so all workers together send about the same number however many they are.
//!
//! New workers are told in their specification, running ones by an instruction. It may be lost, so it is repeated until the
//! worker itself says that it uses these intervals. An executor that does not say which ones it uses cannot be told others.
//! What an earlier run of the scheduler told a worker is not known: all that are found are told, and speak soon after, before
//! their silence is held against them.
//!
//! Workers are told one after the other in the order of their launch, some at each tick, in rounds: a round passes by those
//! that have confirmed. So nothing is remembered of single workers.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use ::task::{Instruction, Intervals};
use mesos::v1::TaskState;

use super::{Happening, Intent, Policy, View};
use crate::event::Call;
use crate::fleet::Task;
use crate::user_notice::UserNotice;

/// Intervals are taken from these (the preferred numbers of ISO 3, R10) and their multiples by powers of ten, so that a few
/// workers more or less change nothing. Microseconds.
const STEPS: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
/// Powers of ten: up to the longest that [`Intervals`] can say.
const DECADES: u32 = 9;
/// Percent of what is wanted each second. Above this the interval becomes longer.
const MOST: u64 = 105;
/// Percent. The interval becomes shorter if it is no more than this afterwards.
const LEAST: u64 = 95;
/// Fewer workers make intervals shorter only when they have been that few for so long: those that a lost server takes with it
/// are soon replaced.
const SHRINK_AFTER: Duration = Duration::from_secs(60);

/// Workers told at one tick.
const TOLD: usize = 100;
/// Workers looked at, at one tick.
const LOOKED_AT: usize = 1000;
/// First and longest pause between two rounds. An executor confirms within 5 s.
const AGAIN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// The rule.
#[derive(Debug, Default)]
pub(super) struct WorkerIntervals {
    paces: Option<[Pace; 2]>,
    /// When intervals become shorter, if workers stay as few as they are.
    shrink_at: Option<Instant>,
    round: Round,
}

/// The round in which workers are told, or the next one.
#[derive(Debug)]
struct Round {
    /// When it goes on; `None` if there is nobody to tell.
    at: Option<Instant>,
    /// The last worker that was looked at.
    after: Option<String>,
    /// Whether somebody was told.
    told: bool,
    /// Until the next one.
    pause: Duration,
}

impl Default for Round {
    fn default() -> Self {
        Self { at: None, after: None, told: false, pause: AGAIN.0 }
    }
}

impl Policy for WorkerIntervals {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Started => {
                let intents = self.follow_size(view, now);
                // Those that speak often are heard before that.
                self.round.at = Some(now + AGAIN.0);
                intents
            }
            Happening::Settled if !view.session.ending => self.follow_size(view, now),
            Happening::Spoke { task, .. } => {
                // One that was told before this run of the scheduler, or has missed it.
                if self.round.at.is_none()
                    && view.fleet.get(task).is_some_and(|task| is_to_be_told(view, task))
                {
                    self.round.at = Some(now);
                }
                Vec::new()
            }
            Happening::Tick if view.session.connected && !view.session.ending => self.tell(view, now),
            _ => Vec::new(),
        }
    }
}

impl WorkerIntervals {
    /// Sets other intervals if there are too many workers for these, or have been too few for a while.
    fn follow_size(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let (_, workers) = view.fleet.placed();
        let known = self.paces.as_ref().filter(|_| view.fleet.worker_intervals().is_some());
        if let Some(paces) = known {
            if paces.iter().all(|pace| pace.workers.contains(&workers)) {
                self.shrink_at = None;
                return Vec::new();
            }
            let grows = paces.iter().any(|pace| workers > *pace.workers.end());
            if !grows && *self.shrink_at.get_or_insert(now + SHRINK_AFTER) > now {
                return Vec::new();
            }
        }
        let (settings, template) = (view.settings, &view.settings.template);
        let wanted = [
            (template.live_interval, settings.live_messages_per_second),
            (template.report_interval, settings.reports_per_second),
        ];
        let mut before = known.cloned().into_iter().flatten();
        let paces = wanted.map(|(shortest, rate)| match before.next() {
            Some(pace) if pace.workers.contains(&workers) => pace,
            _ => Pace::of(workers, rate, shortest),
        });
        let intervals = Intervals::new(paces[0].interval, paces[1].interval);
        let is_news = known.is_some() || intervals != template.intervals();
        self.shrink_at = None;
        self.round = Round { at: Some(now), ..Round::default() };
        self.paces = Some(paces);
        let notice = UserNotice::Intervals { workers, intervals };
        let notice = is_news.then_some(Intent::Notify(notice));
        [Intent::SetWorkerIntervals(intervals)].into_iter().chain(notice).collect()
    }

    /// Tells the next ones.
    fn tell(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let Some(intervals) = view.fleet.worker_intervals() else { return Vec::new() };
        if self.round.at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut intents = Vec::new();
        let mut last = None;
        for task in view.fleet.in_launch_order(self.round.after.as_deref()).take(LOOKED_AT) {
            if intents.len() == TOLD {
                break;
            }
            last = Some(task.id());
            if is_to_be_told(view, task) {
                let data = Instruction::SetIntervals(intervals).encode();
                let (executor, agent) = (task.id().to_owned(), task.agent().to_owned());
                intents.push(Intent::Call(Call::Message { executor, agent, data }));
            }
        }
        self.round.go_on(last, !intents.is_empty(), now);
        intents
    }
}

impl Round {
    /// `last` was looked at last; `None`: it has come to its end.
    fn go_on(&mut self, last: Option<&str>, told: bool, now: Instant) {
        self.told |= told;
        self.after = last.map(str::to_owned);
        if last.is_some() {
            return;
        }
        if !std::mem::take(&mut self.told) {
            *self = Self::default();
            return;
        }
        self.at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(AGAIN.1);
    }
}

/// Whether a worker says that it uses other intervals than it is to use, or may use any that an earlier run of the scheduler
/// told it and was not heard yet; and has an executor that can hear. One that cannot read what it is told passes over it.
fn is_to_be_told(view: &View<'_>, task: &Task) -> bool {
    let differs = task.tells_intervals() && task.intervals() != view.fleet.worker_intervals();
    let unheard = task.intervals().is_none() && task.live().is_none();
    task.is_worker()
        && (differs || unheard)
        && !task.is_to_end()
        && matches!(task.state(), Some(TaskState::TaskStarting | TaskState::TaskRunning))
}

/// An interval, and for how many workers it is right.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pace {
    interval: Duration,
    workers: RangeInclusive<u64>,
}

impl Pace {
    /// The interval at which so many workers send `rate` messages a second together, but not less than `shortest`.
    fn of(workers: u64, rate: NonZeroU32, shortest: Duration) -> Self {
        let shortest = micros(shortest);
        // So many workers are too many for an interval.
        let limit = |micros: u64, percent: u64| {
            let workers = u128::from(micros) * u128::from(rate.get()) * u128::from(percent) / 100_000_000;
            u64::try_from(workers).unwrap_or(u64::MAX)
        };
        let fits = |step: &u64| workers <= limit(*step, MOST);
        let step = steps().find(|step| *step >= shortest && fits(step)).unwrap_or(u64::MAX);
        let interval = if fits(&shortest) { shortest } else { step };
        let shorter = steps().take_while(|step| *step < interval).last().unwrap_or(0).max(shortest);
        let least = if interval == shortest { 0 } else { limit(shorter, LEAST) + 1 };
        let most = if interval == u64::MAX { u64::MAX } else { limit(interval, MOST) };
        Self { interval: Duration::from_micros(interval), workers: least..=most }
    }
}

fn steps() -> impl Iterator<Item = u64> {
    (0..DECADES).flat_map(|decade| STEPS.map(|step| step * 10_u64.pow(decade)))
}

fn micros(interval: Duration) -> u64 {
    u64::try_from(interval.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(workers: u64, rate: u32, shortest: u64) -> Pace {
        Pace::of(workers, NonZeroU32::new(rate).unwrap(), Duration::from_secs(shortest))
    }

    #[test]
    fn all_workers_together_send_so_many_messages() {
        let live =
            [0, 100, 2500, 10_000, 50_000, 50_010].map(|workers| pace(workers, 500, 5).interval.as_secs());
        assert_eq!(live, [5, 5, 5, 20, 100, 100]);
        let reports = [100, 12_000, 50_000, 100_000].map(|workers| pace(workers, 200, 60).interval.as_secs());
        assert_eq!(reports, [60, 60, 250, 500]);
        for workers in (3000..500_000).step_by(997) {
            let interval = pace(workers, 500, 5).interval.as_secs_f64();
            let rate = workers as f64 / interval;
            assert!((380.0..=525.0).contains(&rate), "{workers} workers: {rate} messages/s");
        }
    }

    #[test]
    fn a_few_workers_more_or_less_change_nothing() {
        for workers in (1..200_000).step_by(331) {
            for (rate, shortest) in [(500, 5), (200, 60), (500, 7)] {
                let here = pace(workers, rate, shortest);
                assert!(here.workers.contains(&workers), "{workers}: {here:?}");
                let (least, most) = (*here.workers.start(), *here.workers.end());
                let up = pace(most + 1, rate, shortest);
                assert!(up.interval > here.interval && *up.workers.start() + most / 20 < most, "{up:?}");
                if least > 0 {
                    let down = pace(least - 1, rate, shortest);
                    assert!(
                        down.interval < here.interval && *down.workers.end() > least + least / 20,
                        "{down:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn whatever_is_configured_there_is_an_interval() {
        for workers in [0, 1, u64::MAX] {
            for shortest in [Duration::ZERO, Duration::MAX] {
                let pace = Pace::of(workers, NonZeroU32::MIN, shortest);
                assert!(pace.workers.contains(&workers), "{pace:?}");
                assert!(pace.interval.as_micros() >= shortest.as_micros().min(u64::MAX.into()));
            }
        }
    }
}
