//! Tests on a real Mesos. If the master has removed a framework, no scheduler begins a new one in its place, unless the user asks
//! for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesos::v1::scheduler::call::Type;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::mesos_box::MesosBox;
use crate::support::process::{Ended, Process, mesos_miner};
use crate::support::proxy::{CallAction, Proxy};
use crate::support::zookeeper::ZooKeeper;
use crate::support::{DEADLINE, LONG_DEADLINE, http, peer, until};

const WEEK: f64 = 7.0 * 24.0 * 3600.0;

/// A scheduler of two tasks, which it leaves running at its end.
fn scheduler(mesos: &MesosBox, state: &Path, more: &[&str]) -> Process {
    scheduler_at(&mesos.address, state, more)
}

fn scheduler_at(master: &str, state: &Path, more: &[&str]) -> Process {
    let state = state.display().to_string();
    let line = ["scheduler", "--master", master, "--state-dir", &state, "--server-cpus=0.2"];
    mesos_miner([&line, &["--max-workers=1", "--report-interval=1s"][..], more].concat())
}

/// A list of frameworks in the master's state.
fn frameworks(mesos: &MesosBox, list: &str) -> Vec<Value> {
    mesos.state()[list].as_array().cloned().unwrap_or_default()
}

fn id(framework: &Value) -> String {
    framework["id"].as_str().unwrap_or_default().to_owned()
}

/// Waits until a framework runs a server and a worker. Returns its entry in the master's state.
fn until_it_runs(mesos: &MesosBox) -> Value {
    until("the framework runs", LONG_DEADLINE, || {
        let framework = frameworks(mesos, "frameworks").into_iter().find(|it| it["active"] == true)?;
        let running = framework["tasks"].as_array()?.iter().filter(|task| task["state"] == "TASK_RUNNING");
        (running.count() == 2).then_some(framework)
    })
}

/// Tears the framework down, as an operator does.
fn tear_down(mesos: &MesosBox, id: &str) {
    let form = format!("frameworkId={id}");
    let status = http::post_form(mesos.master, "/master/teardown", &form).expect("the master answers");
    assert_eq!(status, 200);
}

/// Waits until the scheduler ends with status 1, and returns its last message, which tells of this framework's removal.
fn refuses(mut process: Process, id: &str) -> String {
    let ended = process.wait(LONG_DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(!ended.errors().contains("cannot reach"), "the master is there all the time: {ended:#?}");
    let last = ended.stderr.last().cloned().unwrap_or_default();
    let said = last.contains(&format!("has removed framework {id}")) && last.contains("--new-framework");
    assert!(said, "{ended:#?}");
    last
}

fn stop(mut process: Process) -> Ended {
    process.signal(Signal::TERM);
    let ended = process.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    ended
}

/// Checks that the master has no active framework, and that its completed frameworks are those with the ids in `completed`.
fn nothing_was_begun(mesos: &MesosBox, completed: &[&str]) {
    assert_eq!(frameworks(mesos, "frameworks"), Vec::<Value>::new());
    let mut ids: Vec<String> = frameworks(mesos, "completed_frameworks").iter().map(id).collect();
    ids.sort();
    assert_eq!(ids, completed);
}

#[test]
fn no_restart_undoes_a_teardown_unless_a_new_framework_is_wanted() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::with_options(&command, 1, &["--cpus=1"]);
    let state = tempfile::tempdir().expect("a temporary folder");
    let start = |more: &[&str]| scheduler(&mesos, state.path(), more);
    let first = start(&[]);
    let framework = until_it_runs(&mesos);
    assert_eq!(framework["failover_timeout"], WEEK, "{framework:#}");
    let first_id = id(&framework);
    tear_down(&mesos, &first_id);
    let last = refuses(first, &first_id);
    assert!(last.contains("probably because an operator tore it down"), "{last}");
    for _ in 0..3 {
        assert_eq!(refuses(start(&[]), &first_id), last, "the same words");
    }
    nothing_was_begun(&mesos, &[&first_id]);

    let mut second = start(&["--new-framework", "--failover-timeout=1h"]);
    let framework = until_it_runs(&mesos);
    // The master may know earlier than the scheduler that both tasks run.
    second.wait_for_error(LONG_DEADLINE, |line| line.contains(" mines on ").then_some(()));
    let second_id = id(&framework);
    assert_eq!(framework["failover_timeout"], 3600.0, "{framework:#}");
    assert_ne!(second_id, first_id);
    let last = stop(second).stdout.last().cloned().unwrap_or_default();
    for part in
        ["2 tasks keep mining", "for 1 h without a scheduler", &format!("curl -d frameworkId={second_id}")]
    {
        assert!(last.contains(part), "{part}: {last}");
    }

    // A framework that lives is continued, with the failover timeout of the new scheduler.
    let third = start(&["--new-framework", "--failover-timeout=90s"]);
    let framework = until("it continues with the other failover timeout", LONG_DEADLINE, || {
        Some(until_it_runs(&mesos)).filter(|framework| framework["failover_timeout"] == 90.0)
    });
    assert_eq!(id(&framework), second_id);
    assert_eq!(framework["completed_tasks"], Value::Array(vec![]), "{framework:#}");
    stop(third);
    tear_down(&mesos, &second_id);
    refuses(start(&[]), &second_id);
    nothing_was_begun(&mesos, &[&first_id, &second_id]);
}

