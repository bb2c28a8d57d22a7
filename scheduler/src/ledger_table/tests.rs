use std::time::Duration;

use clap::{CommandFactory, Parser};
use proptest::prelude::*;
use task::{Account, Report, ShareRow, Verdict};

use super::*;
use crate::journal::{Assignment, Change, Origin, StatusRecord};
use crate::store::{self, FailedLaunches, ShareLimits, Store, StoreError, StoredShare};
use crate::task_id::task_id;

fn task(kind: TaskKind, number: u64, state: TaskState) -> TaskRecord {
    let origin = Origin::Launched { cpus_milli: 1000 };
    TaskRecord {
        state: Some(state),
        ..TaskRecord::new(task_id(kind, number), "a".into(), "h".into(), origin)
    }
}

fn report(sequence: u64, accounts: &[(&str, u64)]) -> Report {
    let account = |&(worker, accepted): &(&str, u64)| Account {
        worker: worker.into(),
        totals: Totals { accepted, accepted_work: u128::from(accepted) << 70, ..Totals::default() },
        ..Account::default()
    };
    Report { sequence, accounts: accounts.iter().map(account).collect(), server: None }
}

/// A live worker, one that died, one whose server died, and a miner that is not a task and whose name contains a control
/// sequence.
fn snapshot() -> LedgerSnapshot {
    let tasks = vec![
        task(TaskKind::Server, 1, TaskState::TaskFailed),
        task(TaskKind::Worker, 2, TaskState::TaskRunning),
        task(TaskKind::Worker, 3, TaskState::TaskFailed),
        task(TaskKind::Worker, 10, TaskState::TaskKilled),
    ];
    let mut snapshot = LedgerSnapshot { frameworks: vec!["f".into()], tasks, ..LedgerSnapshot::default() };
    let pool = [("miner-worker-2", 9), ("miner-worker-3", 5), ("miner-worker-10", 4), ("=1,\"x\"\x1b[2J", 7)];
    snapshot.ledger.record("miner-server-1", TaskKind::Server, &report(1, &pool));
    for (worker, accepted) in [("miner-worker-2", 8), ("miner-worker-3", 3), ("miner-worker-10", 6)] {
        snapshot.ledger.record(worker, TaskKind::Worker, &report(1, &[(worker, accepted)]));
    }
    snapshot
}

#[test]
fn differences_are_shown_of_tasks_that_ended() {
    let accounts = LedgerTable::new(&snapshot());
    let rows: Vec<_> = accounts
        .workers
        .iter()
        .map(|row| (row.pool.totals.accepted, row.worker.totals.accepted, row.unreported, row.uncounted))
        .collect();
    let expected =
        [(9, 8, None, None), (5, 3, Some(2), Some(0)), (4, 6, Some(0), Some(2)), (7, 0, None, None)];
    assert_eq!(rows, expected);
    let total = &accounts.total;
    assert_eq!((total.pool.totals.accepted, total.worker.totals.accepted), (25, 17));
    assert_eq!((total.unreported, total.uncounted), (Some(2), Some(2)));
    assert_eq!((accounts.servers.len(), accounts.servers[0].pool.totals.accepted), (1, 25));
}

#[test]
fn every_figure_of_every_account_is_in_the_sum() {
    let totals = |n: u64| Totals {
        hashes: u128::from(n) << 70,
        accepted_work: u128::from(n) << 65,
        accepted: n,
        rejected: 2 * n,
        stale: 3 * n,
        unanswered: 4 * n,
        blocks: 5 * n,
        candidates: 7 * n,
        orphaned: 8 * n,
    };
    let mut snapshot = LedgerSnapshot::default();
    for (server, n) in [("miner-server-1", 1), ("miner-server-2", 10)] {
        let worker = "miner-worker-3".to_owned();
        let account = Account { worker, totals: totals(n), rows_omitted: 6 * n, ..Account::default() };
        let report = Report { sequence: 1, accounts: vec![account], server: None };
        snapshot.ledger.record(server, TaskKind::Server, &report);
    }
    snapshot.ledger.add_aggregated(LedgerLine { worker: totals(1000), pool: totals(100) }, 0);
    let accounts = LedgerTable::new(&snapshot);
    let figures = |column: &LedgerColumn| {
        let Totals {
            hashes,
            accepted_work,
            accepted,
            rejected,
            stale,
            unanswered,
            blocks,
            candidates,
            orphaned,
        } = column.totals;
        let counts =
            [accepted, rejected, stale, unanswered, blocks, candidates, orphaned, column.rows_omitted];
        ((hashes >> 70, accepted_work >> 65), counts)
    };
    assert_eq!(figures(&accounts.total.pool), ((111, 111), [111, 222, 333, 444, 555, 777, 888, 66]));
    assert_eq!(
        figures(&accounts.total.worker),
        ((1000, 1000), [1000, 2000, 3000, 4000, 5000, 7000, 8000, 0])
    );
    let servers = accounts.servers.iter().map(|row| (row.task.as_str(), row.pool.totals.accepted));
    assert!(servers.eq([("miner-server-1", 1), ("miner-server-2", 10), (EARLIER, 100)]));
}

