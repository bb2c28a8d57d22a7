//! Builds the `TaskInfo` of a launch.
//!
//! Each task has an executor of its own with the same id, so that the end of one task cannot affect another. The specification is
//! in `TaskInfo.data`, which the master's state page does not show. No part of the specification is on a command line.

mod image_task;

use std::num::NonZeroU64;
use std::time::Duration;

use command_line::CookieFiles;
use mesos::resources::Resources;
use mesos::v1::{
    CommandInfo, ContainerInfo, DiscoveryInfo, DurationInfo, ExecutorInfo, Image, KillPolicy, Label, Labels,
    Port, Ports, Resource, TaskInfo, command_info, container_info, discovery_info, executor_info, image,
};
use task::{
    BlockSourceSpec, Intervals, NodeAccess, PoolAccess, ProgramSpec, ServerAddress, ServerSpec, TaskSpec,
    WorkerSpec,
};

pub use self::image_task::{Arguments, ImageTask};
use crate::journal::TaskRecord;
use crate::options::TaskOptions;
use crate::server_address::{self, PoolUrls};
use crate::server_capacity;
use crate::task_id::TaskKind;

/// The file name that a fetched executor has in the sandbox.
pub const EXECUTABLE: &str = "mesos-miner";
/// The argument with which this program runs as the executor.
const SUBCOMMAND: &str = "executor";

/// The time that a server task has, after KILL, to end by itself. In this time, its Bitcoin node may still accept or reject the
/// last blocks.
const SERVER_GRACE: Duration = Duration::from_secs(12);

/// How an agent gets the executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The agent fetches the executor.
    Fetch {
        /// The URI of the executor, or of an archive (`.tar.gz` …) with the executor at its top level under the name
        /// [`EXECUTABLE`].
        uri: String,
        /// Whether the agent may keep the file in its fetcher cache. In this case the URI must change with the content.
        cache: bool,
    },
    /// The agent has the executor at this path.
    Path(String),
    /// The executor is the entry point of a container image.
    Image {
        /// The image's name.
        image: String,
        /// The program that runs the container.
        containerizer: Containerizer,
    },
}

impl Delivery {
    /// Whether agents fetch the executor from this scheduler. If so, agents may cache it, because the scheduler's URI changes
    /// whenever the executor changes.
    pub fn is_served_here(&self) -> bool {
        matches!(self, Delivery::Fetch { cache: true, .. })
    }
}

/// The program that runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Containerizer {
    /// The Docker daemon of the agent.
    Docker,
    /// The agent itself (Mesos' own containerizer).
    Mesos,
}

/// An external pool, at which workers mine instead of at a server task.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
pub struct ExternalPool {
    /// The pool's URL: `[stratum+tcp://]HOST:PORT` or `stratum+ssl://HOST:PORT`.
    pub url: String,
    /// The account at the pool. Workers have the user name `USER.TASK`, or `TASK` without an account.
    pub user: Option<String>,
    /// The password at the pool.
    #[debug(skip)]
    pub password: String,
    /// How workers connect to the pool.
    #[debug(skip)]
    pub access: PoolAccess,
}

/// The programs that tasks run.
#[derive(Clone, Debug, PartialEq)]
pub struct Programs {
    /// The program of the server.
    pub server: ServerProgram,
    /// The image that workers run; `None` for our own miner.
    pub worker: Option<ImageTask>,
    /// The folder on the server's agent in which our own server keeps its accounts and found blocks; `None` for a folder in the
    /// server's sandbox.
    pub data_dir: Option<String>,
    /// The cookie files of the server's Bitcoin nodes. The source of blocks has their content as it was last read.
    pub cookies: CookieFiles,
}

/// The program that the server runs.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerProgram {
    /// Our pool server under our executor, with this source of blocks.
    Builtin(BlockSourceSpec),
    /// A user's own image under Mesos' own executor.
    Image(ImageTask),
}

impl Programs {
    /// Our own programs, with a built-in chain whose target time between two blocks is `block_interval`.
    pub fn builtin(block_interval: Duration) -> Self {
        let server = ServerProgram::Builtin(BlockSourceSpec::Builtin { block_interval });
        Self { server, worker: None, data_dir: None, cookies: CookieFiles::default() }
    }

    /// The Bitcoin nodes of our own server; empty if it has another source of blocks.
    pub fn nodes(&self) -> &[NodeAccess] {
        match &self.server {
            ServerProgram::Builtin(BlockSourceSpec::Node(spec)) => &spec.nodes,
            _ => &[],
        }
    }

    /// Servers that are launched from now on get these nodes.
    pub fn set_nodes(&mut self, nodes: Vec<NodeAccess>) {
        if let ServerProgram::Builtin(BlockSourceSpec::Node(spec)) = &mut self.server {
            spec.nodes = nodes;
        }
    }

