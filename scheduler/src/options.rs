//! Options of the framework and of its tasks. The command line is parsed directly into these structs, and the code that uses the
//! options gets the same structs, so each option is declared only once.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use clap::builder::BoolishValueParser;
use command_line::{duration, duration_from, whole_number};

use crate::server_address::PinnedAddress;
use crate::server_capacity::{SERVER_MEM, SERVER_MEM_RANGE};

/// The shortest allowed `--failover-timeout`. Even a scheduler that subscribes again at once needs half a second.
const SHORTEST_FAILOVER_TIMEOUT: Duration = Duration::from_secs(1);

/// Options for the framework as a whole.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct FrameworkOptions {
    /// End all tasks and the framework when the scheduler ends; otherwise the tasks keep mining.
    #[arg(long, env = "MINER_TEARDOWN_ON_EXIT", value_parser = BoolishValueParser::new())]
    pub teardown_on_exit: bool,
    /// How long the master keeps the framework and its tasks while no scheduler is connected, such as 1h or 7d. When that time is
    /// over, the master ends all tasks, and the framework's id cannot be used again.
    #[arg(long, value_name = "TIME", env = "MINER_FAILOVER_TIMEOUT", default_value = "7d", value_parser = failover_timeout)]
    pub failover_timeout: Duration,
    /// If the master has removed the framework (an operator tore it down, or its failover timeout was over), begin a new one;
    /// the ledger is kept. Without this, the scheduler ends with status 1 in this case, and so does each restart. A framework
    /// that still exists is resumed.
    #[arg(long, env = "MINER_NEW_FRAMEWORK", value_parser = BoolishValueParser::new())]
    pub new_framework: bool,
    /// End after this time, such as 30s, 5m or 12h [default: never].
    #[arg(long, value_name = "TIME", env = "MINER_DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// End when this many blocks have been accepted, or candidates at an external pool [default: never].
    #[arg(long, value_name = "N", env = "MINER_BLOCKS", value_parser = whole_number::<u64>(1..=u64::MAX))]
    pub blocks: Option<u64>,
    /// What happens to the workers when their server is lost.
    #[arg(long, env = "MINER_ON_SERVER_LOSS", value_enum, default_value = "kill")]
    pub on_server_loss: OnServerLoss,
    /// Maximum live messages per second of all workers together; with many workers, each sends live messages less often.
    #[arg(long, value_name = "N", env = "MINER_LIVE_MESSAGES_PER_SECOND", default_value = "500", value_parser = rate)]
    pub live_messages_per_second: NonZeroU32,
    /// Maximum reports per second of all workers together; with many workers, each reports less often. Blocks are reported
    /// immediately.
    #[arg(long, value_name = "N", env = "MINER_REPORTS_PER_SECOND", default_value = "200", value_parser = rate)]
    pub reports_per_second: NonZeroU32,
    /// Replace a running task that sends no live message for this time, or for three of its intervals if that is longer. Minimum
    /// 30 s. More than 75 s is better, because Mesos agents may need that long to find a restarted master.
    #[arg(long, value_name = "TIME", env = "MINER_SILENCE_TIMEOUT", default_value = "120s", value_parser = duration)]
    pub silence_timeout: Duration,
    /// Replace a task that has not begun to run within this time after its launch. Minimum 10 s. Give more than the agents'
    /// --executor_registration_timeout, in which they fetch and start the executor.
    #[arg(long, value_name = "TIME", env = "MINER_LAUNCH_TIMEOUT", default_value = "15m", value_parser = duration)]
    pub launch_timeout: Duration,
}

impl Default for FrameworkOptions {
    fn default() -> Self {
        Self {
            teardown_on_exit: false,
            failover_timeout: Duration::from_secs(7 * 24 * 3600),
            new_framework: false,
            duration: None,
            blocks: None,
            on_server_loss: OnServerLoss::default(),
            live_messages_per_second: NonZeroU32::new(500).expect("not zero"),
            reports_per_second: NonZeroU32::new(200).expect("not zero"),
            silence_timeout: Duration::from_secs(120),
            launch_timeout: Duration::from_secs(15 * 60),
        }
    }
}