#[test]
fn a_framework_whose_failover_timeout_was_over_is_not_begun_anew() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::with_options(&command, 1, &["--cpus=1"]);
    let state = tempfile::tempdir().expect("a temporary folder");
    let start = || scheduler(&mesos, state.path(), &[]);
    let mut first = scheduler(&mesos, state.path(), &["--failover-timeout=2s"]);
    let first_id = id(&until_it_runs(&mesos));
    first.signal(Signal::KILL);
    first.wait(DEADLINE);
    until("the master removes it", LONG_DEADLINE, || {
        (frameworks(&mesos, "completed_frameworks").len() == 1).then_some(())
    });
    let last = refuses(start(), &first_id);
    assert!(last.contains("probably because no scheduler was connected"), "{last}");
    assert!(last.contains("the framework's failover timeout was 2 s"), "{last}");
    assert_eq!(refuses(start(), &first_id), last, "the same words");
    nothing_was_begun(&mesos, &[&first_id]);
}

#[test]
fn no_standby_undoes_a_teardown_unless_a_new_framework_is_wanted() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let zookeeper = ZooKeeper::start(&command);
    let mesos = MesosBox::with_options(&command, 1, &["--cpus=1"]);
    let zk = zookeeper.address("miner");
    let folders = [(); 3].map(|()| tempfile::tempdir().expect("a temporary folder"));
    let start = |which: usize, more: &[&str]| {
        scheduler(&mesos, folders[which].path(), &[&["--zk", &zk], more].concat())
    };
    let leader = start(0, &[]);
    let first_id = id(&until_it_runs(&mesos));
    let mut standby = start(1, &[]);
    standby.wait_for_error(LONG_DEADLINE, |line| line.contains("waiting for").then_some(()));
    tear_down(&mesos, &first_id);
    let last = refuses(leader, &first_id);
    assert_eq!(refuses(standby, &first_id), last, "the same words");
    for which in [0, 1, 2] {
        assert_eq!(refuses(start(which, &[]), &first_id), last, "the same words");
    }
    nothing_was_begun(&mesos, &[&first_id]);

    // The first leader's state folder still records that the first framework was removed. This scheduler must nevertheless
    // continue the second framework, which ZooKeeper records.
    let new = start(1, &["--new-framework"]);
    let second_id = id(&until_it_runs(&mesos));
    assert_ne!(second_id, first_id);
    stop(new);
    let again = start(0, &[]);
    assert_eq!(id(&until_it_runs(&mesos)), second_id);
    stop(again);
    tear_down(&mesos, &second_id);
}

