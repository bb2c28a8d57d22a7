//! A failure on all agents: twelve real agents, and an executor that no agent can start.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use serde_json::Value;

use crate::support::ledger::Ledger;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::{LONG_DEADLINE, peer, until};

const AGENTS: u16 = 12;
/// The number of launches that fail before the scheduler tries one agent at a time.
const QUICK: usize = 3;
/// While the scheduler tries one agent at a time, the test waits for this number of launches. They take at least this time,
/// because the pauses before them are 1, 2 and 4 s, each up to a quarter shorter.
const TRIES: (usize, Duration) = (3, Duration::from_millis(5250));

/// The agent id of each task in the master's state, including ended tasks.
fn launches(mesos: &MesosBox) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let state = mesos.state();
    let tasks = list(&state["frameworks"])
        .into_iter()
        .flat_map(|f| ["tasks", "completed_tasks", "unreachable_tasks"].map(|kind| list(&f[kind])).concat());
    tasks.filter_map(|task| Some(task["slave_id"].as_str()?.to_owned())).collect()
}

fn lines(scheduler: &Process, text: &str) -> usize {
    scheduler.stderr().iter().filter(|line| line.contains(text)).count()
}

/// Waits for the message that launches failed in the same way, and checks that it contains all texts in `says`. Then waits for
/// further attempts, and checks that each is on another agent.
fn assert_tried_one_by_one(mesos: &MesosBox, scheduler: &mut Process, says: &[&str]) {
    let remark = scheduler.wait_for_error(LONG_DEADLINE, |line| {
        line.contains("failed in the same way").then(|| line.to_owned())
    });
    for text in says {
        assert!(remark.contains(text), "{text:?} is not in {remark:?}");
    }
    let (tries, least) = TRIES;
    let since = Instant::now();
    let agents = until("some more agents are tried", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        Some(launches(mesos)).filter(|agents| agents.len() >= QUICK + tries)
    });
    // The first pause may have begun before the test read the message, so require only half of the minimum time.
    assert!(since.elapsed() >= least / 2, "{tries} tries in {:?}", since.elapsed());
    let different: BTreeSet<&String> = agents.iter().collect();
    assert_eq!(different.len(), agents.len(), "each on another agent: {:#?}", scheduler.stderr());
    assert_eq!(
        (lines(scheduler, "failed in the same way"), lines(scheduler, "launching")),
        (1, QUICK),
        "{:#?}",
        scheduler.stderr()
    );
}

#[test]
fn a_missing_executor_is_tried_on_one_agent_at_a_time() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::with_options(&command, AGENTS, &["--in-process"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (state, program) = (folder.path().join("state"), folder.path().join("mesos-miner"));
    let (state, program) = (state.to_str().expect("plain text"), program.to_str().expect("plain text"));
    let master = mesos.master.to_string();
    let arguments = ["scheduler", "--master", &master, "--state-dir", state, "--executor-path", program];
    let small = ["--server-cpus=0.2", "--cpus-per-worker=0.1", "--max-workers=12", "--teardown-on-exit"];
    let mut scheduler = mesos_miner(arguments.iter().chain(&small));
    assert_tried_one_by_one(
        &mesos,
        &mut scheduler,
        &["REASON_EXECUTOR_TERMINATED", program, "--executor-path"],
    );
    let ledger = Ledger::read(std::path::Path::new(state)).expect("there is a ledger");
    assert!(ledger.servers.len() < usize::from(AGENTS), "{ledger:#?}");

    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mesos-miner"), program).expect("a folder of our own");
    until("all workers mine", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        (lines(&scheduler, " mines on ") == usize::from(AGENTS)).then_some(())
    });
    scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains("launches succeed again").then_some(()));
    scheduler.signal(Signal::TERM);
    let ended = scheduler.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
}

/// Agents create the sandbox as the executor's user, so an unknown user fails on each agent.
#[test]
fn a_user_unknown_to_agents_is_tried_on_one_agent_at_a_time() {
    let Some(command) = peer::mesos() else { return };
    if !geteuid().is_root() {
        println!("skipped: only agents that run as root switch users");
        return;
    }
    let mesos =
        MesosBox::with_options(&command, AGENTS, &["--in-process", "--agent-flag", "switch_user=true"]);
    let master = mesos.master.to_string();
    let arguments = ["scheduler", "--master", &master, "--user", "nosuchuser", "--teardown-on-exit"];
    let mut scheduler = mesos_miner(arguments);
    assert_tried_one_by_one(&mesos, &mut scheduler, &["nosuchuser", "(--user)"]);
    scheduler.signal(Signal::TERM);
    assert!(scheduler.wait(LONG_DEADLINE).status.success());
}
