//! The cost of a change on disk does not grow with the number of tasks: no statement scans a table.

use std::sync::Mutex;

use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::*;
use crate::journal::{AvoidedAgent, Command, Operator, RecordedCommand, Removal, Said};
use crate::store::sqlite::{migration, records};

/// SQLite's query plan for a statement.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // A query plan needs no values: parameters that are not bound are NULL.
    let mut rows = query.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push(row.get(3).unwrap());
    }
    plan
}

fn looks_through(plan: &[String]) -> bool {
    plan.iter().any(|step| step.starts_with("SCAN") && step != "SCAN CONSTANT ROW")
}

fn every_change() -> Vec<Change> {
    let avoided = AvoidedAgent { agent: "a".into(), why: "it errs".into(), since_ms: 1 };
    let said = Said { by: Operator::options(), at_ms: 1 };
    let strangers = (0..UNTRACKED_MINERS + 5)
        .map(|n| Account { worker: format!("stranger {n}"), ..Account::default() })
        .collect();
    let strangers = Report { sequence: 3, accounts: strangers, server: None };
    vec![
        Change::Framework("f".into()),
        Change::Task(server()),
        Change::Task(worker(2)),
        Change::Task(worker(3)),
        Change::Forget(worker(3).id),
        Change::Peak(3),
        status(&worker(2), TaskState::TaskRunning, Some(report(1, 1))),
        status(&server(), TaskState::TaskRunning, Some(strangers)),
        Change::Assign { task: worker(2).id, server: "miner-server-9".into() },
        Change::AgentUrl { task: worker(2).id, url: "http://10.0.0.2:5051".into() },
        Change::AvoidAgent(avoided),
        Change::AllowAgent("a".into()),
        Change::Command(Box::new(RecordedCommand { said, what: Command::Avoid { agent: "a".into() } })),
        status(&server(), TaskState::TaskKilled, None),
        Change::AggregateUntrackedMiners(server().id),
        Change::Retire(vec![server().id]),
        status(&server(), TaskState::TaskRunning, Some(report(9, 1))),
        Change::Task(worker(4)),
        Change::Task(worker(5)),
        status(&worker(4), TaskState::TaskFailed, None),
        status(&worker(5), TaskState::TaskFailed, None),
        Change::Retire(vec![worker(4).id, worker(5).id]),
        status(&worker(4), TaskState::TaskRunning, Some(report(9, 1))),
        Change::FailoverTimeout { ms: 1 },
        Change::FrameworkRemoved(Removal { removed_ms: 1, silent_ms: None }),
        Change::FrameworkEnded,
    ]
}

#[test]
fn no_change_scans_a_table() {
    let mut connection = Connection::open_in_memory().unwrap();
    migration::prepare(&mut connection, Path::new("memory")).unwrap();
    let statements: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&statements);
    let trace = move |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(_, sql) = event {
            seen.lock().unwrap().insert(sql.to_owned());
        }
    };
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(trace)).unwrap();
    let batch: Vec<_> = every_change().into_iter().map(|change| (0, change)).collect();
    records::write(&mut connection, &mut None, &batch).unwrap();
    connection.trace_v2(TraceEventCodes::empty(), None::<fn(TraceEvent<'_>)>).unwrap();
    let mut searches = 0;
    for sql in statements.lock().unwrap().iter().filter(|sql| !sql.starts_with("BEGIN") && *sql != "COMMIT") {
        let plan = plan(&connection, sql);
        assert!(!looks_through(&plan), "{sql}: {plan:?}");
        searches += usize::from(plan.iter().any(|step| step.starts_with("SEARCH")));
    }
    assert!(searches > 10, "{searches}");
    assert!(looks_through(&plan(&connection, "SELECT host FROM task WHERE host = ?1")), "it would be seen");
}