#[test]
fn a_server_that_ended_with_its_last_report_is_not_short() {
    for (state, short) in [
        (TaskState::TaskRunning, false),
        (TaskState::TaskKilled, false),
        (TaskState::TaskLost, true),
        (TaskState::TaskDropped, false),
        (TaskState::TaskGone, true),
    ] {
        let mut snapshot = snapshot();
        snapshot.tasks[0].state = Some(state);
        let accounts = LedgerTable::new(&snapshot);
        assert_eq!(accounts.servers[0].short, short, "{state:?}");
        assert_eq!(accounts.to_string().contains("short:"), short, "{state:?}");
    }
}

#[test]
fn a_failed_server_that_never_listened_is_not_short() {
    let mut snapshot = snapshot();
    snapshot.tasks.push(task(TaskKind::Server, 11, TaskState::TaskFailed));
    let short = |snapshot: &LedgerSnapshot| {
        let table = LedgerTable::new(snapshot);
        table.servers.iter().filter(|row| row.short).map(|row| row.task.clone()).collect::<Vec<_>>()
    };
    assert_eq!(short(&snapshot), ["miner-server-1"]);
    // A worker was launched for the server, so the server listened, although it has not reported any share.
    let assignment = Some(Assignment::Server("miner-server-11".into()));
    snapshot.tasks.push(TaskRecord { assignment, ..task(TaskKind::Worker, 12, TaskState::TaskFailed) });
    assert_eq!(short(&snapshot), ["miner-server-1", "miner-server-11"]);
}

#[test]
fn at_a_pool_of_others_there_is_nothing_to_compare() {
    let mut snapshot = snapshot();
    for task in &mut snapshot.tasks {
        task.assignment = Some(Assignment::Pool("stratum+tcp://pool:1".into()));
    }
    let accounts = LedgerTable::new(&snapshot);
    assert!(accounts.workers.iter().all(|row| row.unreported.is_none() && row.uncounted.is_none()));
    assert_eq!(accounts.total.worker.totals.accepted, 17);
    snapshot.tasks.retain(|task| task.kind == TaskKind::Worker);
    snapshot.ledger = Default::default();
    snapshot.ledger.record("miner-worker-2", TaskKind::Worker, &report(1, &[("miner-worker-2", 8)]));
    let table = LedgerTable::new(&snapshot).to_string();
    for name in ["miner-worker-2 ", "total "] {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.split_whitespace().skip(3).take(3).eq(["-", "8", "-"]), "{table}");
    }
}

#[test]
fn a_miner_with_the_name_of_a_server_does_not_get_its_row() {
    let mut snapshot = snapshot();
    snapshot.ledger.record("miner-server-1", TaskKind::Server, &report(2, &[("miner-server-1", 3)]));
    let accounts = LedgerTable::new(&snapshot);
    assert_eq!((accounts.total.pool.totals.accepted, accounts.servers[0].pool.totals.accepted), (28, 28));
}

