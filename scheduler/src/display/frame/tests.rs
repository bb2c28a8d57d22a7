use problem::{Problem, ProblemKind};
use task::WorkerLive;

use super::*;
use crate::ranked_problems::Problems;
use crate::task_id::TaskKind;

fn size(columns: usize, rows: usize) -> Size {
    Size { columns, rows }
}

fn worker(n: usize, hashrate: f64) -> TaskOverview {
    TaskOverview {
        id: format!("miner-worker-{n}"),
        kind: TaskKind::Worker,
        agent: "a".into(),
        host: "h".into(),
        attributes: Default::default(),
        state: "TASK_RUNNING",
        launched: None,
        healthy: None,
        cpus_milli: 1900,
        live: Some(Live::Worker(WorkerLive {
            hashrate,
            threads: 2,
            backend: "avx2".into(),
            difficulty: 1.0,
            pool: "pool:3333".into(),
            ..WorkerLive::default()
        })),
        totals: Default::default(),
    }
}

/// The overview of a framework with these running workers.
fn overview(workers: Vec<TaskOverview>) -> Overview {
    Overview {
        hashrate: workers.iter().filter_map(TaskOverview::hashrate).sum(),
        reporting_workers: workers.len() as u64,
        running_workers: workers.len() as u64,
        live_states: [("TASK_RUNNING".into(), workers.len() as u64)].into(),
        states: [("TASK_RUNNING".into(), workers.len() as u64)].into(),
        slowest: workers,
        ..Overview::default()
    }
}

fn failure(n: u64) -> TaskFailure {
    TaskFailure {
        number: n,
        stderr: None,
        sandbox: None,
        ago: Duration::from_secs(n),
        task: format!("miner-worker-{n}"),
        host: "f".into(),
        text: "TASK_FAILED (REASON_COMMAND_EXECUTOR_FAILED): it crashed".into(),
    }
}

/// The overview of a framework with 5000 tasks, with everything that a frame can show.
fn full(running_workers: u64) -> Overview {
    let states: Vec<(String, u64)> =
        ["TASK_RUNNING", "TASK_STAGING", "TASK_STARTING", "TASK_KILLING", "TASK_UNREACHABLE"]
            .map(|state| (state.to_owned(), 1000))
            .into();
    let mut all = states.clone();
    all.extend(["TASK_FAILED", "TASK_LOST", "TASK_KILLED", "TASK_GONE"].map(|state| (state.to_owned(), 7)));
    Overview {
        connected: true,
        framework: Some("framework-id".into()),
        live_states: states.into_iter().collect(),
        states: all.into_iter().collect(),
        running_workers,
        problems: Problems {
            first: (0..20)
                .map(|n| Problem::new(ProblemKind::ConstraintNotMet, format!("reason {n}")))
                .collect(),
            more: 5,
        },
        servers: (1..=2)
            .map(|n| TaskOverview {
                kind: TaskKind::Server,
                id: format!("miner-server-{n}"),
                ..worker(n, 0.0)
            })
            .collect(),
        slowest: (3..13).rev().map(|n| worker(n, 1e6)).collect(),
        failures: (100..110).map(failure).collect(),
        ..Overview::default()
    }
}

#[test]
fn the_total_is_the_sum_and_each_worker_has_its_line() {
    let overview = overview(vec![worker(2, 2e6), worker(3, 3e6)]);
    assert!(line(&overview).starts_with("5.00 MH/s by 2 workers;"), "{}", line(&overview));
    let frame = lines(&overview, Duration::from_secs(5), size(120, 24), false).join("\n");
    assert!(frame.contains("miner-worker-3") && frame.contains("3.00 MH/s"), "{frame}");
    assert!(!frame.contains('\x1b') && !frame.contains("more"), "{frame}");
}

#[test]
fn a_task_that_is_not_well_stands_out() {
    let line = |healthy| task_line(&TaskOverview { healthy, ..worker(2, 1.0) });
    assert!(line(Some(false)).contains("NOT WELL") && line(Some(true)).contains("CPU, well"));
    assert!(!line(None).contains("well"));
}

#[test]
fn the_frame_fits_every_size_and_shows_the_most_important_lines() {
    for (rows, columns, running) in (1..60).flat_map(|rows| {
        [1, 2, 3, 7, 20, 40, 80, 200]
            .into_iter()
            .flat_map(move |columns| [(rows, columns, 0), (rows, columns, 9)])
    }) {
        let frame = lines(&full(running), Duration::ZERO, size(columns, rows), false);
        let case = format!("{columns} × {rows}, {running} running: {frame:#?}");
        assert_eq!(frame.len(), frame.len().min(rows.saturating_sub(FREE_LINES).max(1)), "{case}");
        assert!(frame.iter().all(|line| line.chars().count() <= columns), "{case}");
        if columns < 80 {
            continue;
        }
        let has = |text: &str| frame.iter().any(|line| line.contains(text));
        let mut told = vec![
            has(" by "),
            has("shares:"),
            has("TASK_RUNNING"),
            has("ended: "),
            has("framework framework-id, subscribed"),
        ];
        told.extend((running == 0).then(|| has("reason 0")));
        told.extend([has(" s ago miner-worker-100 "), has("  miner-server-1"), has("  miner-worker-")]);
        let first_missing = told.iter().position(|told| !told).unwrap_or(told.len());
        assert!(told[first_missing..].iter().all(|told| !told), "{told:?} {case}");
        assert!(told[0], "{case}");
        assert!(rows < 16 || first_missing == told.len(), "{told:?} {case}");
        assert!(running == 0 || !has("reason 0"), "{case}");
    }
}

