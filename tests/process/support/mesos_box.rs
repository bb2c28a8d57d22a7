//! A real Mesos: masters and agents as separate processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testing::ports::ReservedPorts;

use super::process::{Process, start, start_in};
use super::{DEADLINE, LONG_DEADLINE, http, process_tree, until};

/// A running Mesos. Dropping it ends all of its processes.
///
/// It uses [`PORTS`] consecutive ports: the first 16 are for Mesos and ZooKeeper, the following ones for tasks. The port of a
/// second master is 100 above that of the first master.
pub struct MesosBox {
    _ports: ReservedPorts,
    /// The processes of ZooKeeper and of restarted members. They are dropped before the other processes.
    others: BTreeMap<Member, Process>,
    /// Processes that were replaced by a restart. They are kept because their folders are still used.
    _ended: Vec<Process>,
    /// The agent that [`add_agent`](Self::add_agent) added, if any. It has a different host name from the other agents.
    added: Option<Box<Process>>,
    process: Process,
    command: PathBuf,
    arguments: Vec<String>,
    /// The address of the only master, or of the first one.
    pub master: SocketAddr,
    /// The address at which schedulers find the leading master.
    pub address: String,
}

/// The number of consecutive ports that one [`MesosBox`] reserves.
const PORTS: u16 = 101;

/// A process of the cluster that can be killed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// The only master, or the first one.
    Master,
    /// The agent with this number, counted from 0.
    Agent(usize),
    /// The ZooKeeper of a cluster with elections.
    Zookeeper,
}

impl MesosBox {
    /// Starts a master and `agents` agents of two CPUs each.
    pub fn start(command: &Path, agents: u16) -> Self {
        MesosBox::with_options(command, agents, &[])
    }

    /// Like [`start`](Self::start), with more arguments for `mesos-box up`.
    pub fn with_options(command: &Path, agents: u16, more: &[&str]) -> Self {
        let ports = ReservedPorts::take(PORTS);
        let more = more.iter().map(|argument| (*argument).to_owned()).collect();
        let address = format!("127.0.0.1:{}", ports.first());
        MesosBox::on(ports, command, agents, more, address)
    }

    /// Starts a ZooKeeper, two masters with leader election, and two agents.
    pub fn elected(command: &Path) -> Self {
        MesosBox::elected_with(command, &["--master-flag=zk_session_timeout=3secs"])
    }

    /// Like [`elected`](Self::elected), with more arguments for `mesos-box up`.
    pub fn elected_with(command: &Path, more: &[&str]) -> Self {
        let ports = ReservedPorts::take(PORTS);
        let port = ports.first();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = format!("--work-dir={}", folder.path().display());
        let zookeeper = start_in(folder, command, ["zk".to_owned(), format!("--port={}", port + 15), work]);
        let address = format!("zk://127.0.0.1:{}/mesos", port + 15);
        let mut arguments = vec![
            "--masters=2".to_owned(),
            // One master must be enough for the registry's quorum, because tests kill the other one.
            "--quorum=1".to_owned(),
            format!("--zk={address}"),
        ];
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let mut mesos = MesosBox::on(ports, command, 2, arguments, address);
        mesos.others.insert(Member::Zookeeper, zookeeper);
        mesos
    }

