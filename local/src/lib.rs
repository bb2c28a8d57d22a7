//! An embedded one-machine cluster: a master and agents inside one process that speak Mesos' v1 HTTP API
//! and run real executor processes; and the command that mines on it.

mod agent;
pub mod cluster;
mod container;
mod http;
mod link;
mod master;
mod operator;
mod resources;
