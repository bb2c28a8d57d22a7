//! A scheduler on a real Mesos is started again with other options. The new options then apply to the tasks that already run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::process_tree::executors;
use crate::support::{DEADLINE, LONG_DEADLINE, http, peer, until};

/// The user ids of `root` and of `daemon`, which every Linux has.
const ROOT: u32 = 0;
const DAEMON: u32 = 1;

/// A framework that is run by one scheduler after another with the same state folder.
struct Runs<'a> {
    mesos: &'a MesosBox,
    state_dir: TempDir,
    /// Options that all schedulers have.
    common: Vec<&'static str>,
}

impl Runs<'_> {
    fn start(&self, options: &[&str]) -> Process {
        let master = self.mesos.master.to_string();
        let state_dir = self.state_dir.path().to_str().expect("UTF-8");
        let first = ["scheduler", "--master", &master, "--state-dir", state_dir, "--http", "127.0.0.1:0"];
        mesos_miner(first.into_iter().chain(self.common.iter().copied()).chain(options.iter().copied()))
    }

    /// Ends the scheduler. Its tasks go on.
    fn stop(&self, mut scheduler: Process) {
        scheduler.signal(Signal::TERM);
        let ended = scheduler.wait(LONG_DEADLINE);
        assert!(ended.status.success(), "{ended:#?}");
    }

    /// The ids of the running tasks with this prefix, the oldest first.
    fn running(&self, prefix: &str) -> Vec<String> {
        let state = self.mesos.state();
        let tasks = state["frameworks"][0]["tasks"].as_array().cloned().unwrap_or_default();
        let running = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
        let ids = running.filter_map(|task| task["id"].as_str());
        let mut ids: Vec<String> = ids.filter(|id| id.starts_with(prefix)).map(str::to_owned).collect();
        ids.sort_by_key(|id| id.rsplit('-').next().and_then(|number| number.parse::<u64>().ok()));
        ids
    }

    /// Waits until this many workers run, and returns their ids.
    fn workers(&self, count: usize) -> Vec<String> {
        until(&format!("{count} workers run"), LONG_DEADLINE, || {
            Some(self.running("miner-worker-")).filter(|workers| workers.len() == count)
        })
    }
}

/// Waits for a line of the scheduler's log.
fn log(scheduler: &mut Process, text: &str) {
    scheduler.wait_for_error(LONG_DEADLINE, |line| line.contains(text).then_some(()));
}

/// Where the scheduler serves its HTTP API.
fn address(scheduler: &mut Process) -> SocketAddr {
    scheduler.wait_for_error(DEADLINE, |line| {
        line.split_once("HTTP on http://").and_then(|(_, address)| address.trim().parse().ok())
    })
}