/// Options for each task.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct TaskOptions {
    /// CPUs of the pool server's task.
    #[arg(long, value_name = "CPUS", env = "MINER_SERVER_CPUS", default_value = "1", value_parser = cpus)]
    pub server_cpus: f64,
    /// Memory of the pool server's task, MB. It limits the number of workers: some 16,000 with 256 MB, and 75 more with each
    /// further MB.
    #[arg(long, value_name = "MB", env = "MINER_SERVER_MEM", value_parser = whole_number::<u64>(SERVER_MEM_RANGE))]
    #[arg(default_value_t = SERVER_MEM)]
    pub server_mem: u64,
    /// Connect the workers only to the host name of the server's agent, or only to its IP address. By default, they try the host
    /// name and then the address, but miners of --worker-image try only the host name.
    #[arg(long, value_enum, value_name = "KIND", env = "MINER_SERVER_ADDRESS")]
    pub server_address: Option<PinnedAddress>,
    /// Minimum time between two reports of a task. A shorter time means more reports, and agents store all reports of live
    /// tasks.
    #[arg(long, value_name = "TIME", env = "MINER_REPORT_INTERVAL", default_value = "60s", value_parser = duration)]
    pub report_interval: Duration,
    /// Minimum time between two live messages of a task, which are displayed but never recorded in the ledger.
    #[arg(long, value_name = "TIME", env = "MINER_LIVE_INTERVAL", default_value = "5s", value_parser = duration)]
    pub live_interval: Duration,
    /// Renew a task after this many updates. Minimum 10. The number is up to a tenth lower for some tasks, so that not all tasks
    /// are renewed together.
    #[arg(long, value_name = "N", env = "MINER_UPDATES_PER_TASK", default_value = "100000", value_parser = updates)]
    pub updates_per_task: NonZeroU64,
    /// Target time between two shares of a worker.
    #[arg(long, value_name = "TIME", env = "MINER_SHARE_INTERVAL", default_value = "1s", value_parser = duration)]
    pub share_interval: Duration,
    /// Hash backend of the workers, by its name in `bench` [default: the fastest].
    #[arg(long, env = "MINER_BACKEND")]
    pub backend: Option<String>,
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            server_cpus: 1.0,
            server_mem: SERVER_MEM,
            server_address: None,
            report_interval: Duration::from_secs(60),
            live_interval: Duration::from_secs(5),
            // At one report a minute, a task is renewed after 100,000 minutes, or some two months.
            updates_per_task: NonZeroU64::new(100_000).expect("not zero"),
            share_interval: Duration::from_secs(1),
            backend: None,
        }
    }
}

impl TaskOptions {
    /// The server's CPU, in thousandths.
    pub fn server_cpus_milli(&self) -> u64 {
        (self.server_cpus * 1000.0).round() as u64
    }
}

/// What happens to the workers when their server is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnServerLoss {
    /// Workers are killed, and new ones are launched with the new server.
    #[default]
    Kill,
    /// Workers keep running and are redirected to the new server.
    Repoint,
}

fn failover_timeout(text: &str) -> anyhow::Result<Duration> {
    let timeout = duration_from(SHORTEST_FAILOVER_TIMEOUT)(text);
    timeout.map_err(|error| {
        anyhow!("{error} (the master ends all tasks if no scheduler is connected for this time)")
    })
}

fn rate(text: &str) -> anyhow::Result<NonZeroU32> {
    text.parse().context("write a number of messages per second, at least 1")
}

fn updates(text: &str) -> anyhow::Result<NonZeroU64> {
    let updates: NonZeroU64 = text.parse().context("write a number of updates such as 100000")?;
    ensure!(updates.get() >= 10, "must be at least 10: a task needs some to start and to end");
    Ok(updates)
}

/// Parses the CPUs of one task.
pub(crate) fn cpus(text: &str) -> anyhow::Result<f64> {
    let cpus: f64 = text.parse().context("write a number of CPUs such as 1 or 0.5")?;
    ensure!((0.02..=1024.0).contains(&cpus), "must be from 0.02 to 1024");
    Ok(cpus)
}
