use std::path::Path;
use std::time::Duration;

use task::{Account as Reported, Report, ServerAddress, ShareRow, Verdict};

use super::*;
use crate::journal::{
    Account, AvoidedAgent, Change, Command, Controls, Entry, Operator, Origin, RecordedCommand, Removal,
    Said, SpecificationKey, StatusRecord, TaskRecord,
};
use crate::store::sqlite::{migration, records};
use crate::task_id::{TaskKind, task_id};

fn task(kind: TaskKind, number: u64, state: Option<TaskState>) -> TaskRecord {
    let origin = Origin::Launched { cpus_milli: 1000 };
    TaskRecord {
        attributes: [("rack".to_owned(), "r".to_owned())].into(),
        state,
        ..TaskRecord::new(task_id(kind, number), "a".into(), "h".into(), origin)
    }
}

fn worker(number: u64, state: Option<TaskState>) -> TaskRecord {
    task(TaskKind::Worker, number, state)
}

fn status(task: &TaskRecord, state: TaskState, sequence: u64, accepted: u64) -> Change {
    let totals = Totals { accepted, ..Totals::default() };
    let account = Reported { worker: task.id.clone(), totals, ..Reported::default() };
    Change::Status(StatusRecord {
        report: Some(Report { sequence, accounts: vec![account], server: None }),
        ..StatusRecord::new(task.id.clone(), task.kind, Some(state))
    })
}

fn entry(sequence: u64, accepted: u64) -> Entry {
    let totals = Totals { accepted, ..Totals::default() };
    Entry { sequence, totals, rows_omitted: 0 }
}

fn own(worker: &str, entry: Entry) -> Account<'_> {
    Account { reporter: worker, kind: TaskKind::Worker, worker, entry }
}

/// A folder whose scheduler led once. At that time, the server had another address. The folder has a report of worker 2 that
/// ZooKeeper never got; worker 3 was never launched; worker 4 ended under other leaders, and worker 5 while this folder's
/// scheduler led.
fn folder() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migration::prepare(&mut connection, Path::new("memory")).unwrap();
    let address = Some(ServerAddress { host: "old".into(), stratum_port: 1, http_port: 2 });
    connection.execute("INSERT INTO folder (name) VALUES ('name')", []).unwrap();
    let avoided = AvoidedAgent { agent: "good".into(), why: "it erred".into(), since_ms: 3 };
    let changes = [
        Change::Framework("f".into()),
        Change::AvoidAgent(avoided),
        Change::Task(TaskRecord { address, ..task(TaskKind::Server, 1, None) }),
        Change::Task(worker(2, None)),
        status(&worker(2, None), TaskState::TaskRunning, 9, 90),
        Change::Task(worker(3, None)),
        Change::Task(worker(4, None)),
        status(&worker(4, None), TaskState::TaskRunning, 1, 5),
        Change::Task(worker(5, None)),
        status(&worker(5, None), TaskState::TaskFailed, 1, 3),
    ];
    let batch: Vec<_> = changes.into_iter().map(|change| (0, change)).collect();
    records::write(&mut connection, &mut None, &batch).unwrap();
    connection
}

const REMOVAL: Removal = Removal { removed_ms: 7, silent_ms: Some(2) };

/// The content of the tree in ZooKeeper when this scheduler begins to lead. Worker 6 is in the tree but not in the folder.
/// Workers 4, 5 and 7 have retired, so the tree has only one sum of their accounts.
fn handover() -> Handover {
    let address = Some(ServerAddress { host: "new".into(), stratum_port: 3, http_port: 4 });
    let tasks = vec![
        TaskRecord { address, ..task(TaskKind::Server, 1, Some(TaskState::TaskRunning)) },
        worker(2, Some(TaskState::TaskRunning)),
        TaskRecord { closed: true, ..worker(6, Some(TaskState::TaskKilled)) },
    ];
    let mut recovered = RecoveredState {
        framework: Some(FrameworkRecord {
            id: "f".into(),
            started_ms: 1,
            failover_ms: Some(9),
            tearing_down: true,
            removal: Some(REMOVAL),
        }),
        tasks,
        next_number: 20,
        peak_workers: 7,
        avoided: vec![AvoidedAgent { agent: "bad".into(), why: "it errs".into(), since_ms: 3 }],
        controls: paused(),
        specification_key: Some(SpecificationKey::random()),
        ..RecoveredState::default()
    };
    recovered.ledger.insert(own("miner-worker-2", entry(8, 80)));
    recovered.ledger.insert(own("miner-worker-6", entry(1, 6)));
    let aggregated = Totals { accepted: 5 + 3 + 11, ..Totals::default() };
    recovered.ledger.add_aggregated(LedgerLine { worker: aggregated, ..LedgerLine::default() }, 0);
    for number in [4, 5, 7] {
        recovered.retired.done.insert(number);
    }
    Handover { recovered, was_last_leader: false }
}

/// An operator has paused.
fn paused() -> Controls {
    let mut controls = Controls::default();
    let said = Said { by: Operator { name: "alice".into(), address: None }, at_ms: 5 };
    controls.apply(&RecordedCommand { said, what: Command::Pause { release: true } });
    controls
}