#[test]
fn what_is_left_out_is_counted() {
    for rows in 1..80 {
        let frame = lines(&full(9), Duration::ZERO, size(120, rows), false);
        let tasks = frame.iter().filter(|line| line.starts_with("  miner-")).count();
        let workers = frame.iter().filter(|line| line.starts_with("  miner-worker-")).count();
        let more = format!("… and {} more tasks", 5000 - tasks);
        let servers_hidden = frame.iter().any(|line| line.contains("more server"));
        if workers > 1 && !servers_hidden {
            assert!(frame.iter().any(|line| line.contains(&more)), "{more}: {frame:#?}");
        }
        let failures = frame.iter().filter(|line| line.contains(" s ago ")).count();
        let earlier = format!("… and {} earlier failure", 10 - failures);
        if (2..10).contains(&failures) {
            assert!(frame.iter().any(|line| line.contains(&earlier)), "{earlier}: {frame:#?}");
        }
    }
}

#[test]
fn the_slowest_workers_are_shown_in_the_order_of_their_launch() {
    let slowest = [30, 7, 100, 8].map(|n| worker(n, 1e6));
    let frame = lines(&overview(slowest.into()), Duration::ZERO, size(80, 24), false);
    let shown: Vec<&str> = frame.iter().filter_map(|line| line.trim_start().split(' ').next()).collect();
    let shown: Vec<&str> = shown.into_iter().filter(|word| word.starts_with("miner-worker-")).collect();
    assert_eq!(shown, ["miner-worker-7", "miner-worker-8", "miner-worker-30", "miner-worker-100"]);
    // The totals take four lines here, and the last line has the number of omitted tasks.
    let frame =
        lines(&overview([30, 7, 100, 8].map(|n| worker(n, 1e6)).into()), Duration::ZERO, size(80, 9), false);
    assert!(frame[4].contains("miner-worker-7 ") && frame[5].contains("miner-worker-30 "), "{frame:#?}");
    assert_eq!(frame[6], "  … and 2 more tasks");
}

#[test]
fn launches_without_any_update_are_in_the_status_line() {
    let states = [("TASK_FAILED".to_owned(), 1), ("TASK_RUNNING".to_owned(), 2)];
    let live = [("TASK_RUNNING".to_owned(), 2), ("launched".to_owned(), 3)];
    let overview = Overview { states: states.into(), live_states: live.into(), ..Overview::default() };
    let line = line(&overview);
    assert!(line.ends_with("tasks: 3 launched, 1 TASK_FAILED, 2 TASK_RUNNING"), "{line}");
}

#[test]
fn without_workers_the_reason_is_shown() {
    let shows = |kind, running_workers| {
        let problems = Problems { first: vec![Problem::new(kind, "no worker on h: 0 CPU")], more: 0 };
        let overview = Overview { problems, running_workers, ..Overview::default() };
        let frame = lines(&overview, Duration::ZERO, size(80, 24), false);
        frame.iter().any(|line| line.contains("no worker on h"))
    };
    assert!(shows(ProblemKind::AgentTooSmall, 0) && !shows(ProblemKind::AgentTooSmall, 1));
    // Problems of more than one agent are shown also while workers mine.
    assert!(shows(ProblemKind::LaunchesFail, 0) && shows(ProblemKind::LaunchesFail, 1));
}

#[test]
fn foreign_text_cannot_move_the_cursor() {
    let text = "a\nb\x1b[2J\u{202e}c\r".to_owned();
    let overview = Overview { failures: vec![TaskFailure { text, ..failure(3) }], ..Overview::default() };
    let frame = lines(&overview, Duration::ZERO, size(80, 24), false);
    assert!(frame.iter().any(|line| line.ends_with(r": a\nb\u{1b}[2J\u{202e}c\r")), "{frame:#?}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let overview = overview(vec![worker(2, 2e6)]);
    let frame = lines(&overview, Duration::ZERO, size(40, 24), true);
    let visible = |line: &String| line.replace("\x1b[1m", "").replace("\x1b[0m", "").chars().count();
    assert!(frame.iter().all(|line| visible(line) <= 40), "{frame:#?}");
    assert!(frame.iter().any(|line| line.ends_with('…')), "{frame:#?}");
    assert!(frame[0].starts_with("\x1b[1m") && !frame[1].contains('\x1b'), "{frame:#?}");
    assert_eq!(lines(&overview, Duration::ZERO, size(1, 24), false)[1], "…");
}

#[test]
fn shares_that_only_live_messages_tell_of_are_marked() {
    let unaccounted = Totals { accepted: 9, hashes: 1 << 30, ..Totals::default() };
    let mut overview = Overview { unaccounted, ..Overview::default() };
    overview.totals.worker.accepted = 3;
    let text = "shares: 12 accepted (9 not yet accounted), 0 rejected, 0 stale, 0 unanswered";
    assert_eq!(shares(&overview), text);
    let mut task = worker(2, 1.0);
    task.totals.accepted = 3;
    if let Some(Live::Worker(live)) = &mut task.live {
        live.totals = Some(Totals { accepted: 12, ..Totals::default() });
    }
    assert!(task_line(&task).contains("shares 12/0/0, 9 not yet accounted"), "{}", task_line(&task));
}
