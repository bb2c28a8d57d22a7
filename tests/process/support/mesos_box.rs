//! A real Mesos: one master and agents as separate processes.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::process::{Process, start, start_in};
use super::{LATER, SOON, descent, http, until};

/// Ports that a box has for itself: the first 16 for Mesos and its ZooKeeper, then the tasks', from 100 on those of a
/// second master.
const STEP: u16 = 128;

/// A box that is ready; it ends, with everything that it started, when dropped.
pub struct MesosBox {
    /// ZooKeeper, and what was restarted: these go first.
    others: Vec<Process>,
    process: Process,
    command: PathBuf,
    arguments: Vec<String>,
    /// The only master, or the first one.
    pub master: SocketAddr,
    /// Where schedulers find the leading master.
    pub address: String,
}

/// A process of a box that can be killed alone.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Master,
    /// The first agent.
    Agent,
}

impl MesosBox {
    /// Starts a master and `agents` agents of two CPUs each.
    pub fn start(command: &Path, agents: u16) -> MesosBox {
        let port = free_ports(STEP);
        MesosBox::on(port, command, agents, Vec::new(), format!("127.0.0.1:{port}"))
    }

    /// Starts a ZooKeeper, two masters that have it elect one of them, and two agents.
    pub fn elected(command: &Path) -> MesosBox {
        let port = free_ports(STEP);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = format!("--work-dir={}", folder.path().display());
        let zookeeper = start_in(folder, command, ["zk".to_owned(), format!("--port={}", port + 15), work]);
        let address = format!("zk://127.0.0.1:{}/mesos", port + 15);
        let arguments = vec![
            "--masters=2".to_owned(),
            // Either of them is enough for the registry, as the other one will be dead.
            "--quorum=1".to_owned(),
            format!("--zk={address}"),
            "--master-flag=zk_session_timeout=3secs".to_owned(),
        ];
        let mut mesos = MesosBox::on(port, command, 2, arguments, address);
        mesos.others.push(zookeeper);
        mesos
    }

    fn on(port: u16, command: &Path, agents: u16, more: Vec<String>, address: String) -> MesosBox {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = folder.path().join("mesos");
        let mut arguments = vec![
            format!("--port={port}"),
            format!("--agents={agents}"),
            "--cpus=2".to_owned(),
            "--mem=1024".to_owned(),
            // One range for all, since only one server listens at a time, and ports of our own, since all boxes of a
            // machine share its loopback.
            format!("--ports=[{}-{}]", port + 16, port + 99),
            format!("--work-dir={}", work.display()),
            // Its own resources come back to the framework sooner than once a second, and a killed master or agent is
            // missed after four seconds instead of 25.
            "--master-flag=allocation_interval=200ms".to_owned(),
            "--master-flag=agent_ping_timeout=2secs".to_owned(),
            "--master-flag=max_agent_ping_timeouts=2".to_owned(),
        ];
        arguments.extend(more);
        let mut process = start_in(folder, command, std::iter::once(&"up".to_owned()).chain(&arguments));
        process.wait_for_output(LATER, |line| (line == "ready").then_some(()));
        let master = SocketAddr::from(([127, 0, 0, 1], port));
        MesosBox { others: Vec::new(), process, command: command.to_owned(), arguments, master, address }
    }

    /// Kills a part and starts it again with the same command; gives it no time to come up.
    pub fn kill_and_restart(&mut self, part: Part) {
        let key = match part {
            Part::Master => "masters",
            Part::Agent => "agents",
        };
        kill(&self.parts()[key][0]["pid"]);
        let flags = Command::new(&self.command)
            .arg("flags")
            .args(&self.arguments)
            .output()
            .expect("it was run before");
        let commands: Value = serde_json::from_slice(&flags.stdout).expect("the box writes JSON");
        let words: Vec<&str> =
            commands[key][0].as_array().expect("a command").iter().filter_map(Value::as_str).collect();
        self.others.push(start(words[0], &words[1..]));
    }

    /// Kills the master that leads, for good, and gives the address of the other one.
    pub fn kill_leader(&mut self) -> SocketAddr {
        let (leader, other) = self.leader_and_other();
        kill(&leader);
        other
    }

    /// Stops the master that leads in its tracks, with all its connections open, and gives the address of the other.
    pub fn freeze_leader(&mut self) -> SocketAddr {
        let (leader, other) = self.leader_and_other();
        kill_process(pid(&leader), Signal::STOP).expect("it runs");
        other
    }

    /// The number of the leading master's process, and the address of the other master.
    fn leader_and_other(&self) -> (Value, SocketAddr) {
        let leader = self.state()["leader_info"]["port"].as_u64().expect("there is one");
        let parts = self.parts();
        let masters = parts["masters"].as_array().expect("a list");
        let leads = |m: &&Value| m["url"].as_str().is_some_and(|url| url.ends_with(&format!(":{leader}")));
        let number = masters.iter().find(leads).expect("it is one of ours")["pid"].clone();
        let port = self.master.port();
        (number, ([127, 0, 0, 1], if u64::from(port) == leader { port + 100 } else { port }).into())
    }

    /// What the box says of its processes.
    fn parts(&self) -> Value {
        let parts =
            std::fs::read(self.work_folder().join("box.json")).expect("a box that is ready says so there");
        serde_json::from_slice(&parts).expect("the box writes JSON")
    }

    /// The whole state of the master that leads. The other one would only send us there.
    pub fn state(&self) -> Value {
        until("a master leads and answers", LATER, || {
            let second = SocketAddr::from(([127, 0, 0, 1], self.master.port() + 100));
            let masters = [self.master, second];
            masters.into_iter().find_map(|master| http::get_json(master, "/master/state"))
        })
    }

    /// The folder that all sandboxes are below.
    pub fn work_folder(&self) -> PathBuf {
        self.process.folder().join("mesos")
    }
}

fn pid(number: &Value) -> Pid {
    number.as_i64().and_then(|pid| Pid::from_raw(pid as i32)).expect("a number")
}

/// Kills the process of that number and waits until it is gone.
fn kill(number: &Value) {
    let pid = pid(number);
    let identity = descent::identity(pid.as_raw_nonzero().get()).expect("it runs");
    kill_process(pid, Signal::KILL).expect("it runs");
    until("it is gone", SOON, || (!descent::alive(&identity)).then_some(()));
}

impl Drop for MesosBox {
    fn drop(&mut self) {
        self.others.clear();
        // Gently first, so that it sweeps executors up; the process's own end does the rest.
        if self.process.is_running() {
            self.process.signal(Signal::TERM);
            let limit = std::time::Instant::now() + SOON;
            while self.process.is_running() && std::time::Instant::now() < limit {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

/// The first of `count` ports in a row that are free now. Mesos can't be told "any port": the agents' are the master's
/// plus one, two and so on, and what agents offer must be named.
fn free_ports(count: u16) -> u16 {
    /// Boxes of one test binary never try the same ports, not even at the same moment.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Below the ports that the system hands out, so that no other test can be given one in between.
    let start = (std::process::id() % 128) as u16 * STEP;
    let candidates = std::iter::repeat_with(|| 12_000 + (start + NEXT.fetch_add(STEP, Relaxed)) % 19_968);
    let is_free = |first: &u16| (*first..first + count).all(free);
    candidates.take(256).find(is_free).expect("there are free ports")
}
