//! The cluster: master and agents, with their sockets and processes.

mod config;
mod core;
mod message;
mod routes;
mod streams;

pub use config::{AgentSize, ClusterConfig};

use crate::http::Server;
use crate::{agent, master};
use core::Core;
use message::{MemberEvent, Message};
use net::ListenError;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Why a cluster cannot be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address is in use, or does not belong to this machine.
    #[error("cannot listen on {address} for the {member}; choose another --port, or 0 for any free one")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The member that should listen on the address.
        member: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The work folder cannot be used.
    #[error("cannot use the work folder {path:?}")]
    WorkDir {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The agents' ports would exceed the highest possible port, 65535.
    #[error("the agents' ports do not fit: --port {port} with {agents} agents goes beyond 65535")]
    Ports {
        /// The master's port.
        port: u16,
        /// The number of agents.
        agents: usize,
    },
}

/// A running cluster. Dropping it kills its processes immediately; [`Cluster::stop`] shuts them down first.
#[derive(Debug)]
pub struct Cluster {
    handle: ClusterHandle,
    address: SocketAddr,
    agents: Vec<SocketAddr>,
    core: AbortOnDropHandle<()>,
    _servers: Vec<Server>,
}

impl Cluster {
    /// Starts master and agents. Both answer requests once this function returns.
    ///
    /// # Errors
    /// If an address or the work folder cannot be used.
    pub async fn start(config: ClusterConfig) -> Result<Self, StartError> {
        let work_dir = prepare(&config.work_dir).map_err(|source| {
            let path = config.work_dir.clone();
            StartError::WorkDir { path, source }
        })?;
        let config = ClusterConfig { work_dir, ..config };
        let (listener, address) = listen(&config, 0, "master").await?;
        let mut listeners = Vec::new();
        for index in 0..config.agents.len() {
            listeners.push(listen(&config, index + 1, &format!("agent {}", index + 1)).await?);
        }
        let agents: Vec<SocketAddr> = listeners.iter().map(|(_, address)| *address).collect();
        let master = master::Config {
            id: Uuid::new_v4().to_string(),
            address,
            allocation_interval: config.allocation_interval,
            offer_timeout: config.offer_timeout,
        };
        let agent_configs: Vec<agent::Config> = agents
            .iter()
            .enumerate()
            .map(|(index, address)| config.agent(index, &master.id, *address))
            .collect();
        let (sender, receiver) = mpsc::unbounded_channel();
        let weak = sender.downgrade();
        let core = Core::new(master, agent_configs, weak.clone(), receiver);
        let core = AbortOnDropHandle::new(tokio::spawn(core.run()));
        let to_master = weak.clone();
        let mut servers =
            vec![Server::start(listener, move |request| routes::master(request, to_master.clone()))];
        for (index, (listener, _)) in listeners.into_iter().enumerate() {
            let to_agent = weak.clone();
            let handler = move |request| routes::agent(index, request, to_agent.clone());
            servers.push(Server::start(listener, handler));
        }
        Ok(Self { handle: ClusterHandle { sender }, address, agents, core, _servers: servers })
    }

    /// The master's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The agents' addresses.
    pub fn agents(&self) -> &[SocketAddr] {
        &self.agents
    }

    /// A handle that lets other tasks access the cluster.
    pub fn handle(&self) -> ClusterHandle {
        self.handle.clone()
    }

    /// Shuts down all executors (SHUTDOWN, grace period, SIGKILL), then ends the cluster.
    pub async fn stop(self) {
        self.handle.stop(false).await;
        // The core ends by itself now. It fails only by a panic, and the panic has already been printed.
        let _ = self.core.await;
    }
}

fn prepare(work_dir: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(work_dir)?;
    work_dir.canonicalize()
}

async fn listen(
    config: &ClusterConfig,
    offset: usize,
    member: &str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let port = match config.port {
        0 => 0,
        first => u16::try_from(offset)
            .ok()
            .and_then(|offset| first.checked_add(offset))
            .ok_or(StartError::Ports { port: first, agents: config.agents.len() })?,
    };
    let address = SocketAddr::new(config.ip, port);
    net::listen(&[address]).await.map_err(|ListenError { source, .. }| {
        let member = member.to_owned();
        StartError::Bind { address, member, source }
    })
}

/// Inspects a cluster, causes faults in it, and kills it. After the cluster has ended, the functions do nothing.
#[derive(Clone, Debug)]
pub struct ClusterHandle {
    sender: mpsc::UnboundedSender<Message>,
}

impl ClusterHandle {
    /// Rescinds all outstanding offers. Their resources are offered again at the next allocation.
    pub fn rescind_offers(&self) {
        self.fault(MemberEvent::Master(master::Event::RescindOffers));
    }

    /// Makes the agent with this index take back revocable resources, like a correction by Mesos' QoS controller: executors
    /// that use revocable resources are killed.
    pub fn revoke(&self, agent: usize) {
        self.fault(MemberEvent::Agent(agent, agent::Event::Revoke));
    }

    fn fault(&self, event: MemberEvent) {
        // An error means that the cluster has ended.
        let _ = self.sender.send(Message::Fault(event));
    }

    /// `/master/state`; `None` after the end of the cluster.
    pub async fn state(&self) -> Option<serde_json::Value> {
        routes::inspect(&self.sender, |members| members.master.state_json()).await
    }

    /// Kills all executors by SIGKILL, and ends the cluster.
    pub async fn kill(&self) {
        self.stop(true).await;
    }

    async fn stop(&self, at_once: bool) {
        let (done, stopped) = oneshot::channel();
        if self.sender.send(Message::Stop { at_once, done }).is_ok() {
            // An error means that the cluster has ended.
            let _ = stopped.await;
        }
    }
}
