//! What workers have done according to their live messages, and the ledger does not have yet: reports come more rarely than live
//! messages. It is displayed, marked as not yet accounted, and never counted. Sums are kept up to date with each change.

use task::{Live, Totals, WorkerLive};

use super::task::Task;

/// The sums over all workers.
#[derive(Debug, Default)]
pub(super) struct Unaccounted(Totals);

impl Unaccounted {
    pub fn sum(&self) -> Totals {
        self.0
    }

    /// Compares the last live message of a task with what the ledger has of the task.
    pub fn update(&mut self, task: &mut Task, accounted: &Totals) {
        let live = match &task.live {
            // A worker that has ended sends no more reports: what its last one did not have is never accounted.
            Some((_, Live::Worker(WorkerLive { totals: Some(totals), .. }))) if !task.has_ended() => {
                capped(beyond(totals, accounted))
            }
            _ => Totals::default(),
        };
        let before = std::mem::replace(&mut task.unaccounted, live);
        self.0 = beyond(&self.0, &before);
        self.0 += live;
    }

    /// Forgets what a task that has ended, or is removed, has done beyond the ledger.
    pub fn remove(&mut self, task: &mut Task) {
        self.0 = beyond(&self.0, &std::mem::take(&mut task.unaccounted));
    }
}

/// What `totals` has more than `accounted`. Blocks are left out: they are reported at once.
fn beyond(totals: &Totals, accounted: &Totals) -> Totals {
    let more = |totals: u64, accounted: u64| totals.saturating_sub(accounted);
    Totals {
        hashes: totals.hashes.saturating_sub(accounted.hashes),
        accepted: more(totals.accepted, accounted.accepted),
        rejected: more(totals.rejected, accounted.rejected),
        stale: more(totals.stale, accounted.stale),
        unanswered: more(totals.unanswered, accounted.unanswered),
        ..Totals::default()
    }
}

/// Limits each figure of one worker, so that no sum of a million workers overflows, whatever they report.
fn capped(totals: Totals) -> Totals {
    let cap = |count: u64| count.min(u64::MAX >> 20);
    Totals {
        hashes: totals.hashes.min(u128::MAX >> 20),
        accepted: cap(totals.accepted),
        rejected: cap(totals.rejected),
        stale: cap(totals.stale),
        unanswered: cap(totals.unanswered),
        ..totals
    }
}
