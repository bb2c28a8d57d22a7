//! An accepted offer → `TaskInfo`.
//!
//! Every task has an executor of its own whose id is the task's, so that one task's end cannot touch another. What
//! the task is to do travels in `TaskInfo.data`, which the master's state page does not show; nothing of it is on
//! a command line.

mod image_task;

use std::num::NonZeroU64;
use std::time::Duration;

use mesos::resources::Resources;
use mesos::v1::{
    CommandInfo, ContainerInfo, DiscoveryInfo, DurationInfo, ExecutorInfo, Image, KillPolicy, Port, Ports,
    Resource, TaskInfo, command_info, container_info, discovery_info, executor_info, image,
};
use task::{
    BlockSourceSpec, Intervals, PoolAccess, ProgramSpec, ServerAddress, ServerSpec, TaskSpec, WorkerSpec,
};

pub use self::image_task::{Arguments, ImageTask};
use crate::journal::TaskRecord;
use crate::server_capacity;
use crate::settings::TaskOptions;
use crate::task_id::TaskKind;

/// The executor's file name in the sandbox, when it is fetched.
pub const EXECUTABLE: &str = "mesos-miner";
/// The subcommand that makes the program an executor.
const SUBCOMMAND: &str = "executor";

/// For a server that is killed to hear from its node about the last blocks found.
const SERVER_GRACE: Duration = Duration::from_secs(12);

/// How an agent gets the executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It fetches it.
    Fetch {
        /// From here. If it is named as an archive (`.tar.gz` …), it has the executor at its top, under the name
        /// [`EXECUTABLE`].
        uri: String,
        /// Whether the agent may keep it for others: only if the URI changes with the content.
        cache: bool,
    },
    /// It has it at this path.
    Path(String),
    /// It is a container image's entry point.
    Image {
        /// The image's name.
        image: String,
        /// Who runs the container.
        containerizer: Containerizer,
    },
}

impl Delivery {
    /// Whether agents fetch it from this scheduler. Nobody else's URI changes with the content for sure.
    pub fn is_served_here(&self) -> bool {
        matches!(self, Delivery::Fetch { cache: true, .. })
    }
}

/// Who runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Containerizer {
    /// The Docker daemon of the agent.
    Docker,
    /// The agent itself.
    Mesos,
}

/// A pool to mine at instead of a server task.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalPool {
    /// `[stratum+tcp://]HOST:PORT`.
    pub url: String,
    /// The account there; workers call themselves `USER.TASK`. Without it, `TASK`.
    pub user: Option<String>,
    /// The password there.
    pub password: String,
    /// How to connect there.
    pub access: PoolAccess,
}

impl std::fmt::Debug for ExternalPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalPool")
            .field("url", &self.url)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What server and workers are.
#[derive(Clone, Debug, PartialEq)]
pub struct Programs {
    /// The server.
    pub server: ServerProgram,
    /// The image that workers run; `None`: our own miner.
    pub worker: Option<ImageTask>,
    /// Where our own server keeps its accounts on its agent; `None`: in its sandbox.
    pub data_dir: Option<String>,
}

/// What the server is.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerProgram {
    /// Our pool server under our executor, over this chain.
    Builtin(BlockSourceSpec),
    /// A user's own image under Mesos' own executor.
    Image(ImageTask),
}

impl Programs {
    /// All of it our own, over a chain of the server's own with this wanted time between two blocks.
    pub fn builtin(block_interval: Duration) -> Programs {
        let server = ServerProgram::Builtin(BlockSourceSpec::Builtin { block_interval });
        Programs { server, worker: None, data_dir: None }
    }

    /// Whether tasks of this kind run our own program.
    pub fn is_ours(&self, kind: TaskKind) -> bool {
        match kind {
            TaskKind::Server => matches!(self.server, ServerProgram::Builtin(_)),
            TaskKind::Worker => self.worker.is_none(),
        }
    }

    /// The user's own images.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let server = match &self.server {
            ServerProgram::Image(image) => Some(image),
            ServerProgram::Builtin(_) => None,
        };
        server.into_iter().chain(&self.worker).map(|task| task.image.as_str())
    }
}

impl Default for Programs {
    fn default() -> Programs {
        Programs::builtin(Duration::from_secs(20))
    }
}

/// What all tasks have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskTemplate {
    /// The framework's name; the server is found under it.
    pub name: String,
    /// What each task is given.
    pub options: TaskOptions,
    /// What server and workers are.
    pub programs: Programs,
    /// Where workers mine; `None`: at the server task.
    pub pool: Option<ExternalPool>,
    /// How an agent gets the executor.
    pub delivery: Delivery,
}

impl TaskTemplate {
    /// The shortest intervals.
    pub fn intervals(&self) -> Intervals {
        Intervals::new(self.options.live_interval, self.options.report_interval)
    }

