//! Ends workers that are beyond the limits of today (`--max-workers`, `--max-cpus`, and those that an operator has set): workers of
//! an earlier run of the scheduler, and of before the operator's command.
//!
//! The limits are checked only then, because no worker is launched beyond a limit. The first check is made when the master has
//! said, after the first subscription, which tasks are still there. An earlier check could count workers that are gone, and so
//! end too many.

use std::time::Instant;

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;
use crate::journal::Command;
use crate::user_notice::UserNotice;

/// The policy.
#[derive(Debug, Default)]
pub(super) struct BeyondLimits {
    /// Whether the master has said which tasks are there, so that the limits were checked.
    checked: bool,
}

impl Policy for BeyondLimits {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        if view.run.ending {
            return Vec::new();
        }
        match event {
            PolicyEvent::Reconciled if view.run.connected && !self.checked => {
                self.checked = true;
                end_surplus(view)
            }
            PolicyEvent::Commanded(Command::Scale { .. }) if self.checked => end_surplus(view),
            _ => Vec::new(),
        }
    }
}

/// Ends workers until those that are left are within the limits: first workers that do not run, then the youngest.
fn end_surplus(view: &View<'_>) -> Vec<Intent> {
    let limits = view.limits();
    if limits.max_workers.is_none() && limits.max_cpus_milli.is_none() {
        return Vec::new();
    }
    let ending = view.fleet.ending().filter(|task| task.occupies_slot());
    let (mut cpus, mut count) = view.fleet.placed();
    for task in ending {
        (cpus, count) = (cpus.saturating_sub(task.record.cpus_milli()), count.saturating_sub(1));
    }
    let mut cpus = cpus.saturating_add(view.server_cpus_milli());
    let within = |cpus: u64, count: u64| {
        limits.max_workers.is_none_or(|most| count <= most)
            && limits.max_cpus_milli.is_none_or(|most| cpus <= most)
    };
    let wanted = |task: &&Task| task.occupies_slot() && !task.is_to_end();
    let youngest = || view.fleet.in_launch_order(None).rev().filter(wanted);
    let (idle, running) = (|task: &&Task| !task.is_running(), |task: &&Task| task.is_running());
    let mut workers = Vec::new();
    for task in youngest().filter(idle).chain(youngest().filter(running)) {
        if within(cpus, count) {
            break;
        }
        (cpus, count) = (cpus.saturating_sub(task.record.cpus_milli()), count - 1);
        workers.push(task.id().to_owned());
    }
    let notice = UserNotice::BeyondLimits { workers: workers.clone(), limits: name(view) };
    let notice = (!workers.is_empty()).then_some(Intent::Notify(notice));
    notice.into_iter().chain(workers.into_iter().map(Intent::End)).collect()
}

/// The limits with their values: as options, or as an operator has set them.
fn name(view: &View<'_>) -> String {
    let (options, limits) = (&view.settings.placement.limits, view.limits());
    let workers = limits.max_workers.map(|most| match options.max_workers {
        Some(option) if option == most => format!("--max-workers {most}"),
        _ => format!("max_workers {most}"),
    });
    let cpus = limits.max_cpus_milli.map(|most| match options.max_cpus_milli {
        Some(option) if option == most => format!("--max-cpus {}", most as f64 / 1e3),
        _ => format!("max_cpus {}", most as f64 / 1e3),
    });
    workers.into_iter().chain(cpus).collect::<Vec<_>>().join(" with ")
}