    fn on(ports: ReservedPorts, command: &Path, agents: u16, more: Vec<String>, address: String) -> Self {
        let port = ports.first();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let work = folder.path().join("mesos");
        let mut arguments = vec![
            format!("--port={port}"),
            format!("--agents={agents}"),
            "--cpus=2".to_owned(),
            "--mem=1024".to_owned(),
            // Each agent offers many ports, because a server may start before the one that it replaces has ended.
            format!("--ports=[{}-{}];[{}-{}]", port + 16, port + 57, port + 58, port + 99),
            format!("--work-dir={}", work.display()),
            // Free resources are offered again after 200 ms instead of a second, and a dead master or agent is noticed after
            // four seconds instead of 25.
            "--master-flag=allocation_interval=200ms".to_owned(),
            "--master-flag=agent_ping_timeout=2secs".to_owned(),
            "--master-flag=max_agent_ping_timeouts=2".to_owned(),
        ];
        arguments.extend(more);
        let mut process = start_in(folder, command, std::iter::once(&"up".to_owned()).chain(&arguments));
        process.wait_for_output(LONG_DEADLINE, |line| (line == "ready").then_some(()));
        let master = SocketAddr::from(([127, 0, 0, 1], port));
        let (others, _ended) = (BTreeMap::new(), Vec::new());
        MesosBox {
            _ports: ports,
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

    /// Kills a member.
    pub fn kill(&self, member: Member) {
        kill(self.pid(member));
    }

    /// Starts a killed member again with the same command. Does not wait until the member is ready.
    pub fn restart(&mut self, member: Member) {
        let process = match member {
            Member::Zookeeper => {
                let folder = self.others[&member].folder().display();
                let port = self.master.port() + 15;
                start(&self.command, ["zk", &format!("--port={port}"), &format!("--work-dir={folder}")])
            }
            _ => {
                let (kind, number) = member.key();
                let commands = self.commands(&[]);
                let words = commands[kind][number].as_array().expect("a command").iter();
                let words: Vec<&str> = words.filter_map(Value::as_str).collect();
                start(words[0], &words[1..])
            }
        };
        // Keep the replaced process, because it owns the folder that the new process works in.
        self._ended.extend(self.others.insert(member, process));
    }

    /// Freezes a member. Its connections stay open.
    pub fn freeze(&self, member: Member) {
        kill_process(self.pid(member), Signal::STOP).expect("it runs");
    }

    /// Lets a frozen member continue.
    pub fn thaw(&self, member: Member) {
        kill_process(self.pid(member), Signal::CONT).expect("it is there");
    }

    fn pid(&self, member: Member) -> Pid {
        match self.others.get(&member) {
            Some(process) => Pid::from_raw(process.id()).expect("not 0"),
            None => {
                let (kind, number) = member.key();
                pid(&self.parts()[kind][number]["pid"])
            }
        }
    }

    /// Adds a second agent with another host name. Does not wait until the agent is ready. If such an agent was added before,
    /// first waits for its end.
    pub fn add_agent(&mut self, hostname: &str) {
        self.add_changed_agent("--hostname=", hostname);
    }

    /// Starts a second agent with the given value of an option, for example `--resources=`, that the first agent has, too.
    pub fn add_changed_agent(&mut self, option: &str, value: &str) {
        if let Some(mut before) = self.added.take() {
            before.wait(DEADLINE);
        }
        let words = self.commands(&["--agents=2"])["agents"][1].clone();
        let words = words.as_array().expect("a command").iter().filter_map(Value::as_str);
        let words: Vec<String> = words
            .map(|word| match word.starts_with(option) {
                true => format!("{option}{value}"),
                false => word.to_owned(),
            })
            .collect();
        self.added = Some(Box::new(start(&words[0], &words[1..])));
    }

    /// The commands of the processes that `mesos-box up` would start if it also got the arguments in `more`.
    fn commands(&self, more: &[&str]) -> Value {
        let mut command = Command::new(&self.command);
        let flags =
            command.arg("flags").args(&self.arguments).args(more).output().expect("it was run before");
        serde_json::from_slice(&flags.stdout).expect("the box writes JSON")
    }

    /// Kills the leading master. Returns the address of the other master.
    pub fn kill_leader(&mut self) -> SocketAddr {
        let (leader, other) = self.leader_and_other();
        kill(pid(&leader));
        other
    }

    /// Freezes the leading master. Its connections stay open. Returns the address of the other master.
    pub fn freeze_leader(&mut self) -> SocketAddr {
        let (leader, other) = self.leader_and_other();
        kill_process(pid(&leader), Signal::STOP).expect("it runs");
        other
    }

    /// Kills ZooKeeper and waits until the leading master has ended itself. Returns the address of the other master.
    pub fn lose_zookeeper(&mut self) -> SocketAddr {
        let (leader, other) = self.leader_and_other();
        let leader = process_tree::identity(pid(&leader).as_raw_nonzero().get()).expect("it runs");
        self.kill(Member::Zookeeper);
        gone(&leader);
        other
    }

    /// The process id of the leading master, and the address of the other master.
    fn leader_and_other(&self) -> (Value, SocketAddr) {
        let leader = self.state()["leader_info"]["port"].as_u64().expect("there is one");
        let parts = self.parts();
        let masters = parts["masters"].as_array().expect("a list");
        let leads = |m: &&Value| m["url"].as_str().is_some_and(|url| url.ends_with(&format!(":{leader}")));
        let number = masters.iter().find(leads).expect("it is one of ours")["pid"].clone();
        let port = self.master.port();
        (number, ([127, 0, 0, 1], if u64::from(port) == leader { port + 100 } else { port }).into())
    }

    /// The process id of the first agent.
    pub fn agent(&self) -> i32 {
        self.pid(Member::Agent(0)).as_raw_nonzero().get()
    }

    /// The list of processes that `mesos-box up` has written to `box.json`.
    fn parts(&self) -> Value {
        let parts =
            std::fs::read(self.work_folder().join("box.json")).expect("a box that is ready says so there");
        serde_json::from_slice(&parts).expect("the box writes JSON")
    }

    /// The state of the leading master. (Another master would only redirect the request.)
    pub fn state(&self) -> Value {
        until("a master leads and answers", LONG_DEADLINE, || {
            let second = SocketAddr::from(([127, 0, 0, 1], self.master.port() + 100));
            let masters = [self.master, second];
            masters.into_iter().find_map(|master| http::get_json(master, "/master/state"))
        })
    }

    /// The folder that contains all sandboxes.
    pub fn work_folder(&self) -> PathBuf {
        self.process.folder().join("mesos")
    }
}

impl Member {
    /// The member's place in `box.json`: the name of a list, and the index in this list.
    fn key(self) -> (&'static str, usize) {
        match self {
            Member::Master => ("masters", 0),
            Member::Agent(number) => ("agents", number),
            Member::Zookeeper => panic!("it is not the box's own"),
        }
    }
}

fn pid(number: &Value) -> Pid {
    number.as_i64().and_then(|pid| Pid::from_raw(pid as i32)).expect("a number")
}

/// Kills a process and waits until it is gone.
fn kill(pid: Pid) {
    let identity = process_tree::identity(pid.as_raw_nonzero().get()).expect("it runs");
    kill_process(pid, Signal::KILL).expect("it runs");
    gone(&identity);
}

fn gone(process: &process_tree::ProcessIdentity) {
    until("it is gone", DEADLINE, || (!process_tree::alive(process)).then_some(()));
}

impl Drop for MesosBox {
    fn drop(&mut self) {
        self.others.clear();
        self.added = None;
        // Send SIGTERM first, so that Mesos ends its executors. Dropping the process kills it if necessary.
        if self.process.is_running() {
            self.process.signal(Signal::TERM);
            let limit = std::time::Instant::now() + DEADLINE;
            while self.process.is_running() && std::time::Instant::now() < limit {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}
