//! A snapshot as text.

use std::time::Duration;

use task::Live;

use crate::framework::{Snapshot, TaskLine};
use crate::record::Kind;
use crate::summary::{Hashrate, Shares};

/// Tasks beyond this number are only counted.
const TASKS: usize = 20;

/// The picture for a terminal, line by line.
pub(super) fn lines(snapshot: &Snapshot, elapsed: Duration, colours: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let bold = |text: String| if colours { format!("\x1b[1m{text}\x1b[0m") } else { text };
    let framework = snapshot.framework.as_deref().unwrap_or("no framework yet");
    let connected = if snapshot.connected { "subscribed" } else { "not subscribed" };
    lines.push(format!("{framework}, {connected}, {} s", elapsed.as_secs()));
    for task in snapshot.tasks.iter().take(TASKS) {
        lines.push(task_line(task));
    }
    if snapshot.tasks.len() > TASKS {
        lines.push(format!("  … and {} more tasks", snapshot.tasks.len() - TASKS));
    }
    if !snapshot.tasks.iter().any(|task| task.kind == Kind::Worker) {
        lines.extend(snapshot.remarks.iter().take(3).map(|remark| format!("  {remark}")));
    }
    lines.push(bold(line(snapshot)));
    lines
}

/// Everything in one line.
pub(super) fn line(snapshot: &Snapshot) -> String {
    let hashrates: Vec<f64> = snapshot.tasks.iter().filter_map(hashrate).collect();
    let total = Hashrate(hashrates.iter().fold(0.0, |sum, hashrate| sum + hashrate));
    let Shares { accepted, rejected, stale, unanswered } = snapshot.totals.worker.into();
    let mut text = format!(
        "{total} by {} workers; shares: {accepted} accepted, {rejected} rejected, {stale} stale, \
         {unanswered} unanswered; blocks: {}; tasks:",
        hashrates.len(),
        snapshot.blocks
    );
    for (i, (state, count)) in snapshot.states.iter().enumerate() {
        text.push_str(&format!("{} {count} {state}", if i == 0 { "" } else { "," }));
    }
    if snapshot.states.is_empty() {
        text.push_str(" none");
    }
    text
}

fn hashrate(task: &TaskLine) -> Option<f64> {
    match &task.live {
        Some(Live::Worker(live)) => Some(live.hashrate),
        _ => None,
    }
}

fn task_line(task: &TaskLine) -> String {
    let TaskLine { id, host, state, .. } = task;
    let cpus = task.cpus_milli as f64 / 1000.0;
    let head = format!("  {id:<16} {state:<13} {host}, {cpus} CPU");
    match &task.live {
        Some(Live::Worker(live)) => {
            let Shares { accepted, rejected, stale, .. } = task.totals.into();
            format!(
                "{head}: {} ({}, {} threads, difficulty {:.4}), shares {accepted}/{rejected}/{stale}",
                Hashrate(live.hashrate),
                live.backend,
                live.threads,
                live.difficulty
            )
        }
        Some(Live::Pool(live)) => format!(
            "{head}: {} connections, block {}, difficulty {:.4}",
            live.connections, live.height, live.difficulty
        ),
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use task::WorkerLive;

    use super::*;

    fn worker(n: usize, hashrate: f64) -> TaskLine {
        TaskLine {
            id: format!("miner-worker-{n}"),
            kind: Kind::Worker,
            host: "h".into(),
            state: "TASK_RUNNING".into(),
            cpus_milli: 1900,
            live: Some(Live::Worker(WorkerLive {
                hashrate,
                threads: 2,
                backend: "avx2".into(),
                difficulty: 1.0,
            })),
            totals: Default::default(),
        }
    }

    #[test]
    fn the_total_is_the_sum_and_each_worker_has_its_line() {
        let snapshot = Snapshot { tasks: vec![worker(2, 2e6), worker(3, 3e6)], ..Snapshot::default() };
        assert!(line(&snapshot).starts_with("5.00 MH/s by 2 workers;"), "{}", line(&snapshot));
        let picture = lines(&snapshot, Duration::from_secs(5), false).join("\n");
        assert!(picture.contains("miner-worker-3") && picture.contains("3.00 MH/s"), "{picture}");
        assert!(!picture.contains('\x1b'));
    }

    #[test]
    fn many_tasks_do_not_fill_the_screen() {
        let snapshot = Snapshot { tasks: (0..500).map(|n| worker(n, 1.0)).collect(), ..Snapshot::default() };
        assert!(lines(&snapshot, Duration::ZERO, true).len() < 30);
    }

    #[test]
    fn without_workers_the_reason_is_shown() {
        let remarks = vec!["no worker on h: 0 CPU".to_owned()];
        let snapshot = Snapshot { remarks, ..Snapshot::default() };
        assert!(lines(&snapshot, Duration::ZERO, false).iter().any(|line| line.contains("no worker on h")));
    }
}
