//! Where a framework runs: the same faults on the embedded cluster and on a real Mesos.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::embedded::Embedded;
use super::http;
use super::mesos_box::MesosBox;

/// A cluster with a master and agents.
pub enum Cluster {
    /// Inside this process; its executors are processes.
    Embedded(Embedded),
    /// Processes of Apache Mesos.
    Real(MesosBox),
}

impl Cluster {
    /// The master to ask, as long as no other one leads.
    pub fn master(&self) -> SocketAddr {
        match self {
            Cluster::Embedded(cluster) => cluster.master,
            Cluster::Real(mesos) => mesos.master,
        }
    }

    /// Where schedulers find the leading master.
    pub fn address(&self) -> String {
        match self {
            Cluster::Embedded(cluster) => cluster.master.to_string(),
            Cluster::Real(mesos) => mesos.address.clone(),
        }
    }

    /// The folder that all sandboxes are below.
    pub fn work_folder(&self) -> PathBuf {
        match self {
            Cluster::Embedded(cluster) => cluster.work_folder().to_owned(),
            Cluster::Real(mesos) => mesos.work_folder(),
        }
    }

    /// The state of the master that leads; `None` if none does at the moment.
    pub fn state(&self) -> Option<Value> {
        let second = SocketAddr::from(([127, 0, 0, 1], self.master().port() + 100));
        let masters = match self {
            Cluster::Embedded(_) => vec![self.master()],
            Cluster::Real(_) => vec![self.master(), second],
        };
        masters.into_iter().find_map(|master| http::get_json(master, "/master/state"))
    }

    /// The real one.
    pub fn real(&mut self) -> &mut MesosBox {
        match self {
            Cluster::Real(mesos) => mesos,
            Cluster::Embedded(_) => panic!("it is the embedded one"),
        }
    }
}
