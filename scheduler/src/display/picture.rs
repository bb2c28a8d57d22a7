//! A snapshot as text.

use std::time::Duration;

use program::{Hashrate, Shares, counted};
use task::Live;

use crate::core::{Snapshot, TaskLine};
use crate::kind::Kind;

/// Tasks beyond this number are only counted.
const TASKS: usize = 20;
/// What stands around them: the framework, how many more there are, three lines of figures, and [`FREE`] ones.
const OTHERS: usize = 5 + FREE;
/// The cursor's line, and one above the picture: terminals keep a copy of what a whole screen is cleared of.
const FREE: usize = 2;

/// Of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// The picture for a terminal, line by line: none wraps, and all of them fit above the cursor, since what scrolls away
/// can't be drawn over. The hashrate stands out if `bold`.
pub(super) fn lines(snapshot: &Snapshot, elapsed: Duration, size: Size, bold: bool) -> Vec<String> {
    let framework = match &snapshot.framework {
        Some(id) => format!("framework {id}"),
        None => "no framework yet".to_owned(),
    };
    let connected = if snapshot.connected { "subscribed" } else { "not subscribed" };
    let mut lines = vec![format!("{framework}, {connected}, {} s", elapsed.as_secs())];
    let room = size.rows.saturating_sub(OTHERS).min(TASKS);
    lines.extend(snapshot.tasks.iter().take(room).map(task_line));
    if snapshot.tasks.len() > room {
        lines.push(format!("  … and {}", counted(snapshot.tasks.len() - room, "more task")));
    }
    if !snapshot.tasks.iter().any(|task| task.kind == Kind::Worker) {
        lines.extend(snapshot.remarks.iter().take(3).map(|remark| format!("  {remark}")));
    }
    let figures = lines.len();
    lines.extend([hashrates(snapshot), shares(snapshot), tasks(snapshot)]);
    for (i, line) in lines.iter_mut().enumerate() {
        crop(line, size.columns);
        if bold && i == figures {
            *line = format!("\x1b[1m{line}\x1b[0m");
        }
    }
    lines.split_off(lines.len().saturating_sub(size.rows.saturating_sub(FREE)))
}

/// A line that wraps would spoil the count of lines to go up.
fn crop(line: &mut String, width: usize) {
    if let Some((cut, _)) = line.char_indices().nth(width.saturating_sub(1))
        && line.chars().count() > width
    {
        line.truncate(cut);
        line.push('…');
    }
}

/// Everything in one line.
pub(super) fn line(snapshot: &Snapshot) -> String {
    format!("{}; {}; {}", hashrates(snapshot), shares(snapshot), tasks(snapshot))
}

fn hashrates(snapshot: &Snapshot) -> String {
    format!("{} by {}", Hashrate(snapshot.hashrate()), counted(snapshot.hashrates().count(), "worker"))
}

fn shares(snapshot: &Snapshot) -> String {
    let Shares { accepted, rejected, stale, unanswered } = snapshot.totals.worker.into();
    format!("shares: {accepted} accepted, {rejected} rejected, {stale} stale, {unanswered} unanswered")
}

fn tasks(snapshot: &Snapshot) -> String {
    let states: Vec<String> =
        snapshot.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let states = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
    format!("blocks: {}; tasks: {states}", snapshot.blocks)
}

fn task_line(task: &TaskLine) -> String {
    let TaskLine { id, host, state, .. } = task;
    let cpus = task.cpus_milli as f64 / 1000.0;
    let health = match task.healthy {
        Some(true) => ", well",
        Some(false) => ", NOT WELL",
        None => "",
    };
    let head = format!("  {id:<16} {state:<13} {host}, {cpus} CPU{health}");
    match &task.live {
        Some(Live::Worker(live)) => {
            let Shares { accepted, rejected, stale, .. } = task.totals.into();
            format!(
                "{head}: {}, shares {accepted}/{rejected}/{stale} ({}, {} threads, difficulty {:.4})",
                Hashrate(live.hashrate),
                live.backend,
                live.threads,
                live.difficulty
            )
        }
        Some(Live::Pool(live)) => format!(
            "{head}: {}, block {}, difficulty {:.4}",
            counted(live.connections, "miner"),
            live.height,
            live.difficulty
        ),
        None => head,
    }
}

#[cfg(test)]
mod tests {
    use task::WorkerLive;

    use super::*;

    fn size(columns: usize, rows: usize) -> Size {
        Size { columns, rows }
    }

    fn worker(n: usize, hashrate: f64) -> TaskLine {
        TaskLine {
            id: format!("miner-worker-{n}"),
            kind: Kind::Worker,
            host: "h".into(),
            state: "TASK_RUNNING".into(),
            healthy: None,
            cpus_milli: 1900,
            live: Some(Live::Worker(WorkerLive {
                hashrate,
                threads: 2,
                backend: "avx2".into(),
                difficulty: 1.0,
                pool: "pool:3333".into(),
            })),
            totals: Default::default(),
        }
    }

    #[test]
    fn the_total_is_the_sum_and_each_worker_has_its_line() {
        let snapshot = Snapshot { tasks: vec![worker(2, 2e6), worker(3, 3e6)], ..Snapshot::default() };
        assert!(line(&snapshot).starts_with("5.00 MH/s by 2 workers;"), "{}", line(&snapshot));
        let picture = lines(&snapshot, Duration::from_secs(5), size(120, 24), false).join("\n");
        assert!(picture.contains("miner-worker-3") && picture.contains("3.00 MH/s"), "{picture}");
        assert!(!picture.contains('\x1b'));
    }

    #[test]
    fn a_task_that_is_not_well_stands_out() {
        let line = |healthy| task_line(&TaskLine { healthy, ..worker(2, 1.0) });
        assert!(line(Some(false)).contains("NOT WELL") && line(Some(true)).contains("CPU, well"));
        assert!(!line(None).contains("well"));
    }

    #[test]
    fn many_tasks_do_not_fill_the_screen() {
        let snapshot = Snapshot { tasks: (0..500).map(|n| worker(n, 1.0)).collect(), ..Snapshot::default() };
        for rows in 1..60 {
            let picture = lines(&snapshot, Duration::ZERO, size(80, rows), false);
            assert!(picture.len() <= rows.saturating_sub(FREE), "{rows}: {picture:#?}");
            if rows > OTHERS {
                let tasks = picture.iter().filter(|line| line.contains("miner-worker")).count();
                let more = format!("… and {} more tasks", 500 - tasks);
                assert!(tasks > 0 && picture.iter().any(|line| line.contains(&more)), "{picture:#?}");
            }
        }
    }

    #[test]
    fn without_workers_the_reason_is_shown() {
        let remarks = vec!["no worker on h: 0 CPU".to_owned()];
        let snapshot = Snapshot { remarks, ..Snapshot::default() };
        assert!(
            lines(&snapshot, Duration::ZERO, size(80, 24), false)
                .iter()
                .any(|line| line.contains("no worker on h"))
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let snapshot = Snapshot { tasks: vec![worker(2, 2e6)], ..Snapshot::default() };
        let picture = lines(&snapshot, Duration::ZERO, size(40, 24), false);
        assert!(picture.iter().all(|line| line.chars().count() <= 40), "{picture:#?}");
        assert!(picture.iter().any(|line| line.ends_with('…')), "{picture:#?}");
        assert_eq!(lines(&snapshot, Duration::ZERO, size(1, 24), false)[1], "…");
    }
}