#[test]
fn all_formats_have_all_rows_and_names_are_escaped() {
    let accounts = LedgerTable::new(&snapshot());
    let table = accounts.to_string();
    assert_eq!(table.lines().count(), 8, "{table}");
    let last = table.lines().last().unwrap();
    assert!(last.starts_with("short: miner-server-1 ended as TASK_FAILED without its last report"), "{last}");
    assert!(!table.contains('\x1b'));
    let dead = table.lines().find(|line| line.starts_with("miner-worker-3 ")).unwrap();
    let cells: Vec<_> = dead.split_whitespace().collect();
    assert_eq!(cells, ["miner-worker-3", "h", "TASK_FAILED", "5", "3", "0", "0", "0", "0", "2", "0"]);
    let csv = render::csv(&accounts);
    let columns = csv.lines().next().unwrap().split(',').count();
    assert_eq!((csv.lines().count(), columns), (7, 27));
    assert!(csv.lines().last().unwrap().ends_with(",true"), "{csv}");
    let dead = csv.lines().find(|line| line.starts_with("worker,miner-worker-3,")).unwrap();
    assert!(dead.split(',').count() == columns && dead.ends_with(",2,0,"), "{dead}");
    assert!(csv.contains("outsider,\"=1,\"\"x\"\"\\u{1b}[2J\",,,"), "{csv}");
    let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&accounts).unwrap()).unwrap();
    assert_eq!(json["workers"][1]["unreported"], 2);
    assert_eq!(json["workers"][0]["unreported"], serde_json::Value::Null);
    assert_eq!((&json["servers"][0]["short"], &json["workers"][0]["short"]), (&true.into(), &false.into()));
    assert_eq!(json["total"]["pool"]["accepted"], 25);
}

#[test]
fn it_is_read_while_a_scheduler_runs() {
    let folder = tempfile::tempdir().unwrap();
    let missing = store::ledger_snapshot(folder.path(), false).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    let (sender, written) = std::sync::mpsc::channel();
    let week = ShareLimits { age: Duration::from_secs(7 * 24 * 3600), size: None };
    let (mut store, _) = Store::open(folder.path(), week, move |notice| drop(sender.send(notice))).unwrap();
    store.start().unwrap();
    let worker = task(TaskKind::Worker, 2, TaskState::TaskRunning);
    let status = StatusRecord {
        report: Some(report(1, &[(&worker.id, 4)])),
        ..StatusRecord::new(worker.id.clone(), TaskKind::Worker, worker.state)
    };
    for (change_id, change) in
        [Change::Framework("f".into()), Change::Task(worker), Change::Status(status)].into_iter().enumerate()
    {
        store.persist(change_id as u64, change);
        written.recv().unwrap();
    }
    let accounts = LedgerTable::new(&store::ledger_snapshot(folder.path(), false).unwrap());
    assert_eq!(
        (accounts.frameworks.as_slice(), accounts.total.worker.totals.accepted),
        (&["f".to_owned()][..], 4)
    );
    store.persist(9, Change::FrameworkEnded);
    store.close().unwrap();
    assert_eq!(
        LedgerTable::new(&store::ledger_snapshot(folder.path(), false).unwrap()),
        accounts,
        "also when it has ended"
    );
}

#[test]
fn other_frameworks_count_only_if_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let minute = ShareLimits { age: Duration::from_secs(60), size: None };
    let (mut store, _) = Store::open(folder.path(), minute, |_| ()).unwrap();
    store.start().unwrap();
    for (n, id) in ["f", "g"].into_iter().enumerate() {
        store.persist(0, Change::Framework(id.into()));
        store.persist(0, Change::Task(task(TaskKind::Worker, n as u64 + 1, TaskState::TaskKilled)));
        store.persist(0, Change::FrameworkEnded);
    }
    store.close().unwrap();
    assert_eq!(store::ledger_snapshot(folder.path(), true).unwrap().tasks.len(), 2);
    assert_eq!(store::ledger_snapshot(folder.path(), false).unwrap().tasks.len(), 1);
}

#[test]
fn every_flag_has_an_environment_name_and_help() {
    cli::Args::command().debug_assert();
    for arg in cli::Args::command().get_arguments() {
        assert!(arg.get_env().is_some_and(|name| name.to_string_lossy().starts_with("MINER_")), "{arg}");
        assert!(arg.get_help().is_some(), "{arg}");
    }
    assert!(cli::Args::try_parse_from(["ledger", "--json", "--csv"]).is_err());
    assert!(cli::Args::try_parse_from(["ledger", "--shares", "--csv"]).is_ok());
    assert!(cli::Args::try_parse_from(["ledger", "--shares", "--json"]).is_err());
}

