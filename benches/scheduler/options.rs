//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::cluster::{AgentSettings, FetchSettings, Settings};
use super::scheduler::Binary;

/// The CPUs of each agent, in thousandths.
const CPUS_MILLI: u64 = 4000;
/// The CPUs of the pool server, in thousandths.
const SERVER_CPUS_MILLI: u64 = 1000;
/// The minimum CPUs of a worker, in thousandths.
const LEAST_MILLI: u64 = 100;
/// The memory of a worker, in MB.
const WORKER_MEM: u64 = 128;
/// The scheduler's default of --server-mem in MB, and the number of workers that this memory allows.
const SERVER_MEM: u64 = 256;
const WORKERS_OF_SERVER_MEM: usize = 14_000;
/// The memory that remains free on each agent when its tasks run, in MB.
const LEFT_MEM: u64 = 512;

/// Measure the scheduler against a simulated Mesos master.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Ignored: cargo adds this option.
    #[arg(long, hide = true)]
    pub bench: bool,
    /// Check that costs have an upper bound and do not grow with the number of agents; exit with 1 if not.
    #[arg(long)]
    pub check: bool,
    /// The program to measure, [NAME=]PATH; may be repeated [default: this build].
    #[arg(long, value_name = "PATH", value_parser = binary)]
    pub binary: Vec<Binary>,
    /// Numbers of agents, separated by commas.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "100,1000,10000")]
    pub agents: Vec<usize>,
    /// Take only these measurements after the launch; may be repeated.
    #[arg(long, value_name = "NAME", value_enum)]
    pub only: Vec<Measurement>,
    /// Duration of each measurement of a steady state, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub seconds: Duration,
    /// Time limit of each phase, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub limit: Duration,
    /// Round-trip time to the master, in milliseconds.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = milliseconds)]
    pub delay_ms: Duration,
    /// Updates per second in the measurement `updates`.
    #[arg(long, value_name = "N", default_value = "2000")]
    pub updates_per_second: u32,
    /// Number of shares in each report [default: one for each second since the last report].
    #[arg(long, value_name = "N")]
    pub rows: Option<u32>,
    /// Number of attributes of each agent; the first one is `rack`.
    #[arg(long, value_name = "N", default_value = "3")]
    pub attributes: usize,
    /// Number of different values of `rack`.
    #[arg(long, value_name = "N", default_value = "50")]
    pub racks: usize,
    /// Offer the rest of an agent's resources even if no CPU is left. Mesos offers it by default.
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
    /// The scheduler's --server-mem, in MB [default: as much as the workers need].
    #[arg(long, value_name = "MB")]
    pub server_mem: Option<u64>,
    /// Measure resident memory again this many seconds after the burst.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub memory_after: Duration,
    /// Prolong the steady state by this many minutes, and measure the growth of resident memory.
    #[arg(long, value_name = "MINUTES", default_value = "0")]
    pub growth: u32,
    /// Number of agents that fetch the executor, independent of --agents.
    #[arg(long, value_name = "N", default_value = "300")]
    pub fetch_agents: usize,
    /// Size of the fetched file, in MB; it should be several times the size of the buffers of a loopback connection.
    #[arg(long, value_name = "MB", default_value = "8")]
    pub fetch_size: f64,
    /// Bandwidth of all agents together, in MB per second.
    #[arg(long, value_name = "MB", default_value = "27")]
    pub fetch_rate: f64,
    /// A task fails if its agent has not fetched the executor within this many seconds; the default is that of Mesos.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub registration_timeout: Duration,
    /// Compare a real Mesos and the simulated one, both with --agents agents.
    #[arg(long, conflicts_with_all = ["check", "only"])]
    pub real_mesos: bool,
    /// Folder for the state folders [default: the system's folder for temporary files].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A measurement that follows once all workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Measurement {
    /// All tasks send their periodic messages and reports, and the scheduler answers HTTP requests.
    Steady,
    /// Many updates per second.
    Updates,
    /// Half of the agents are lost and return.
    Agents,
    /// The scheduler's resident memory a minute after the burst of launches, and how it grows.
    Memory,
    /// The scheduler is killed with `kill -9` and started again.
    Restart,
    /// Launches that differ from the plain launch in the offers, the placement rules, or the distance to the master.
    Variants,
    /// All workers are launched on agents that first have to fetch the executor.
    Fetch,
    /// The scheduler keeps its state in ZooKeeper: all workers are launched, many updates arrive, and the scheduler is restarted.
    Zookeeper,
}

impl Options {
    /// Whether a measurement was selected.
    pub fn wants(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }

    /// The settings of a cluster with this many agents.
    pub fn cluster(&self, agents: usize) -> Settings {
        let workers_mem = WORKER_MEM * self.workers_on(CPUS_MILLI) as u64;
        let mem = self.server_mem_for(agents) + LEFT_MEM + workers_mem;
        let (attributes, racks) = (self.attributes, self.racks);
        Settings {
            agents,
            agent: AgentSettings { cpus_milli: CPUS_MILLI, mem, attributes, racks },
            leftovers: self.leftovers,
            allocation_interval: self.allocation_interval,
            rows: self.rows,
            fetch: FetchSettings {
                bytes_per_second: self.fetch_rate * 1e6,
                registration_timeout: self.registration_timeout,
            },
        }
    }

    /// The number of workers on this many agents.
    pub fn workers(&self, agents: usize) -> usize {
        let beside_server = self.workers_on(CPUS_MILLI - SERVER_CPUS_MILLI);
        let all = agents.saturating_sub(1) * self.workers_on(CPUS_MILLI) + beside_server;
        all.min(self.max_workers.unwrap_or(usize::MAX))
    }

    fn workers_on(&self, cpus_milli: u64) -> usize {
        let most = self.cpus_per_worker.map_or(cpus_milli, |cpus| (cpus * 1000.0) as u64).max(1);
        (cpus_milli / most + u64::from(cpus_milli % most >= LEAST_MILLI)) as usize
    }

    /// The scheduler's options for a cluster of this many agents, without addresses, folders and the executor.
    pub fn of_scheduler(&self, binary: &Binary, agents: usize) -> Vec<String> {
        let mut options = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            options.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        self.constraint.iter().for_each(|rule| add("--constraint", Some(rule.clone())));
        add("--max-workers", self.max_workers.map(|most| most.to_string()));
        add("--cpus-per-worker", self.cpus_per_worker.map(|cpus| cpus.to_string()));
        add("--live-interval", self.live_interval.clone());
        add("--report-interval", self.report_interval.clone());
        let server_mem = self.server_mem_for(agents);
        let is_needed = server_mem != SERVER_MEM && (self.server_mem.is_some() || binary.has("--server-mem"));
        add("--server-mem", is_needed.then(|| server_mem.to_string()));
        options
    }

    /// The memory of the server task in MB. It grows with the number of workers that the server admits.
    fn server_mem_for(&self, agents: usize) -> u64 {
        let times = self.workers(agents).div_ceil(WORKERS_OF_SERVER_MEM).max(1).next_power_of_two();
        self.server_mem.unwrap_or(SERVER_MEM * times as u64)
    }

    /// The folder in which the state folders are created.
    pub fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// The binaries to measure.
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
    // Resolve relative paths now, because each process starts in its own folder.
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