    /// The task of a record; `pool` is the server that a worker is to use, unless there is a pool for all.
    pub fn task(
        &self,
        record: &TaskRecord,
        pool: Option<&ServerAddress>,
        executor: Vec<Resource>,
        resources: Vec<Resource>,
        intervals: Intervals,
    ) -> TaskInfo {
        let info = TaskInfo {
            name: record.id.clone(),
            task_id: record.id.as_str().into(),
            agent_id: record.agent.as_str().into(),
            discovery: record.address.as_ref().map(|address| self.discovery(address)),
            ..TaskInfo::default()
        };
        if let Some(image) = self.image(record.kind) {
            // Mesos' own executor brings its own resources.
            let mut all = Resources::from(resources);
            all.extend(executor);
            return TaskInfo { resources: all.into(), ..image.task(info, record, self.pool_address(pool)) };
        }
        TaskInfo {
            resources,
            executor: Some(self.executor(&record.id, executor)),
            kill_policy: (record.kind == TaskKind::Server).then(|| KillPolicy {
                grace_period: Some(DurationInfo { nanoseconds: SERVER_GRACE.as_nanos() as i64 }),
            }),
            data: Some(self.spec(record, pool, intervals).encode()),
            ..info
        }
    }

    /// The image that tasks of this kind run; `None`: our own program.
    fn image(&self, kind: TaskKind) -> Option<&ImageTask> {
        match (kind, &self.programs.server) {
            (TaskKind::Worker, _) => self.programs.worker.as_ref(),
            (TaskKind::Server, ServerProgram::Image(image)) => Some(image),
            (TaskKind::Server, ServerProgram::Builtin(_)) => None,
        }
    }

    /// Host and port of the pool for all or, without one, of the server.
    fn pool_address(&self, server: Option<&ServerAddress>) -> (String, String) {
        let url = match &self.pool {
            Some(pool) => pool.url.clone(),
            None => server.map(pool_url).unwrap_or_default(),
        };
        let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address);
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        (host.to_owned(), port.to_owned())
    }

    fn executor(&self, id: &str, resources: Vec<Resource>) -> ExecutorInfo {
        let mut info = ExecutorInfo {
            executor_id: id.into(),
            name: Some(id.to_owned()),
            resources,
            ..ExecutorInfo::default()
        };
        info.set_type(executor_info::Type::Custom);
        let mut command = CommandInfo { shell: Some(false), ..CommandInfo::default() };
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
        // With an image the arguments follow its entry point; otherwise the first one is the program's name.
        command.arguments = program.iter().cloned().chain([SUBCOMMAND.to_owned()]).collect();
        command.value = program;
        info.command = Some(command);
        info
    }

    fn spec(&self, record: &TaskRecord, pool: Option<&ServerAddress>, intervals: Intervals) -> TaskSpec {
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
            _ => ProgramSpec::Worker(WorkerSpec {
                pool: match &self.pool {
                    Some(pool) => pool.url.clone(),
                    None => pool.map(pool_url).unwrap_or_default(),
                },
                user: match self.pool.as_ref().and_then(|pool| pool.user.as_ref()) {
                    Some(user) => format!("{user}.{}", record.id),
                    None => record.id.clone(),
                },
                password: self.pool.as_ref().map_or("x", |pool| &pool.password).to_owned(),
                access: self.pool.as_ref().map(|pool| pool.access.clone()).unwrap_or_default(),
                cpus: record.cpus_milli() as f64 / 1000.0,
                backend: self.options.backend.clone(),
            }),
        };
        TaskSpec { intervals, max_updates: Some(staggered(self.options.updates_per_task, &record.id)), kind }
    }

    fn discovery(&self, address: &ServerAddress) -> DiscoveryInfo {
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
            ..DiscoveryInfo::default()
        };
        info.set_visibility(discovery_info::Visibility::Cluster);
        info
    }
}

/// Endings of what Mesos' fetcher unpacks into the sandbox. Not a mere `.gz`: what comes of it cannot be executed.
const ARCHIVES: [&str; 8] = [".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip"];

/// How the fetcher is to bring the executor: an archive is to have it at its top, anything else is it.
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
            // The executor talks to its agent, and the server listens on the agent's ports.
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

/// The limit of one task: up to a tenth lower than `limit`, so that tasks launched together are not renewed together.
///
/// Multiples of the golden ratio's fraction are spread evenly, however many there are.
fn staggered(limit: NonZeroU64, task: &str) -> NonZeroU64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let number: u64 = task.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let fraction = number.wrapping_mul(GOLDEN) >> 32;
    let less = (u128::from(limit.get() / 10) * u128::from(fraction)) >> 32;
    NonZeroU64::new(limit.get() - less as u64).unwrap_or(limit)
}

/// The address as a Stratum URL.
pub fn pool_url(address: &ServerAddress) -> String {
    let ServerAddress { host, stratum_port, .. } = address;
    if host.contains(':') && !host.starts_with('[') {
        format!("stratum+tcp://[{host}]:{stratum_port}")
    } else {
        format!("stratum+tcp://{host}:{stratum_port}")
    }
}

#[cfg(test)]
mod tests;
