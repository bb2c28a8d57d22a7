mod portions;
mod upgrade;

use mesos::v1::TaskState;
use task::{Account as Reported, Report, ServerAddress, Totals};

use super::super::fake::{put, read};
use super::account_pages::PAGE_BYTES;
use super::*;
use crate::journal::{Origin, StatusRecord};
use crate::store::zookeeper::znode::FRAMEWORK;

fn task(kind: TaskKind, number: u64) -> TaskRecord {
    TaskRecord {
        id: format!("miner-{}-{number}", kind.name()),
        kind,
        agent: "a".into(),
        host: "h".into(),
        agent_url: Some("http://h:5051/slave(1)".into()),
        assignment: None,
        origin: Origin::Launched { cpus_milli: 1000 },
        address: (kind == TaskKind::Server).then(|| ServerAddress {
            host: "::1".into(),
            stratum_port: 3333,
            http_port: 3334,
        }),
        attributes: [("rack".to_owned(), "r1".to_owned())].into(),
        state: None,
        closed: false,
        specification: Some("0123456789abcdef".into()),
    }
}

fn update(task: &TaskRecord, state: TaskState, sequence: u64, accounts: &[(&str, u64)]) -> Change {
    let account = |&(worker, accepted): &(&str, u64)| Reported {
        worker: worker.into(),
        totals: Totals { hashes: u128::MAX, accepted, ..Totals::default() },
        ..Reported::default()
    };
    Change::Status(StatusRecord {
        last: state != TaskState::TaskRunning,
        report: Some(Report {
            sequence,
            accounts: accounts.iter().map(account).collect(),
            server: task.address.clone(),
        }),
        ..StatusRecord::new(task.id.clone(), task.kind, Some(state))
    })
}

/// The state, and the nodes that have been written so far.
#[derive(Default)]
struct Written {
    state: TreeState,
    content: BTreeMap<String, Vec<u8>>,
}

impl Written {
    fn flush(&mut self) {
        for writes in self.state.take_transactions() {
            put(&mut self.content, &writes);
        }
    }

    fn write(&mut self, changes: &[Change]) -> Vec<String> {
        for change in changes {
            self.state.apply(change, 7);
        }
        let transactions = self.state.take_transactions();
        for writes in &transactions {
            put(&mut self.content, writes);
        }
        let mut read = read(&self.content).recovered();
        let mut mine = self.state.recovered();
        for recovered in [&mut read, &mut mine] {
            recovered.tasks.sort_by(|a, b| a.id.cmp(&b.id));
        }
        // The number of a task that was never launched may be used again.
        assert!(read.next_number <= mine.next_number.max(1));
        mine.next_number = read.next_number;
        assert_eq!(read, mine, "what is read is what was written");
        let mut names: Vec<String> = transactions.into_iter().flatten().map(|write| write.name).collect();
        names.sort();
        names
    }

    fn with_two_tasks() -> Self {
        let mut written = Written::default();
        let (server, worker) = (task(TaskKind::Server, 1), task(TaskKind::Worker, 2));
        written.write(&[
            Change::Framework("f".into()),
            Change::Task(server.clone()),
            update(&server, TaskState::TaskRunning, 1, &[("miner-worker-2", 4), ("stranger/..", 2)]),
            Change::Task(worker.clone()),
            update(&worker, TaskState::TaskRunning, 1, &[("miner-worker-2", 5)]),
            Change::Peak(1),
        ]);
        written
    }
}

#[test]
fn a_change_is_one_node() {
    let mut written = Written::with_two_tasks();
    let names: Vec<&str> = written.content.keys().map(String::as_str).collect();
    assert_eq!(names, [FRAMEWORK, "miner-server-1", "miner-server-1+0", "miner-worker-2"]);
    assert!(written.content["miner-worker-2"].len() < 1000, "as the README says");
    let worker = task(TaskKind::Worker, 2);
    let news = update(&worker, TaskState::TaskRunning, 2, &[("miner-worker-2", 6)]);
    assert_eq!(written.write(std::slice::from_ref(&news)), ["miner-worker-2"]);
    let before = written.content.clone();
    written.write(&[news]);
    assert_eq!(written.content, before, "the same once more");
    assert_eq!(written.write(&[Change::Task(task(TaskKind::Worker, 3))]), ["miner-worker-3"]);
    assert_eq!(written.write(&[Change::Forget("miner-worker-3".into())]), ["miner-worker-3"]);
    assert!(!written.content.contains_key("miner-worker-3"));
    assert_eq!(written.state.recovered().next_number, 4);
}

