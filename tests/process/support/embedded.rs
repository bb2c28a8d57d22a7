//! The embedded cluster inside the test, so that the test can rescind its offers and revoke its resources.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use local::cluster::{AgentSize, Cluster, ClusterConfig, ClusterHandle};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::descent;

/// An embedded cluster; its executors are processes of their own, as `local` runs them.
pub struct Embedded {
    runtime: Runtime,
    cluster: Option<Cluster>,
    folder: TempDir,
    pub master: SocketAddr,
}

impl Embedded {
    /// Starts a master and agents of `cpus` CPUs each. Its offers come sooner than those of a Mesos with default flags.
    pub fn start(agents: usize, cpus: f64, change: impl FnOnce(&mut ClusterConfig)) -> Embedded {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut sizes: Vec<AgentSize> = (0..agents).map(|i| AgentSize::new(i, cpus, 1024.0)).collect();
        // All clusters of a machine share its ports, so this one takes ports that no other test uses.
        let ports = super::ports::free(super::ports::STEP);
        for (size, first) in sizes.iter_mut().zip((ports..).step_by(32)) {
            size.ports = (first, first + 31);
        }
        let mut config = ClusterConfig {
            allocation_interval: Duration::from_millis(200),
            recovery_timeout: Duration::from_secs(900),
            ..ClusterConfig::new(folder.path().join("mesos"), sizes)
        };
        change(&mut config);
        let cluster = runtime.block_on(Cluster::start(config)).expect("a cluster");
        let master = cluster.address();
        Embedded { runtime, cluster: Some(cluster), folder, master }
    }

    /// The handle that rescinds offers and revokes resources.
    pub fn handle(&self) -> ClusterHandle {
        self.cluster.as_ref().expect("only dropping takes it").handle()
    }

    /// The folder that all sandboxes are below.
    pub fn work_folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        drop(self.cluster.take());
        for process in descent::marked(self.folder.path()) {
            // It may have ended just now.
            let _ = kill_process(Pid::from_raw(process.pid).expect("not 0"), Signal::KILL);
        }
    }
}
