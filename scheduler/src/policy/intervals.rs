//! Adapts the intervals of live messages and reports to the number of workers. The master has to forward the messages and
//! updates of all frameworks. To spare it, all workers together send about the same number per second, however many workers
//! there are.
//!
//! New workers get the intervals in their specification, running workers in an instruction. An instruction may be lost, so it is
//! repeated until the worker's live messages confirm the intervals. An executor whose live messages do not state its intervals
//! cannot change them. The intervals that an earlier run of the scheduler sent are unknown, so all recovered workers get an
//! instruction.
//!
//! Instructions are sent in rounds: in launch order, to some workers at each tick, skipping those that have confirmed. So the
//! policy needs no state for single workers.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use ::task::{Instruction, Intervals};
use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::event::Call;
use crate::fleet::Task;
use crate::user_notice::UserNotice;

/// Workers are told the shortest interval that the user allows. If there are too many workers for it, they are told one of these
/// numbers times a power of ten, in microseconds. The numbers are the series R10 of ISO 3. With such steps, a few workers more
/// or fewer do not change the interval.
const STEPS: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
/// Each of `STEPS` is multiplied by this many powers of ten: 1, 10, 100 and so on, up to 10 billion.
const DECADES: u32 = 11;
/// The interval becomes longer if all workers together would otherwise send more than this percentage of the target rate
/// (messages per second).
const MOST: u64 = 105;
/// A shorter interval is chosen only if, with it, all workers together send at most this percentage of the target rate (messages
/// per second).
const LEAST: u64 = 95;
/// Intervals become shorter only after there have been fewer workers for this long. If workers end because their server was lost,
/// they are soon replaced, and the intervals need not change.
const SHRINK_AFTER: Duration = Duration::from_secs(60);

/// Maximum number of workers that are sent new intervals per tick.
const SENT_AT_ONCE: usize = 100;
/// Maximum number of tasks per tick for which the policy checks whether they need new intervals.
const CHECKED_AT_ONCE: usize = 1000;
/// The first and the longest pause between two rounds. In each round, the workers that have not confirmed their new intervals
/// are instructed again. An executor confirms within 5 s.
const PAUSES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// The policy.
#[derive(Debug, Default)]
pub(super) struct WorkerIntervals {
    /// The intervals of live messages and of reports that workers are to use; `None` until they are first decided.
    intervals: Option<[SizedInterval; 2]>,
    /// When workers are told shorter intervals, unless the number of workers rises again before this time.
    shrink_at: Option<Instant>,
    round: Round,
    /// Whether the user was notified that the intervals of some workers cannot be changed.
    told: bool,
}

/// A round goes through all workers once, and sends the new intervals to those that have not confirmed them.
#[derive(Debug)]
struct Round {
    /// When the next workers of the round are checked; `None` if all workers have confirmed their intervals.
    at: Option<Instant>,
    /// The id of the task that the round checked last; `None` at its beginning.
    after: Option<String>,
    /// Whether this round has sent an instruction. If so, another round follows, to check whether all workers have confirmed.
    any_sent: bool,
    /// The number of workers whose intervals cannot be changed, among the workers that this round has checked.
    fixed: usize,
    /// The pause after this round until the next one.
    pause: Duration,
}

impl Default for Round {
    fn default() -> Self {
        Self { at: None, after: None, any_sent: false, fixed: 0, pause: PAUSES.0 }
    }
}

impl Policy for WorkerIntervals {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Started => {
                let intents = self.follow_size(view, now);
                // By this time, most workers have stated their intervals in a live message. Only the other workers must be sent
                // instructions.
                self.round.at = Some(now + PAUSES.0);
                intents
            }
            PolicyEvent::Settled if !view.run.ending => self.follow_size(view, now),
            PolicyEvent::LiveMessage { task, .. } => {
                if !self.told && view.fleet.get(task).is_some_and(has_fixed_intervals) {
                    // The next round counts these workers. It begins after a pause, so that it can count workers whose first
                    // message comes a little later.
                    self.round.at.get_or_insert(now + PAUSES.0);
                }
                // The worker has missed an instruction, or follows one from an earlier run of the scheduler.
                if self.round.at.is_none()
                    && view.fleet.get(task).is_some_and(|task| needs_instruction(view, task))
                {
                    self.round.at = Some(now);
                }
                Vec::new()
            }
            PolicyEvent::Tick if view.run.connected && !view.run.ending => self.send_instructions(view, now),
            _ => Vec::new(),
        }
    }
}

impl WorkerIntervals {
    /// Sets new intervals if the number of workers is too high for the present intervals, or has been too low for a while.
    fn follow_size(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let (_, workers) = view.fleet.placed();
        let known = self.intervals.as_ref().filter(|_| view.fleet.worker_intervals.is_some());
        if let Some(known) = known {
            if known.iter().all(|interval| interval.workers.contains(&workers)) {
                self.shrink_at = None;
                return Vec::new();
            }
            let grows = known.iter().any(|interval| workers > *interval.workers.end());
            if !grows && *self.shrink_at.get_or_insert(now + SHRINK_AFTER) > now {
                return Vec::new();
            }
        }
        let (settings, template) = (view.settings, &view.settings.template);
        let wanted = [
            (template.options.live_interval, settings.options.live_messages_per_second),
            (template.options.report_interval, settings.options.reports_per_second),
        ];
        let mut before = known.cloned().into_iter().flatten();
        let sized = wanted.map(|(shortest, rate)| match before.next() {
            Some(interval) if interval.workers.contains(&workers) => interval,
            _ => SizedInterval::of(workers, rate, shortest),
        });
        let intervals = Intervals::new(sized[0].interval, sized[1].interval);
        let is_news = known.is_some() || intervals != template.intervals();
        self.shrink_at = None;
        self.round = Round { at: Some(now), ..Round::default() };
        self.intervals = Some(sized);
        let notice = UserNotice::Intervals { workers, intervals };
        let notice = is_news.then_some(Intent::Notify(notice));
        [Intent::SetWorkerIntervals(intervals)].into_iter().chain(notice).collect()
    }

