//! The cluster that a framework runs on: the embedded cluster or a real Mesos.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::embedded::EmbeddedCluster;
use super::http;
use super::mesos_box::MesosBox;

/// A cluster with a master and agents.
pub enum Cluster {
    /// The embedded cluster, inside this process. Its executors are processes.
    Embedded(EmbeddedCluster),
    /// A real Mesos. Masters and agents are separate processes.
    Real(MesosBox),
}

impl Cluster {
    /// The address of the only master, or of the first one.
    pub fn master(&self) -> SocketAddr {
        match self {
            Cluster::Embedded(cluster) => cluster.master,
            Cluster::Real(mesos) => mesos.master,
        }
    }

    /// The address at which schedulers find the leading master.
    pub fn address(&self) -> String {
        match self {
            Cluster::Embedded(cluster) => cluster.master.to_string(),
            Cluster::Real(mesos) => mesos.address.clone(),
        }
    }

    /// The folder that contains all sandboxes.
    pub fn work_folder(&self) -> PathBuf {
        match self {
            Cluster::Embedded(cluster) => cluster.work_folder().to_owned(),
            Cluster::Real(mesos) => mesos.work_folder(),
        }
    }

    /// The state of the leading master; `None` if no master leads.
    pub fn state(&self) -> Option<Value> {
        let second = SocketAddr::from(([127, 0, 0, 1], self.master().port() + 100));
        let masters = match self {
            Cluster::Embedded(_) => vec![self.master()],
            Cluster::Real(_) => vec![self.master(), second],
        };
        masters.into_iter().find_map(|master| http::get_json(master, "/master/state"))
    }

    /// The real Mesos.
    pub fn real(&mut self) -> &mut MesosBox {
        match self {
            Cluster::Real(mesos) => mesos,
            Cluster::Embedded(_) => panic!("it is the embedded one"),
        }
    }
}
