//! A framework that mines on a cluster, and the conditions that must hold after a fault.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::accounts;
use crate::support::cluster::Cluster;
use crate::support::embedded::EmbeddedCluster;
use crate::support::http;
use crate::support::ledger::{Ledger, PoolDatabase, Row};
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Ended, Process, mesos_miner};
use crate::support::process_tree::{Executor, executors};
use crate::support::summary::Summary;
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// The number of workers, one on each agent.
pub const WORKERS: usize = 2;

/// A scheduler that mines with two workers on a cluster, with short report intervals.
pub struct MiningHarness {
    pub scheduler: Process,
    pub cluster: Cluster,
    state: TempDir,
    /// Tasks that could not send a last report because of the simulated fault.
    dead: BTreeSet<String>,
}

impl MiningHarness {
    pub fn embedded() -> Self {
        MiningHarness::on(Cluster::Embedded(EmbeddedCluster::start(WORKERS, 1.0, |_| ())))
    }

    /// Starts the framework on a real Mesos; `None` if Mesos is not installed.
    pub fn real() -> Option<Self> {
        let mesos = MesosBox::with_options(&peer::mesos()?, WORKERS as u16, &["--cpus=1"]);
        Some(MiningHarness::on(Cluster::Real(mesos)))
    }

    pub fn on(cluster: Cluster) -> Self {
        let address = cluster.address();
        MiningHarness::at(cluster, &address, &[])
    }