#[test]
fn tasks_that_ended_long_ago_are_a_sum() {
    let mut written = Written::with_two_tasks();
    let (server, worker) = (task(TaskKind::Server, 1), task(TaskKind::Worker, 2));
    let sum = written.state.recovered().ledger.sum();
    written.write(&[update(&worker, TaskState::TaskFailed, 2, &[("miner-worker-2", 5)])]);
    written.write(&[Change::Retire(vec![worker.id.clone()])]);
    assert!(written.content.contains_key("miner-worker-2"), "the server's account of it may still grow");
    written.write(&[update(&server, TaskState::TaskKilled, 2, &[("miner-worker-2", 5)])]);
    let writes = written.write(&[Change::Retire(vec![server.id.clone()])]);
    assert_eq!(writes, [FRAMEWORK, "miner-server-1", "miner-server-1+0", "miner-worker-2"]);
    assert_eq!(written.content.keys().collect::<Vec<_>>(), [FRAMEWORK]);
    let recovered = read(&written.content).recovered();
    assert_eq!(recovered.ledger.sum().0.pool.accepted, sum.0.pool.accepted + 1);
    assert_eq!(recovered.ledger.sum().0.worker, sum.0.worker);
    assert_eq!(recovered.retired.states, [(TaskState::TaskFailed, 1), (TaskState::TaskKilled, 1)].into());
    assert_eq!(recovered.next_number, 3, "no number is used twice");
    // A repeated update changes no node.
    assert!(written.write(&[update(&worker, TaskState::TaskFailed, 3, &[("miner-worker-2", 9)])]).is_empty());
}

#[test]
fn accounts_of_miners_that_are_not_tasks_fill_pages_of_bounded_size() {
    let mut written = Written::with_two_tasks();
    let server = task(TaskKind::Server, 1);
    for batch in 0..40u64 {
        let names: Vec<String> =
            (0..100).map(|n| format!("\u{1}{batch}-{n}-{}", "\u{2}".repeat(100))).collect();
        let accounts: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        written.write(&[update(&server, TaskState::TaskRunning, 2 + batch, &accounts)]);
    }
    assert!((10..60).contains(&written.content.len()), "{}", written.content.len());
    assert!(written.content.values().all(|data| data.len() < 2 * PAGE_BYTES));
    // Another leader continues.
    let again = Written { state: read(&written.content), content: written.content.clone() };
    let (pages, mut written) = (written.content.len(), again);
    written.write(&[update(&server, TaskState::TaskRunning, 99, &[("new", 1), ("stranger/..", 3)])]);
    assert_eq!(written.content.len(), pages + 1);
    assert_eq!(written.state.recovered().ledger.sum().0.pool.accepted, 4 + 3 + 4000 + 1);
}

#[test]
fn an_ended_framework_leaves_only_its_next_number() {
    let mut written = Written::with_two_tasks();
    written.write(&[Change::FrameworkEnded]);
    assert_eq!(written.content.keys().collect::<Vec<_>>(), [FRAMEWORK]);
    let recovered = read(&written.content).recovered();
    assert_eq!((recovered.framework, recovered.next_number), (None, 3));
    written.write(&[Change::Framework("g".into())]);
    assert_eq!(read(&written.content).recovered().framework.as_ref().unwrap().id, "g");
}

#[test]
fn a_new_tree_gets_the_records_of_the_state_folder() {
    let recovered = Written::with_two_tasks().state.recovered();
    let mut state = TreeState::of(recovered.clone());
    let mut content = BTreeMap::new();
    state.take_transactions().iter().for_each(|writes| put(&mut content, writes));
    assert_eq!(read(&content).recovered().ledger, recovered.ledger);
    assert_eq!(read(&content).recovered().tasks, recovered.tasks);
}

