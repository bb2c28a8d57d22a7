//! The cluster: master and agents with their sockets and processes around them.

mod core;
mod effects;
mod faults;
mod routes;

use crate::agent;
use crate::master;
use crate::resources::Bundle;
use core::{Core, Fault, Message};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// What one agent offers.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSize {
    /// CPUs; fractions are counted in thousandths.
    pub cpus: f64,
    /// Memory in megabytes. Neither it nor the CPUs are enforced.
    pub mem: f64,
    /// Disk in megabytes.
    pub disk: f64,
    /// First and last port.
    pub ports: (u16, u16),
    /// CPUs beside the others that may be taken back at any time; only frameworks that can bear that are offered them.
    pub revocable_cpus: f64,
}

impl AgentSize {
    /// An agent with so many CPUs and megabytes, and a range of 100 ports that differs by `index`.
    pub fn new(index: usize, cpus: f64, mem: f64) -> Self {
        // Below the ports that Linux gives to outgoing connections.
        let first = 31000 + 100 * u16::try_from(index % 14).unwrap_or_default();
        Self { cpus, mem, disk: 1024.0, ports: (first, first + 99), revocable_cpus: 0.0 }
    }
}

/// How a cluster is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where master and agents listen.
    pub ip: IpAddr,
    /// The master's port; the agents take the ports after it. 0: any free ports.
    pub port: u16,
    /// The agents.
    pub agents: Vec<AgentSize>,
    /// Sandboxes are below this folder.
    pub work_dir: PathBuf,
    /// How often free resources are offered.
    pub allocation_interval: Duration,
    /// After this an unanswered offer is rescinded; none: never.
    pub offer_timeout: Option<Duration>,
    /// How long an agent may be away before its tasks are unreachable, and how long it takes an agent to
    /// notice that the master is a new one.
    pub agent_timeout: Duration,
    /// How long an executor may take to subscribe.
    pub registration_timeout: Duration,
    /// How long an executor may take to come back to a restarted agent.
    pub reregistration_timeout: Duration,
    /// From SHUTDOWN to SIGKILL, unless the executor says otherwise.
    pub shutdown_grace: Duration,
    /// How long an executor without an agent goes on. Short, so that none outlives the cluster for long.
    pub recovery_timeout: Duration,
    /// Master and agents are down at first: see [`Handle::start_master`] and [`Handle::start_agent`].
    pub dormant: bool,
}

impl Config {
    /// A cluster on loopback, on any free ports.
    pub fn new(work_dir: PathBuf, agents: Vec<AgentSize>) -> Self {
        Self {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            agents,
            work_dir,
            allocation_interval: Duration::from_secs(1),
            offer_timeout: None,
            agent_timeout: Duration::from_secs(25),
            registration_timeout: Duration::from_secs(60),
            reregistration_timeout: Duration::from_secs(2),
            shutdown_grace: Duration::from_secs(5),
            recovery_timeout: Duration::from_secs(2),
            dormant: false,
        }
    }

    fn master(&self, address: SocketAddr) -> master::Config {
        master::Config {
            address,
            allocation_interval: self.allocation_interval,
            offer_timeout: self.offer_timeout,
            agent_timeout: self.agent_timeout,
        }
    }

    fn agent(&self, index: usize, size: &AgentSize, address: SocketAddr) -> agent::Config {
        let ports = (u64::from(size.ports.0), u64::from(size.ports.1));
        agent::Config {
            hostname: address.ip().to_string(),
            port: address.port(),
            total: Bundle::of_agent(size.cpus, size.mem, size.disk, ports)
                .with_revocable_cpus(size.revocable_cpus),
            work_dir: self.work_dir.join(format!("agent{}", index + 1)),
            registration_timeout: self.registration_timeout,
            reregistration_timeout: self.reregistration_timeout,
            shutdown_grace: self.shutdown_grace,
            recovery_timeout: self.recovery_timeout,
        }
    }
}

/// Why a cluster could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address} for the {what}; choose another --port, or 0 for any free one")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// For whom.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The work folder can't be used.
    #[error("cannot use the work folder {path:?}")]
    WorkDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing to offer.
    #[error("the agents' ports do not fit: --port {port} with {agents} agents goes beyond 65535")]
    Ports {
        /// The master's.
        port: u16,
        /// How many.
        agents: usize,
    },
}

/// A running cluster. Dropping it kills its processes at once; [`Cluster::stop`] is the gentle way.
#[derive(Debug)]
pub struct Cluster {
    handle: Handle,
    address: SocketAddr,
    agents: Vec<SocketAddr>,
    task: JoinHandle<()>,
}

