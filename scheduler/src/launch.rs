//! An accepted offer → `TaskInfo`.
//!
//! Every task has an executor of its own whose id is the task's, so that one task's end can't touch another. What
//! the task is to do travels in `TaskInfo.data`, which the master's state page does not show; nothing of it is on
//! a command line.

use std::time::Duration;

use mesos::v1::{
    CommandInfo, ContainerInfo, DiscoveryInfo, ExecutorInfo, Image, Port, Ports, Resource, TaskInfo,
    command_info, container_info, discovery_info, executor_info, image,
};
use task::{Chain, ServerAddress, ServerSpec, TaskKind, TaskSpec, WorkerSpec};

use crate::kind::Kind;
use crate::record::TaskRecord;

/// The executor's file name in the sandbox, when it is fetched.
pub const EXECUTABLE: &str = "mesos-miner";
/// The subcommand that makes the program an executor.
const SUBCOMMAND: &str = "executor";

/// How an agent gets the executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It fetches it.
    Fetch {
        /// From here.
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
pub struct Pool {
    /// `[stratum+tcp://]HOST:PORT`.
    pub url: String,
    /// The account there; workers call themselves `USER.TASK`. Without it, `TASK`.
    pub user: Option<String>,
    /// The password there.
    pub password: String,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

/// What all tasks have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The framework's name; the server is found under it.
    pub name: String,
    /// Shortest time between two reports.
    pub report_interval: Duration,
    /// Time between two live messages.
    pub live_interval: Duration,
    /// Wanted time between two shares of a worker.
    pub share_interval: Duration,
    /// Wanted time between two blocks.
    pub block_interval: Duration,
    /// The workers' hash backend.
    pub backend: Option<String>,
    /// Where workers mine; `None`: at the server task.
    pub pool: Option<Pool>,
    /// How an agent gets the executor.
    pub delivery: Delivery,
}

impl Template {
    /// The task of a record; `pool` is the server that a worker is to use, unless there is a pool for all.
    pub fn task(
        &self,
        record: &TaskRecord,
        pool: Option<&ServerAddress>,
        executor: Vec<Resource>,
        resources: Vec<Resource>,
    ) -> TaskInfo {
        TaskInfo {
            name: record.id.clone(),
            task_id: record.id.as_str().into(),
            agent_id: record.agent.as_str().into(),
            resources,
            executor: Some(self.executor(&record.id, executor)),
            data: Some(self.spec(record, pool).encode()),
            discovery: record.address.as_ref().map(|address| self.discovery(address)),
            ..TaskInfo::default()
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
        let mut command = CommandInfo { shell: Some(false), ..CommandInfo::default() };
        let program = match &self.delivery {
            Delivery::Fetch { uri, cache } => {
                command.uris.push(command_info::Uri {
                    value: uri.clone(),
                    executable: Some(true),
                    extract: Some(false),
                    cache: Some(*cache),
                    output_file: Some(EXECUTABLE.to_owned()),
                });
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

    fn spec(&self, record: &TaskRecord, pool: Option<&ServerAddress>) -> TaskSpec {
        let kind = match (record.kind, &record.address) {
            (Kind::Server, Some(address)) => TaskKind::Server(ServerSpec {
                host: address.host.clone(),
                stratum_port: address.stratum_port,
                http_port: address.http_port,
                share_interval: self.share_interval,
                chain: Chain::Builtin { block_interval: self.block_interval },
            }),
            _ => TaskKind::Worker(WorkerSpec {
                pool: match &self.pool {
                    Some(pool) => pool.url.clone(),
                    None => pool.map(pool_url).unwrap_or_default(),
                },
                user: match self.pool.as_ref().and_then(|pool| pool.user.as_ref()) {
                    Some(user) => format!("{user}.{}", record.id),
                    None => record.id.clone(),
                },
                password: self.pool.as_ref().map_or("x", |pool| &pool.password).to_owned(),
                cpus: record.cpus_milli as f64 / 1000.0,
                backend: self.backend.clone(),
            }),
        };
        TaskSpec { report_interval: self.report_interval, live_interval: self.live_interval, kind }
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
mod tests {
    use super::*;

    fn template(delivery: Delivery) -> Template {
        Template {
            name: "mesos-miner".into(),
            report_interval: Duration::from_secs(60),
            live_interval: Duration::from_secs(5),
            share_interval: Duration::from_secs(1),
            block_interval: Duration::from_secs(20),
            backend: None,
            pool: None,
            delivery,
        }
    }

    fn worker() -> TaskRecord {
        TaskRecord {
            id: "miner-worker-2".into(),
            kind: Kind::Worker,
            agent: "a".into(),
            host: "h".into(),
            server: Some("miner-server-1".into()),
            cpus_milli: 1900,
            address: None,
            attributes: Default::default(),
            state: None,
            closed: false,
        }
    }

    #[test]
    fn a_fetched_executor_runs_from_the_sandbox_and_nothing_but_its_role_is_on_the_command_line() {
        let uri = "http://h:1/abc/mesos-miner".to_owned();
        let address = ServerAddress { host: "fe80::1".into(), stratum_port: 3333, http_port: 3334 };
        let info = template(Delivery::Fetch { uri: uri.clone(), cache: true }).task(
            &worker(),
            Some(&address),
            vec![],
            vec![],
        );
        let executor = info.executor.unwrap();
        assert_eq!(executor.executor_id.value, info.task_id.value);
        let command = executor.command.unwrap();
        assert_eq!(command.value.as_deref(), Some("./mesos-miner"));
        assert_eq!(command.arguments, ["./mesos-miner", "executor"]);
        assert_eq!(command.shell, Some(false));
        assert_eq!(command.uris[0].value, uri);
        assert_eq!(command.uris[0].executable, Some(true));
        let spec = TaskSpec::decode(&info.data.unwrap()).unwrap();
        let TaskKind::Worker(worker) = spec.kind else { panic!("{spec:?}") };
        assert_eq!(worker.pool, "stratum+tcp://[fe80::1]:3333");
        assert_eq!((worker.user.as_str(), worker.cpus), ("miner-worker-2", 1.9));
    }

    #[test]
    fn a_server_says_where_it_listens() {
        let address = ServerAddress { host: "h".into(), stratum_port: 31001, http_port: 31000 };
        let record = TaskRecord { kind: Kind::Server, server: None, address: Some(address), ..worker() };
        let info = template(Delivery::Path("/opt/m".into())).task(&record, None, vec![], vec![]);
        let ports = info.discovery.unwrap().ports.unwrap().ports;
        let ports: Vec<_> = ports.iter().map(|port| (port.number, port.name.as_deref())).collect();
        assert_eq!(ports, [(31000, Some("http")), (31001, Some("stratum"))]);
        let command = info.executor.unwrap().command.unwrap();
        assert_eq!((command.value.as_deref(), command.uris.len()), (Some("/opt/m"), 0));
        let spec = TaskSpec::decode(&info.data.unwrap()).unwrap();
        assert!(matches!(
            spec.kind,
            TaskKind::Server(ServerSpec { stratum_port: 31001, http_port: 31000, .. })
        ));
    }

    #[test]
    fn at_a_pool_workers_have_an_account() {
        let spec = |user: Option<&str>| {
            let user = user.map(str::to_owned);
            let pool = Pool { url: "stratum+tcp://pool:3333".into(), user, password: "s3cret".into() };
            assert!(!format!("{pool:?}").contains("s3cret"));
            let template = Template { pool: Some(pool), ..template(Delivery::Path("/opt/m".into())) };
            let info = template.task(&worker(), None, vec![], vec![]);
            let TaskKind::Worker(spec) = TaskSpec::decode(&info.data.unwrap()).unwrap().kind else {
                panic!()
            };
            spec
        };
        let named = spec(Some("bc1q"));
        assert_eq!(
            (named.pool.as_str(), named.user.as_str()),
            ("stratum+tcp://pool:3333", "bc1q.miner-worker-2")
        );
        assert_eq!((named.password.as_str(), spec(None).user.as_str()), ("s3cret", "miner-worker-2"));
    }

    #[test]
    fn an_image_brings_its_own_entry_point() {
        for containerizer in [Containerizer::Docker, Containerizer::Mesos] {
            let delivery = Delivery::Image { image: "miner:1".into(), containerizer };
            let executor = template(delivery).task(&worker(), None, vec![], vec![]).executor.unwrap();
            let command = executor.command.unwrap();
            assert_eq!((command.value, command.arguments), (None, vec!["executor".to_owned()]));
            let container = executor.container.unwrap();
            assert_eq!(container.docker.is_some(), containerizer == Containerizer::Docker);
            assert_eq!(container.mesos.is_some(), containerizer == Containerizer::Mesos);
        }
    }
}
