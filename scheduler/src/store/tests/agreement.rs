//! After any sequence of changes, the records in memory, in SQLite and in ZooKeeper are equal.

mod plain;

use proptest::prelude::*;

use self::plain::Plain;
use super::*;
use crate::journal::{
    self, AvoidedAgent, Command, FrameworkRecord, Operator, RecordedCommand, Removal, Said, ScaleLimits,
    TaskRecord,
};
use crate::store::sqlite::{migration, read, records};
use crate::store::zookeeper::fake::FakeTree;
use crate::task_id::task_number;

const STATES: [TaskState; 6] = [
    TaskState::TaskStaging,
    TaskState::TaskRunning,
    TaskState::TaskUnreachable,
    TaskState::TaskGone,
    TaskState::TaskFailed,
    TaskState::TaskKilled,
];

/// All three implementations of [`Records`], and the ids and numbers from which valid changes are generated.
struct Three {
    plain: Plain,
    nodes: FakeTree,
    connection: Connection,
    framework: Option<String>,
    frameworks: usize,
    /// The ids of all tasks that the current framework ever had.
    ids: Vec<String>,
    next_number: u64,
}

impl Three {
    fn new() -> Self {
        let mut connection = Connection::open_in_memory().unwrap();
        migration::prepare(&mut connection, Path::new("memory")).unwrap();
        let (plain, nodes) = (Plain::default(), FakeTree::default());
        let (framework, frameworks, ids) = Default::default();
        let mut three = Three { plain, nodes, connection, framework, frameworks, ids, next_number: 1 };
        three.write(three.begin());
        three
    }

    fn begin(&self) -> Vec<Change> {
        vec![Change::Framework(format!("f{}", self.frameworks))]
    }

    fn write(&mut self, changes: Vec<Change>) {
        for change in &changes {
            let Ok(()) = journal::apply(&mut self.plain, change, 7);
        }
        let batch: Vec<_> = changes.into_iter().map(|change| (0, change)).collect();
        self.nodes.write(&batch);
        records::write(&mut self.connection, &mut self.framework, &batch).unwrap();
    }

    fn pick(&self, which: usize) -> Option<String> {
        self.ids.get(which.checked_rem(self.ids.len())?).cloned()
    }

    fn change(&mut self, action: u8, which: usize, number: u64) -> Vec<Change> {
        let id = self.pick(which);
        match (action, id) {
            (0 | 1, _) => vec![self.new_task(which)],
            (2, Some(id)) => {
                let again = self.plain.tasks.get(&id).cloned();
                again
                    .map(|task| Change::Task(TaskRecord { host: "elsewhere".into(), ..task }))
                    .into_iter()
                    .collect()
            }
            (3, Some(task)) => {
                // Only a task without any update or account can be forgotten: it may never have been launched.
                let unheard = self.plain.tasks.get(&task).is_some_and(|task| task.state.is_none());
                let unheard = unheard && self.plain.ledger.workers_of(&task).next().is_none();
                unheard.then_some(Change::Forget(task)).into_iter().collect()
            }
            (4..=9, Some(task)) => vec![self.status(task, which, number)],
            (10, Some(task)) if number.is_multiple_of(2) => {
                vec![Change::AgentUrl { task, url: format!("http://10.0.0.{}:5051", number % 8) }]
            }
            (10, Some(task)) => vec![Change::Assign { task, server: format!("miner-server-{}", number % 9) }],
            (11 | 12, Some(task)) => {
                let more = self.pick(which / 7).into_iter().chain(["miner-worker-x".to_owned()]);
                vec![Change::Retire(more.chain([task]).collect())]
            }
            (13, _) => vec![Change::Peak(number % 50)],
            (14, _) => {
                let agent = format!("agent/{}", number % 3);
                vec![Change::AvoidAgent(AvoidedAgent {
                    agent,
                    why: "it errs".into(),
                    since_ms: number % 1000,
                })]
            }
            (15, _) => vec![Change::AllowAgent(format!("agent/{}", number % 3))],
            (16, Some(server)) => vec![Change::AggregateUntrackedMiners(server)],
            (17, _) => self.begin(),
            (18, _) if which.is_multiple_of(4) => {
                self.frameworks += 1;
                self.ids.clear();
                [vec![Change::FrameworkEnded], self.begin()].concat()
            }
            (20, _) => {
                let silent_ms = (!number.is_multiple_of(3)).then_some(number % 100);
                vec![Change::FrameworkRemoved(Removal { removed_ms: number, silent_ms })]
            }
            (21, _) => vec![Change::FailoverTimeout { ms: number }],
            (22, _) => vec![Change::TearingDown(number.is_multiple_of(2))],
            (23, id) => vec![command(which, number, id)],
            (19, _) => {
                self.nodes.hand_over();
                vec![]
            }
            _ => vec![],
        }
    }

