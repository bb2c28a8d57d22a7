//! `scheduler plan` on a real Mesos: what would be launched is printed, nothing is launched, and no framework is left.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesos::v1::scheduler::call::Type;
use rustix::process::Signal;
use serde_json::Value;
use testing::ports::closed_address;

use crate::support::embedded::EmbeddedCluster;
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Ended, Process, mesos_miner};
use crate::support::proxy::{CallAction, Proxy};
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// The exit status if nothing would be launched.
const NOTHING: i32 = 3;

fn start(mesos: &MesosBox, options: &[&str]) -> Process {
    mesos_miner(["scheduler", "plan", "--master", &mesos.address].iter().chain(options))
}

/// Runs the command, and checks that it makes no state folder.
fn plan(mesos: &MesosBox, options: &[&str]) -> Ended {
    let mut plan = start(mesos, options);
    let ended = plan.wait(LONG_DEADLINE);
    let files: Vec<_> =
        plan.folder().read_dir().expect("it is there").flatten().map(|it| it.path()).collect();
    assert!(files.is_empty(), "{files:?}");
    ended
}

fn output(ended: &Ended, status: i32) -> String {
    assert_eq!(ended.status.code(), Some(status), "{ended:#?}");
    ended.stdout.join("\n")
}

/// Waits until the master has no framework of ours, and returns those that have ended.
fn completed(mesos: &MesosBox) -> Vec<Value> {
    until("the framework of the plan is gone", DEADLINE, || {
        let state = mesos.state();
        let is_plan = |it: &&Value| it["name"].as_str().is_some_and(|name| name.ends_with(" (plan)"));
        let left = state["frameworks"].as_array()?.iter().filter(is_plan).count();
        let completed = state["completed_frameworks"].as_array()?.iter().filter(is_plan).cloned().collect();
        (left == 0).then_some(completed)
    })
}

/// Checks that `count` frameworks have ended, and that none of them had a task.
fn assert_nothing_launched(mesos: &MesosBox, count: usize) {
    let completed = completed(mesos);
    assert_eq!(completed.len(), count, "{completed:#?}");
    for framework in completed {
        for kind in ["tasks", "completed_tasks", "unreachable_tasks"] {
            assert!(framework[kind].as_array().is_none_or(Vec::is_empty), "{framework:#}");
        }
    }
}

fn json(ended: &Ended, status: i32) -> Value {
    let text = output(ended, status);
    assert_eq!(ended.stdout.len(), 1, "one line: {ended:#?}");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn what_would_be_launched_is_printed_and_not_launched() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let text = output(&plan(&mesos, &[]), 0);
    assert!(text.contains("would launch 1 server and 2 workers with 4 CPU on 2 of 2 agents"), "{text}");
    assert!(text.contains("server with 1 CPU, 256 MB, ports "), "{text}");

    let limited = json(&plan(&mesos, &["--json", "--name", "mine", "--max-workers", "1"]), 0);
    assert_eq!((&limited["servers"], &limited["workers"]), (&1.into(), &1.into()), "{limited:#}");
    let agents = limited["agents"].as_array().expect("a list");
    assert_eq!(agents.len(), 2, "{limited:#}");
    assert_eq!(agents[0]["tasks"][0]["kind"], "server", "{limited:#}");
    let port = u64::from(mesos.master.port()) + 16;
    assert!(agents[0]["tasks"][0]["http_port"].as_u64().is_some_and(|it| it >= port), "{limited:#}");
    let why = agents[1]["why_not"].as_str().expect("a reason");
    assert!(why.contains("--max-workers 1 is reached"), "{why}");
    assert_nothing_launched(&mesos, 2);
    assert!(completed(&mesos).iter().any(|framework| framework["name"] == "mine (plan)"));

    // What was planned is what is launched.
    let mut scheduler =
        mesos_miner(["scheduler", "--master", &mesos.address, "--max-workers", "1", "--teardown-on-exit"]);
    let launched = scheduler.wait_for_error(LONG_DEADLINE, |line| {
        line.contains("launching miner-worker-").then(|| line.to_owned())
    });
    assert!(launched.ends_with("with 1 CPU"), "{launched} {limited:#}");
    assert_eq!(agents[0]["tasks"][1]["cpus"], 1.0, "{limited:#}");

    // The running framework uses 2 of the 4 CPUs, so 2 are free.
    let beside = json(&plan(&mesos, &["--json"]), 0);
    assert_eq!(beside["cpus"], 2.0, "only what is free: {beside:#}");
    scheduler.interrupt(LONG_DEADLINE);
}

