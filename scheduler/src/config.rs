//! What the scheduler is to do, complete and checked.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use mesos::masters::Masters;
use mesos::zookeeper::Ensemble;

use crate::master_access::MasterAccess;
use crate::offers::Placement;
use crate::server_size::SERVER_MEM;
use crate::settings::OnServerLoss;
use crate::settings::Settings;
use crate::store::ShareLimits;
use crate::task_info::{Containerizer, Delivery, ExternalPool, Programs, TaskTemplate};

/// How long a master keeps the framework's tasks without a scheduler, where they are meant to outlive it.
const FAILOVER: Duration = Duration::from_secs(7 * 24 * 3600);
/// The same where the only scheduler is to take its tasks with it: long enough for a restart.
const SHORT_FAILOVER: Duration = Duration::from_secs(60);

/// A master carries the messages and updates of all its frameworks.
const LIVE_MESSAGES_PER_SECOND: NonZeroU32 = NonZeroU32::new(500).expect("not zero");
/// Likewise; each of them is stored, too.
const REPORTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(200).expect("not zero");
/// Some 140 million shares of 30 bytes: a week of 200 workers with a share a second each.
const LEDGER_MAX_SIZE: u64 = 4 << 30;

/// Two months of reports, one a minute.
const UPDATES_PER_TASK: u64 = 100_000;

/// What the scheduler is to do. [`Config::new`] has the defaults of a cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// The masters, or where in ZooKeeper to find the one that leads.
    pub master: Masters,
    /// Where several schedulers elect the one that leads, and keep what the next one needs.
    pub zk: Option<Zk>,
    /// Where the framework's id, launch intents and ledger are kept.
    pub state_dir: PathBuf,
    /// How long rows of single shares are kept; totals are kept for ever.
    pub ledger_retention: Duration,
    /// The largest size of the ledger in bytes, beyond which the oldest single shares go; `None` for no limit.
    pub ledger_max_size: Option<u64>,
    /// `FrameworkInfo.name`.
    pub name: String,
    /// The Unix user for the executors.
    pub user: String,
    /// The Mesos role that gets the offers.
    pub role: String,
    /// The credentials for masters, and for `https://` ones, the authorities to trust.
    pub master_access: MasterAccess,
    /// At the end, end all tasks and the framework too; otherwise they go on without the scheduler.
    pub teardown_on_exit: bool,
    /// Ends by itself after this time.
    pub duration: Option<Duration>,
    /// Ends by itself after so many blocks.
    pub blocks: Option<u64>,
    /// Nothing is drawn: standard output is for the summary alone.
    pub quiet: bool,
    /// The address of the HTTP server, if there is one.
    pub http: Option<SocketAddr>,
    /// Keep trying when the master cannot be reached.
    pub retry: bool,
    /// CPUs of the server task.
    pub server_cpus: f64,
    /// Memory of the server task, MB, which decides how many workers it admits.
    pub server_mem: u64,
    /// Where workers mine; `None`: at a server task of our own.
    pub pool: Option<ExternalPool>,
    /// Where tasks may run, and with how much CPU.
    pub placement: Placement,
    /// What becomes of the workers when their server is gone.
    pub on_server_loss: OnServerLoss,
    /// Shortest time between two reports of a task.
    pub report_interval: Duration,
    /// Shortest time between two live messages of a task.
    pub live_interval: Duration,
    /// Live messages of all workers together, each second: with many workers the interval becomes longer.
    pub live_messages_per_second: NonZeroU32,
    /// Reports of all workers together, each second, likewise.
    pub reports_per_second: NonZeroU32,
    /// A task is replaced after so many updates, since agents keep all updates of a live task.
    pub updates_per_task: NonZeroU64,
    /// A running task that sends no live message for so long is replaced.
    pub silence_timeout: Duration,
    /// Wanted time between two shares of a worker.
    pub share_interval: Duration,
    /// What server and workers are.
    pub programs: Programs,
    /// The hash backend of the workers; `None` for the fastest.
    pub backend: Option<String>,
    /// How the executor gets to the agents.
    pub executor: ExecutorSource,
}

