//! A real Mesos: one master and agents as separate processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::ports::{self, STEP};
use super::process::{Process, start, start_in};
use super::{LATER, SOON, descent, http, until};

/// A box that is ready; it ends, with everything that it started, when dropped.
///
/// It has ports for itself: the first 16 for Mesos and its ZooKeeper, then the tasks', from 100 on those of a second
/// master.
pub struct MesosBox {
    /// ZooKeeper, and what was restarted: these go first.
    others: BTreeMap<Part, Process>,
    /// Of what was restarted, those before the last.
    _ended: Vec<Process>,
    /// The agent under a host name of its own.
    added: Option<Box<Process>>,
    process: Process,
    command: PathBuf,
    arguments: Vec<String>,
    /// The only master, or the first one.
    pub master: SocketAddr,
    /// Where schedulers find the leading master.
    pub address: String,
}

/// A process of a box that can be killed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The only master, or the first one.
    Master,
    /// The agent of this number, from 0.
    Agent(usize),
    /// Of a box with elections.
    Zookeeper,
}

impl MesosBox {
    /// Starts a master and `agents` agents of two CPUs each.
    pub fn start(command: &Path, agents: u16) -> MesosBox {
        MesosBox::with_options(command, agents, &[])
    }

    /// As [`start`](Self::start), with more arguments for `mesos-box up`.
    pub fn with_options(command: &Path, agents: u16, more: &[&str]) -> MesosBox {
        let port = ports::free(STEP);
        let more = more.iter().map(|argument| (*argument).to_owned()).collect();
        MesosBox::on(port, command, agents, more, format!("127.0.0.1:{port}"))
    }

    /// Starts a ZooKeeper, two masters that have it elect one of them, and two agents.
    pub fn elected(command: &Path) -> MesosBox {
        MesosBox::elected_with(command, &["--master-flag=zk_session_timeout=3secs"])
    }

    /// The same with more arguments for `mesos-box up`.
    pub fn elected_with(command: &Path, more: &[&str]) -> MesosBox {
        let port = ports::free(STEP);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = format!("--work-dir={}", folder.path().display());
        let zookeeper = start_in(folder, command, ["zk".to_owned(), format!("--port={}", port + 15), work]);
        let address = format!("zk://127.0.0.1:{}/mesos", port + 15);
        let mut arguments = vec![
            "--masters=2".to_owned(),
            // Either of them is enough for the registry, as the other one will be dead.
            "--quorum=1".to_owned(),
            format!("--zk={address}"),
        ];
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let mut mesos = MesosBox::on(port, command, 2, arguments, address);
        mesos.others.insert(Part::Zookeeper, zookeeper);
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
            // Ports of our own, since all boxes of a machine share its loopback, and of each agent's own, since a
            // server may listen before the one that it replaces has ended.
            format!("--ports=[{}-{}];[{}-{}]", port + 16, port + 57, port + 58, port + 99),
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
        let (others, _ended) = (BTreeMap::new(), Vec::new());
        MesosBox {
            others,
            added: None,
            _ended,
            process,
            command: command.to_owned(),
            arguments,
            master,
            address,
        }
    }

    /// Kills a part.
    pub fn kill(&self, part: Part) {
        kill(self.pid(part));
    }

    /// Starts a part that was killed, with the same command; gives it no time to come up.
    pub fn restart(&mut self, part: Part) {
        let process = match part {
            Part::Zookeeper => {
                let folder = self.others[&part].folder().display();
                let port = self.master.port() + 15;
                start(&self.command, ["zk", &format!("--port={port}"), &format!("--work-dir={folder}")])
            }
            _ => {
                let (kind, number) = part.key();
                let commands = self.commands(&[]);
                let words = commands[kind][number].as_array().expect("a command").iter();
                let words: Vec<&str> = words.filter_map(Value::as_str).collect();
                start(words[0], &words[1..])
            }
        };
        // What it replaces owns the folder that it works in.
        self._ended.extend(self.others.insert(part, process));
    }

    /// Stops a part in its tracks, with all its connections open.
    pub fn freeze(&self, part: Part) {
        kill_process(self.pid(part), Signal::STOP).expect("it runs");
    }

    /// Has it go on.
    pub fn thaw(&self, part: Part) {
        kill_process(self.pid(part), Signal::CONT).expect("it is there");
    }

    fn pid(&self, part: Part) -> Pid {
        match self.others.get(&part) {
            Some(process) => Pid::from_raw(process.id()).expect("not 0"),
            None => {
                let (kind, number) = part.key();
                pid(&self.parts()[kind][number]["pid"])
            }
        }
    }

    /// Adds an agent under a host name of its own, the second after one that the box has; gives it no time to come up.
    /// One that was added before is about to end, and is started again then.
    pub fn add_agent(&mut self, hostname: &str) {
        if let Some(mut before) = self.added.take() {
            before.wait(SOON);
        }
        let words = self.commands(&["--agents=2"])["agents"][1].clone();
        let words = words.as_array().expect("a command").iter().filter_map(Value::as_str);
        let words: Vec<String> = words
            .map(|word| match word.starts_with("--hostname=") {
                true => format!("--hostname={hostname}"),
                false => word.to_owned(),
            })
            .collect();
        self.added = Some(Box::new(start(&words[0], &words[1..])));
    }

    /// The commands of the box's processes, if it was started with `more` at the end.
    fn commands(&self, more: &[&str]) -> Value {
        let mut command = Command::new(&self.command);
        let flags =
            command.arg("flags").args(&self.arguments).args(more).output().expect("it was run before");
        serde_json::from_slice(&flags.stdout).expect("the box writes JSON")
    }

    /// Kills the master that leads, for good, and gives the address of the other one.
    pub fn kill_leader(&mut self) -> SocketAddr {
        let (leader, other) = self.leader_and_other();
        kill(pid(&leader));
        other
    }

    /// Stops the master that leads in its tracks, with all its connections open, and gives the address of the other.
    pub fn freeze_leader(&mut self) -> SocketAddr {
        let (leader, other) = self.leader_and_other();
        kill_process(pid(&leader), Signal::STOP).expect("it runs");
        other
    }

    /// Kills ZooKeeper and waits until the master that leads has ended itself; gives the address of the other.
    pub fn lose_zookeeper(&mut self) -> SocketAddr {
        let (leader, other) = self.leader_and_other();
        let leader = descent::identity(pid(&leader).as_raw_nonzero().get()).expect("it runs");
        self.kill(Part::Zookeeper);
        gone(&leader);
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

    /// The number of the first agent's process.
    pub fn agent(&self) -> i32 {
        self.pid(Part::Agent(0)).as_raw_nonzero().get()
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

impl Part {
    /// Where the box lists it.
    fn key(self) -> (&'static str, usize) {
        match self {
            Part::Master => ("masters", 0),
            Part::Agent(number) => ("agents", number),
            Part::Zookeeper => panic!("it is not the box's own"),
        }
    }
}

fn pid(number: &Value) -> Pid {
    number.as_i64().and_then(|pid| Pid::from_raw(pid as i32)).expect("a number")
}

/// Kills the process of that number and waits until it is gone.
fn kill(pid: Pid) {
    let identity = descent::identity(pid.as_raw_nonzero().get()).expect("it runs");
    kill_process(pid, Signal::KILL).expect("it runs");
    gone(&identity);
}

fn gone(process: &descent::Identity) {
    until("it is gone", SOON, || (!descent::alive(process)).then_some(()));
}

impl Drop for MesosBox {
    fn drop(&mut self) {
        self.others.clear();
        self.added = None;
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