#[test]
fn a_plan_of_nothing_says_why_and_exits_with_3() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let text = output(&plan(&mesos, &["--server-constraint", "rack:LIKE:r1"]), NOTHING);
    assert!(text.contains("--server-constraint rack:LIKE:r1 is not met"), "{text}");
    assert!(text.contains("nothing would be launched: none of 2 agents can run the server"), "{text}");

    let pool = ["--pool", "stratum+tcp://pool:3333", "--constraint", "rack:UNIQUE"];
    let text = output(&plan(&mesos, &pool), NOTHING);
    assert!(text.contains("--constraint rack:UNIQUE is not met"), "{text}");

    let large = json(&plan(&mesos, &["--server-cpus", "64", "--json"]), NOTHING);
    assert_eq!(
        (&large["server_missing"], &large["workers_with_server"]),
        (&true.into(), &2.into()),
        "{large:#}"
    );

    // A role that the master refuses is an error, not an empty plan.
    let refused = plan(&mesos, &["--role", ".."]);
    assert_eq!(refused.status.code(), Some(1), "{refused:#?}");
    assert!(refused.errors().contains("the master refuses the framework"), "{refused:#?}");
    assert_nothing_launched(&mesos, 3);
}

#[test]
fn full_agents_are_too_small() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let mut scheduler = mesos_miner(["scheduler", "--master", &mesos.address, "--teardown-on-exit"]);
    let mut mining = 0;
    scheduler.wait_for_error(LONG_DEADLINE, |line| {
        mining += usize::from(line.contains(" mines on "));
        (mining == 2).then_some(())
    });
    let text = output(&plan(&mesos, &[]), NOTHING);
    assert!(text.contains("no server on ") && text.contains("0 CPU"), "{text}");
    let ended = scheduler.interrupt(LONG_DEADLINE);
    assert!(!ended.errors().contains("TASK_FAILED"), "{ended:#?}");
}

#[test]
fn an_interrupted_plan_leaves_no_framework() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 1);
    for (count, signal) in [Signal::INT, Signal::TERM, Signal::HUP, Signal::KILL].into_iter().enumerate() {
        let mut plan = start(&mesos, &[]);
        plan.wait_for_error(DEADLINE, |line| line.contains("holding offers").then_some(()));
        plan.signal(signal);
        let ended = plan.wait(DEADLINE);
        if signal != Signal::KILL {
            assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
            assert!(ended.errors().contains("nothing was launched"), "{ended:#?}");
        }
        assert_nothing_launched(&mesos, count + 1);
    }
}

/// A proxy holds back the TEARDOWN call of `mesos-miner scheduler plan`. After a signal, the program still prints its plan. The
/// master removes the framework when the connection ends.
#[test]
fn a_signal_ends_a_plan_that_waits_for_the_end_of_its_framework() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 1);
    let sent = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&sent);
    let proxy = Proxy::start(mesos.master, move |call| match call.r#type() {
        Type::Teardown => {
            seen.store(true, Ordering::Relaxed);
            CallAction::Withhold
        }
        _ => CallAction::Forward,
    });
    let mut plan = mesos_miner(["scheduler", "plan", "--master", &proxy.address.to_string()]);
    until("TEARDOWN is sent", LONG_DEADLINE, || sent.load(Ordering::Relaxed).then_some(()));
    plan.signal(Signal::TERM);
    let ended = plan.wait(DEADLINE);
    assert!(output(&ended, 0).contains("would launch 1 server"), "{ended:#?}");
    assert!(ended.errors().contains("could not be torn down (no answer in time)"), "{ended:#?}");
    assert_nothing_launched(&mesos, 1);
}

#[test]
fn a_plan_needs_the_credentials_of_the_scheduler() {
    let Some(command) = peer::mesos() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a folder of our own");
        private(&path);
        path.to_str().expect("plain text").to_owned()
    };
    let credentials = file("credentials", r#"{"credentials": [{"principal": "miner", "secret": "s3cret"}]}"#);
    let mesos = MesosBox::with_options(&command, 1, &["--credentials", &credentials]);
    let (right, wrong) = (file("right", "s3cret"), file("wrong", "other"));
    let refused = plan(&mesos, &["--principal", "miner", "--secret-file", &wrong]);
    assert_eq!(refused.status.code(), Some(1), "{refused:#?}");
    assert!(refused.errors().contains("--secret-file"), "{refused:#?}");
    output(&plan(&mesos, &["--principal", "miner", "--secret-file", &right]), 0);
    assert_nothing_launched(&mesos, 1);
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("our own file");
}

#[test]
fn a_plan_without_offers_ends_after_5_s() {
    let cluster = EmbeddedCluster::start(0, 1.0, |_| ());
    let ended = mesos_miner(["scheduler", "plan", "--master", &cluster.master.to_string()]).wait(DEADLINE);
    let text = output(&ended, NOTHING);
    assert!(text.contains("no offers came within 5 s"), "{text}");
}

#[test]
fn a_plan_fails_for_the_reasons_of_the_scheduler() {
    let closed = closed_address().to_string();
    for (options, status, mention) in [
        (&["--max-workers", "0"][..], 64, "--max-workers"),
        (&["--max-cpus", "1"], 64, "--max-cpus 1 leaves nothing for workers"),
        (&["--master", &closed], 1, &closed),
    ] {
        let ended = mesos_miner(["scheduler", "plan"].iter().chain(options)).wait(DEADLINE);
        assert_eq!(ended.status.code(), Some(status), "{options:?} {ended:#?}");
        assert!(ended.errors().contains(mention), "{options:?} {ended:#?}");
    }
}