    /// Whether tasks of this kind run our own program.
    pub fn is_ours(&self, kind: TaskKind) -> bool {
        self.image(kind).is_none()
    }

    /// The image that tasks of this kind run; `None` for our own program.
    fn image(&self, kind: TaskKind) -> Option<&ImageTask> {
        match (kind, &self.server) {
            (TaskKind::Worker, _) => self.worker.as_ref(),
            (TaskKind::Server, ServerProgram::Image(image)) => Some(image),
            (TaskKind::Server, ServerProgram::Builtin(_)) => None,
        }
    }

    /// The user's own images.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let images = [TaskKind::Server, TaskKind::Worker].into_iter().filter_map(|kind| self.image(kind));
        images.map(|task| task.image.as_str())
    }
}

impl Default for Programs {
    fn default() -> Self {
        Self::builtin(Duration::from_secs(20))
    }
}

/// What all tasks have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskTemplate {
    /// The framework's name, under which service discovery finds the server.
    pub name: String,
    /// The Unix user of the executors. Each task names this user. Otherwise, Mesos would use the user of the framework's first
    /// subscription, even if a later subscription named another one.
    pub user: String,
    /// The Mesos role whose resources the tasks get.
    pub role: String,
    /// The options for each task.
    pub options: TaskOptions,
    /// The programs that tasks run.
    pub programs: Programs,
    /// The external pool at which workers mine; `None` if they mine at the server task.
    pub pool: Option<ExternalPool>,
    /// How an agent gets the executor.
    pub delivery: Delivery,
}

impl TaskTemplate {
    /// The shortest intervals between live messages and between reports.
    pub fn intervals(&self) -> Intervals {
        Intervals::new(self.options.live_interval, self.options.report_interval)
    }

    /// The `TaskInfo` for a record. `server` is the record of a worker's server, unless there is an external pool.
    pub fn task(
        &self,
        record: &TaskRecord,
        server: Option<&TaskRecord>,
        executor: Vec<Resource>,
        resources: Vec<Resource>,
        intervals: Intervals,
    ) -> TaskInfo {
        let info = TaskInfo {
            name: record.id.clone(),
            task_id: record.id.as_str().into(),
            agent_id: record.agent.as_str().into(),
            discovery: record.address.as_ref().map(|address| self.discovery(record, address)),
            ..TaskInfo::default()
        };
        if let Some(image) = self.programs.image(record.kind) {
            // Mesos' own executor takes no resources from the offers, so the task also takes those that are planned for the
            // executor.
            let mut all = Resources::from(resources);
            all.extend(executor);
            return TaskInfo {
                resources: all.into(),
                ..image.task(info, record, &self.user, &self.pool_urls(server).pool)
            };
        }
        TaskInfo {
            resources,
            executor: Some(self.executor(&record.id, executor)),
            kill_policy: (record.kind == TaskKind::Server).then(|| KillPolicy {
                grace_period: Some(DurationInfo { nanoseconds: SERVER_GRACE.as_nanos() as i64 }),
            }),
            data: Some(self.spec(record, server, intervals).encode()),
            ..info
        }
    }

    /// The URLs of the external pool or, without one, of the server.
    fn pool_urls(&self, server: Option<&TaskRecord>) -> PoolUrls {
        match &self.pool {
            Some(pool) => PoolUrls { pool: pool.url.clone(), alternatives: Vec::new() },
            None => server
                .and_then(|server| server_address::pool_urls(server, self.options.server_address))
                .unwrap_or_default(),
        }
    }

    fn executor(&self, id: &str, resources: Vec<Resource>) -> ExecutorInfo {
        let mut info = ExecutorInfo {
            executor_id: id.into(),
            name: Some(id.to_owned()),
            resources,
            ..ExecutorInfo::default()
        };
        info.set_type(executor_info::Type::Custom);
        let mut command =
            CommandInfo { shell: Some(false), user: Some(self.user.clone()), ..CommandInfo::default() };
        let program = match &self.delivery {
            Delivery::Fetch { uri, cache } => {
                command.uris.push(fetched(uri, *cache));
                Some(format!("./{EXECUTABLE}"))
            }
            Delivery::Path(path) => Some(path.clone()),
            Delivery::Image { image, containerizer } => {
                info.container = Some(container(image, *containerizer));
                None
            }
        };
        // In an image, the arguments follow the entry point. Without an image, the first argument must be the program's own name
        // (`argv[0]`).
        command.arguments = program.iter().cloned().chain([SUBCOMMAND.to_owned()]).collect();
        command.value = program;
        info.command = Some(command);
        info
    }

