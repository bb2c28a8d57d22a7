//! The pool and the miners as two processes, each pinned to its own cores.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::suite::machine::{cpus, resident};

/// Starts a process on `cores`. A child inherits the CPU affinity of the thread that starts it.
fn start(mut command: Command, cores: impl Iterator<Item = usize> + Send + 'static) -> Child {
    let start = move || {
        let mut set = CpuSet::new();
        cores.for_each(|core| set.set(core));
        sched_setaffinity(None, &set).expect("the cores are there");
        command.spawn().expect("it starts")
    };
    std::thread::spawn(start).join().expect("it starts")
}

fn lines(child: &mut Child) -> std::io::Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().expect("a pipe")).lines()
}

/// `mesos-miner pool` with the built-in chain, on the first core.
pub struct Pool {
    child: Child,
    data: tempfile::TempDir,
    pub address: String,
    /// The address of its HTTP server.
    pub http: String,
}

impl Pool {
    pub fn start(options: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-miner"));
        command.args(["pool", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"]);
        command.arg(data.path()).args(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).env("RUST_LOG", "warn");
        let mut child = start(command, 0..1);
        let mut said = lines(&mut child);
        let mut after = |words: &str| {
            let line = said.next().expect("it says where it listens").expect("text");
            line.strip_prefix(words).expect("an address").to_owned()
        };
        let (http, address) = (after("HTTP on http://"), after("listening on "));
        Pool { child, data, address, http }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The answer to a GET, with its head, and how long it took.
    pub fn get(&self, path: &str) -> (String, Duration) {
        let start = Instant::now();
        let mut stream = TcpStream::connect(&self.http).expect("it listens");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        (answer, start.elapsed())
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        resident(self.id()).all
    }

    /// Ends the pool. Returns the number of accepted shares in its database.
    pub fn end(mut self) -> u64 {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        assert!(self.child.wait().expect("it ends").success());
        accepted(self.data.path())
    }
}

fn accepted(data: &Path) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-miner"));
    let output = command.args(["accounts", "--json", "--data-dir"]).arg(data).output().expect("it starts");
    let books: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = books["workers"].as_array().expect("workers").iter().map(|worker| worker["rows"].as_u64());
    let rows: u64 = rows.map(|rows| rows.expect("a number")).sum();
    assert_eq!(books["totals"]["shares"]["accepted"], rows);
    rows
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A second process of this program that simulates miners, on all cores except the first.
pub struct Miners {
    child: Child,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Miners {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(crate::PLAY_MINERS).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = start(command, 1.min(cpus() - 1)..cpus());
        let (stdin, lines) = (child.stdin.take().expect("a pipe"), lines(&mut child));
        Miners { child, stdin, lines }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the miners have failed").expect("text")
    }

    pub fn wait_for(&mut self, wanted: &str) {
        assert_eq!(self.line(), wanted);
    }

    /// Starts the measurement.
    pub fn go(&mut self) {
        writeln!(self.stdin, "go").expect("they read");
    }

    /// Reads the measured times of one round, in milliseconds.
    pub fn numbers(&mut self) -> Vec<f64> {
        self.line().split_whitespace().map(|number| number.parse().expect("a number")).collect()
    }

    /// Ends the miners.
    pub fn end(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Miners {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