#[test]
fn tasks_that_ended_before_have_one_row() {
    let mut snapshot = snapshot();
    let line = |pool, worker| LedgerLine {
        pool: Totals { accepted: pool, ..Totals::default() },
        worker: Totals { accepted: worker, ..Totals::default() },
    };
    snapshot.ledger.add_aggregated(line(100, 90), 2);
    snapshot.rows_since_ms = Some(784_111_777_000);
    snapshot.shares_since_ms = Some(784_111_778_000);
    let accounts = LedgerTable::new(&snapshot);
    assert_eq!((accounts.total.pool.totals.accepted, accounts.total.worker.totals.accepted), (125, 107));
    assert_eq!(accounts.servers.iter().map(|row| row.pool.totals.accepted).sum::<u64>(), 125);
    let table = accounts.to_string();
    assert!(table.contains("\n(earlier)") && table.contains("Sun, 06 Nov 1994 08:49:37 GMT"), "{table}");
    assert!(table.contains("kept since Sun, 06 Nov 1994 08:49:38 GMT"), "{table}");
    assert!(render::csv(&accounts).contains("\nearlier,(earlier),"), "{}", render::csv(&accounts));
    let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&accounts).unwrap()).unwrap();
    assert_eq!(json["rows_since_ms"], 784_111_777_000u64);
}

#[test]
fn a_single_share_is_a_line_of_csv() {
    let share = ShareRow {
        job: "a,b".into(),
        extranonce2: vec![0, 255],
        ntime: 1_700_000_000,
        version: 0x2000_0000,
        nonce: 0xab,
        difficulty: 1.5,
        verdict: Verdict::Rejected(23),
        round_trip: Duration::from_micros(70),
    };
    let (task, worker) = ("miner-server-1".to_owned(), "miner-worker-2".to_owned());
    let kept = StoredShare { task, worker, sequence: 3, ordinal: 1, received_ms: 1_700_000_001_000, share };
    let line = render::share_line(&kept);
    let expected = "1700000001000,miner-server-1,miner-worker-2,3,1,\"a,b\",00ff,1700000000,20000000,000000ab,1.5,rejected 23,70";
    assert_eq!(line, expected);
    assert_eq!(render::SHARE_HEADINGS.split(',').count(), expected.replace("a,b", "").split(',').count());
}

proptest! {
    /// For any reports, the rows add up to the total, and so do the servers' counts.
    #[test]
    fn lines_add_up(reports in prop::collection::vec((0..3usize, 0..4usize, 0..100u64), 0..30)) {
        let tasks = [(TaskKind::Server, 1), (TaskKind::Server, 2), (TaskKind::Worker, 3)];
        let tasks: Vec<_> = tasks.into_iter().map(|(kind, n)| task(kind, n, TaskState::TaskKilled)).collect();
        let mut snapshot = LedgerSnapshot { tasks: tasks.clone(), ..LedgerSnapshot::default() };
        for (sequence, (reporter, worker, accepted)) in reports.into_iter().enumerate() {
            let worker = ["miner-worker-3", "somebody", "miner-server-1", ""][worker];
            let reporter = &tasks[reporter];
            snapshot.ledger.record(&reporter.id, reporter.kind, &report(sequence as u64 + 1, &[(worker, accepted)]));
        }
        let accounts = LedgerTable::new(&snapshot);
        let (sum, _) = snapshot.ledger.sum();
        prop_assert_eq!(accounts.total.pool.totals.accepted, sum.pool.accepted);
        prop_assert_eq!(accounts.total.worker.totals.accepted, sum.worker.accepted);
        prop_assert_eq!(accounts.servers.iter().map(|row| row.pool.totals.accepted).sum::<u64>(), sum.pool.accepted);
        let (unreported, uncounted) = (accounts.total.unreported.unwrap(), accounts.total.uncounted.unwrap());
        let dead = &accounts.workers[0];
        prop_assert_eq!(dead.pool.totals.accepted + uncounted, dead.worker.totals.accepted + unreported);
    }
}

#[test]
fn launches_that_failed_long_ago_have_a_row_for_each_reason() {
    let failed = |launches, state: &str, reason: Option<&str>| FailedLaunches {
        launches,
        state: state.into(),
        reason: reason.map(str::to_owned),
    };
    let snapshot = LedgerSnapshot {
        failed_launches: vec![
            failed(57, "TASK_FAILED", Some("REASON_CONTAINER_LAUNCH_FAILED")),
            failed(1, "TASK_ERROR", None),
        ],
        ..snapshot()
    };
    let accounts = LedgerTable::new(&snapshot);
    let text = accounts.to_string();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("failed launches: ")).collect();
    assert_eq!(
        lines,
        [
            "failed launches: 57 (TASK_FAILED, REASON_CONTAINER_LAUNCH_FAILED)",
            "failed launches: 1 (TASK_ERROR)"
        ]
    );
    let json = serde_json::to_string(&accounts).unwrap();
    assert!(
        json.contains(r#""failed_launches":[{"launches":57,"state":"TASK_FAILED","reason":"REASON_"#),
        "{json}"
    );
}