/// The hash backends of the workers, by task id, as the scheduler's HTTP API shows them.
fn backends(scheduler: &mut Process) -> BTreeMap<String, String> {
    let page = http::get_json(address(scheduler), "/api/v1/tasks").unwrap_or_default();
    let tasks = page["tasks"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    tasks.iter().filter_map(|task| text(&task["id"]).zip(text(&task["live"]["backend"]))).collect()
}

/// The hashes that all workers have reported, as the scheduler's HTTP API shows them.
fn hashes(scheduler: &mut Process) -> String {
    let page = http::get_json(address(scheduler), "/api/v1/summary").unwrap_or_default();
    page["hashes"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn limits_backend_and_share_interval_apply_to_what_runs() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let executor = concat!("--executor-path=", env!("CARGO_BIN_EXE_mesos-miner"));
    let common = vec!["--server-cpus=0.2", "--cpus-per-worker=0.3", executor];
    let runs = Runs { mesos: &mesos, state_dir: tempfile::tempdir().expect("a folder"), common };

    let scheduler = runs.start(&["--max-workers=6"]);
    let six = runs.workers(6);
    let server = runs.running("miner-server-");
    runs.stop(scheduler);

    let mut scheduler = runs.start(&["--max-workers=1"]);
    log(&mut scheduler, "more workers run than --max-workers 1 allows");
    assert_eq!(runs.workers(1), six[..1], "the oldest one stays");
    assert_eq!(runs.running("miner-server-"), server);
    runs.stop(scheduler);

    let mut scheduler = runs.start(&["--max-workers=1", "--backend=portable"]);
    log(&mut scheduler, &format!("replacing {} (launched with other options)", six[0]));
    until("the new worker uses the backend", LONG_DEADLINE, || {
        let backends = backends(&mut scheduler);
        (backends.len() == 1 && backends.values().all(|name| name == "portable")).then_some(())
    });
    let worker = runs.workers(1);
    assert_ne!(worker, six[..1]);
    assert_eq!(runs.running("miner-server-"), server, "the backend is not for the server");
    runs.stop(scheduler);

    let options = ["--max-workers=1", "--backend=portable", "--share-interval=3s", "--teardown-on-exit"];
    let mut scheduler = runs.start(&options);
    log(&mut scheduler, &format!("{} was launched with other options: replacing it", server[0]));
    log(&mut scheduler, &format!("{} mines at miner-server-", worker[0]));
    let servers = runs.running("miner-server-");
    assert!(servers.len() == 1 && servers != server, "{servers:?}");
    assert_eq!(runs.workers(1), worker, "it was not touched");
    runs.stop(scheduler);
}

/// A state folder as the last version without fingerprints wrote it.
const EARLIER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/scheduler/tests/fixtures/format-2/scheduler.sqlite");

/// Rewrites the state folder as the earlier version would have written it, with the same framework and tasks.
fn as_the_earlier_version_wrote_it(state_dir: &Path) {
    let (file, now) = (state_dir.join("scheduler.sqlite"), state_dir.join("now.sqlite"));
    std::fs::rename(&file, &now).expect("our own folder");
    // The last changes may be in SQLite's log beside the file.
    for rest in ["-wal", "-shm"] {
        let path = |name: &str| state_dir.join(format!("{name}.sqlite{rest}"));
        if path("scheduler").exists() {
            std::fs::rename(path("scheduler"), path("now")).expect("our own folder");
        }
    }
    std::fs::copy(EARLIER, &file).expect("the fixture");
    let records = Connection::open(&file).expect("the records");
    records.execute("ATTACH ?1 AS now", [now.to_str().expect("UTF-8")]).expect("the records of today");
    let columns = |schema: &str, table: &str| -> BTreeSet<String> {
        let sql = format!("SELECT name FROM pragma_table_info('{table}', '{schema}')");
        let mut names = records.prepare(&sql).expect("a table");
        let names = names.query_map([], |row| row.get(0)).expect("columns");
        names.map(|name| name.expect("a name")).collect()
    };
    for table in ["framework", "task", "account", "closed", "attribute", "share", "earlier", "avoided_agent"]
    {
        records.execute(&format!("DELETE FROM main.{table}"), []).expect("a table");
    }
    for table in ["framework", "task", "account", "closed"] {
        let both = &columns("main", table) & &columns("now", table);
        // Columns that the earlier version had, but did not fill.
        let filled = both.into_iter().filter(|name| name != "specification" && name != "removed_ms");
        let filled = filled.collect::<Vec<_>>().join(", ");
        let copy = format!("INSERT INTO main.{table} ({filled}) SELECT {filled} FROM now.{table}");
        records.execute(&copy, []).expect("the same columns");
    }
}

/// Old versions of this program recorded no fingerprints of task specifications.
#[test]
fn an_upgrade_replaces_no_task() {
    let Some(command) = peer::mesos() else { return };
    let mesos = MesosBox::start(&command, 2);
    let executor = concat!("--executor-path=", env!("CARGO_BIN_EXE_mesos-miner"));
    let common = vec!["--server-cpus=0.2", "--max-workers=2", "--report-interval=1s", executor];
    let runs = Runs { mesos: &mesos, state_dir: tempfile::tempdir().expect("a folder"), common };
    let scheduler = runs.start(&[]);
    let before = [runs.workers(2), runs.running("miner-server-")].concat();
    runs.stop(scheduler);
    as_the_earlier_version_wrote_it(runs.state_dir.path());

    // These options change the tasks' specifications. The scheduler cannot notice this, because the old records have no
    // fingerprints of specifications.
    let mut scheduler = runs.start(&["--backend=portable", "--share-interval=3s", "--user=daemon"]);
    log(&mut scheduler, "resuming with 3 tasks");
    // If the scheduler wanted to replace tasks, it would begin long before their tenth report.
    let mut rounds = BTreeSet::new();
    until("the same tasks have reported ten times", LONG_DEADLINE, || {
        assert_eq!([runs.running("miner-worker-"), runs.running("miner-server-")].concat(), before);
        rounds.insert(hashes(&mut scheduler));
        (backends(&mut scheduler).len() == 2 && rounds.len() > 10).then_some(())
    });
    scheduler.signal(Signal::TERM);
    let ended = scheduler.wait(LONG_DEADLINE);
    assert!(ended.status.success(), "{ended:#?}");
    assert!(!ended.errors().contains("replacing"), "{ended:#?}");
    assert!(!ended.errors().contains("launching"), "{ended:#?}");
    assert_eq!([runs.workers(2), runs.running("miner-server-")].concat(), before);
    let mut scheduler = runs.start(&["--teardown-on-exit"]);
    log(&mut scheduler, "subscribed as framework");
    runs.stop(scheduler);
}

/// The user ids of the running executors whose sandboxes are in `folder`.
fn users(folder: &Path) -> Vec<u32> {
    let owner = |pid: i32| Some(std::fs::metadata(format!("/proc/{pid}")).ok()?.uid());
    let mut users: Vec<u32> =
        executors(folder).into_iter().filter_map(|executor| owner(executor.process.pid)).collect();
    users.sort_unstable();
    users
}

/// Mesos keeps the user of a framework's first subscription, so each task must name its user itself. Otherwise, the executors of
/// a framework that began as root would always run as root.
#[test]
fn another_user_runs_all_executors_and_root_none() {
    let Some(command) = peer::mesos() else { return };
    let root = rustix::process::getuid().is_root().then_some(());
    let Some(()) = peer::require("root (agents that run tasks as other users)", root) else { return };
    let mesos = MesosBox::with_options(&command, 1, &["--agent-flag=switch_user=true"]);
    let work = mesos.work_folder();
    for folder in work.ancestors().take(2) {
        // The other user must be allowed to reach the sandboxes.
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("our own folder");
    }
    // Without `--executor-path`, agents fetch the executor into the sandbox. There, the user `daemon` must be allowed to run it.
    let common = vec!["--server-cpus=0.2", "--max-workers=1"];
    let runs = Runs { mesos: &mesos, state_dir: tempfile::tempdir().expect("a folder"), common };
    let scheduler = runs.start(&["--user=root"]);
    runs.workers(1);
    assert_eq!(users(&work), [ROOT, ROOT]);
    runs.stop(scheduler);

    let mut scheduler = runs.start(&["--user=daemon", "--teardown-on-exit"]);
    log(
        &mut scheduler,
        "was launched with other options: replacing it: its 1 worker will mine at the next server",
    );
    until("all executors run as the new user", LONG_DEADLINE, || {
        (users(&work) == [DAEMON, DAEMON] && runs.running("miner-").len() == 2).then_some(())
    });
    assert_eq!(mesos.state()["frameworks"][0]["user"], "root", "Mesos keeps the first user");
    runs.stop(scheduler);
}
