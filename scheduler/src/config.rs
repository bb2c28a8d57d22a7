//! The complete and checked configuration of a scheduler.

use std::path::PathBuf;
use std::time::Duration;

use command_line::HttpSettings;
use mesos::masters::Masters;

use crate::agent_access::AgentAccess;
use crate::artifact::ArtifactAddress;
pub use crate::election::ZkConfig;
use crate::master_access::MasterAccess;
use crate::offers::Placement;
use crate::options::{FrameworkOptions, TaskOptions};
use crate::settings::Settings;
use crate::store::ShareLimits;
use crate::task_info::{Delivery, ExternalPool, Programs, TaskTemplate};

/// By default, single shares are kept for a week, and take at most 4 GiB. That is room for some 140 million shares of 30 bytes;
/// 200 workers that each find one share per second find 121 million in a week.
const SHARE_LIMITS: ShareLimits =
    ShareLimits { age: Duration::from_secs(7 * 24 * 3600), size: Some(4 << 30) };

/// The configuration of a scheduler. [`Config::new`] returns the defaults for a cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// The masters, or the path in ZooKeeper at which to find the leading master.
    pub master: Masters,
    /// Where several schedulers hold their election and share their state, if there are several.
    pub zk: Option<ZkConfig>,
    /// The folder for the framework's id, the records of its tasks, and the ledger.
    pub state_dir: PathBuf,
    /// How long single shares are kept, and how much space they may take.
    pub share_limits: ShareLimits,
    /// `FrameworkInfo.name`.
    pub name: String,
    /// The Unix user of the executors.
    pub user: String,
    /// The Mesos role that gets the offers.
    pub role: String,
    /// The credentials for masters, and the authorities to trust for `https://` masters.
    pub master_access: MasterAccess,
    /// The credentials for agents, from which the standard error of executors that do not run is read.
    pub agent_access: AgentAccess,
    /// If true, the framework's state is not displayed, and only the summary is written to standard output.
    pub quiet: bool,
    /// Where and how the HTTP API is served, if it is.
    pub http: Option<HttpSettings>,
    /// Where figures are sent, if they are.
    pub graphite: Option<graphite::Settings>,
    /// Whether the metrics have every worker and every host.
    pub metrics_per_worker: bool,
    /// The address of the HTTP API for a browser, which Mesos' page of frameworks links to; `None`: it is made of the address of
    /// the HTTP server, if other machines can reach that.
    pub webui_url: Option<String>,
    /// Whether to keep trying when the master or ZooKeeper cannot be reached.
    pub retry: bool,
    /// Whether the cluster was started together with this scheduler. If so, a removed framework is replaced by a new one even
    /// without `--new-framework`.
    pub new_cluster: bool,
    /// The settings of the framework as a whole.
    pub framework: FrameworkOptions,
    /// The resources and settings of each task.
    pub task: TaskOptions,
    /// Where tasks may run, and with how much CPU.
    pub placement: Placement,
    /// What the server and the workers run.
    pub programs: Programs,
    /// The pool at which workers mine; `None`: they mine at a server task.
    pub pool: Option<ExternalPool>,
    /// Where the agents get the executor.
    pub executor: ExecutorSource,
}

impl Config {
    /// The defaults for a cluster, with `executable` served to the agents.
    pub fn new(master: impl Into<Masters>, executable: impl Into<PathBuf>) -> Self {
        Self {
            master: master.into(),
            zk: None,
            state_dir: PathBuf::from("mesos-miner-state"),
            share_limits: SHARE_LIMITS,
            name: "mesos-miner".to_owned(),
            user: "root".to_owned(),
            role: "*".to_owned(),
            master_access: MasterAccess::default(),
            agent_access: AgentAccess::default(),
            quiet: false,
            http: None,
            graphite: None,
            metrics_per_worker: false,
            webui_url: None,
            retry: true,
            new_cluster: false,
            framework: FrameworkOptions::default(),
            task: TaskOptions::default(),
            placement: Placement::default(),
            programs: Programs::default(),
            pool: None,
            executor: ExecutorSource::Serve {
                executable: executable.into(),
                address: ArtifactAddress::default(),
            },
        }
    }

    /// The settings on which the framework's decisions depend. `delivery` is how agents get the executor, and `remaining` is the
    /// time left of `duration`.
    pub(crate) fn framework_settings(&self, delivery: Delivery, remaining: Option<Duration>) -> Settings {
        Settings {
            template: TaskTemplate {
                name: self.name.clone(),
                user: self.user.clone(),
                role: self.role.clone(),
                options: self.task.clone(),
                programs: self.programs.clone(),
                pool: self.pool.clone(),
                delivery,
            },
            options: FrameworkOptions { duration: remaining, ..self.framework.clone() },
            placement: self.placement.clone(),
            seed: rand::random(),
        }
    }
}

/// Where the agents get the executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutorSource {
    /// The scheduler serves this file over HTTP.
    Serve {
        /// The file to serve.
        executable: PathBuf,
        /// The address to listen on, and the address from which agents fetch the file.
        address: ArtifactAddress,
    },
    /// The user provides the executor; agents get it in this way.
    Provided(Delivery),
}
