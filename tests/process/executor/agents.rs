//! The executor when its agent dies, returns, does not return, or returns without its checkpoints.

use std::fs;
use std::time::{Duration, Instant};

use mesos::scheduler;
use mesos::v1::TaskState;

use super::{Harness, hashes, report};
use crate::support::mesos_box::Member;
use crate::support::process_tree::{alive, executors};
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// The sequence numbers of the task's reports so far.
fn sequences(harness: &Harness) -> Vec<u64> {
    let updates = harness.framework.updates.iter().filter(|update| update.data.is_some());
    let mut sequences: Vec<u64> = updates.map(|update| report(update).sequence).collect();
    sequences.dedup();
    sequences
}

/// The CPU time of a process so far, in ticks of 10 ms.
fn cpu_ticks(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    fields.skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum()
}

/// The executor continues to mine without an agent. Its reports wait until the agent returns, and none is lost.
#[test]
fn reports_wait_for_the_agent_while_mining_goes_on() {
    let Some(harness) = Harness::new() else { return };
    let mut harness = harness.mining("t");
    let executor = harness.executor();
    harness.mesos.kill(Member::Agent(0));
    let (before, told) = (harness.framework.updates.last().map(hashes), sequences(&harness).len());
    let ticks = cpu_ticks(executor.process.pid);
    until("it mines without an agent", LONG_DEADLINE, || {
        assert!(alive(&executor.process), "it does not outlive its agent");
        (cpu_ticks(executor.process.pid) > ticks + 30).then_some(())
    });
    harness.mesos.restart(Member::Agent(0));
    let limit = Instant::now() + LONG_DEADLINE;
    while sequences(&harness).len() < told + 5 {
        assert!(Instant::now() < limit, "not in time: {:?}", harness.framework.updates);
        harness.framework.next("the reports that have waited");
    }
    assert!(harness.framework.updates.last().map(hashes) > before);
    harness.kill("t", None);
    harness.framework.until("t", TaskState::TaskKilled);
    let sequences = sequences(&harness);
    let expected: Vec<u64> = (sequences[0]..).take(sequences.len()).collect();
    assert_eq!(sequences, expected, "one after the other");
    assert!(harness.framework.states("t").iter().all(|state| !state.contains("LOST")));
    harness.ends();
}

/// The executor waits for its agent for MESOS_RECOVERY_TIMEOUT, and then ends.
#[test]
fn an_executor_gives_up_an_agent_that_does_not_return() {
    let timeout = Duration::from_secs(5);
    let Some(harness) = Harness::with_options(&["--agent-flag=recovery_timeout=5secs"], true) else { return };
    let harness = harness.mining("t");
    let executor = harness.executor();
    let killed = Instant::now();
    harness.mesos.kill(Member::Agent(0));
    until("the executor has ended", DEADLINE, || (!alive(&executor.process)).then_some(()));
    assert!(killed.elapsed() >= timeout, "it waits for so long");
}

/// A restarted agent does not know the executors of a framework without checkpointing and would never kill them, so they end when
/// the agent dies.
#[test]
fn without_checkpointing_the_executor_ends_with_its_agent() {
    let Some(harness) = Harness::with_options(&[], false) else { return };
    let mut harness = harness.mining("t");
    let executor = harness.executor();
    harness.mesos.kill(Member::Agent(0));
    harness.mesos.restart(Member::Agent(0));
    until("the executor has ended", DEADLINE, || (!alive(&executor.process)).then_some(()));
}

/// An agent that has lost its checkpoints refuses the executor that it had started, but does not end the executor.
#[test]
fn an_executor_unknown_to_its_agent_ends_itself() {
    let Some(harness) = Harness::new() else { return };
    let mut harness = harness.mining("t");
    let executor = harness.executor();
    harness.mesos.kill(Member::Agent(0));
    fs::remove_dir_all(harness.mesos.work_folder().join("agent1/meta")).expect("its checkpoints");
    harness.mesos.restart(Member::Agent(0));
    until("the executor has ended", DEADLINE, || (!alive(&executor.process)).then_some(()));
    let said = said(&harness, "t");
    assert!(said.contains("the agent refuses this executor"), "{said}");
}

/// The executor limits the size of its log in the sandbox, even if peers cause very many messages in the log.
#[test]
fn a_log_that_grows_too_fast_is_cut() {
    let Some(harness) = Harness::new() else { return };
    let mut harness = harness.mining("t");
    let agent = harness.framework.updates[0].agent_id.clone().expect("an agent");
    let nonsense = scheduler::message(&harness.framework.id, "t".into(), agent, b"nonsense".to_vec());
    // Each message causes a line in the log.
    for _ in 0..4000 {
        harness.framework.call(&nonsense);
    }
    harness.kill("t", None);
    harness.framework.until("t", TaskState::TaskKilled);
    harness.ends();
    let length = said(&harness, "t").len();
    assert!((200_000..300_000).contains(&length), "256 KiB, and a little more as time goes by: {length}");
}

/// Reads the standard error of an executor that has ended.
fn said(harness: &Harness, executor: &str) -> String {
    assert!(executors(&harness.mesos.work_folder()).is_empty(), "it has ended");
    let latest = format!("executors/{executor}/runs/latest/stderr");
    let file = find(&harness.mesos.work_folder(), &latest).expect("its sandbox");
    fs::read_to_string(file).expect("a log")
}

/// Finds a file under `folder` whose path ends with `end`.
fn find(folder: &std::path::Path, end: &str) -> Option<std::path::PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    entries.flatten().find_map(|entry| {
        let wanted = entry.path().join(end);
        if wanted.exists() {
            return Some(wanted);
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder { find(&entry.path(), end) } else { None }
    })
}