    fn new_task(&mut self, which: usize) -> Change {
        let number = self.next_number;
        self.next_number += 1;
        let task = match which % 4 {
            0 => TaskRecord { id: format!("miner-server-{number}"), ..server() },
            1 => TaskRecord { assignment: Some(Assignment::Pool("ssl://pool:1".into())), ..worker(number) },
            2 => {
                TaskRecord { origin: Origin::Unrecorded, assignment: None, agent_url: None, ..worker(number) }
            }
            _ => worker(number),
        };
        self.ids.push(task.id.clone());
        Change::Task(task)
    }

    fn status(&self, task: String, which: usize, number: u64) -> Change {
        let kind = if task.contains("server") { TaskKind::Server } else { TaskKind::Worker };
        let state = STATES[which % STATES.len()];
        let huge = number.is_multiple_of(11);
        let totals = Totals {
            hashes: if huge { u128::MAX - 3 } else { number.into() },
            accepted: if huge { u64::MAX } else { number },
            blocks: if kind == TaskKind::Server { number % 3 } else { 0 },
            ..Totals::default()
        };
        let account = |worker: String| Account { worker, totals, ..Account::default() };
        let workers = [self.pick(which / 3), self.pick(which / 5), Some(format!("some/one {}", which % 3))];
        let accounts = workers.into_iter().flatten().map(account).collect();
        let address = ServerAddress { host: format!("h{}", number % 2), stratum_port: 1, http_port: 2 };
        let server = (kind == TaskKind::Server).then_some(address);
        // Only SQLite keeps the rows of a retired task, so only SQLite records its late reports. No such reports are generated
        // here, because they would make the stores differ.
        let retired = self.plain.retired.contains(&task);
        let report = (!retired).then_some(Report { sequence: number % 6 + 1, accounts, server });
        Change::Status(StatusRecord {
            task,
            kind,
            state: (!retired && !number.is_multiple_of(5)).then_some(state),
            reason: Some("REASON".into()),
            last: state.is_final() && number.is_multiple_of(2),
            message: None,
            report,
        })
    }

    fn assert_agreement(&self) {
        let plain = &self.plain;
        let mut tasks: Vec<TaskRecord> = plain.tasks.values().cloned().collect();
        tasks.sort_by_key(|task| task_number(&task.id));
        let avoided: Vec<_> = plain.avoided.values().cloned().collect();
        let (disk, nodes) = (read::recover(&self.connection).unwrap(), self.nodes.read());
        for recovered in [&disk, &nodes] {
            let id = |framework: &FrameworkRecord| framework.id.clone();
            assert_eq!(recovered.framework.as_ref().map(id), plain.framework);
            let marks = |framework: &FrameworkRecord| {
                (framework.failover_ms, framework.tearing_down, framework.removal)
            };
            let marks = recovered.framework.as_ref().map(marks);
            let known = (plain.failover_ms, plain.tearing_down, plain.removal);
            assert_eq!(marks, plain.framework.is_some().then_some(known));
            assert_eq!(recovered.tasks, tasks);
            assert_eq!(recovered.retired, plain.retired);
            assert_eq!((recovered.peak_workers, &recovered.avoided), (plain.peak_workers, &avoided));
            assert_eq!(recovered.controls, plain.controls);
            assert_eq!(recovered.ledger.sum().0, plain.ledger.sum().0);
            for account in plain.ledger.iter() {
                assert_eq!(recovered.ledger.account(account.reporter, account.worker), Some(account));
            }
        }
        assert!(nodes.ledger.iter().eq(plain.ledger.iter()), "the same is kept apart");
        assert_eq!(nodes.ledger.sum().1, plain.ledger.sum().1);
    }
}

