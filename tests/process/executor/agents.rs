//! The executor when its agent dies, comes back, stays away, or comes back without knowing it.

use std::fs;
use std::time::{Duration, Instant};

use mesos::scheduler;
use mesos::v1::TaskState;

use super::{Harness, hashes, report};
use crate::support::mesos_box::Member;
use crate::support::process_tree::{alive, executors};
use crate::support::{DEADLINE, LONG_DEADLINE, until};

/// Those reports of the task that have come, by their numbers.
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

/// It mines on without an agent; what it reports meanwhile waits for the next one, and none of it is lost.
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

/// MESOS_RECOVERY_TIMEOUT is for how long it waits.
#[test]
fn an_agent_that_stays_away_is_given_up() {
    let timeout = Duration::from_secs(5);
    let Some(harness) = Harness::with_options(&["--agent-flag=recovery_timeout=5secs"], true) else { return };
    let harness = harness.mining("t");
    let executor = harness.executor();
    let killed = Instant::now();
    harness.mesos.kill(Member::Agent(0));
    until("the executor has ended", DEADLINE, || (!alive(&executor.process)).then_some(()));
    assert!(killed.elapsed() >= timeout, "it waits for so long");
}

/// The new agent knows nothing of the executor of a framework that does not checkpoint; nobody would ever kill it.
#[test]
fn without_checkpointing_it_ends_with_its_agent() {
    let Some(harness) = Harness::with_options(&[], false) else { return };
    let mut harness = harness.mining("t");
    let executor = harness.executor();
    harness.mesos.kill(Member::Agent(0));
    harness.mesos.restart(Member::Agent(0));
    until("the executor has ended", DEADLINE, || (!alive(&executor.process)).then_some(()));
}

/// An agent that has lost its checkpoints refuses the executor that it started in its former life, and so does not end it.
#[test]
fn an_executor_that_its_agent_disowns_ends_by_itself() {
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

/// Whatever others make it say, its log in the sandbox has a bound.
#[test]
fn a_log_that_grows_too_fast_is_cut() {
    let Some(harness) = Harness::new() else { return };
    let mut harness = harness.mining("t");
    let agent = harness.framework.updates[0].agent_id.clone().expect("an agent");
    let nonsense = scheduler::message(&harness.framework.id, "t".into(), agent, b"nonsense".to_vec());
    // Each of them is worth a line.
    for _ in 0..4000 {
        harness.framework.call(&nonsense);
    }
    harness.kill("t", None);
    harness.framework.until("t", TaskState::TaskKilled);
    harness.ends();
    let length = said(&harness, "t").len();
    assert!((200_000..300_000).contains(&length), "256 KiB, and a little more as time goes by: {length}");
}

/// What the executor wrote to its standard error.
fn said(harness: &Harness, executor: &str) -> String {
    assert!(executors(&harness.mesos.work_folder()).is_empty(), "it has ended");
    let latest = format!("executors/{executor}/runs/latest/stderr");
    let file = find(&harness.mesos.work_folder(), &latest).expect("its sandbox");
    fs::read_to_string(file).expect("a log")
}

/// The file below a folder whose path ends like that.
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
