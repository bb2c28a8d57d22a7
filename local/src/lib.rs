//! An embedded one-machine cluster, and the command that mines on it.
//!
//! [`cluster`] holds a master and agents inside one process. They speak Mesos' v1 HTTP API and run real
//! executor processes, so a framework uses them like a real cluster. `mesos-miner local` ([`cli`])
//! starts such a cluster and connects the scheduler to it like to any other cluster.
//!
//! ```text
//!  HTTP ──▶ routes ──▶ core ──▶ Master::on_event ──▶ effects: answers, events, messages to agents
//!                       ▲  └──▶ Agent::on_event  ──▶ effects: answers, events, messages to the master, processes
//!                       └────── containers: started, failed, exited
//! ```
//!
//! Master and agents are pure state machines. One async task, the core, owns them all and does the I/O. Restarts of masters and
//! agents are tested only with a real Mesos.

mod agent;
pub mod cli;
pub mod cluster;
mod container;
mod cpus;
mod encoding;
pub mod http;
mod master;
mod messages;
mod ports;

mod work_dir;
