//! The framework on a real Mesos: a master and two agents as separate processes.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::mesos_box::MesosBox;
use crate::support::process::mesos_miner;
use crate::support::process_tree::executors;
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// The tasks of our frameworks in the master's state: name → all of the task's states.
fn tasks(state: &Value) -> BTreeMap<String, Vec<String>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let frameworks = [list(&state["frameworks"]), list(&state["completed_frameworks"])].concat();
    let tasks = frameworks.iter().flat_map(|f| [list(&f["tasks"]), list(&f["completed_tasks"])].concat());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    tasks
        .map(|t| (text(&t["id"]), list(&t["statuses"]).iter().map(|s| text(&s["state"])).collect()))
        .collect()
}

pub fn running(state: &Value, prefix: &str) -> usize {
    let is_running = |statuses: &Vec<String>| statuses.last().is_some_and(|s| s == "TASK_RUNNING");
    tasks(state).iter().filter(|(id, statuses)| id.starts_with(prefix) && is_running(statuses)).count()
}

/// Waits until no executor and no framework is left and all resources are free again.
pub fn assert_clean(mesos: &MesosBox) {
    until("no executor process remains", DEADLINE, || {
        executors(&mesos.work_folder()).is_empty().then_some(())
    });
    until("every resource has come back", DEADLINE, || {
        let state = mesos.state();
        let agents = state["slaves"].as_array()?;
        let used = |a: &Value, what: &str| a["used_resources"][what].as_f64().unwrap_or(f64::NAN);
        let free = |a: &Value| used(a, "cpus") == 0.0 && used(a, "mem") == 0.0;
        let gone = state["frameworks"].as_array()?.is_empty();
        (gone && agents.len() == 2 && agents.iter().all(free)).then_some(())
    });
}

#[test]
fn mines_on_two_agents_and_leaves_nothing_behind() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let master = mesos.master.to_string();
    let mut scheduler = mesos_miner(["scheduler", "--master", &master, "--teardown-on-exit", "--json"]);
    until("one server and one worker per agent run", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        let state = mesos.state();
        (running(&state, "miner-server-") == 1 && running(&state, "miner-worker-") == 2).then_some(())
    });
    let agents: Vec<Value> = mesos.state()["frameworks"][0]["tasks"].as_array().expect("tasks").clone();
    let of_workers =
        agents.iter().filter(|t| t["id"].as_str().is_some_and(|id| id.starts_with("miner-worker-")));
    let mut hosts: Vec<_> =
        of_workers.map(|t| t["slave_id"].as_str().expect("an agent").to_owned()).collect();
    hosts.dedup();
    assert_eq!(hosts.len(), 2, "one worker on each agent: {agents:#?}");
    assert_eq!(executors(&mesos.work_folder()).len(), 3, "one executor process per task");

    until("the server says that it is well", LONG_DEADLINE, || {
        let state = mesos.state();
        let tasks = state["frameworks"][0]["tasks"].as_array()?;
        let server =
            tasks.iter().find(|t| t["id"].as_str().is_some_and(|id| id.starts_with("miner-server-")))?;
        (server["statuses"].as_array()?.last()?["healthy"] == true).then_some(())
    });

    let ended = scheduler.interrupt(LONG_DEADLINE);
    let summary = Summary::of(&ended);
    assert_eq!(summary.workers, 2, "{summary:?}");
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_KILLED".to_owned(), 3)]), "KILL is honoured");
    assert!(summary.hashes > 0, "the workers' last reports were counted: {summary:?}");

    let seen = tasks(&mesos.state());
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.values().all(|s| s.contains(&"TASK_RUNNING".to_owned())), "{seen:?}");
    assert!(seen.values().all(|s| s.last().is_some_and(|last| last == "TASK_KILLED")), "{seen:?}");
    assert_clean(&mesos);
}

#[test]
fn shares_are_in_the_accounts() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let master = mesos.master.to_string();
    let mut scheduler =
        mesos_miner(["scheduler", "--master", &master, "--teardown-on-exit", "--duration", "45s", "--json"]);
    let ended = scheduler.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    let summary = Summary::of(&ended);
    assert!(summary.shares.accepted > 0, "{summary:?}");
    assert_eq!(summary.shares.rejected, 0, "{summary:?}");
    assert_clean(&mesos);
}

/// All files with this name below a folder.
pub fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // The files of ending tasks may vanish.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path(), name)),
            Ok(kind) if kind.is_file() && entry.file_name().to_string_lossy().ends_with(name) => {
                found.push(entry.path());
            }
            _ => {}
        }
    }
    found
}

#[test]
fn agents_on_other_machines_fetch_the_packed_executor_once() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let master = mesos.master.to_string();
    // The address has no port, so the scheduler must add the port at which it serves the executor.
    let address = "--artifact-address=localhost";
    let mut scheduler =
        mesos_miner(["scheduler", "--master", &master, address, "--teardown-on-exit", "--json"]);
    until("one server and one worker per agent run", LONG_DEADLINE, || {
        assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
        let state = mesos.state();
        (running(&state, "miner-server-") == 1 && running(&state, "miner-worker-") == 2).then_some(())
    });
    let work = mesos.work_folder();
    let archives = files(&work, "mesos-miner.tar.gz");
    assert_eq!(archives.len(), 2, "one in the cache of each agent, none in sandboxes: {archives:?}");
    let program = std::fs::read(env!("CARGO_BIN_EXE_mesos-miner")).expect("the program");
    let archive = std::fs::metadata(&archives[0]).expect("an archive").len();
    assert!(archive < program.len() as u64 / 2, "{archive} of {}", program.len());
    let unpacked = files(&work, "mesos-miner");
    assert_eq!(unpacked.len(), 3, "one for each task: {unpacked:?}");
    for file in unpacked {
        let mode = std::fs::metadata(&file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{file:?} can be executed");
        assert!(std::fs::read(&file).expect("a file") == program, "{file:?} is this very program");
    }
    scheduler.interrupt(LONG_DEADLINE);
    assert_clean(&mesos);
}