#[test]
fn a_later_format_and_foreign_nodes_are_refused() {
    let refused = |head: &str| TreeState::read(head.as_bytes(), &BTreeMap::new()).unwrap_err().to_string();
    let later = r#"{"format":3,"framework":null,"leader":null,"next_number":1,"peak_workers":0}"#;
    assert!(refused(later).contains("format 3"));
    assert!(refused("hello").contains("not written by this program"));
    let leader = Leader { folder: "x".into(), host: "h".into(), since_ms: 1 };
    let mut state = TreeState::default();
    state.set_leader(leader.clone(), None);
    let head = state.take_transactions().remove(0).remove(0).data.unwrap();
    assert_eq!(TreeState::read(&head, &BTreeMap::new()).unwrap().leader(), Some(&leader));
}

#[test]
fn the_next_leader_finds_every_kind_of_change() {
    let mut written = Written::with_two_tasks();
    let assign = Change::Assign { task: "miner-worker-2".into(), server: "miner-server-9".into() };
    assert_eq!(written.write(&[assign]), ["miner-worker-2"]);
    assert_eq!(written.write(&[Change::Peak(5), Change::Peak(3)]), [FRAMEWORK]);
    let address = Some(ServerAddress { host: "other".into(), stratum_port: 1, http_port: 2 });
    let server = TaskRecord { address: address.clone(), ..task(TaskKind::Server, 1) };
    let worker = task(TaskKind::Worker, 2);
    written.write(&[
        update(&server, TaskState::TaskRunning, 2, &[]),
        update(&worker, TaskState::TaskKilled, 3, &[]),
        update(&worker, TaskState::TaskRunning, 2, &[]),
    ]);
    let next = read(&written.content);
    let RecoveredState { tasks, peak_workers, .. } = next.recovered();
    assert_eq!((peak_workers, &tasks[0].address), (5, &address));
    let worker = (tasks[1].server(), tasks[1].state, tasks[1].closed);
    assert_eq!(worker, (Some("miner-server-9"), Some(TaskState::TaskKilled), true));
}

#[test]
fn nodes_of_a_framework_that_was_torn_down_are_deleted() {
    let mut written = Written::with_two_tasks();
    let left = written.content["miner-worker-2"].clone();
    written.write(&[Change::FrameworkEnded]);
    written.content.insert("miner-worker-2".into(), left);
    let mut next = read(&written.content);
    assert!(next.recovered().tasks.is_empty());
    assert_eq!(next.recovered().ledger.sum().0, Default::default());
    next.take_transactions().iter().for_each(|writes| put(&mut written.content, writes));
    assert!(written.content.keys().eq([FRAMEWORK]));
}

#[test]
fn the_first_leaders_key_stays() {
    let (first, second) = (SpecificationKey::random(), SpecificationKey::random());
    let leader = Leader { folder: "x".into(), host: "h".into(), since_ms: 1 };
    let mut written = Written::with_two_tasks();
    for key in [&first, &second] {
        written.state = read(&written.content);
        written.state.set_leader(leader.clone(), Some(key.clone()));
        written.write(&[]);
        assert_eq!(read(&written.content).recovered().specification_key.as_ref(), Some(&first));
    }
    let broken = written.content[FRAMEWORK].clone();
    let broken = String::from_utf8(broken).unwrap().replace(&first.to_hex(), "abc");
    let error = TreeState::read(broken.as_bytes(), &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("specification_key") && !error.contains("abc"), "{error}");
}

#[test]
fn a_framework_that_the_master_removed_stays_marked() {
    for silent_ms in [None, Some(5)] {
        let removal = Removal { removed_ms: 2, silent_ms };
        let framework =
            FrameworkRecord { id: "f".into(), failover_ms: Some(9), ..FrameworkRecord::default() };
        let recovered = RecoveredState {
            framework: Some(framework.clone()),
            next_number: 1,
            ..RecoveredState::default()
        };
        let mut written = Written { state: TreeState::of(recovered), ..Written::default() };
        written.write(&[Change::FrameworkRemoved(removal)]);
        written.write(&[Change::Framework("f".into())]);
        let marked = FrameworkRecord { removal: Some(removal), ..framework };
        assert_eq!(read(&written.content).recovered().framework, Some(marked));
    }
}
