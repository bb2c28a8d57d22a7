//! How a cluster is made.

use crate::agent;
use crate::master;
use crate::resources::Bundle;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

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
pub struct ClusterConfig {
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
    /// Master and agents are down at first: see [`start_master`](super::ClusterHandle::start_master) and
    /// [`start_agent`](super::ClusterHandle::start_agent).
    pub dormant: bool,
}

impl ClusterConfig {
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

    pub(super) fn master(&self, address: SocketAddr) -> master::Config {
        master::Config {
            address,
            allocation_interval: self.allocation_interval,
            offer_timeout: self.offer_timeout,
            agent_timeout: self.agent_timeout,
        }
    }

    pub(super) fn agent(&self, index: usize, size: &AgentSize, address: SocketAddr) -> agent::Config {
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
