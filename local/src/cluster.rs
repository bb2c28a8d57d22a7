//! The cluster: master and agents with their sockets and processes around them.

mod config;
mod core;
mod effects;
mod faults;
mod message;
mod parts;
mod routes;
mod run;
mod streams;

pub use config::{AgentSize, ClusterConfig};
use core::Core;
use message::{Fault, Message};
use net::ListenError;
use parts::Parts;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

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
    handle: ClusterHandle,
    address: SocketAddr,
    agents: Vec<SocketAddr>,
    task: JoinHandle<()>,
}

impl Cluster {
    /// Starts master and agents. When it returns, they answer.
    ///
    /// # Errors
    /// An address or the work folder can't be used.
    pub async fn start(config: ClusterConfig) -> Result<Self, StartError> {
        let workable = tokio::fs::create_dir_all(&config.work_dir).await;
        let path = config.work_dir.clone();
        workable.map_err(|source| StartError::WorkDir { path, source })?;
        let path = config.work_dir.clone();
        let work_dir =
            config.work_dir.canonicalize().map_err(|source| StartError::WorkDir { path, source })?;
        let config = ClusterConfig { work_dir, ..config };
        let master = bind(&config, 0, "master").await?;
        let mut agents = Vec::new();
        for index in 0..config.agents.len() {
            agents.push(bind(&config, index + 1, &format!("agent {}", index + 1)).await?);
        }
        let address = master.1;
        let addresses = agents.iter().map(|(_, address)| *address).collect();
        let (sender, receiver) = mpsc::unbounded_channel();
        let handle = ClusterHandle { sender };
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
    pub fn handle(&self) -> ClusterHandle {
        self.handle.clone()
    }

    /// Ends all executors (SHUTDOWN, their grace period, SIGKILL), then the rest.
    pub async fn stop(mut self) {
        self.handle.stop(false).await;
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn bind(
    config: &ClusterConfig,
    offset: usize,
    what: &str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let port = match config.port {
        0 => 0,
        first => u16::try_from(offset)
            .ok()
            .and_then(|offset| first.checked_add(offset))
            .ok_or(StartError::Ports { port: first, agents: config.agents.len() })?,
    };
    let address = SocketAddr::new(config.ip, port);
    net::listen(&[address]).await.map_err(|ListenError { source, .. }| StartError::Bind {
        address,
        what: what.to_owned(),
        source,
    })
}

/// Looks into a cluster and disturbs it. Faults take effect in the order in which they are given; after
/// the end of the cluster they do nothing.
#[derive(Clone, Debug)]
pub struct ClusterHandle {
    sender: mpsc::UnboundedSender<Message>,
}

impl ClusterHandle {
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
        self.look(move |parts| Some(parts.has_left(index))).await.unwrap_or(true)
    }

    /// `/master/state`; none after the end of the cluster or while the master is dead.
    pub async fn state(&self) -> Option<serde_json::Value> {
        self.look(|parts| parts.master().map(|master| master.state_json(false))).await
    }

    /// Kills all executors by SIGKILL and ends the cluster.
    pub async fn kill(&self) {
        self.stop(true).await;
    }

    async fn stop(&self, at_once: bool) {
        let (done, wait) = oneshot::channel();
        if self.sender.send(Message::Stop { at_once, done }).is_ok() {
            // An error means that the core has ended already.
            let _ = wait.await;
        }
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Parts) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |parts: &Parts| {
            // Nobody waits any more: then nobody needs it.
            let _ = reply.send(look(parts));
        });
        self.sender.send(Message::Look(look)).ok()?;
        answer.await.ok().flatten()
    }

    fn fault(&self, fault: Fault) {
        // After the end of the cluster there is nothing to disturb.
        let _ = self.sender.send(Message::Fault(fault));
    }
}