impl Cluster {
    /// Starts master and agents. When it returns, they answer.
    ///
    /// # Errors
    /// An address or the work folder can't be used.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let workable = tokio::fs::create_dir_all(&config.work_dir).await;
        let path = config.work_dir.clone();
        workable.map_err(|source| StartError::WorkDir { path, source })?;
        let path = config.work_dir.clone();
        let work_dir =
            config.work_dir.canonicalize().map_err(|source| StartError::WorkDir { path, source })?;
        let config = Config { work_dir, ..config };
        let master = bind(&config, 0, "master").await?;
        let mut agents = Vec::new();
        for index in 0..config.agents.len() {
            agents.push(bind(&config, index + 1, &format!("agent {}", index + 1)).await?);
        }
        let address = master.1;
        let addresses = agents.iter().map(|(_, address)| *address).collect();
        let (sender, receiver) = mpsc::unbounded_channel();
        let handle = Handle { sender };
        let core = Core::new(config, handle.sender.downgrade(), receiver, master, agents);
        let task = tokio::spawn(core.run());
        Ok(Self { handle, address, agents: addresses, task })
    }

    /// The master's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The agents' addresses.
    pub fn agents(&self) -> &[SocketAddr] {
        &self.agents
    }

    /// To look into it and to disturb it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends all executors (SHUTDOWN, their grace period, SIGKILL), then the rest.
    pub async fn stop(mut self) {
        let (done, wait) = oneshot::channel();
        if self.handle.sender.send(Message::Stop(done)).is_ok() {
            // An error means that the core has ended already.
            let _ = wait.await;
        }
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn bind(config: &Config, offset: usize, what: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let port = match config.port {
        0 => 0,
        first => u16::try_from(offset)
            .ok()
            .and_then(|offset| first.checked_add(offset))
            .ok_or(StartError::Ports { port: first, agents: config.agents.len() })?,
    };
    let address = SocketAddr::new(config.ip, port);
    let failed = |source| StartError::Bind { address, what: what.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Looks into a cluster and disturbs it. Faults take effect in the order in which they are given; after
/// the end of the cluster they do nothing.
#[derive(Clone, Debug)]
pub struct Handle {
    sender: mpsc::UnboundedSender<Message>,
}

impl Handle {
    /// The agent dies like by SIGKILL: connections break, executors go on.
    pub fn kill_agent(&self, index: usize) {
        self.fault(Fault::KillAgent(index));
    }

    /// The agent comes back, with what a checkpointing agent would find on its disk.
    pub fn start_agent(&self, index: usize) {
        self.fault(Fault::StartAgent(index));
    }

    /// The agent leaves for good, as after SIGUSR1: its executors are shut down.
    pub fn stop_agent(&self, index: usize) {
        self.fault(Fault::StopAgent(index));
    }

    /// The master dies like by SIGKILL.
    pub fn kill_master(&self) {
        self.fault(Fault::KillMaster);
    }

    /// A new master at the same address; agents notice it after the agent timeout.
    pub fn start_master(&self) {
        self.fault(Fault::StartMaster);
    }

    /// Takes all outstanding offers back; they come again at the next allocation.
    pub fn rescind_offers(&self) {
        self.fault(Fault::RescindOffers);
    }

    /// From now on every UPDATE is sent twice to schedulers.
    pub fn duplicate_updates(&self, on: bool) {
        self.fault(Fault::DuplicateUpdates(on));
    }

    /// Kills an executor's process group by SIGKILL, as if it had crashed.
    pub fn kill_executor(&self, executor_id: &str) {
        self.fault(Fault::KillExecutor(executor_id.to_owned()));
    }

    /// The agent takes revocable resources back, as Mesos' QoS controller has it do: executors that use any are killed.
    pub fn revoke(&self, index: usize) {
        self.fault(Fault::Revoke(index));
    }

    /// Whether the agent has left for good and none of its executors is left.
    pub async fn has_left(&self, index: usize) -> bool {
        self.look(move |core| Some(core.has_left(index))).await.unwrap_or(true)
    }

    /// `/master/state`; none after the end of the cluster or while the master is dead.
    pub async fn state(&self) -> Option<serde_json::Value> {
        self.look(|core| core.master().map(|master| master.state_json(false))).await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |core: &Core| {
            // Nobody waits any more: then nobody needs it.
            let _ = reply.send(look(core));
        });
        self.sender.send(Message::Look(look)).ok()?;
        answer.await.ok().flatten()
    }

    fn fault(&self, fault: Fault) {
        // After the end of the cluster there is nothing to disturb.
        let _ = self.sender.send(Message::Fault(fault));
    }
}
