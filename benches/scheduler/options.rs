//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::cluster::{AgentSettings, Settings};
use super::scheduler::Binary;

/// CPU of each agent, thousandths.
const CPUS_MILLI: u64 = 4000;
/// Thousandths of a CPU that the pool server takes.
const SERVER_CPUS_MILLI: u64 = 1000;
/// The least CPU worth a worker, thousandths.
const LEAST_MILLI: u64 = 100;
/// Memory of a worker and of the server, MB.
const WORKER_MEM: u64 = 128;
const SERVER_MEM: u64 = 256;
/// Memory that every agent has left beside its tasks, MB.
const LEFT_MEM: u64 = 512;

/// Measure the scheduler against a simulated Mesos master.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// What cargo adds.
    #[arg(long, hide = true)]
    pub bench: bool,
    /// Check that costs do not grow with the number of agents, and that they are few times that of a bare loop; 1 if not.
    #[arg(long)]
    pub check: bool,
    /// The program to measure, [NAME=]PATH; may be repeated [default: this build].
    #[arg(long, value_name = "PATH", value_parser = binary)]
    pub binary: Vec<Binary>,
    /// Numbers of agents, with commas between.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "100,1000,10000")]
    pub agents: Vec<usize>,
    /// Take only these measurements after the launch; may be repeated.
    #[arg(long, value_name = "NAME", value_enum)]
    pub only: Vec<Measurement>,
    /// How long a steady state is measured, seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub seconds: Duration,
    /// What takes longer than this is given up, seconds.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub limit: Duration,
    /// Each call is answered after so many milliseconds.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = milliseconds)]
    pub delay_ms: Duration,
    /// Updates a second of the measurement `updates`.
    #[arg(long, value_name = "N", default_value = "2000")]
    pub updates_per_second: u32,
    /// Shares in each report [default: one for each second since the last one].
    #[arg(long, value_name = "N")]
    pub rows: Option<u32>,
    /// Attributes of each agent, of which the first is `rack`.
    #[arg(long, value_name = "N", default_value = "3")]
    pub attributes: usize,
    /// Different values of `rack`.
    #[arg(long, value_name = "N", default_value = "50")]
    pub racks: usize,
    /// Offer what is left of an agent without CPU, too, as Mesos does by default.
    #[arg(long)]
    pub leftovers: bool,
    /// Seconds between two allocations of the master.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub allocation_interval: Duration,
    /// The scheduler's --constraint; may be repeated.
    #[arg(long, value_name = "RULE")]
    pub constraint: Vec<String>,
    /// The scheduler's --max-workers.
    #[arg(long, value_name = "N")]
    pub max_workers: Option<usize>,
    /// The scheduler's --cpus-per-worker.
    #[arg(long, value_name = "CPUS")]
    pub cpus_per_worker: Option<f64>,
    /// The scheduler's --live-interval [default: the scheduler's own].
    #[arg(long, value_name = "TIME")]
    pub live_interval: Option<String>,
    /// The scheduler's --report-interval [default: the scheduler's own].
    #[arg(long, value_name = "TIME")]
    pub report_interval: Option<String>,
    /// Where the state folders are made [default: the system's folder for temporary files].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What is measured once all workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Measurement {
    /// Live messages and reports at their intervals, and HTTP.
    Steady,
    /// Many updates a second.
    Updates,
    /// Half of the agents lost and back.
    Agents,
    /// kill -9 and a new start.
    Restart,
    /// All of it, but with the state in ZooKeeper, too.
    Zookeeper,
}

impl Options {
    /// Whether a measurement is wanted.
    pub fn wants(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }

    /// A cluster of so many agents.
    pub fn cluster(&self, agents: usize) -> Settings {
        let mem = SERVER_MEM + LEFT_MEM + WORKER_MEM * self.workers_on(CPUS_MILLI) as u64;
        let (attributes, racks) = (self.attributes, self.racks);
        Settings {
            agents,
            agent: AgentSettings { cpus_milli: CPUS_MILLI, mem, attributes, racks },
            leftovers: self.leftovers,
            allocation_interval: self.allocation_interval,
            rows: self.rows,
        }
    }

    /// How many workers so many agents get.
    pub fn workers(&self, agents: usize) -> usize {
        let beside_server = self.workers_on(CPUS_MILLI - SERVER_CPUS_MILLI);
        let all = agents.saturating_sub(1) * self.workers_on(CPUS_MILLI) + beside_server;
        all.min(self.max_workers.unwrap_or(usize::MAX))
    }

    fn workers_on(&self, cpus_milli: u64) -> usize {
        let most = self.cpus_per_worker.map_or(cpus_milli, |cpus| (cpus * 1000.0) as u64).max(1);
        (cpus_milli / most + u64::from(cpus_milli % most >= LEAST_MILLI)) as usize
    }

    /// The scheduler's options.
    pub fn of_scheduler(&self) -> Vec<String> {
        let mut options = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            options.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        self.constraint.iter().for_each(|rule| add("--constraint", Some(rule.clone())));
        add("--max-workers", self.max_workers.map(|most| most.to_string()));
        add("--cpus-per-worker", self.cpus_per_worker.map(|cpus| cpus.to_string()));
        add("--live-interval", self.live_interval.clone());
        add("--report-interval", self.report_interval.clone());
        options
    }

    /// Where the state folders are made.
    pub fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// What to measure.
    pub fn binaries(&self) -> Vec<Binary> {
        match &self.binary[..] {
            [] => {
                vec![Binary { name: "this build".to_owned(), path: env!("CARGO_BIN_EXE_mesos-miner").into() }]
            }
            given => given.to_vec(),
        }
    }
}

fn binary(text: &str) -> Result<Binary, String> {
    let (name, path) = text.split_once('=').unwrap_or((text, text));
    // Processes begin in folders of their own.
    let path = std::fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(Binary { name: name.to_owned(), path })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "write a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    seconds(text).map(|seconds| seconds / 1000).map_err(|_| "write a number of milliseconds".to_owned())
}
