//! The scheduler's figures over time: a sample each ten seconds while this scheduler leads. Steps of a minute and more are kept in
//! the state folder, so that they survive a restart.
//!
//! ```text
//! core ─▶ Pulse ─▶ SeriesHandle ─▶ HTTP
//!                        └─▶ file's thread ─▶ series.sqlite
//! ```
//!
//! A new leader on another machine has a folder of its own, and begins anew.

mod file;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use database::now_ms;
use series::{Counters, Sample, SeriesHandle, Step};
use task::Totals;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::file::{FileWriter, StoredPoint};
use crate::core::Pulse;
use crate::display::Display;
use crate::query::QueryClient;

/// The time between two samples.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long the end waits until the last points are on disk.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);
/// The steps that survive a restart.
const STORED: [Step; 2] = [Step::Minute, Step::QuarterHour];

/// Records the series until it is stopped or dropped.
pub(crate) struct SeriesRecorder {
    task: JoinHandle<()>,
    /// Ends when all is written.
    written: oneshot::Receiver<()>,
}

impl Drop for SeriesRecorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SeriesRecorder {
    /// Puts back what the state folder has, and begins to record. A folder that cannot be read or written is only warned of.
    pub fn start(client: QueryClient, series: SeriesHandle, folder: &Path, display: &Arc<Display>) -> Self {
        let warn = {
            let display = Arc::clone(display);
            move |text| display.warn(text)
        };
        let (file, written) = FileWriter::open(folder, &series, warn);
        let mut recorder = Recorder::new(series, file);
        let task = tokio::spawn(async move {
            let mut ticks = interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                client.forget_old_lists();
                // A busy driver answers later; until then there is a gap.
                if let Ok(pulse) = client.pulse().await {
                    recorder.record(now_ms() / 1000, &pulse);
                }
            }
        });
        Self { task, written }
    }

    /// Ends, once all is on disk. A disk that hangs is not waited for.
    pub async fn stop(mut self) {
        self.task.abort();
        // The recorder writes what is left when the task is dropped.
        let _ = (&mut self.task).await;
        let _ = timeout(WRITTEN_WITHIN, &mut self.written).await;
    }
}

/// The series, and what of it is written.
struct Recorder {
    series: SeriesHandle,
    file: FileWriter,
    /// For each of [`STORED`]: all points before this time are written.
    written: [u64; 2],
    /// Whether something was recorded since the last write.
    changed: bool,
    counted: Counted,
}

/// What is left is written when the recorder is dropped.
impl Drop for Recorder {
    fn drop(&mut self) {
        if self.changed {
            self.write();
        }
    }
}

impl Recorder {
    fn new(series: SeriesHandle, file: FileWriter) -> Self {
        let last = |step| series.with(|series| series.last(step)).map_or(0, |(at, _)| at);
        Self { written: STORED.map(last), changed: false, series, file, counted: Counted::default() }
    }

    fn record(&mut self, unix_time: u64, pulse: &Pulse) {
        let sample = Sample {
            hashrate: pulse.hashrate,
            workers: pulse.workers,
            counters: self.counted.counters(pulse),
        };
        let minute = || self.series.with(|series| series.last(Step::Minute)).map(|(at, _)| at);
        let before = minute();
        self.series.with(|series| series.record(unix_time, sample));
        self.changed = true;
        if minute() != before {
            self.write();
        }
    }

    /// Hands all points to the file's thread that have changed since the last time.
    fn write(&mut self) {
        let mut points = Vec::new();
        for (step, written) in STORED.into_iter().zip(&mut self.written) {
            let all = self.series.with(|series| series.points(step));
            let Some(last) = all.last().map(|point| point.at) else { continue };
            // Later points than the last one are forgotten: the clock was set back.
            let changed = all.iter().filter(|point| point.at >= (*written).min(last));
            points.extend(changed.filter_map(|point| StoredPoint::of(step, point)));
            *written = last;
        }
        self.changed = false;
        self.file.write(points);
    }
}

/// What was counted so far. The sum of what is accounted and what only live messages say may fall a little, when a worker ends
/// without its last report; the counters of a series must not.
#[derive(Default)]
struct Counted {
    /// The hashes that were accounted, by which a new framework is recognized: its ledger is empty.
    accounted_hashes: u128,
    highest: Counters,
}

impl Counted {
    fn counters(&mut self, pulse: &Pulse) -> Counters {
        let Pulse { accounted, live, blocks, .. } = pulse;
        if accounted.hashes < self.accounted_hashes {
            self.highest = Counters::default();
        }
        self.accounted_hashes = accounted.hashes;
        let most = |count: fn(&Totals) -> u64, highest: u64| {
            highest.max(count(accounted).saturating_add(count(live)))
        };
        let highest = self.highest;
        self.highest = Counters {
            accepted: most(|totals| totals.accepted, highest.accepted),
            rejected: most(|totals| totals.rejected, highest.rejected),
            stale: most(|totals| totals.stale, highest.stale),
            unanswered: most(|totals| totals.unanswered, highest.unanswered),
            blocks: highest.blocks.max(*blocks),
        };
        self.highest
    }
}

#[cfg(test)]
mod tests;