    /// Starts the framework with this address of the master and more arguments for the scheduler.
    pub fn at(cluster: Cluster, address: &str, more: &[&str]) -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let scheduler = scheduler(address, state.path(), more);
        let mut mining = MiningHarness::of(scheduler, cluster, state);
        mining.until_it_mines(|_| true);
        mining
    }

    /// Wraps a scheduler that was already started with this state folder.
    pub fn of(scheduler: Process, cluster: Cluster, state: TempDir) -> Self {
        MiningHarness { scheduler, cluster, state, dead: BTreeSet::new() }
    }

    pub fn state_dir(&self) -> PathBuf {
        self.state.path().to_owned()
    }

    /// Starts another scheduler with the state folder of the previous one, which has ended.
    pub fn restart_scheduler(&mut self) {
        self.restart_scheduler_with(&[]);
    }

    /// Like [`restart_scheduler`](Self::restart_scheduler), with more arguments.
    pub fn restart_scheduler_with(&mut self, more: &[&str]) {
        self.scheduler = scheduler(&self.cluster.address(), self.state.path(), more);
    }

    /// Replaces the scheduler by another one with its own state folder. Returns the old scheduler.
    pub fn take_over(&mut self, scheduler: Process, state: TempDir) -> Process {
        self.state = state;
        std::mem::replace(&mut self.scheduler, scheduler)
    }

    /// The number of accepted shares that the current server counts, from its HTTP API.
    pub fn pool_count(&self) -> Option<u64> {
        let server = self.server().id;
        let state = self.cluster.state()?;
        let tasks = list(&state["frameworks"][0]["tasks"]);
        let ports = text(&tasks.iter().find(|task| task["id"] == *server)?["resources"]["ports"]);
        let port = ports.trim_start_matches('[').split(['-', ',', ']']).next()?.parse::<u16>().ok()?;
        http::get_json(([127, 0, 0, 1], port).into(), "/api/v1/summary")?["totals"]["shares"]["accepted"]
            .as_u64()
    }

    /// A server's own database, which can be read even if Mesos does not respond.
    fn pool_database(&self, server: &str) -> Option<PoolDatabase> {
        PoolDatabase::of(server, &self.cluster.work_folder())
    }

    /// Waits until the server has counted new shares of each of these workers.
    pub fn until_these_mine_on(&self, workers: &[Executor]) {
        let server = self.server().id;
        let count = |worker: &Executor| {
            let own = self.pool_database(&server)?;
            Some(own.workers.get(&worker.id).map_or(0, |column| column.accepted))
        };
        let before: Vec<u64> = workers.iter().map(|worker| count(worker).unwrap_or(0)).collect();
        until("the tasks mine on", LONG_DEADLINE, || {
            let mut now = workers.iter().zip(&before);
            now.all(|(worker, before)| count(worker).is_some_and(|now| now >= before + 2)).then_some(())
        });
    }

    /// The running executors whose ids have this prefix.
    pub fn executors(&self, prefix: &str) -> Vec<Executor> {
        executors(&self.cluster.work_folder()).into_iter().filter(|e| e.id.starts_with(prefix)).collect()
    }

    pub fn server(&self) -> Executor {
        until("there is a server", LONG_DEADLINE, || self.executors("miner-server-").into_iter().next())
    }

    pub fn workers(&self) -> Vec<Executor> {
        self.executors("miner-worker-")
    }

    /// The ids and process ids of all running executors.
    pub fn tasks(&self) -> BTreeSet<(String, i32)> {
        self.executors("").into_iter().map(|e| (e.id, e.process.pid)).collect()
    }

    /// Kills an executor, so that its task cannot report any more.
    pub fn kill(&mut self, executor: &Executor) {
        self.give_up(executor);
        signal(executor, Signal::KILL);
    }

    /// Adds a task to the tasks that cannot report any more.
    pub fn give_up(&mut self, executor: &Executor) {
        if executor.id.starts_with("miner-server-") {
            until("the server has counted for long enough", LONG_DEADLINE, || {
                (self.pool_database(&executor.id)?.span() > accounts::LONG).then_some(())
            });
        }
        self.dead.insert(executor.id.clone());
    }

    /// The number of the agent that runs a task.
    pub fn agent_of(&self, executor: &Executor) -> usize {
        let folder = std::fs::read_link(format!("/proc/{}/cwd", executor.process.pid)).expect("it runs");
        let below = folder.strip_prefix(self.cluster.work_folder()).expect("its sandbox").to_owned();
        let number = |part: &std::ffi::OsStr| part.to_str()?.strip_prefix("agent")?.parse::<usize>().ok();
        below.iter().find_map(number).expect("an agent's folder") - 1
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::read(self.state.path()).unwrap_or_default()
    }

    /// Waits until the master reports one server and two workers, no other executor runs, and `besides` holds. Then waits until
    /// the scheduler's ledger shows new shares of both workers, in the workers' own reports and in the pool's.
    pub fn until_it_mines(&mut self, besides: impl Fn(&MiningHarness) -> bool) {
        until("everything runs again", LONG_DEADLINE, || {
            assert!(self.scheduler.is_running(), "{:#?}", self.scheduler.stderr());
            (self.is_whole() && besides(self)).then_some(())
        });
        let before = self.ledger();
        let was = |row: &Row| {
            before.worker(&row.task).map_or((0, 0), |row| (row.pool.accepted, row.worker.accepted))
        };
        until("both accounts of both workers grow", LONG_DEADLINE, || {
            assert!(self.scheduler.is_running(), "{:#?}", self.scheduler.stderr());
            let now = self.ledger();
            let grown = |row: &&Row| row.pool.accepted > was(row).0 && row.worker.accepted > was(row).1;
            (now.running().filter(grown).count() == WORKERS).then_some(())
        });
    }

    /// Waits until the system mines again, and prints how long that took. `hit` is the time when the test caused the fault.
    pub fn recovers(&mut self, hit: Instant, besides: impl Fn(&MiningHarness) -> bool) {
        self.until_it_mines(besides);
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Do not use eprintln!, because the test harness hides its output when the test passes.
        let seconds = hit.elapsed().as_secs_f64();
        let _ = writeln!(std::io::stderr(), "{test}: mines again after {seconds:.1} s");
    }

    fn is_whole(&self) -> bool {
        let Some(state) = self.cluster.state() else { return false };
        let frameworks = list(&state["frameworks"]);
        let [framework] = frameworks.as_slice() else { return false };
        let running = list(&framework["tasks"]).into_iter().filter(|t| t["state"] == "TASK_RUNNING");
        let running: BTreeSet<String> = running.map(|t| text(&t["id"])).collect();
        let processes: BTreeSet<String> = self.tasks().into_iter().map(|(id, _)| id).collect();
        let agents = list(&state["slaves"]);
        framework["active"] == true
            && agents.len() == WORKERS
            && agents.iter().all(|agent| agent["active"] == true)
            && running.iter().filter(|id| id.starts_with("miner-server-")).count() == 1
            && running.len() == 1 + WORKERS
            && processes == running
    }

    /// Ends the framework, and checks that no process is left and that the accounts agree. Returns the summary and the output.
    pub fn end(mut self) -> (Summary, Ended) {
        let ended = self.scheduler.interrupt(LONG_DEADLINE);
        until("no executor is left", DEADLINE, || self.executors("").is_empty().then_some(()));
        until("no task is left and every resource is free", DEADLINE, || {
            let state = self.cluster.state()?;
            let used = |a: &Value, what: &str| a["used_resources"][what].as_f64().unwrap_or(f64::NAN);
            let free = |a: &Value| used(a, "cpus") == 0.0 && used(a, "mem") == 0.0;
            (list(&state["frameworks"]).is_empty() && list(&state["slaves"]).iter().all(free)).then_some(())
        });
        let summary = Summary::of(&ended);
        self.check_accounts(&summary);
        (summary, ended)
    }

    fn check_accounts(&self, summary: &Summary) {
        let ledger = self.ledger();
        assert_eq!(summary.workers as usize, WORKERS, "{summary:?}");
        assert_eq!(summary.shares.rejected, 0, "{summary:?}");
        assert_eq!(ledger.total.worker.accepted, summary.shares.accepted, "{ledger:#?} {summary:?}");
        accounts::agree(self.state.path(), &self.cluster.work_folder(), &self.dead);
    }
}

/// Sends a signal to an executor.
pub fn signal(executor: &Executor, signal: Signal) {
    kill_process(Pid::from_raw(executor.process.pid).expect("not 0"), signal).expect("it runs");
}

/// Starts a scheduler.
pub fn scheduler(master: &str, state: &std::path::Path, more: &[&str]) -> Process {
    let state = state.display().to_string();
    let arguments = [
        "scheduler",
        "--master",
        master,
        "--state-dir",
        &state,
        "--teardown-on-exit",
        "--json",
        "--server-cpus",
        "0.2",
        "--report-interval",
        "1s",
        "--live-interval",
        "500ms",
        "--silence-timeout",
        "30s",
        // Without this limit, the resources that an ending task frees might be used for an additional small worker.
        "--max-workers",
        "2",
    ];
    mesos_miner(arguments.iter().chain(more))
}

/// The elements of a JSON list.
pub fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// A JSON string.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The duration of a fault that needs to last only until the other programs notice it.
pub const OUTAGE: Duration = Duration::from_secs(5);