    /// Checks the next workers, in the order of their launch. Sends the intervals to those that have not confirmed them.
    fn send_instructions(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let Some(intervals) = view.fleet.worker_intervals else { return Vec::new() };
        if self.round.at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut intents = Vec::new();
        let mut last = None;
        for task in view.fleet.in_launch_order(self.round.after.as_deref()).take(CHECKED_AT_ONCE) {
            if intents.len() == SENT_AT_ONCE {
                break;
            }
            last = Some(task.id());
            self.round.fixed += usize::from(has_fixed_intervals(task));
            if needs_instruction(view, task) {
                let data = Instruction::SetIntervals(intervals).encode();
                let (executor, agent) = (task.id().to_owned(), task.agent().to_owned());
                intents.push(Intent::Call(Call::Message { executor, agent, data }));
            }
        }
        let any_sent = !intents.is_empty();
        if last.is_none() && self.round.fixed > 0 && !std::mem::replace(&mut self.told, true) {
            intents.push(Intent::Notify(UserNotice::FixedIntervals(self.round.fixed)));
        }
        self.round.go_on(last, any_sent, now);
        intents
    }
}

impl Round {
    /// Records that all tasks up to `last` were checked. `None` means that no task was left to check, which ends the round.
    fn go_on(&mut self, last: Option<&str>, any_sent: bool, now: Instant) {
        self.any_sent |= any_sent;
        self.after = last.map(str::to_owned);
        if last.is_some() {
            return;
        }
        self.fixed = 0;
        if !std::mem::take(&mut self.any_sent) {
            *self = Self::default();
            return;
        }
        self.at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
    }
}

/// Whether a worker needs an instruction and can receive one. It needs one if the intervals in its live messages are not those
/// that workers are to use. It also needs one if it has sent no live message and its intervals are unknown, because an earlier
/// run of the scheduler may have changed them. An executor that does not know the instruction ignores it.
fn needs_instruction(view: &View<'_>, task: &Task) -> bool {
    let differs = task.tells_intervals && task.intervals != view.fleet.worker_intervals;
    let unknown = task.intervals.is_none() && task.live.is_none();
    task.is_worker()
        && (differs || unknown)
        && !task.is_to_end()
        && matches!(task.state(), Some(TaskState::TaskStarting | TaskState::TaskRunning))
}

/// Whether the intervals of a running worker cannot be changed, because its executor is of an earlier version. The live
/// messages of such executors do not tell the intervals.
fn has_fixed_intervals(task: &Task) -> bool {
    task.is_worker() && task.is_running() && !task.is_to_end() && task.live.is_some() && !task.tells_intervals
}

/// An interval, and the range of numbers of workers that it suits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SizedInterval {
    interval: Duration,
    workers: RangeInclusive<u64>,
}

impl SizedInterval {
    /// The interval, at least `shortest`, at which this many workers together send `rate` messages per second.
    fn of(workers: u64, rate: NonZeroU32, shortest: Duration) -> Self {
        let shortest = micros(shortest);
        // How many workers together send `percent` % of `rate` messages per second, if each sends one every `micros`
        // microseconds.
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

    fn sized(workers: u64, rate: u32, shortest: u64) -> SizedInterval {
        SizedInterval::of(workers, NonZeroU32::new(rate).unwrap(), Duration::from_secs(shortest))
    }

    #[test]
    fn all_workers_together_send_so_many_messages() {
        let live =
            [0, 100, 2500, 10_000, 50_000, 50_010].map(|workers| sized(workers, 500, 5).interval.as_secs());
        assert_eq!(live, [5, 5, 5, 20, 100, 100]);
        let reports =
            [100, 12_000, 50_000, 100_000].map(|workers| sized(workers, 200, 60).interval.as_secs());
        assert_eq!(reports, [60, 60, 250, 500]);
        let seldom = [100_000, 4_000_000].map(|workers| sized(workers, 1, 5).interval.as_secs());
        assert_eq!(seldom, [100_000, 4_000_000], "up to the 49 days that an interval may have");
        for workers in (3000..500_000).step_by(997) {
            let interval = sized(workers, 500, 5).interval.as_secs_f64();
            let rate = workers as f64 / interval;
            assert!((380.0..=525.0).contains(&rate), "{workers} workers: {rate} messages/s");
        }
    }

    #[test]
    fn a_few_workers_more_or_less_change_nothing() {
        for workers in (1..200_000).step_by(331) {
            for (rate, shortest) in [(500, 5), (200, 60), (500, 7)] {
                let here = sized(workers, rate, shortest);
                assert!(here.workers.contains(&workers), "{workers}: {here:?}");
                let (least, most) = (*here.workers.start(), *here.workers.end());
                let up = sized(most + 1, rate, shortest);
                assert!(up.interval > here.interval && *up.workers.start() + most / 20 < most, "{up:?}");
                if least > 0 {
                    let down = sized(least - 1, rate, shortest);
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
                let sized = SizedInterval::of(workers, NonZeroU32::MIN, shortest);
                assert!(sized.workers.contains(&workers), "{sized:?}");
                assert!(sized.interval.as_micros() >= shortest.as_micros().min(u64::MAX.into()));
            }
        }
    }
}
