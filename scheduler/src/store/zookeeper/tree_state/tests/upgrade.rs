//! The conversion of a tree of format 1.

use super::*;
use crate::store::zookeeper::tree_state::{format, transactions};
use crate::store::zookeeper::znode::FRAMEWORK_1;

/// Trees of format 1: `LAST` was written by the last version that used this format, and `FIRST` has the nodes that the first
/// versions wrote. The fixtures' README describes both.
const LAST: &str = include_str!("../../../../../tests/fixtures/format-1/tree.json");
const FIRST: &str = include_str!("../../../../../tests/fixtures/format-1/tree-early.json");

/// A ZooKeeper tree in memory that can hold the nodes of both formats.
#[derive(Clone, Debug, PartialEq)]
struct Tree {
    framework: Vec<u8>,
    copy: Option<Vec<u8>>,
    tasks: BTreeMap<String, Vec<u8>>,
    shards: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    fn of_format_1(dump: &str) -> Self {
        let nodes: BTreeMap<String, String> = serde_json::from_str(dump).unwrap();
        let mut tasks: BTreeMap<String, Vec<u8>> =
            nodes.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        let framework = tasks.remove(FRAMEWORK).unwrap();
        Tree { framework, copy: None, tasks, shards: BTreeMap::new() }
    }

    fn put(&mut self, write: NodeWrite) {
        match (write.name.as_str(), write.data) {
            (FRAMEWORK, data) => self.framework = data.unwrap(),
            (FRAMEWORK_1, data) => self.copy = data,
            (_, Some(data)) => drop(self.shards.insert(write.name, data)),
            (_, None) => drop(self.shards.remove(&write.name)),
        }
    }

    /// The state that a new leader reads.
    fn read(&self) -> TreeState {
        let nodes = if format(&self.framework).unwrap() == 1 { &self.tasks } else { &self.shards };
        TreeState::read(&self.framework, nodes).unwrap()
    }

    /// The transactions that a new leader writes first.
    fn transactions(&mut self) -> Vec<Vec<NodeWrite>> {
        if format(&self.framework).unwrap() == 1 {
            // A new leader first deletes the nodes that an interrupted conversion has left.
            self.shards.clear();
        }
        let mut state = self.read();
        state.set_leader(Leader { folder: "new".into(), host: "h".into(), since_ms: 2 }, None);
        state.take_transactions()
    }

    /// Lets a new leader take over and die after `stop` writes. Returns whether the new leader finished its writes before it
    /// died. A transaction with the framework node counts as one write.
    fn take_over(&mut self, mut stop: usize) -> bool {
        for transaction in self.transactions() {
            let at_once = transaction.iter().any(|write| write.name == FRAMEWORK);
            let portions = if at_once {
                vec![transaction]
            } else {
                transaction.into_iter().map(|it| vec![it]).collect()
            };
            for portion in portions {
                let Some(left) = stop.checked_sub(1) else { return false };
                stop = left;
                portion.into_iter().for_each(|write| self.put(write));
            }
        }
        true
    }
}

#[test]
fn everything_is_converted() {
    let recovered = Tree::of_format_1(LAST).read().recovered();
    let (sum, blocks) = recovered.ledger.sum();
    assert_eq!((sum.worker.accepted, sum.worker.blocks), (2600, 46));
    assert_eq!((sum.pool.accepted, sum.pool.blocks, blocks), (69_598, 1163, 1163));
    assert_eq!(sum.worker.hashes, 3_069_538_213_865_269_388_902_400);
    assert_eq!(sum.pool.accepted_work, 5_135_425_976_168_149_493_481_472);
    assert_eq!((recovered.next_number, recovered.peak_workers), (780, 6));
    use TaskState::{TaskFailed, TaskFinished, TaskGone, TaskKilled, TaskRunning, TaskUnreachable};
    let retired = [(TaskFailed, 4), (TaskFinished, 2), (TaskGone, 1), (TaskKilled, 4)];
    assert_eq!(recovered.retired.states, retired.into());
    assert_eq!((recovered.retired.done.contains(11), recovered.retired.lost.contains(3)), (true, true));
    let launched = Origin::Launched { cpus_milli: 1000 };
    let tasks: Vec<_> =
        recovered.tasks.iter().map(|task| (task.id.as_str(), task.origin, task.state)).collect();
    let expected = [
        ("miner-server-12", launched, Some(TaskRunning)),
        ("miner-worker-13", launched, Some(TaskRunning)),
        ("miner-worker-14", launched, Some(TaskUnreachable)),
        ("miner-worker-15", launched, Some(TaskGone)),
        ("miner-worker-16", launched, Some(TaskFailed)),
        ("miner-worker-17", launched, Some(TaskRunning)),
        ("miner-worker-777", Origin::Unrecorded, Some(TaskRunning)),
        ("miner-server-778", Origin::Unrecorded, Some(TaskRunning)),
        ("miner-worker-779", launched, None),
    ];
    assert_eq!(tasks, expected);
    assert_eq!(recovered.tasks[1].server(), Some("miner-server-12"));
    assert_eq!(recovered.ledger.workers_of("miner-server-12").count(), 335, "miners that are no tasks, too");
}