#[test]
fn records_of_other_leaders_are_copied() {
    let (mut connection, handover) = (folder(), handover());
    for _ in 0..2 {
        sync_folder(&mut connection, &handover).unwrap();
        let found = read::recover(&connection).unwrap();
        assert_eq!(found.tasks, handover.recovered.tasks, "addresses, states and last updates too");
        assert_eq!((found.next_number, found.peak_workers), (20, 7));
        let framework = found.framework.unwrap();
        assert_eq!((framework.tearing_down, framework.removal), (true, Some(REMOVAL)));
        assert_eq!(found.avoided, handover.recovered.avoided);
        assert_eq!(found.controls, handover.recovered.controls);
        assert_eq!(found.specification_key, handover.recovered.specification_key);
        assert_eq!(found.retired, handover.recovered.retired);
        assert_eq!(found.ledger.sum(), handover.recovered.ledger.sum());
        let account = found.ledger.entry("miner-worker-2", "miner-worker-2").copied();
        assert_eq!(account, Some(entry(8, 80)), "what was ahead comes again");
    }
}

#[test]
fn tasks_that_were_never_launched_are_deleted_and_those_that_ended_elsewhere_are_marked() {
    let mut connection = folder();
    sync_folder(&mut connection, &handover()).unwrap();
    let tasks = read::tasks(&connection, "f").unwrap();
    let states: Vec<_> = tasks.iter().map(|(task, _)| (task.id.as_str(), task.state)).collect();
    let expected = [
        ("miner-server-1", Some(TaskState::TaskRunning)),
        ("miner-worker-2", Some(TaskState::TaskRunning)),
        ("miner-worker-4", None),
        ("miner-worker-5", Some(TaskState::TaskFailed)),
        ("miner-worker-6", Some(TaskState::TaskKilled)),
    ];
    assert_eq!(states, expected);
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let message = text("SELECT message FROM task WHERE id = 'miner-worker-4'");
    assert_eq!(message, "it ended while another scheduler led");
}

#[test]
fn a_framework_that_other_leaders_replaced_has_ended() {
    let mut connection = folder();
    let mut handover = handover();
    handover.recovered.framework =
        Some(FrameworkRecord { id: "g".into(), started_ms: 1, ..FrameworkRecord::default() });
    sync_folder(&mut connection, &handover).unwrap();
    assert_eq!(read::recover(&connection).unwrap().framework, handover.recovered.framework);
    handover.recovered = RecoveredState::default();
    sync_folder(&mut connection, &handover).unwrap();
    assert_eq!(read::recover(&connection).unwrap().framework, None, "it was torn down");
}

#[test]
fn a_late_report_of_a_task_that_is_in_the_sum_of_others_is_not_counted_again() {
    let (mut connection, handover) = (folder(), handover());
    let mut framework = Some("f".to_owned());
    let mut write = |connection: &mut Connection, change: Change| {
        records::write(connection, &mut framework, &[(0, change)]).unwrap();
    };
    write(&mut connection, Change::Retire(vec!["miner-worker-5".into()]));
    sync_folder(&mut connection, &handover).unwrap();
    let accepted =
        |connection: &Connection| read::recover(connection).unwrap().ledger.sum().0.worker.accepted;
    let before = accepted(&connection);
    assert_eq!(before, handover.recovered.ledger.sum().0.worker.accepted);
    // All 16 shares in this report are already counted: 5 in the folder's account of the task, and 11 in the sum from other
    // leaders.
    for _ in 0..2 {
        write(&mut connection, status(&worker(4, None), TaskState::TaskRunning, 9, 16));
        assert_eq!(accepted(&connection), before, "whatever its state has become");
    }
    let state = "SELECT state FROM task WHERE id = 'miner-worker-4'";
    let state: Option<String> = connection.query_row(state, [], |row| row.get(0)).unwrap();
    assert_eq!(state.as_deref(), Some("TASK_RUNNING"));
    // This scheduler led when worker 5 retired, so it wrote the worker's account into its own folder. The worker's late report
    // replaces this account.
    write(&mut connection, status(&worker(5, None), TaskState::TaskRunning, 9, 7));
    assert_eq!(accepted(&connection), before - 3 + 7);
    sync_folder(&mut connection, &handover).unwrap();
    write(&mut connection, status(&worker(4, None), TaskState::TaskRunning, 10, 17));
    assert_eq!(accepted(&connection), before, "at the next takeover the sum of all decides");
}

#[test]
fn shares_of_a_report_that_zookeeper_never_got_are_not_stored_twice() {
    let (mut connection, mut handover) = (folder(), handover());
    let report = |sequence| {
        let mut change = status(&worker(2, None), TaskState::TaskRunning, sequence, 90);
        if let Change::Status(StatusRecord { report: Some(report), .. }) = &mut change {
            report.accounts[0].rows = vec![ShareRow {
                job: "j".into(),
                extranonce2: vec![0; 4],
                ntime: 1,
                version: 2,
                nonce: 3,
                difficulty: 1.0,
                verdict: Verdict::Accepted,
                round_trip: Duration::ZERO,
            }];
        }
        [(0, change)]
    };
    let kept = |connection: &Connection| {
        let sql = "SELECT count(*) FROM reported_shares";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let mut framework = Some("f".to_owned());
    records::write(&mut connection, &mut framework, &report(10)).unwrap();
    // The report never reached ZooKeeper, so ZooKeeper has no account of the task.
    handover.recovered.ledger = Ledger::default();
    sync_folder(&mut connection, &handover).unwrap();
    let accepted = |connection: &Connection| {
        let ledger = read::recover(connection).unwrap().ledger;
        ledger.entry("miner-worker-2", "miner-worker-2").map(|entry| entry.totals.accepted)
    };
    assert_eq!(accepted(&connection), Some(0));
    records::write(&mut connection, &mut framework, &report(10)).unwrap();
    assert_eq!(kept(&connection), 1);
    assert_eq!(accepted(&connection), Some(90));
    records::write(&mut connection, &mut framework, &report(11)).unwrap();
    assert_eq!(kept(&connection), 2);
}
