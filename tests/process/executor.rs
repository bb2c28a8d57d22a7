//! The executor under a real agent: all ways to end the executor, and all features of agents that it supports.

mod agents;
mod pause;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mesos::resources::{Quantity, scalar};
use mesos::scheduler::{self, operation};
use mesos::v1::{DurationInfo, ExecutorInfo, KillPolicy, Offer, Resource, TaskInfo, TaskState, TaskStatus};
use task::Report;

use crate::support::framework::{Framework, executor, launch, worker};
use crate::support::mesos_box::MesosBox;
use crate::support::process::{Process, mesos_miner};
use crate::support::process_tree::{Executor, executors};
use crate::support::{DEADLINE, peer, until};

/// A framework on a Mesos cluster with one agent, and a pool for the workers.
pub struct Harness {
    pub framework: Framework,
    pub mesos: MesosBox,
    pub pool: String,
    _pool: Process,
}

impl Harness {
    pub fn new() -> Option<Self> {
        Harness::with_options(&[], true)
    }

    pub fn with_options(options: &[&str], checkpoint: bool) -> Option<Self> {
        let mesos = MesosBox::with_options(&peer::mesos()?, 1, options);
        let framework = Framework::on(mesos.master, checkpoint);
        let mut process =
            mesos_miner(["pool", "--chain", "builtin", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let pool =
            process.wait_for_output(DEADLINE, |line| line.strip_prefix("listening on ").map(str::to_owned));
        Some(Harness { framework, mesos, pool, _pool: process })
    }

    /// Launches a task, and waits until it runs.
    pub fn mining(mut self, id: &str) -> Self {
        let pool = self.pool.clone();
        self.framework.accept(|offer| launch(offer, id, &pool));
        self.framework.until(id, TaskState::TaskRunning);
        self
    }

    pub fn kill(&self, id: &str, policy: Option<KillPolicy>) {
        let agent = self.framework.updates.iter().find_map(|u| u.agent_id.clone());
        self.framework.call(&scheduler::kill(&self.framework.id, id.into(), agent, policy));
    }

    /// Waits until exactly one executor runs, and returns it.
    pub fn executor(&self) -> Executor {
        until("the executor runs", DEADLINE, || match &executors(&self.mesos.work_folder())[..] {
            [one] => Some(one.clone()),
            _ => None,
        })
    }

    /// Waits until no executor is left.
    pub fn ends(&self) {
        until("no executor is left", DEADLINE, || {
            executors(&self.mesos.work_folder()).is_empty().then_some(())
        });
    }
}

fn report(status: &TaskStatus) -> Report {
    Report::decode(status.data.as_deref().expect("a report")).expect("a report")
}

fn hashes(status: &TaskStatus) -> u128 {
    report(status).accounts[0].totals.hashes
}

#[test]
fn a_second_launch_fails_and_the_first_task_goes_on() {
    let Some(harness) = Harness::new() else { return };
    let mut harness = harness.mining("first");
    let pool = harness.pool.clone();
    harness.framework.accept(|offer| {
        let executor = Some(executor(offer, "first"));
        operation::launch(vec![TaskInfo { executor, ..worker(offer, "second", &pool) }])
    });
    let failed = harness.framework.until("second", TaskState::TaskFailed);
    assert!(failed.message().contains("only one task, first"), "{failed:?}");
    assert_eq!(harness.executor().id, "first");
    harness.kill("first", None);
    let killed = harness.framework.until("first", TaskState::TaskKilled);
    assert!(hashes(&killed) > 0, "{killed:?}");
    let states = ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"];
    assert_eq!(harness.framework.states("first"), states);
    harness.ends();
}

#[test]
fn a_group_of_one_mines_and_a_larger_one_fails_whole() {
    let Some(mut harness) = Harness::new() else { return };
    let pool = harness.pool.clone();
    let framework_id = harness.framework.id.clone();
    let group = |id: &'static str, tasks: &'static [&'static str], pool: String| {
        let framework_id = Some(framework_id.clone());
        move |offer: &Offer| {
            let tasks = tasks.iter().map(|task| worker(offer, task, &pool)).collect();
            // Unlike LAUNCH, LAUNCH_GROUP requires disk and the framework id in the ExecutorInfo.
            let mut executor = ExecutorInfo { framework_id, ..executor(offer, id) };
            let allocation_info = executor.resources[0].allocation_info.clone();
            executor.resources.push(Resource { allocation_info, ..scalar("disk", Quantity::whole(1)) });
            operation::launch_group(executor, tasks)
        }
    };
    harness.framework.accept(group("pair", &["left", "right"], pool.clone()));
    for task in ["left", "right"] {
        let failed = harness.framework.until(task, TaskState::TaskFailed);
        assert!(failed.message().contains("not a group of 2"), "{failed:?}");
    }
    harness.ends();
    harness.framework.accept(group("alone", &["one"], pool));
    harness.framework.until("one", TaskState::TaskRunning);
    harness.kill("one", None);
    harness.framework.until("one", TaskState::TaskKilled);
    harness.ends();
}

#[test]
fn a_kill_before_the_start_ends_the_task() {
    let Some(mut harness) = Harness::new() else { return };
    let pool = harness.pool.clone();
    let mut agent = None;
    harness.framework.accept(|offer| {
        agent = Some(offer.agent_id.clone());
        launch(offer, "t", &pool)
    });
    harness.framework.call(&scheduler::kill(&harness.framework.id, "t".into(), agent, None));
    harness.framework.until("t", TaskState::TaskKilled);
    harness.ends();
}

#[test]
fn a_grace_period_is_a_limit_and_not_a_wait() {
    let Some(harness) = Harness::new() else { return };
    let mut harness = harness.mining("t");
    let policy = |seconds: i64| {
        let nanoseconds = seconds * 1_000_000_000;
        Some(KillPolicy { grace_period: Some(DurationInfo { nanoseconds }) })
    };
    // The grace period is a day. If the executor always waited until the grace period is over, the test would exceed its
    // deadline.
    harness.kill("t", policy(24 * 3600));
    assert!(hashes(&harness.framework.until("t", TaskState::TaskKilled)) > 0);
    harness.ends();
    // A grace period of zero: the task cannot send a last report, so the terminal update contains the previous report.
    let mut harness = harness.mining("u");
    harness.kill("u", policy(0));
    let killed = harness.framework.until("u", TaskState::TaskKilled);
    assert!(hashes(&killed) > 0, "{killed:?}");
    harness.ends();
}

#[test]
fn a_shutdown_ends_with_the_last_report() {
    let Some(harness) = Harness::new() else { return };
    let mut harness = harness.mining("t");
    let agent = harness.framework.updates[0].agent_id.clone().expect("an agent");
    harness.framework.call(&scheduler::shutdown(&harness.framework.id, "t".into(), agent));
    // If the agent had killed the executor after the grace period, the state would be TASK_FAILED, without a report.
    let killed = harness.framework.until("t", TaskState::TaskKilled);
    assert!(hashes(&killed) > 0, "{killed:?}");
    harness.ends();
}

#[test]
fn a_specification_of_a_later_version_fails_with_a_reason() {
    let Some(mut harness) = Harness::new() else { return };
    harness.framework.accept(|offer| {
        let mut task = worker(offer, "t", "127.0.0.1:1");
        // The version is the first field of the encoded specification: byte 0 is the field's tag, and byte 1 is its value.
        task.data.as_mut().expect("it has data")[1] = 99;
        operation::launch(vec![TaskInfo { executor: Some(executor(offer, "t")), ..task }])
    });
    let failed = harness.framework.until("t", TaskState::TaskFailed);
    assert!(failed.message().contains("of version 99; this program reads versions 1 to "), "{failed:?}");
    harness.ends();
}

#[test]
fn the_token_authenticates_and_is_removed_from_the_environment() {
    let key = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(key.path(), "a key that signs tokens").expect("written");
    let file = format!("--agent-flag=jwt_secret_key={}", key.path().display());
    let options =
        ["--agent-flag=authenticate_http_executors=true", "--agent-flag=http_authenticators=jwt", &file];
    let Some(harness) = Harness::with_options(&options, true) else { return };
    let mut harness = harness.mining("t");
    assert_eq!(without_token(harness.mesos.master.port() + 1), "HTTP/1.1 401 Unauthorized");
    let executor = harness.executor();
    let environment = fs::read(format!("/proc/{}/environ", executor.process.pid)).expect("it runs");
    let environment = String::from_utf8_lossy(&environment);
    let names: Vec<_> = environment.split('\0').filter_map(|v| Some(v.split_once('=')?.0)).collect();
    assert!(names.contains(&"MESOS_EXECUTOR_ID"), "{names:?}");
    assert!(!names.contains(&"MESOS_EXECUTOR_AUTHENTICATION_TOKEN"), "{names:?}");
    assert!(names.contains(&"MESOS_EXECUTOR_TOKEN_ON_STDIN"), "there was one: {names:?}");
    assert!(executor.process.command.trim_end().ends_with("mesos-miner executor"), "{executor:?}");
    harness.kill("t", None);
    harness.framework.until("t", TaskState::TaskKilled);
    harness.ends();
}

/// Subscribes as an executor without a token. Returns the first line of the agent's response.
fn without_token(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the agent listens");
    let request = "POST /slave(1)/api/v1/executor HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                   Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.lines().next().unwrap_or_default().to_owned()
}

/// A real agent opens its domain socket in its function `main`. mesos-box starts the agent from a `main` of its own, which opens
/// no socket. So this test creates the socket and forwards its connections to the agent.
#[test]
fn the_agents_domain_socket_is_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("agent.sock");
    let location = format!("--agent-flag=domain_socket_location={}", socket.display());
    let options = ["--agent-flag=http_executor_domain_sockets=true", &location];
    let Some(mut harness) = Harness::with_options(&options, true) else { return };
    let taken = lead(&socket, harness.mesos.master.port() + 1);
    harness = harness.mining("t");
    assert!(taken.load(Relaxed) >= 2, "the stream, and calls beside it");
    harness.kill("t", None);
    assert!(hashes(&harness.framework.until("t", TaskState::TaskKilled)) > 0);
    harness.ends();
}

/// Creates a domain socket that forwards connections to a port. Returns a counter of the connections.
fn lead(socket: &Path, port: u16) -> Arc<AtomicUsize> {
    let listener = UnixListener::bind(socket).expect("a free path");
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            counter.fetch_add(1, Relaxed);
            let far = TcpStream::connect(("127.0.0.1", port)).expect("the agent listens");
            let back = (far.try_clone().expect("a copy"), near.try_clone().expect("a copy"));
            std::thread::spawn(move || carry(near, &far, |far| drop(far.shutdown(Shutdown::Write))));
            std::thread::spawn(move || carry(back.0, &back.1, |near| drop(near.shutdown(Shutdown::Write))));
        }
    });
    taken
}

/// Forwards the bytes of one direction until the end of the stream.
fn carry<W>(mut from: impl Read, to: &W, end: impl FnOnce(&W))
where
    for<'a> &'a W: Write,
{
    // Treat a broken connection like a closed one.
    let _ = std::io::copy(&mut from, &mut &*to);
    end(to);
}
