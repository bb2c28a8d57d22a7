//! The embedded cluster inside the test's process, so that a test can rescind offers and revoke resources.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use local::cluster::{AgentSize, Cluster, ClusterConfig, ClusterHandle};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testing::ports::ReservedPorts;
use tokio::runtime::Runtime;

use super::process_tree;

/// Enough ports for several servers: a new server may start before the previous one has ended.
const PORTS_PER_AGENT: u16 = 32;

/// An embedded cluster. Its executors are separate processes, as in `local`.
pub struct EmbeddedCluster {
    runtime: Runtime,
    cluster: Option<Cluster>,
    /// The ports that the agents offer. They are reserved because all clusters on a machine share the loopback interface.
    _ports: ReservedPorts,
    folder: TempDir,
    pub master: SocketAddr,
}

impl EmbeddedCluster {
    /// Starts a master and agents of `cpus` CPUs each, with a shorter allocation interval than Mesos' default.
    pub fn start(agents: usize, cpus: f64, change: impl FnOnce(&mut ClusterConfig)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut sizes: Vec<AgentSize> = (0..agents).map(|i| AgentSize::new(i, cpus, 1024.0)).collect();
        let ports = ReservedPorts::take(PORTS_PER_AGENT * agents as u16);
        let blocks = (ports.first()..).step_by(usize::from(PORTS_PER_AGENT));
        for (size, first) in sizes.iter_mut().zip(blocks) {
            size.ports = (first, first + PORTS_PER_AGENT - 1);
        }
        let mut config = ClusterConfig {
            allocation_interval: Duration::from_millis(200),
            recovery_timeout: Duration::from_secs(900),
            ..ClusterConfig::new(folder.path().join("mesos"), sizes)
        };
        change(&mut config);
        let cluster = runtime.block_on(Cluster::start(config)).expect("a cluster");
        let master = cluster.address();
        EmbeddedCluster { runtime, cluster: Some(cluster), _ports: ports, folder, master }
    }

    /// A handle to cause faults in the cluster.
    pub fn handle(&self) -> ClusterHandle {
        self.cluster.as_ref().expect("only dropping takes it").handle()
    }

    /// The folder that contains all sandboxes.
    pub fn work_folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for EmbeddedCluster {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        drop(self.cluster.take());
        for process in process_tree::marked(self.folder.path()) {
            // The process may have ended in the meantime.
            let _ = kill_process(Pid::from_raw(process.pid).expect("not 0"), Signal::KILL);
        }
    }
}
