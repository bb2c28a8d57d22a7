//! What no agent can do is not tried on every agent: twelve real agents, and an executor that none can start.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::{Signal, geteuid};
use serde_json::Value;

use crate::support::ledger::Ledger;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::{LONG_DEADLINE, peer, until};

const AGENTS: u16 = 12;
/// Launches that fail before one agent at a time is tried.
const QUICK: usize = 3;
/// Tries that are waited for, and the least time that they may take: 1, 2 and 4 s, each up to a quarter less.
const TRIES: (usize, Duration) = (3, Duration::from_millis(5250));

/// The id of the agent of each task that ever was, as the master tells.
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

/// Waits for the remark, which has to say this, and for some tries after it.
fn assert_tried_one_by_one(mesos: &MesosBox, scheduler: &mut Process, says: &[&str]) {
    let remark = scheduler
        .wait_for_error(LONG_DEADLINE, |line| line.contains("failed alike").then(|| line.to_owned()));
    for text in says {
        assert!(remark.contains(text), "{text:?} is not in {remark:?}");
    }
    let (tries, least) = TRIES;
    let since = Instant::now();
    let agents = until("some more agents are tried", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        Some(launches(mesos)).filter(|agents| agents.len() >= QUICK + tries)
    });
    // The first of them may have been under way when the remark was read.
    assert!(since.elapsed() >= least / 2, "{tries} tries in {:?}", since.elapsed());
    let different: BTreeSet<&String> = agents.iter().collect();
    assert_eq!(different.len(), agents.len(), "each on another agent: {:#?}", scheduler.stderr());
    assert_eq!(
        (lines(scheduler, "failed alike"), lines(scheduler, "launching")),
        (1, QUICK),
        "{:#?}",
        scheduler.stderr()
    );
}

#[test]
fn a_path_that_no_agent_has_is_tried_one_by_one_until_it_is_there() {
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

/// Agents make a folder for the executor's user, where they switch to it.
#[test]
fn a_user_that_no_agent_has_is_tried_one_by_one() {
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
