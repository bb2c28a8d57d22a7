//! A real ZooKeeper with one server. Its data survive a restart.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use testing::ports::ReservedPorts;

use super::process::{Process, start};
use super::{DEADLINE, LONG_DEADLINE, until};

pub struct ZooKeeper {
    process: Process,
    command: PathBuf,
    port: ReservedPorts,
    data: TempDir,
    heap: &'static str,
}

/// The default size of ZooKeeper's heap, which is enough for tests.
const HEAP: &str = "64m";

impl ZooKeeper {
    /// Starts a ZooKeeper with mesos-box's command, and waits until it responds.
    pub fn start(command: &Path) -> Self {
        ZooKeeper::with_heap(command, HEAP)
    }

    /// Like [`start`](Self::start), but with this heap size, such as `64m`.
    pub fn with_heap(command: &Path, heap: &'static str) -> Self {
        let (port, data) = (ReservedPorts::take(1), tempfile::tempdir().expect("a temporary folder"));
        let process = run(command, port.first(), data.path(), heap);
        let zookeeper = ZooKeeper { process, command: command.to_owned(), port, data, heap };
        zookeeper.until_it_answers();
        zookeeper
    }

    /// The `zk://` address of a path in this ZooKeeper.
    pub fn address(&self, path: &str) -> String {
        format!("zk://127.0.0.1:{}/{path}", self.port.first())
    }

    pub fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait(DEADLINE);
    }

    /// Starts ZooKeeper again with the same data.
    pub fn restart(&mut self) {
        self.process = run(&self.command, self.port.first(), self.data.path(), self.heap);
        self.until_it_answers();
    }

    fn until_it_answers(&self) {
        until("ZooKeeper answers", LONG_DEADLINE, || {
            TcpStream::connect(("127.0.0.1", self.port.first())).ok()
        });
    }
}

fn run(command: &Path, port: u16, data: &Path, heap: &str) -> Process {
    let (port, work) = (format!("--port={port}"), format!("--work-dir={}", data.display()));
    start(command, ["zk", &port, &work, &format!("--heap={heap}")])
}
