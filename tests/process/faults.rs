//! What is killed is replaced, without anyone's help: one suite, on the embedded cluster and on a real Mesos.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::descent::{Executor, executors};
use crate::support::http;
use crate::support::mesos_box::{MesosBox, Part};
use crate::support::process::{Process, mesos_miner};
use crate::support::summary::Summary;
use crate::support::{LATER, SOON, peer, until};

/// A scheduler that mines with two workers on some cluster.
struct Mining {
    scheduler: Process,
    /// Kept for as long as the scheduler needs it.
    mesos: Option<MesosBox>,
}

impl Mining {
    fn embedded() -> Mining {
        Mining { scheduler: mesos_miner(["local", "--workers", "2", "--json"]), mesos: None }.ready()
    }

    fn real() -> Option<Mining> {
        Some(Mining::on(MesosBox::start(&peer::mesos()?, 2)))
    }

    fn on(mesos: MesosBox) -> Mining {
        let scheduler =
            mesos_miner(["scheduler", "--master", &mesos.address, "--teardown-on-exit", "--json"]);
        Mining { scheduler, mesos: Some(mesos) }.ready()
    }

    fn ready(mut self) -> Mining {
        self.until_mining(2);
        self
    }

    /// Waits until so many workers have begun to mine since the start.
    fn until_mining(&mut self, workers: usize) {
        let scheduler = &mut self.scheduler;
        until("the workers mine", LATER, || {
            assert!(scheduler.is_running(), "{:#?}", scheduler.stderr());
            (scheduler.stderr().iter().filter(|line| line.contains(" mines on ")).count() >= workers)
                .then_some(())
        });
    }

    fn sandboxes(&self) -> PathBuf {
        self.mesos.as_ref().map_or(self.scheduler.folder().to_owned(), |mesos| mesos.work_folder())
    }

    /// The executors whose id starts like this.
    fn executors(&self, prefix: &str) -> Vec<Executor> {
        executors(&self.sandboxes()).into_iter().filter(|e| e.id.starts_with(prefix)).collect()
    }

    fn kill(&self, executor: &Executor) {
        kill_process(Pid::from_raw(executor.process.pid).expect("not 0"), Signal::KILL).expect("it runs");
    }

    /// Ends it and gives the final states of all its tasks.
    fn end(mut self) -> BTreeMap<String, u64> {
        let family = self.scheduler.family();
        self.scheduler.signal(Signal::INT);
        let ended = self.scheduler.wait(LATER);
        assert!(ended.status.success(), "{ended:#?}");
        self.scheduler.assert_nothing_left(&family, SOON);
        until("no executor is left", SOON, || self.executors("").is_empty().then_some(()));
        let summary = Summary::of(&ended);
        assert_eq!(summary.workers, 2, "{summary:?}");
        assert_eq!(summary.shares.rejected, 0, "{summary:?}");
        summary.tasks
    }
}

/// Without its server a worker is of no use: everything starts over.
fn killed_server(mut mining: Mining) {
    let (servers, workers) = (mining.executors("miner-server-"), mining.executors("miner-worker-"));
    assert_eq!((servers.len(), workers.len()), (1, 2), "{servers:?} {workers:?}");
    mining.kill(&servers[0]);
    until("a new server and two new workers run", LATER, || {
        let now = [mining.executors("miner-server-"), mining.executors("miner-worker-")];
        let is_new = |e: &Executor| !servers.iter().chain(&workers).any(|old| old.id == e.id);
        (now[0].len() == 1 && now[1].len() == 2 && now.iter().flatten().all(is_new)).then_some(())
    });
    mining.until_mining(4);
    let tasks = mining.end();
    assert_eq!(tasks, BTreeMap::from([("TASK_FAILED".into(), 1), ("TASK_KILLED".into(), 5)]));
}

/// A dead worker is the business of nobody else.
fn killed_worker(mut mining: Mining) {
    let (servers, workers) = (mining.executors("miner-server-"), mining.executors("miner-worker-"));
    mining.kill(&workers[0]);
    mining.until_mining(3);
    let ids = |of: Vec<Executor>| of.into_iter().map(|e| e.id).collect::<Vec<_>>();
    assert_eq!(ids(mining.executors("miner-server-")), ids(servers), "the server stays");
    let now = ids(mining.executors("miner-worker-"));
    assert_eq!(now.len(), 2, "{now:?}");
    assert!(!now.contains(&workers[0].id) && now.contains(&workers[1].id), "{now:?}");
    let tasks = mining.end();
    assert_eq!(tasks, BTreeMap::from([("TASK_FAILED".into(), 1), ("TASK_KILLED".into(), 3)]));
}

#[test]
fn killed_server_on_the_embedded_cluster() {
    killed_server(Mining::embedded());
}

#[test]
fn killed_server_on_a_real_mesos() {
    let Some(mining) = Mining::real() else { return };
    killed_server(mining);
}

