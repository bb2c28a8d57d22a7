//! The measured scheduler: a real process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use testing::ports::ReservedPorts;

use crate::suite::machine::{self, Threads};
use crate::support::process::{Process, start};
use crate::support::{LONG_DEADLINE, http};

/// A build of the program.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The name of the build in the output.
    pub name: String,
    pub path: PathBuf,
}

impl Binary {
    /// Whether the scheduler of this build has an option. Older builds may lack it.
    pub fn has(&self, option: &str) -> bool {
        let help = start(&self.path, ["scheduler", "--help"]).wait(LONG_DEADLINE);
        help.stdout.iter().any(|line| line.trim_start().starts_with(option))
    }
}

/// The path of the executor on simulated agents.
pub const INSTALLED: &str = "/usr/bin/mesos-miner";
/// The option of the scheduler that names the file to serve.
pub const SERVED: &str = "--executor-file";

/// Where agents get the executor from.
#[derive(Clone, Debug)]
pub enum Executor {
    /// The executor is installed on the agents.
    Installed(PathBuf),
    /// The agents fetch this file from the scheduler.
    Served(PathBuf),
}

/// With this option the scheduler ends when its master is gone, so that an interrupted bench leaves no process behind.
pub const ALONE: &str = "--no-retry";

/// A running scheduler. It is ended when dropped.
pub struct Scheduler {
    process: Process,
    _port: ReservedPorts,
    pub http: SocketAddr,
    pub started: Instant,
}

impl Scheduler {
    pub fn start(
        binary: &Binary,
        master: SocketAddr,
        state_dir: &Path,
        executor: &Executor,
        more: &[String],
    ) -> Self {
        let port = ReservedPorts::take(1);
        let http = SocketAddr::from(([127, 0, 0, 1], port.first()));
        let mut arguments: Vec<String> = vec!["scheduler".to_owned()];
        let state_dir = state_dir.display().to_string();
        let executor = match executor {
            Executor::Installed(path) => ("--executor-path", path.display().to_string()),
            Executor::Served(file) => (SERVED, file.display().to_string()),
        };
        for (option, value) in [
            ("--master", master.to_string()),
            ("--state-dir", state_dir),
            ("--http", http.to_string()),
            executor,
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        arguments.extend_from_slice(more);
        Self { process: start(&binary.path, arguments), _port: port, http, started: Instant::now() }
    }

    pub fn id(&self) -> u32 {
        self.process.id().unsigned_abs()
    }

    /// The CPU time so far: of all threads, and of the first thread, which runs the main loop.
    pub fn threads(&self) -> Threads {
        machine::threads(self.id())
    }

    /// The last lines of the scheduler's output; `None` while it runs.
    pub fn last_output(&mut self) -> Option<String> {
        if self.process.is_running() {
            return None;
        }
        let said = self.process.stderr();
        Some(said[said.len().saturating_sub(20)..].join("\n"))
    }

    /// The last line of the scheduler's output.
    pub fn last_line(&self) -> String {
        self.process.stderr().pop().unwrap_or_default()
    }

    /// Sends a GET request. Returns the body and the duration; `None` if there is no response in time.
    pub fn get(&self, path: &str) -> Option<(Vec<u8>, Duration)> {
        let begun = Instant::now();
        let body = http::get(self.http, path).ok()?;
        Some((body, begun.elapsed()))
    }

    /// The value of a metric with this name and label.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (text, _) = self.get("/metrics")?;
        let text = String::from_utf8(text).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// The response to a GET of `/api/v1/summary`.
    pub fn summary(&self) -> Option<Value> {
        serde_json::from_slice(&self.get("/api/v1/summary")?.0).ok()
    }

    /// Ends the scheduler with a signal, and waits for its end.
    pub fn end(mut self, signal: Signal) {
        self.process.signal(signal);
        self.process.wait(LONG_DEADLINE);
    }
}

/// The output of `ledger --json` for a state folder.
pub fn ledger(binary: &Binary, state_dir: &Path) -> Option<Value> {
    let folder = state_dir.display().to_string();
    let ended = start(&binary.path, ["ledger", "--json", "--state-dir", &folder]).wait(LONG_DEADLINE);
    serde_json::from_str(&ended.stdout.join("")).ok()
}