/// A scheduler with `--teardown-on-exit` that runs, and then is told to end. `fate` is what becomes of its TEARDOWN. Waits until
/// TEARDOWN was sent. If the master gets it, also waits until the framework is gone.
fn ending(mesos: &MesosBox, state: &Path, fate: CallAction, more: &[&str]) -> (Process, Proxy, String) {
    let sent = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&sent);
    let proxy = Proxy::start(mesos.master, move |call| match call.r#type() {
        Type::Teardown => {
            seen.store(true, Ordering::Relaxed);
            fate
        }
        _ => CallAction::Forward,
    });
    let options = [&["--teardown-on-exit"], more].concat();
    let mut process = scheduler_at(&proxy.address.to_string(), state, &options);
    let id = id(&until_it_runs(mesos));
    process.signal(Signal::INT);
    until("TEARDOWN is sent", LONG_DEADLINE, || {
        assert!(process.is_running(), "{:#?}", process.stderr());
        let gone = frameworks(mesos, "frameworks").is_empty();
        (sent.load(Ordering::Relaxed) && (gone || fate == CallAction::Withhold)).then_some(())
    });
    (process, proxy, id)
}

/// A scheduler is killed before it gets the answer to TEARDOWN. If TEARDOWN has arrived, the next scheduler begins a new
/// framework. Otherwise, it continues the old one.
#[test]
fn a_crash_between_teardown_and_its_record_is_not_an_operators_teardown() {
    let Some(command) = peer::mesos() else { return };
    for fate in [CallAction::LoseAnswer, CallAction::Withhold] {
        let mesos = MesosBox::with_options(&command, 1, &["--cpus=1"]);
        let state = tempfile::tempdir().expect("a temporary folder");
        let (mut first, _proxy, first_id) = ending(&mesos, state.path(), fate, &[]);
        first.signal(Signal::KILL);
        first.wait(DEADLINE);
        let next = scheduler(&mesos, state.path(), &[]);
        let next_id = id(&until_it_runs(&mesos));
        let said = next.stderr().iter().any(|line| line.contains("an earlier run has torn down framework"));
        let begun_anew = fate == CallAction::LoseAnswer;
        assert_eq!((next_id != first_id, said), (begun_anew, begun_anew), "{fate:?}: {:#?}", next.stderr());
        stop(next);
        // After an operator's teardown, however, the scheduler refuses to start.
        tear_down(&mesos, &next_id);
        refuses(scheduler(&mesos, state.path(), &[]), &next_id);
    }
}

#[test]
fn a_teardown_whose_answer_is_lost_is_not_an_operators_teardown() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::with_options(&command, 1, &["--cpus=1"]);
    let state = tempfile::tempdir().expect("a temporary folder");
    let (mut first, _proxy, first_id) = ending(&mesos, state.path(), CallAction::LoseAnswer, &[]);
    let ended = first.wait(LONG_DEADLINE);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let said = format!("not confirmed that framework {first_id} is torn down");
    assert!(ended.errors().contains(&said), "{ended:#?}");
    let next = scheduler(&mesos, state.path(), &[]);
    assert_ne!(id(&until_it_runs(&mesos)), first_id);
    stop(next);
}

#[test]
fn a_standby_goes_on_after_a_crash_between_teardown_and_its_record() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let zookeeper = ZooKeeper::start(&command);
    let mesos = MesosBox::with_options(&command, 1, &["--cpus=1"]);
    let zk = zookeeper.address("miner");
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
    let zk = ["--zk", &zk];
    let (mut leader, _proxy, first_id) = ending(&mesos, folders[0].path(), CallAction::LoseAnswer, &zk);
    let standby = scheduler(&mesos, folders[1].path(), &zk);
    leader.signal(Signal::KILL);
    leader.wait(DEADLINE);
    assert_ne!(id(&until_it_runs(&mesos)), first_id);
    stop(standby);
}