#[test]
fn killed_worker_on_the_embedded_cluster() {
    killed_worker(Mining::embedded());
}

#[test]
fn killed_worker_on_a_real_mesos() {
    let Some(mining) = Mining::real() else { return };
    killed_worker(mining);
}

/// Master and agents come and go; tasks go on mining all the while, and none is launched twice. `kill` gives the
/// address of the master to ask then, and how many agents have to register with it again. Returns what the scheduler
/// said.
fn tasks_outlive(mut mining: Mining, kill: impl FnOnce(&mut MesosBox) -> (SocketAddr, usize)) -> Vec<String> {
    let ids =
        |mining: &Mining| mining.executors("").into_iter().map(|e| (e.id, e.process)).collect::<Vec<_>>();
    let before = ids(&mining);
    assert_eq!(before.len(), 3, "{before:?}");
    let (master, returning) = kill(mining.mesos.as_mut().expect("it is a real one"));
    until("the agents are back, and so is the framework with its three tasks", LATER, || {
        let state = http::get_json(master, "/master/state")?;
        let all_active =
            |list: &Value, n| list.as_array().is_some_and(|l| l.len() == n && l.iter().all(is_active));
        let returned =
            state["slaves"].as_array()?.iter().filter(|a| a["reregistered_time"].is_number()).count();
        let framework = &state["frameworks"][0];
        let tasks = framework["tasks"].as_array()?.iter().filter(|t| t["state"] == "TASK_RUNNING").count();
        let whole = all_active(&state["slaves"], 2) && all_active(&state["frameworks"], 1);
        (whole && returned >= returning && tasks == 3).then_some(())
    });
    assert_eq!(ids(&mining), before);
    let said = mining.scheduler.stderr();
    let tasks = mining.end();
    assert_eq!(tasks, BTreeMap::from([("TASK_KILLED".into(), 3)]));
    said
}

fn is_active(value: &Value) -> bool {
    value["active"] == true
}

#[test]
fn killed_master_on_a_real_mesos() {
    let Some(mining) = Mining::real() else { return };
    tasks_outlive(mining, |mesos| {
        mesos.kill_and_restart(Part::Master);
        (mesos.master, 2)
    });
}

#[test]
fn killed_agent_on_a_real_mesos() {
    let Some(mining) = Mining::real() else { return };
    tasks_outlive(mining, |mesos| {
        mesos.kill_and_restart(Part::Agent);
        (mesos.master, 1)
    });
}

#[test]
fn killed_leader_of_two_real_masters() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    tasks_outlive(Mining::on(MesosBox::elected(&command)), |mesos| (mesos.kill_leader(), 2));
}

/// Nothing but ZooKeeper tells: the stream stays open, and would be given up only after five missed heartbeats.
#[test]
fn frozen_leader_of_two_real_masters() {
    let (Some(command), Some(())) = (peer::mesos(), peer::zookeeper()) else { return };
    let mining = Mining::on(MesosBox::elected(&command));
    let said = tasks_outlive(mining, |mesos| (mesos.freeze_leader(), 2));
    assert!(said.iter().any(|line| line.contains("does not lead any more: ZooKeeper names")), "{said:#?}");
}

/// Tasks go on while there is no scheduler; the next one adopts them and launches nothing twice.
#[test]
fn killed_scheduler_on_a_real_mesos() {
    let Some(Mining { mut scheduler, mesos: Some(mesos) }) = Mining::keeping_state() else { return };
    let before = executors(&mesos.work_folder());
    assert_eq!(before.len(), 3, "{before:?}");
    scheduler.signal(Signal::KILL);
    scheduler.wait(SOON);

    let state = scheduler.folder().join("state").display().to_string();
    let master = mesos.master.to_string();
    let arguments = ["--state-dir", &state, "--teardown-on-exit", "--blocks", "1", "--json"];
    let mut next = mesos_miner(["scheduler", "--master", &master].iter().chain(&arguments));
    // A block is found by tasks that still mine, and only by those: nothing else was launched.
    let ended = next.wait(LATER);
    assert!(ended.status.success(), "{ended:#?}");
    let summary = Summary::of(&ended);
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_KILLED".into(), 3)]), "{ended:#?}");
    assert!(summary.blocks >= 1, "{summary:?}");
    until("no executor is left", SOON, || executors(&mesos.work_folder()).is_empty().then_some(()));
}

impl Mining {
    /// On a real Mesos, with reports often enough for a test, and a state folder for the next scheduler.
    fn keeping_state() -> Option<Mining> {
        let mesos = MesosBox::start(&peer::mesos()?, 2);
        let master = mesos.master.to_string();
        // Relative to the scheduler's own folder.
        let arguments = ["--state-dir", "state", "--report-interval", "1s", "--json"];
        let scheduler = mesos_miner(["scheduler", "--master", &master].iter().chain(&arguments));
        Some(Mining { scheduler, mesos: Some(mesos) }.ready())
    }
}