#[test]
fn a_tree_of_the_first_programs_has_no_tasks_that_retired() {
    let recovered = Tree::of_format_1(FIRST).read().recovered();
    assert_eq!(recovered.retired, Default::default());
    assert_eq!((recovered.tasks.len(), recovered.ledger.aggregated()), (7, Default::default()));
    let (sum, blocks) = recovered.ledger.sum();
    assert_eq!((sum.worker.accepted, sum.pool.accepted, blocks), (705, 630, 12));
}

#[test]
fn a_leader_that_stops_at_any_write_does_no_harm() {
    for dump in [LAST, FIRST] {
        let before = Tree::of_format_1(dump);
        let expected = before.read().recovered();
        let mut stop = 0;
        loop {
            let mut tree = before.clone();
            let done = tree.take_over(stop);
            assert_eq!(tree.tasks, before.tasks, "the copy");
            if format(&tree.framework).unwrap() == 1 {
                assert_eq!((&tree.framework, &tree.copy), (&before.framework, &None), "unharmed");
                assert!(!done);
            } else {
                assert_eq!(tree.copy.as_ref(), Some(&before.framework));
            }
            // If the takeover stopped before the tree was converted, a leader that uses format 1 may change the tree next.
            let mut changed = tree.clone();
            if format(&tree.framework).unwrap() == 1 {
                changed.tasks.remove("miner-worker-13");
                changed.tasks.remove("miner-worker-3");
                let expected = changed.read().recovered();
                assert!(changed.take_over(usize::MAX));
                assert_eq!(changed.read().recovered(), expected, "{stop}");
            }
            assert!(tree.take_over(usize::MAX));
            assert_eq!(tree.read().recovered(), expected, "{stop}");
            assert!(tree.shards.values().all(|data| data.len() < transactions::MAX_BYTES));
            if done {
                break;
            }
            stop += 1;
        }
        assert!(stop >= before.tasks.len(), "{stop} steps");
    }
}

/// A tree of format 1 with more nodes than fit into a transaction. Server 1 has retired, but the leader was stopped before it
/// added this server's accounts to the sum. `moved` workers have an account only at server 1. `kept` workers also have one at
/// server 2, which still runs.
fn large(moved: u64, kept: u64) -> Tree {
    let account = |server: &str, worker: &str| {
        serde_json::json!({"by": server, "kind": "server", "worker": worker, "sequence": 1, "hashes": "7",
            "accepted_work": "3", "accepted": 1, "rejected": 0, "stale": 0, "unanswered": 0, "blocks": 1,
            "rows_omitted": 0})
    };
    let node = |number: u64| {
        let worker = format!("miner-worker-{number}");
        let mut accounts = vec![account("miner-server-1", &worker)];
        if number > 2 + moved {
            accounts.push(account("miner-server-2", &worker));
        }
        let node = serde_json::json!({ "accounts": accounts }).to_string();
        (worker, node.into_bytes())
    };
    let server = TaskRecord { state: Some(TaskState::TaskRunning), ..task(TaskKind::Server, 2) };
    let mut state = Written::default();
    state.write(&[Change::Framework("f".into()), Change::Task(server)]);
    let last = 2 + moved + kept;
    let framework = serde_json::json!({
        "format": 1, "framework": {"id": "f", "started_ms": 1}, "leader": null, "next_number": last + 1,
        "peak_workers": 0,
        "past": {"done": [[1, 1], [3, last]], "lost": [], "states": {"TASK_KILLED": last - 1}},
        "folded": {"worker": {}, "pool": {"accepted": 5}, "blocks": 2},
    });
    let mut tasks: BTreeMap<String, Vec<u8>> = (3..=last).map(node).collect();
    tasks.insert("miner-server-2".into(), state.content["miner-server-2"].clone());
    Tree { framework: framework.to_string().into_bytes(), copy: None, tasks, shards: BTreeMap::new() }
}

