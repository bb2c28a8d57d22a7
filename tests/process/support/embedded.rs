//! The embedded cluster inside the test, so that the test can rescind its offers and revoke its resources.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use local::cluster::{AgentSize, Cluster, ClusterConfig, ClusterHandle};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testing::ports::ReservedPorts;
use tokio::runtime::Runtime;

use super::process_tree;

/// Enough for several servers, one after the other: the next one may start before the last one has ended.
const PORTS_PER_AGENT: u16 = 32;

/// An embedded cluster; its executors are processes of their own, as `local` runs them.
pub struct EmbeddedCluster {
    runtime: Runtime,
    cluster: Option<Cluster>,
    /// The ports that its agents offer. All clusters of a machine share its loopback.
    _ports: ReservedPorts,
    folder: TempDir,
    pub master: SocketAddr,
}

impl EmbeddedCluster {
    /// Starts a master and agents of `cpus` CPUs each. Its intervals and timeouts are shorter than Mesos' defaults.
    pub fn start(agents: usize, cpus: f64, change: impl FnOnce(&mut ClusterConfig)) -> EmbeddedCluster {
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

    /// Kills and starts parts of the cluster.
    pub fn handle(&self) -> ClusterHandle {
        self.cluster.as_ref().expect("only dropping takes it").handle()
    }

    /// The folder that all sandboxes are below.
    pub fn work_folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for EmbeddedCluster {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        drop(self.cluster.take());
        for process in process_tree::marked(self.folder.path()) {
            // It may have ended just now.
            let _ = kill_process(Pid::from_raw(process.pid).expect("not 0"), Signal::KILL);
        }
    }
}
