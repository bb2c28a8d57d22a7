//! The configuration of a cluster.

use crate::agent;
use mesos::resources::{Quantity, Resources, ranges, scalar};
use mesos::v1::Resource;
use mesos::v1::resource::RevocableInfo;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The resources that one agent offers.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSize {
    /// CPUs; fractions are counted in thousandths.
    pub cpus: f64,
    /// Memory in megabytes. Neither memory nor CPUs are enforced.
    pub mem: f64,
    /// Disk in megabytes.
    pub disk: f64,
    /// First and last port that the agent offers.
    pub ports: (u16, u16),
    /// Additional revocable CPUs. Only frameworks with the capability REVOCABLE_RESOURCES are offered these.
    pub revocable_cpus: f64,
}

impl AgentSize {
    /// An agent with these CPUs and megabytes, and a range of 100 ports that depends on `index`.
    pub fn new(index: usize, cpus: f64, mem: f64) -> Self {
        // The ports are below 32768, because Linux by default gives ports from 32768 on to outgoing connections.
        let first = 31000 + 100 * u16::try_from(index % 14).unwrap_or_default();
        Self { cpus, mem, disk: 1024.0, ports: (first, first + 99), revocable_cpus: 0.0 }
    }

    pub(crate) fn resources(&self) -> Resources {
        let amount = |name, value| scalar(name, Quantity::new(value));
        let ports = u64::from(self.ports.0)..=u64::from(self.ports.1);
        let mut pieces = vec![amount("cpus", self.cpus), amount("mem", self.mem), amount("disk", self.disk)];
        let revocable = Some(RevocableInfo::default());
        pieces.push(Resource { revocable, ..amount("cpus", self.revocable_cpus) });
        pieces.retain(|piece| piece.scalar.as_ref().is_some_and(|scalar| scalar.value > 0.0));
        pieces.push(ranges("ports", [ports]));
        pieces.iter_mut().for_each(|piece| piece.role = Some("*".into()));
        pieces.into()
    }
}

/// The configuration of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The IP address that master and agents listen on.
    pub ip: IpAddr,
    /// The master's port; the agents take the ports after it. 0: any free ports.
    pub port: u16,
    /// The agents.
    pub agents: Vec<AgentSize>,
    /// Sandboxes are below this folder.
    pub work_dir: PathBuf,
    /// Time between two allocations of free resources.
    pub allocation_interval: Duration,
    /// An offer without an answer is rescinded after this time; `None`: never.
    pub offer_timeout: Option<Duration>,
    /// Time for a started executor to subscribe. The agent kills an executor that has not subscribed by then.
    pub registration_timeout: Duration,
    /// Time for an executor to end after SHUTDOWN, unless its `ExecutorInfo` sets another. The agent then kills it by SIGKILL.
    pub shutdown_grace: Duration,
    /// How long an executor runs without its agent. The default is short, so that no executor outlives the cluster for long.
    pub recovery_timeout: Duration,
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
            registration_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(5),
            recovery_timeout: Duration::from_secs(2),
        }
    }

    /// The configuration of the agent with this index, which listens on `address`.
    pub(super) fn agent(&self, index: usize, master_id: &str, address: SocketAddr) -> agent::Config {
        agent::Config {
            id: format!("{master_id}-S{index}").into(),
            hostname: address.ip().to_string(),
            port: address.port(),
            total: self.agents[index].resources(),
            work_dir: self.work_dir.join(format!("agent{}", index + 1)),
            registration_timeout: self.registration_timeout,
            shutdown_grace: self.shutdown_grace,
            recovery_timeout: self.recovery_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocable_cpus_are_a_piece_of_their_own() {
        let size = AgentSize { revocable_cpus: 0.7, ..AgentSize::new(0, 0.3, 64.0) };
        let mut total = size.resources();
        assert_eq!(total.sum("cpus"), Quantity::whole(1));
        let revocable = total.split_off(|piece| piece.revocable.is_some());
        assert_eq!((revocable.sum("cpus"), total.sum("cpus")), (Quantity::new(0.7), Quantity::new(0.3)));
        assert_eq!((total.count("ports"), total.sum("mem")), (100, Quantity::whole(64)));
    }
}