#[test]
fn no_sum_is_lost_when_a_large_tree_is_left_after_any_transaction() {
    for (moved, kept) in [(700, 0), (0, 800), (500, 600)] {
        let before = large(moved, kept);
        let expected = before.read().recovered();
        let sum = expected.ledger.sum();
        assert_eq!((sum.0.pool.accepted, sum.1), (5 + moved + 2 * kept, 2 + moved + 2 * kept));
        let transactions = before.clone().transactions();
        assert!(kept == 0 || transactions.len() > 3, "{}", transactions.len());
        for stop in 0..=transactions.len() {
            let mut tree = before.clone();
            transactions[..stop].iter().flatten().for_each(|write| tree.put(write.clone()));
            if stop < transactions.len() {
                let now = (&tree.framework, &tree.copy, &tree.tasks);
                assert_eq!(now, (&before.framework, &None, &before.tasks), "unharmed");
            }
            assert_eq!(tree.read().recovered(), expected, "{moved} {kept} {stop}");
            assert!(tree.take_over(usize::MAX));
            assert_eq!(tree.copy.as_ref(), Some(&before.framework));
            assert_eq!(tree.read().recovered(), expected, "{moved} {kept} {stop}");
            assert!(tree.take_over(usize::MAX));
            assert_eq!(tree.read().recovered(), expected, "once more");
        }
    }
}

#[test]
fn an_ended_framework_of_format_1_is_converted() {
    let mut tree = Tree::of_format_1(FIRST);
    tree.framework =
        br#"{"format":1,"framework":null,"leader":null,"next_number":9,"peak_workers":0}"#.to_vec();
    assert!(tree.take_over(usize::MAX));
    assert!(tree.shards.is_empty());
    let recovered = tree.read().recovered();
    assert_eq!((recovered.framework, recovered.next_number, recovered.tasks), (None, 9, vec![]));
}

#[test]
fn a_pool_of_format_1_stays_a_pool() {
    let mut tree = Tree::of_format_1(FIRST);
    let node = tree.tasks.get_mut("miner-worker-3").unwrap();
    let text = String::from_utf8(node.clone()).unwrap();
    *node = text.replace(r#""server":"miner-server-1""#, r#""server":"ssl://pool:1""#).into_bytes();
    assert!(tree.take_over(usize::MAX));
    let tasks = tree.read().recovered().tasks;
    let assignment = |id: &str| tasks.iter().find(|task| task.id == id).unwrap().assignment.clone();
    use crate::journal::Assignment::{Pool, Server};
    assert_eq!(assignment("miner-worker-3"), Some(Pool("ssl://pool:1".into())));
    assert_eq!(assignment("miner-worker-2"), Some(Server("miner-server-1".into())));
}

#[test]
fn an_unreadable_node_is_named_in_the_error() {
    let with = |name: &str, from: &str, to: &str| {
        let mut tree = Tree::of_format_1(LAST);
        let node =
            if name == FRAMEWORK { Some(&mut tree.framework) } else { tree.tasks.get_mut(name) }.unwrap();
        let text = String::from_utf8(node.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        *node = text.replacen(from, to, 1).into_bytes();
        TreeState::read(&tree.framework, &tree.tasks)
            .map(|state| state.recovered())
            .map_err(|it| it.to_string())
    };
    let error = with(FRAMEWORK, r#""hashes":""#, r#""hashes":"x"#).unwrap_err();
    assert!(error.contains("the node framework in") && error.contains("zkCli"), "{error}");
    let error = with("miner-worker-13", r#""hashes":""#, r#""hashes":"-"#).unwrap_err();
    assert!(error.contains("tasks/miner-worker-13"), "{error}");
    let absent = with(FRAMEWORK, r#""hashes":"#, r#""other":"#).unwrap();
    assert_eq!(absent.ledger.sum().0.worker.accepted, 2600, "what is absent is zero");
}
