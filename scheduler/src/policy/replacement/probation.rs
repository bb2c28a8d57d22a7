//! Workers that run, but have not shown yet that they mine. Until then, their options may be wrong: a program with wrong options
//! may run for a second before it fails, or run without mining.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::View;
use crate::fleet::Task;
use crate::task_id::TaskKind;

/// A worker must have run for this long before it counts as one that mines, whatever it has reported.
const RUNS: Duration = Duration::from_secs(10);
/// A worker with a user's own image reports nothing. It counts as one that mines when it has run for this long.
const IMAGE_RUNS: Duration = Duration::from_secs(60);

/// The workers that have not shown yet that they mine.
#[derive(Debug, Default)]
pub(super) struct Probation(BTreeSet<Arc<str>>);

impl Probation {
    /// Adds a worker that has begun to run.
    pub fn begin(&mut self, worker: &Task) {
        self.0.insert(Arc::clone(worker.shared_id()));
    }

    /// Takes workers out of this set if they have shown that they mine, or if they have ended.
    pub fn look(&mut self, view: &View<'_>, now: Instant) {
        self.0
            .retain(|id| view.fleet.get(id).is_some_and(|task| !task.has_ended() && !mines(view, task, now)));
    }

    /// How many of these workers run and are not to end.
    pub fn count_running(&self, view: &View<'_>) -> usize {
        let tasks = self.0.iter().filter_map(|id| view.fleet.get(id));
        tasks.filter(|task| task.is_running() && !task.is_to_end()).count()
    }
}

/// Whether a worker mines: it has run for a while and has reported hashes. A paused one has a job, and may not show more.
fn mines(view: &View<'_>, worker: &Task, now: Instant) -> bool {
    let Some(ran) = worker.running_since.map(|since| now.duration_since(since)) else { return false };
    if !view.settings.template.programs.is_ours(TaskKind::Worker) {
        return ran >= IMAGE_RUNS;
    }
    let id = worker.id();
    let reported = || view.history.ledger.entry(id, id).is_some_and(|entry| entry.totals.hashes > 0);
    ran >= RUNS && (worker.is_paused() || worker.hashrate_per_cpu() > 0.0 || reported())
}