    fn spec(&self, record: &TaskRecord, server: Option<&TaskRecord>, intervals: Intervals) -> TaskSpec {
        let kind = match (&self.programs.server, &record.address) {
            (ServerProgram::Builtin(block_source), Some(address)) if record.kind == TaskKind::Server => {
                ProgramSpec::Server(ServerSpec {
                    host: address.host.clone(),
                    stratum_port: address.stratum_port,
                    http_port: address.http_port,
                    share_interval: self.options.share_interval,
                    block_source: block_source.clone(),
                    data_dir: self.programs.data_dir.clone(),
                    max_connections: Some(server_capacity::connections(self.options.server_mem)),
                })
            }
            _ => ProgramSpec::Worker(self.worker_spec(record, self.pool_urls(server))),
        };
        TaskSpec { intervals, max_updates: Some(staggered(self.options.updates_per_task, &record.id)), kind }
    }

    fn worker_spec(&self, record: &TaskRecord, PoolUrls { pool, alternatives }: PoolUrls) -> WorkerSpec {
        WorkerSpec {
            pool,
            alternatives,
            user: match self.pool.as_ref().and_then(|pool| pool.user.as_ref()) {
                Some(user) => format!("{user}.{}", record.id),
                None => record.id.clone(),
            },
            password: self.pool.as_ref().map_or("x", |pool| &pool.password).to_owned(),
            access: self.pool.as_ref().map(|pool| pool.access.clone()).unwrap_or_default(),
            cpus: record.cpus_milli() as f64 / 1000.0,
            backend: self.options.backend.clone(),
        }
    }

    /// What service discovery learns of a server. DiscoveryInfo has no field for addresses, so a label lists them, with the best
    /// address first. Mesos-DNS does not need this label: it takes the agent's IP address from the master's state or from the
    /// task's status.
    fn discovery(&self, record: &TaskRecord, address: &ServerAddress) -> DiscoveryInfo {
        let url = record.agent_url.as_deref();
        let hosts = server_address::hosts(&record.host, url, self.options.server_address);
        let addresses = Label { key: "addresses".to_owned(), value: Some(hosts.join(",")) };
        let port = |number: u16, name: &str| Port {
            number: number.into(),
            name: Some(name.to_owned()),
            protocol: Some("tcp".to_owned()),
            ..Port::default()
        };
        let ports = vec![port(address.http_port, "http"), port(address.stratum_port, "stratum")];
        let mut info = DiscoveryInfo {
            name: Some(self.name.clone()),
            ports: Some(Ports { ports }),
            labels: Some(Labels { labels: vec![addresses] }),
            ..DiscoveryInfo::default()
        };
        info.set_visibility(discovery_info::Visibility::Cluster);
        info
    }
}

/// The file name extensions of archives that Mesos' fetcher unpacks. `.gz` is not among them: a `.gz` file stores no file mode,
/// so the unpacked file would not be executable.
const ARCHIVES: [&str; 8] = [".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip"];

/// How the fetcher gets the executor. A file that is not an archive is the executor itself.
fn fetched(uri: &str, cache: bool) -> command_info::Uri {
    let archive = ARCHIVES.iter().any(|ending| uri.ends_with(ending));
    command_info::Uri {
        value: uri.to_owned(),
        executable: Some(!archive),
        extract: Some(archive),
        cache: Some(cache),
        output_file: (!archive).then(|| EXECUTABLE.to_owned()),
    }
}

fn container(image: &str, containerizer: Containerizer) -> ContainerInfo {
    let mut info = ContainerInfo::default();
    match containerizer {
        Containerizer::Docker => {
            info.set_type(container_info::Type::Docker);
            let mut docker = container_info::DockerInfo { image: image.to_owned(), ..Default::default() };
            // The executor connects to its agent, and the server listens on ports of the agent.
            docker.set_network(container_info::docker_info::Network::Host);
            info.docker = Some(docker);
        }
        Containerizer::Mesos => {
            info.set_type(container_info::Type::Mesos);
            let docker = image::Docker { name: image.to_owned(), ..Default::default() };
            let mut image = Image { docker: Some(docker), ..Image::default() };
            image.set_type(image::Type::Docker);
            info.mesos = Some(container_info::MesosInfo { image: Some(image) });
        }
    }
    info
}

/// Maximum number of updates for one task: up to a tenth lower than `limit`, so that tasks that were launched together are not
/// replaced together. The fractional parts of multiples of the golden ratio spread evenly over this range for any number of
/// tasks.
fn staggered(limit: NonZeroU64, task: &str) -> NonZeroU64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let number: u64 = task.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let fraction = number.wrapping_mul(GOLDEN) >> 32;
    let less = (u128::from(limit.get() / 10) * u128::from(fraction)) >> 32;
    NonZeroU64::new(limit.get() - less as u64).unwrap_or(limit)
}

#[cfg(test)]
mod tests;
