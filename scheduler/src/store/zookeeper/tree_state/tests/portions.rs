//! Changes that are too large for one transaction.

use super::*;
use crate::journal::{AvoidedAgent, Command, Operator, RecordedCommand, Said};
use crate::store::zookeeper::tree_state::transactions::{MAX_BYTES, MAX_NODES};
use crate::store::zookeeper::znode::{SHARD_COUNT, shard};

const WORKERS: u64 = 1500;

/// A server whose workers have all retired. The workers' nodes remain in ZooKeeper until the server retires.
fn server_of_many() -> Written {
    let mut written = Written::default();
    let server = task(TaskKind::Server, 1);
    written.write(&[Change::Framework("f".into()), Change::Task(server.clone())]);
    for first in (2..WORKERS).step_by(500) {
        let workers: Vec<TaskRecord> =
            (first..first + 500).map(|number| task(TaskKind::Worker, number)).collect();
        let names: Vec<(&str, u64)> = workers.iter().map(|worker| (worker.id.as_str(), 3)).collect();
        let mut changes: Vec<Change> = workers.iter().cloned().map(Change::Task).collect();
        changes.push(update(&server, TaskState::TaskRunning, first, &names));
        changes.extend(
            names
                .iter()
                .zip(&workers)
                .map(|(name, worker)| update(worker, TaskState::TaskFinished, 1, &[*name])),
        );
        for change in &changes {
            written.state.apply(change, 7);
        }
        let tasks = workers.iter().map(|worker| worker.id.clone()).collect();
        written.flush();
        written.state.apply(&Change::Retire(tasks), 7);
        written.flush();
    }
    let strangers: Vec<String> = (0..700).map(|n| format!("stranger {n}")).collect();
    let accounts: Vec<(&str, u64)> = strangers.iter().map(|name| (name.as_str(), 5)).collect();
    written.write(&[update(&server, TaskState::TaskKilled, WORKERS * 2, &accounts)]);
    assert!(written.content.len() as u64 > WORKERS, "{}", written.content.len());
    written
}

#[test]
fn a_server_that_retires_with_many_accounts_does_so_in_portions() {
    let mut written = server_of_many();
    let before = written.state.recovered();
    written.state.apply(&Change::Retire(vec!["miner-server-1".into()]), 7);
    let after = written.state.recovered();
    let transactions = written.state.take_transactions();
    assert!(transactions.len() > 3, "{}", transactions.len());
    for stop in 0..=transactions.len() {
        let mut content = written.content.clone();
        transactions[..stop].iter().for_each(|writes| put(&mut content, writes));
        let mut next = read(&content);
        assert_eq!(next.recovered().ledger.sum(), before.ledger.sum(), "{stop}");
        if stop > 0 {
            assert_eq!(next.recovered(), after, "{stop}: the next leader goes on where this one was stopped");
            next.take_transactions().iter().for_each(|writes| put(&mut content, writes));
            assert!(content.keys().eq([FRAMEWORK]), "{stop}");
            assert_eq!(read(&content).recovered(), after, "{stop}");
        }
    }
    for writes in &transactions {
        let bytes: usize = writes.iter().map(|it| it.name.len() + it.data.as_ref().map_or(0, Vec::len)).sum();
        assert!(
            writes.len() <= MAX_NODES + 1 && bytes <= MAX_BYTES + 10_000,
            "{} nodes, {bytes} bytes",
            writes.len()
        );
    }
}

#[test]
fn the_end_of_a_large_framework_is_written_before_its_nodes_are_deleted() {
    let mut written = server_of_many();
    written.state.apply(&Change::FrameworkEnded, 7);
    let transactions = written.state.take_transactions();
    assert!(transactions.iter().all(|writes| writes.len() <= MAX_NODES));
    for stop in 1..=transactions.len() {
        let mut content = written.content.clone();
        transactions[..stop].iter().for_each(|writes| put(&mut content, writes));
        let mut next = read(&content);
        let (framework, tasks) = (next.recovered().framework, next.recovered().tasks);
        assert_eq!((framework, tasks), (None, vec![]), "{stop}");
        next.take_transactions().iter().for_each(|writes| put(&mut content, writes));
        assert!(content.keys().eq([FRAMEWORK]), "{stop}");
    }
}

/// The number of written nodes depends on the changes, not on the number of nodes.
#[test]
fn a_change_among_many_tasks_is_one_node() {
    let mut written = server_of_many();
    let worker = task(TaskKind::Worker, WORKERS + 1000);
    written.state.apply(&Change::Task(worker.clone()), 7);
    written.state.apply(&update(&worker, TaskState::TaskRunning, 1, &[(&worker.id, 1)]), 7);
    let transactions = written.state.take_transactions();
    let names: Vec<&str> = transactions.iter().flatten().map(|write| write.name.as_str()).collect();
    assert_eq!(names, [worker.id.as_str()]);
    assert!(written.state.take_transactions().is_empty());
}

#[test]
fn names_are_spread_over_the_shards() {
    let mut counts = BTreeMap::new();
    for number in 0..50_000 {
        *counts.entry(shard(&format!("miner-worker-{number}"))).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), SHARD_COUNT as usize);
    assert!(counts.values().all(|count| (300..800).contains(count)), "{counts:?}");
}

#[test]
fn avoided_agents_are_found_by_the_next_leader_and_outlive_the_framework() {
    let mut written = Written::with_two_tasks();
    let avoid = |agent: &str, why: &str| {
        Change::AvoidAgent(AvoidedAgent { agent: agent.into(), why: why.into(), since_ms: 5 })
    };
    let names =
        written.write(&[avoid("20-a/S1", "it errs"), avoid("h+x", "asked"), avoid("h+x", "asked again")]);
    assert_eq!(names.len(), 2, "{names:?}");
    written.write(&[Change::FrameworkEnded]);
    let found = read(&written.content).recovered().avoided;
    let found: Vec<_> = found.iter().map(|it| (it.agent.as_str(), it.why.as_str())).collect();
    assert_eq!(found, [("20-a/S1", "it errs"), ("h+x", "asked again")]);
    written.write(&[Change::AllowAgent("h+x".into())]);
    assert_eq!(read(&written.content).recovered().avoided.len(), 1);
}

#[test]
fn what_operators_have_said_is_found_by_the_next_leader_and_outlives_the_framework() {
    let mut written = Written::with_two_tasks();
    let command = |at_ms: u64, what: Command| {
        let by = Operator { name: "alice".into(), address: Some("127.0.0.1".into()) };
        Change::Command(Box::new(RecordedCommand { said: Said { by, at_ms }, what }))
    };
    let avoid = Command::Avoid { agent: "h".into() };
    let pause = Command::Pause { release: false };
    let names = written.write(&[command(1, pause), command(2, avoid), command(3, Command::Teardown)]);
    assert_eq!(names.len(), 2, "{names:?}: the node of the controls, and that of the agent");
    assert!(read(&written.content).recovered().controls.teardown.is_some());
    written.write(&[Change::FrameworkEnded]);
    let found = read(&written.content).recovered();
    assert!(found.controls.pause.is_some() && found.controls.teardown.is_none(), "{:?}", found.controls);
    assert_eq!((found.controls.commands.len(), found.avoided.len()), (3, 1));
    assert_eq!(found.avoided[0].why, "alice (127.0.0.1) has said so");
}