fn command(which: usize, number: u64, id: Option<String>) -> Change {
    let limits = ScaleLimits {
        max_workers: (!number.is_multiple_of(3)).then_some(number),
        max_cpus_milli: (!number.is_multiple_of(2)).then_some(number * 100),
    };
    let agent = format!("agent/{}", number % 3);
    let what = match which % 7 {
        0 => Command::Scale { limits, options: ScaleLimits::default() },
        1 => Command::Pause { release: number.is_multiple_of(2) },
        2 => Command::Resume,
        3 => Command::Avoid { agent },
        4 => Command::Allow { agent },
        5 => Command::Kill { task: id.unwrap_or_default() },
        _ => Command::Teardown,
    };
    let by = Operator { name: "alice".into(), address: Some("127.0.0.1".into()) };
    Change::Command(Box::new(RecordedCommand { said: Said { by, at_ms: number }, what }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn memory_sqlite_and_zookeeper_agree(
        actions in prop::collection::vec((0u8..24, any::<u16>(), any::<u32>()), 0..120),
    ) {
        let mut three = Three::new();
        for (action, which, number) in actions {
            let changes = three.change(action, which.into(), number.into());
            three.write(changes);
        }
        three.assert_agreement();
    }
}

/// Each change is written twice, as happens after an error that leaves unknown whether the transaction was committed.
#[test]
fn the_last_change_may_be_repeated() {
    let mut three = Three::new();
    let kinds = [
        (0, 0),
        (0, 3),
        (4, 1),
        (10, 1),
        (13, 0),
        (14, 0),
        (4, 10),
        (11, 1),
        (15, 0),
        (3, 0),
        (20, 0),
        (21, 0),
        (23, 0),
        (23, 1),
        (23, 3),
        (23, 6),
    ];
    for (action, which) in kinds {
        let changes = three.change(action, which, 8);
        three.write(changes.clone());
        let before = three.nodes.read();
        three.write(changes);
        assert_eq!(three.nodes.read(), before);
        three.assert_agreement();
    }
}

#[test]
fn late_reports_of_a_retired_task_are_recorded_where_its_account_is_kept() {
    let mut three = Three::new();
    let task = worker(1);
    three.write(vec![
        Change::Task(task.clone()),
        status(&task, TaskState::TaskGone, Some(report(1, 5))),
        Change::Retire(vec![task.id.clone()]),
        status(&task, TaskState::TaskRunning, Some(report(2, 9))),
        status(&worker(2), TaskState::TaskRunning, Some(report(2, 100))),
    ]);
    let hashes = |ledger: &Ledger| ledger.sum().0.worker.hashes;
    let disk = read::recover(&three.connection).unwrap();
    assert_eq!((hashes(&disk.ledger), hashes(&three.nodes.read().ledger)), (9, 5));
    assert_eq!(disk.retired.done, three.plain.retired.done);
    assert_eq!(disk.retired.lost, three.plain.retired.lost);
    assert_eq!(three.nodes.read().retired, three.plain.retired);
}

/// A retired task becomes reachable again and is then killed, so TASK_KILLED is its final state.
#[test]
fn the_row_of_a_retired_task_follows_its_updates_until_a_final_state() {
    let mut three = Three::new();
    let (task, other) = (worker(1), worker(2));
    three.write(vec![
        Change::Task(task.clone()),
        Change::Task(other.clone()),
        status(&task, TaskState::TaskGone, None),
        status(&other, TaskState::TaskFailed, Some(report(1, 1))),
        Change::Retire(vec![task.id.clone(), other.id.clone()]),
    ]);
    let said = |task: &TaskRecord, state, words: &str| {
        let Change::Status(status) = status(task, state, None) else { unreachable!() };
        Change::Status(StatusRecord { reason: Some("REASON".into()), message: Some(words.into()), ..status })
    };
    let row = |three: &Three, task: &TaskRecord| {
        let sql = "SELECT state, reason, message FROM task WHERE id = ?1 AND retired";
        let text = |row: &rusqlite::Row<'_>| {
            (0..3).map(|column| row.get::<_, Option<String>>(column)).collect::<Result<Vec<_>, _>>()
        };
        let found = three.connection.query_row(sql, [&task.id], text).unwrap();
        found.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>()
    };
    three.write(vec![said(&task, TaskState::TaskRunning, "back")]);
    assert_eq!(row(&three, &task), ["TASK_RUNNING", "REASON", "back"]);
    for state in [TaskState::TaskKilled, TaskState::TaskRunning, TaskState::TaskFailed] {
        three.write(vec![said(&task, state, state.as_str_name()), said(&other, state, "late")]);
        assert_eq!(row(&three, &task), ["TASK_KILLED", "REASON", "TASK_KILLED"]);
        assert_eq!(row(&three, &other), ["TASK_FAILED", "", ""]);
    }
    let disk = read::recover(&three.connection).unwrap();
    assert!(disk.tasks.is_empty(), "it stays retired");
    assert_eq!(disk.retired.states, [(TaskState::TaskFailed, 1), (TaskState::TaskKilled, 1)].into());
}

/// Consecutive failed launches share one row, and queries about them have the same results as with one row each.
#[test]
fn failed_launches_are_runs_of_numbers() {
    let mut three = Three::new();
    let failed = |number: u64, state| {
        let task = worker(number);
        let Change::Status(said) = status(&task, state, None) else { unreachable!() };
        vec![
            Change::Task(task.clone()),
            Change::Status(StatusRecord { reason: Some("REASON".into()), last: true, ..said }),
        ]
    };
    let ids = |numbers: std::ops::Range<u64>| numbers.map(|n| worker(n).id).collect::<Vec<_>>();
    (1..2001).for_each(|n| three.write(failed(n, TaskState::TaskFailed)));
    // One of the tasks has mined, and one ended with TASK_ERROR.
    three.write(vec![status(&worker(1000), TaskState::TaskFailed, Some(report(1, 7)))]);
    three.write(failed(2001, TaskState::TaskError));
    // The tasks retire in an arbitrary order.
    for numbers in [1500..2002, 1..700, 700..1500] {
        three.write(vec![Change::Retire(ids(numbers))]);
    }
    three.assert_agreement();
    let count = |table: &str| -> i64 {
        three.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("task"), count("closed")), (1, 1));
    assert_eq!(
        count("failed_launches"),
        3,
        "before and after the one that mined, and the one that was refused"
    );
    let sums = crate::store::sqlite::failed_launches::failed_launches(&three.connection, "f0").unwrap();
    let sums: Vec<_> =
        sums.iter().map(|sum| (sum.launches, sum.state.as_str(), sum.reason.as_deref())).collect();
    assert_eq!(sums, [(1999, "TASK_FAILED", Some("REASON")), (1, "TASK_ERROR", Some("REASON"))]);
    assert_eq!(read::recover(&three.connection).unwrap().next_number, 2002);
    // Neither a repeated launch nor a repeated update brings a retired task back.
    three.write(vec![Change::Task(worker(5)), status(&worker(5), TaskState::TaskRunning, None)]);
    three.assert_agreement();
    assert!(read::recover(&three.connection).unwrap().tasks.is_empty());
}
