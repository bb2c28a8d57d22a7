//! An agent's memory and files grow with each update of a long-running task; renewing the task frees them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::mesos_box::MesosBox;
use crate::support::process::mesos_miner;
use crate::support::process_tree::{alive, executors, identity};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// The number of updates after which the task is renewed. `RENEWAL_UPDATES=100000` tests the scheduler's default limit, and
/// takes about 20 minutes.
fn updates() -> u64 {
    let number = std::env::var("RENEWAL_UPDATES").ok();
    number.map_or(1_000, |number| number.parse().expect("RENEWAL_UPDATES is a number"))
}

/// What an agent keeps for a task.
#[derive(Debug)]
struct Kept {
    /// The agent's resident memory in bytes.
    memory: u64,
    /// The size of the file with the task's updates, in bytes; `None` if there is no file.
    file: Option<u64>,
}

fn kept(mesos: &MesosBox, task: &str) -> Kept {
    let status = std::fs::read_to_string(format!("/proc/{}/status", mesos.agent())).expect("it runs");
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = kilobytes.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let file = find(&mesos.work_folder(), &Path::new(task).join("task.updates"));
    let file = file.and_then(|path| Some(path.metadata().ok()?.len()));
    Kept { memory: kilobytes.expect("a size") * 1024, file }
}

/// Searches `folder` and its subfolders for a file. The file's path must end with `name`.
fn find(folder: &Path, name: &Path) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.ends_with(name) {
            return Some(path);
        }
        // Do not follow symbolic links: each executor has one to its latest run.
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
    }
    None
}

#[test]
fn a_worker_at_its_limit_of_updates_is_renewed() {
    let Some(command) = peer::mesos() else { return };
    // The agent deletes the files of an ended task after seconds instead of a week.
    let options = ["--agent-flag=gc_delay=1secs", "--agent-flag=disk_watch_interval=1secs"];
    let mesos = MesosBox::with_options(&command, 1, &options);
    let (master, limit) = (mesos.master.to_string(), updates().to_string());
    let arguments = [
        "scheduler",
        "--master",
        &master,
        "--teardown-on-exit",
        "--json",
        "--report-interval=5ms",
        "--share-interval=5s",
        "--server-cpus=0.2",
        "--updates-per-task",
        &limit,
    ];
    let mut scheduler = mesos_miner(arguments);
    let worker = || {
        let found = executors(&mesos.work_folder());
        found.into_iter().map(|e| e.id).find(|id| id.starts_with("miner-worker-"))
    };
    let first = until("a worker runs", LONG_DEADLINE, worker);
    let before = kept(&mesos, &first);
    let patience =
        LONG_DEADLINE.max(Duration::from_millis(100).saturating_mul(limit.parse().expect("a number")));
    let mut most = kept(&mesos, &first);
    until("the worker is renewed", patience, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        let now = kept(&mesos, &first);
        if now.file >= most.file && now.file.is_some() {
            most = now;
        }
        std::thread::sleep(Duration::from_millis(100));
        scheduler
            .stderr()
            .iter()
            .any(|line| line.contains(&first) && line.contains(": renewed:"))
            .then_some(())
    });
    let fresh = until("a fresh worker runs", DEADLINE, || worker().filter(|id| *id != first));
    until("the agent has thrown the old one's updates away", DEADLINE, || {
        kept(&mesos, &first).file.is_none().then_some(())
    });
    let after = kept(&mesos, &first);
    println!("renewal after about {limit} updates of {first}, then {fresh}:");
    for (when, Kept { memory, file }) in
        [("before", &before), ("at the old task's end", &most), ("after", &after)]
    {
        println!("  {when}: the agent's memory {memory} B, file of updates {} B", file.unwrap_or(0));
    }
    assert!(most.file > before.file, "{before:?} {most:?}");
    let ended = mesos.state();
    let state = |task: &Value| task["id"] == first.as_str() && task["state"] == "TASK_FINISHED";
    let completed = ended["frameworks"][0]["completed_tasks"].as_array().expect("a list").iter().any(state);
    assert!(completed, "{ended:#}");
    assert!(alive(&identity(mesos.agent()).expect("it runs")));
    let said = scheduler.stderr();
    assert!(
        !said.iter().any(|line| line.contains("nothing is launched")),
        "a renewal is no failure: {said:#?}"
    );
    let ended = scheduler.interrupt(LONG_DEADLINE);
    assert!(Summary::of(&ended).hashes > 0);
}
