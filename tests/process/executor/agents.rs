//! The executor when its agent dies, comes back, stays away, or comes back without knowing it.

use std::fs;
use std::time::{Duration, Instant};

use mesos::scheduler;
use mesos::v1::TaskState;

use super::{Stage, hashes, report};
use crate::support::descent::{alive, executors};
use crate::support::mesos_box::Part;
use crate::support::{LATER, SOON, until};

/// Those reports of the task that have come, by their numbers.
fn sequences(stage: &Stage) -> Vec<u64> {
    let updates = stage.framework.updates.iter().filter(|update| update.data.is_some());
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
    let Some(stage) = Stage::new() else { return };
    let mut stage = stage.mining("t");
    let executor = stage.executor();
    stage.mesos.kill(Part::Agent(0));
    let (before, told) = (stage.framework.updates.last().map(hashes), sequences(&stage).len());
    let ticks = cpu_ticks(executor.process.pid);
    until("it mines without an agent", LATER, || {
        assert!(alive(&executor.process), "it does not outlive its agent");
        (cpu_ticks(executor.process.pid) > ticks + 30).then_some(())
    });
    stage.mesos.restart(Part::Agent(0));
    let limit = Instant::now() + LATER;
    while sequences(&stage).len() < told + 5 {
        assert!(Instant::now() < limit, "not in time: {:?}", stage.framework.updates);
        stage.framework.next("the reports that have waited");
    }
    assert!(stage.framework.updates.last().map(hashes) > before);
    stage.kill("t", None);
    stage.framework.until("t", TaskState::TaskKilled);
    let sequences = sequences(&stage);
    let expected: Vec<u64> = (sequences[0]..).take(sequences.len()).collect();
    assert_eq!(sequences, expected, "one after the other");
    assert!(stage.framework.states("t").iter().all(|state| !state.contains("LOST")));
    stage.ends();
}

/// MESOS_RECOVERY_TIMEOUT is for how long it waits.
#[test]
fn an_agent_that_stays_away_is_given_up() {
    let timeout = Duration::from_secs(5);
    let Some(stage) = Stage::with_options(&["--agent-flag=recovery_timeout=5secs"], true) else { return };
    let stage = stage.mining("t");
    let executor = stage.executor();
    let killed = Instant::now();
    stage.mesos.kill(Part::Agent(0));
    until("the executor has ended", SOON, || (!alive(&executor.process)).then_some(()));
    assert!(killed.elapsed() >= timeout, "it waits for so long");
}

/// The new agent knows nothing of the executor of a framework that does not checkpoint; nobody would ever kill it.
#[test]
fn without_checkpointing_it_ends_with_its_agent() {
    let Some(stage) = Stage::with_options(&[], false) else { return };
    let mut stage = stage.mining("t");
    let executor = stage.executor();
    stage.mesos.kill(Part::Agent(0));
    stage.mesos.restart(Part::Agent(0));
    until("the executor has ended", SOON, || (!alive(&executor.process)).then_some(()));
}

/// An agent that has lost its checkpoints refuses the executor that it started in its former life, and so does not end it.
#[test]
fn an_executor_that_its_agent_disowns_ends_by_itself() {
    let Some(stage) = Stage::new() else { return };
    let mut stage = stage.mining("t");
    let executor = stage.executor();
    stage.mesos.kill(Part::Agent(0));
    fs::remove_dir_all(stage.mesos.work_folder().join("agent1/meta")).expect("its checkpoints");
    stage.mesos.restart(Part::Agent(0));
    until("the executor has ended", SOON, || (!alive(&executor.process)).then_some(()));
    let said = said(&stage, "t");
    assert!(said.contains("the agent refuses this executor"), "{said}");
}

/// Whatever others make it say, its log in the sandbox has a bound.
#[test]
fn a_log_that_grows_too_fast_is_cut() {
    let Some(stage) = Stage::new() else { return };
    let mut stage = stage.mining("t");
    let agent = stage.framework.updates[0].agent_id.clone().expect("an agent");
    let nonsense = scheduler::message(&stage.framework.id, "t".into(), agent, b"nonsense".to_vec());
    // Each of them is worth a line.
    for _ in 0..4000 {
        stage.framework.call(&nonsense);
    }
    stage.kill("t", None);
    stage.framework.until("t", TaskState::TaskKilled);
    stage.ends();
    let length = said(&stage, "t").len();
    assert!((200_000..300_000).contains(&length), "256 KiB, and a little more as time goes by: {length}");
}

/// What the executor wrote to its standard error.
fn said(stage: &Stage, executor: &str) -> String {
    assert!(executors(&stage.mesos.work_folder()).is_empty(), "it has ended");
    let latest = format!("executors/{executor}/runs/latest/stderr");
    let file = find(&stage.mesos.work_folder(), &latest).expect("its sandbox");
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