impl Config {
    /// The defaults of a cluster, serving `executable` to the agents.
    pub fn new(master: impl Into<Masters>, executable: impl Into<PathBuf>) -> Self {
        Config {
            master: master.into(),
            zk: None,
            state_dir: PathBuf::from("mesos-miner-state"),
            ledger_retention: Duration::from_secs(7 * 24 * 3600),
            ledger_max_size: Some(LEDGER_MAX_SIZE),
            name: "mesos-miner".to_owned(),
            user: "root".to_owned(),
            role: "*".to_owned(),
            master_access: MasterAccess::default(),
            teardown_on_exit: false,
            duration: None,
            blocks: None,
            quiet: false,
            http: None,
            retry: true,
            server_cpus: 1.0,
            server_mem: SERVER_MEM,
            pool: None,
            placement: Placement::default(),
            on_server_loss: OnServerLoss::default(),
            report_interval: Duration::from_secs(60),
            live_interval: Duration::from_secs(5),
            live_messages_per_second: LIVE_MESSAGES_PER_SECOND,
            reports_per_second: REPORTS_PER_SECOND,
            updates_per_task: NonZeroU64::new(UPDATES_PER_TASK).unwrap_or(NonZeroU64::MIN),
            silence_timeout: Duration::from_secs(120),
            share_interval: Duration::from_secs(1),
            programs: Programs::default(),
            backend: None,
            executor: ExecutorSource::Serve { executable: executable.into(), address: None },
        }
    }

    /// What bounds the single shares in the state folder.
    pub fn share_limits(&self) -> ShareLimits {
        ShareLimits { age: self.ledger_retention, size: self.ledger_max_size }
    }

    /// How long the master is to keep the tasks when it does not hear from the scheduler.
    pub fn failover_timeout(&self) -> Duration {
        if self.teardown_on_exit && self.zk.is_none() { SHORT_FAILOVER } else { FAILOVER }
    }

    /// The part that the framework's decisions depend on. `delivery` is how the executor gets to the agents, `remaining` is
    /// what is left of `duration`.
    pub(crate) fn framework_settings(&self, delivery: Delivery, remaining: Option<Duration>) -> Settings {
        Settings {
            template: TaskTemplate {
                name: self.name.clone(),
                report_interval: self.report_interval,
                live_interval: self.live_interval,
                updates_per_task: self.updates_per_task,
                share_interval: self.share_interval,
                programs: self.programs.clone(),
                backend: self.backend.clone(),
                pool: self.pool.clone(),
                delivery,
                server_mem: self.server_mem,
            },
            silence_timeout: self.silence_timeout,
            live_messages_per_second: self.live_messages_per_second,
            reports_per_second: self.reports_per_second,
            server_cpus_milli: (self.server_cpus * 1000.0).round() as u64,
            placement: self.placement.clone(),
            on_server_loss: self.on_server_loss,
            teardown: self.teardown_on_exit,
            duration: remaining,
            blocks: self.blocks,
            seed: rand::random(),
        }
    }
}

/// A place in ZooKeeper that several schedulers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zk {
    /// The servers and the node.
    pub ensemble: Ensemble,
    /// A leader that ZooKeeper does not hear from for so long no longer leads.
    pub session_timeout: Duration,
}

/// How the executor gets to the agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutorSource {
    /// The scheduler serves this file over HTTP.
    Serve {
        /// The file.
        executable: PathBuf,
        /// `HOST[:PORT]` under which the agents reach the scheduler; `None`: the local address of a connection
        /// to the master, and any port.
        address: Option<String>,
    },
    /// The agents fetch it from here.
    Uri(String),
    /// It is at this path on every agent.
    Path(String),
    /// It is the entry point of a container image.
    Image {
        /// The image's name.
        image: String,
        /// Who runs the container.
        containerizer: Containerizer,
    },
}
