//! Child processes of the real binary: `mesos-miner pool` and `mesos-miner mine`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use hasher::{Backend, CALIBRATION_TIME, calibrate};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::suite::machine;

/// Time limit for a started miner to begin mining. The miner exceeds it only if it is broken.
const DEADLINE: Duration = Duration::from_secs(30);

/// The backend of all measurements in this run, so that all figures are about the same search.
pub fn backend() -> Backend {
    static BACKEND: OnceLock<Backend> = OnceLock::new();
    *BACKEND.get_or_init(|| calibrate(CALIBRATION_TIME * 4).choice().rolled)
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesos-miner"));
    command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Ends a child and waits for it.
fn end(child: &mut Child, signal: Signal) {
    if let Ok(pid) = i32::try_from(child.id())
        && let Some(pid) = Pid::from_raw(pid)
    {
        // The process may have ended by itself.
        let _ = kill_process(pid, signal);
    }
    let _ = child.wait();
}

/// `mesos-miner pool` with the built-in chain.
pub struct Pool {
    child: Child,
    /// The pool's Stratum address.
    pub address: String,
}

impl Pool {
    pub fn start() -> Self {
        let mut child =
            binary().args(["pool", "--listen", "127.0.0.1:0"]).spawn().expect("the binary was just built");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("the pool says where it listens");
        let address = line.trim().trim_start_matches("listening on ").to_owned();
        Pool { child, address }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        end(&mut self.child, Signal::TERM);
    }
}

/// The summary of `mine --json`, reduced to the fields that the benches need.
#[derive(Debug, Deserialize)]
pub struct Summary {
    pub hashes: u64,
    pub shares: Shares,
}

#[derive(Debug, Deserialize)]
pub struct Shares {
    pub accepted: u64,
    pub rejected: u64,
    pub stale: u64,
    pub unanswered: u64,
}

/// A running `mesos-miner mine`.
pub struct Miner {
    child: Child,
    /// When the miner was started.
    pub started: Instant,
}

impl Miner {
    /// Starts a miner with `threads` threads.
    pub fn start(address: &str, threads: usize, more: &[&str]) -> Self {
        let started = Instant::now();
        let mut command = binary();
        command.args(["mine", "--json", "-u", "bench", "-o", address, "-t", &threads.to_string()]).args(more);
        Miner { child: command.spawn().expect("the binary was just built"), started }
    }

    /// Like [`Miner::start`], but with the backend of this run. Returns once all threads mine.
    pub fn start_hashing(address: &str, threads: usize) -> Self {
        let miner = Miner::start(address, threads, &["--backend", backend().name()]);
        let all_mine = || {
            let times = machine::mining_threads(miner.id());
            times.len() == threads && times.iter().all(|time| *time > Duration::from_millis(5))
        };
        while !all_mine() {
            assert!(miner.started.elapsed() < DEADLINE, "the miner does not begin to mine");
            std::thread::sleep(Duration::from_millis(5));
        }
        miner
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all mining threads of this miner.
    pub fn mining_time(&self) -> Duration {
        machine::mining_threads(self.id()).iter().sum()
    }

    /// Sends SIGTERM to the miner.
    pub fn interrupt(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).expect("it runs");
        }
    }

    /// Waits until the miner has ended after [`Miner::interrupt`], and returns its summary.
    pub fn summary(mut self) -> Summary {
        let mut text = String::new();
        let mut stdout = self.child.stdout.take().expect("piped");
        stdout.read_to_string(&mut text).expect("the miner's summary");
        let line = text.lines().last().expect("the miner ends with a summary");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is no summary: {error}"))
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        end(&mut self.child, Signal::KILL);
    }
}
