//! Lists that are read slice by slice have each row once.

use std::time::Duration;

use ::task::{Live, WorkerLive};

use super::*;
use crate::core::{BlockFinder, Slice};
use crate::task_id::task_number;

/// All rows of a list, and the number of slices.
fn all<T>(next: impl Fn(Option<&str>) -> Slice<T>) -> (Vec<T>, usize) {
    let (mut rows, mut slices, mut after) = (Vec::new(), 0, None::<String>);
    loop {
        let slice = next(after.as_deref());
        rows.extend(slice.rows);
        slices += 1;
        match slice.next {
            Some(name) => after = Some(name),
            None => return (rows, slices),
        }
    }
}

fn finders(script: &Script) -> Vec<BlockFinder> {
    all(|after| script.state.block_slice(after, script.now)).0
}

/// The report of a server that says how many blocks each worker has found, and how many of the first worker's are orphaned.
fn blocks(sequence: u64, found: &[(&str, u64)]) -> Vec<u8> {
    let account = |(worker, blocks): &(&str, u64)| Account {
        worker: (*worker).into(),
        totals: Totals { accepted: 5, blocks: *blocks, candidates: blocks + 1, ..Totals::default() },
        ..Account::default()
    };
    Report { sequence, accounts: found.iter().map(account).collect(), server: None }.encode()
}

#[test]
fn slices_have_all_live_tasks_in_the_order_of_their_launch() {
    let mut script = Script::with_server();
    let offers = (0..1200).map(|n| offer(&format!("o-{n}"), &format!("agent{n}"), 1.0, 768));
    script.event(Event::Offers(offers.collect()));
    script.write();
    // A task runs before many are launched at once.
    script.update(status("miner-worker-2", TaskState::TaskRunning, 1));
    for round in 0..20 {
        script.wait(Duration::from_secs(20));
        let offers = (0..1200).map(|n| offer(&format!("o{round}-{n}"), &format!("agent{n}"), 1.0, 768));
        script.event(Event::Offers(offers.collect()));
        script.write();
    }
    let (tasks, slices) = all(|after| script.state.task_slice(after, script.now));
    let page = script.state.tasks(None, 1, script.now);
    assert!(tasks.len() > 500 && slices > 1, "{} tasks in {slices} slices", tasks.len());
    assert_eq!(page.total, tasks.len());
    let numbers: Vec<u64> = tasks.iter().filter_map(|task| task_number(&task.id)).collect();
    assert!(numbers.len() == tasks.len() && numbers.is_sorted_by(|a, b| a < b));
    assert_eq!((tasks[1].agent.as_str(), tasks[1].host.as_str()), ("agent0", "agent0.host"));
    assert!(tasks[0].launched.is_some_and(|ago| ago >= Duration::from_secs(400)), "{:?}", tasks[0]);
}

#[test]
fn an_agent_tells_its_failures_and_why_nothing_is_launched_there() {
    let mut script = Script::with_workers();
    script.update(status("miner-worker-2", TaskState::TaskFailed, 2));
    script.write();
    script.event(Event::Offers(vec![offer("o9", "b", 1.0, 768), offer("o10", "small", 0.01, 768)]));
    let (agents, _) = all(|after| script.state.agent_slice(after, script.now));
    let agent = |id: &str| agents.iter().find(|agent| agent.id == id).expect("it is known");
    let failed = agents.iter().find(|agent| agent.failures == 1).expect("a task has failed");
    assert!(failed.paused.is_some(), "{failed:?}");
    let small = agent("small");
    assert_eq!((small.failures, small.paused, small.leaving), (0, None, None));
    assert_eq!(small.unused.as_ref().map(|unused| unused.host.as_str()), Some("small.host"));
    assert!(agents.is_sorted_by(|a, b| a.id < b.id));
}

#[test]
fn workers_with_blocks_are_listed_and_their_sum_is_the_ledgers() {
    let mut script = Script::with_workers();
    assert!(finders(&script).is_empty());
    let tell = |script: &mut Script, sequence: u8, found: &[(&str, u64)]| {
        let data = Some(blocks(sequence.into(), found));
        script.update(TaskStatus { data, ..status("miner-server-1", TaskState::TaskRunning, sequence) });
        script.write();
    };
    tell(&mut script, 2, &[("miner-worker-2", 2), ("miner-worker-3", 0), ("stranger", 1)]);
    script.now += Duration::from_secs(60);
    tell(&mut script, 3, &[("miner-worker-2", 2), ("miner-worker-3", 1)]);
    let found = finders(&script);
    let named: Vec<(&str, u64, Option<u64>)> =
        found.iter().map(|it| (it.worker.as_str(), it.blocks, it.last.map(|ago| ago.as_secs()))).collect();
    let expected =
        [("miner-worker-2", 2, Some(60)), ("miner-worker-3", 1, Some(0)), ("stranger", 1, Some(60))];
    assert_eq!(named, expected);
    assert!(found[0].host.is_some() && found[2].host.is_none());
    assert_eq!((found[0].candidates, found[0].orphaned), (3, 0));
    script.restart();
    assert_eq!(finders(&script).iter().map(|it| it.last).collect::<Vec<_>>(), [None; 3]);
    assert_eq!(script.state.pulse().blocks, 4);
}

#[test]
fn blocks_of_workers_that_have_retired_are_one_row() {
    let mut script = Script::with_workers();
    let data = Some(blocks(2, &[("miner-worker-3", 3)]));
    script.update(TaskStatus { data, ..status("miner-worker-3", TaskState::TaskKilled, 2) });
    script.write();
    let before = finders(&script);
    script.wait(Duration::from_secs(700));
    script.write();
    let after = finders(&script);
    let sum = |found: &[BlockFinder]| found.iter().map(|it| it.blocks).sum::<u64>();
    assert_eq!((before[0].worker.as_str(), after[0].worker.as_str()), ("miner-worker-3", "(retired)"));
    assert_eq!((after.len(), sum(&before)), (1, sum(&after)));
    assert_eq!(sum(&after), script.state.overview(script.now).blocks);
}

#[test]
fn the_pulse_has_what_is_accounted_and_what_live_messages_say_more() {
    let mut script = Script::with_workers();
    let data = Some(report("miner-worker-2", 2, 5));
    script.update(TaskStatus { data, ..status("miner-worker-2", TaskState::TaskRunning, 2) });
    script.write();
    let totals = Some(Totals { accepted: 7, stale: 1, hashes: 100, ..Totals::default() });
    let live = WorkerLive { hashrate: 5e6, totals, ..WorkerLive::default() };
    let data = Live::Worker(live).encode();
    script.event(Event::Message { executor: "miner-worker-2".into(), data });
    let pulse = script.state.pulse();
    assert_eq!((pulse.hashrate, pulse.workers), (5e6, 2));
    assert_eq!((pulse.accounted.accepted, pulse.live.accepted, pulse.live.stale), (5, 2, 1));
}
