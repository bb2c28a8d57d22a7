//! An embedded one-machine cluster, and the command that mines on it.
//!
//! [`cluster`] holds a master and agents inside one process. They speak Mesos' v1 HTTP API and run real
//! executor processes, so a framework can't tell them from a real cluster. `mesos-miner local` ([`cli`])
//! starts such a cluster and runs the scheduler against it, as it would against any other.
//!
//! ```text
//!  HTTP ──▶ routes ──▶ core ──▶ Master::handle ──▶ effects: answers, events, messages to agents
//!                       ▲  └──▶ Agent::handle  ──▶ effects: the same, and processes
//!                       └────── containers: started, failed, exited
//! ```
//!
//! [`http`] knows nothing of Mesos, and serves other simulated masters, too.
//!
//! Master and agents decide and do nothing else: an input and the time go in, effects come out. One task,
//! the core, owns them all.

mod agent;
pub mod cli;
pub mod cluster;
mod container;
mod folder;
pub mod http;
mod link;
mod master;
mod operator;
mod ports;
mod resources;
mod shares;
