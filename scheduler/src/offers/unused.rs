//! Why agents are unused.

use std::fmt;
use std::time::Duration;

use super::{Demand, WORKER_MEM};

/// An agent on which nothing is launched, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnusedAgent {
    /// The agent's id.
    pub agent: String,
    /// The agent's host name.
    pub host: String,
    /// The reason.
    pub reason: DeclineReason,
}

/// Why an agent's offers are declined. CPU is in thousandths, memory in MB.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeclineReason {
    /// The resources are not enough for a server.
    NoServer {
        /// CPU that a server needs.
        needed: u64,
        /// Memory that a server needs.
        needed_mem: u64,
        /// The CPU that is offered.
        cpus_milli: u64,
        /// The memory that is offered.
        mem: u64,
        /// The number of ports that are offered.
        ports: u64,
    },
    /// The resources are not enough for a worker.
    NoWorker {
        /// Minimum CPU for a worker.
        needed: u64,
        /// The CPU that is offered.
        cpus_milli: u64,
        /// Whether the CPU must be revocable.
        revocable: bool,
        /// CPU that is not to be used (`--reserve-cpus`).
        reserved: u64,
        /// The memory that is offered.
        mem: u64,
    },
    /// A constraint, given in its original text, is not met.
    Constraint(Demand, String),
    /// Tasks have failed on the agent. Nothing is launched on it for this time.
    Paused(Duration),
    /// The machine becomes unavailable after this time.
    Leaving(Duration),
}

impl fmt::Display for UnusedAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        let cpu = |milli: &u64| *milli as f64 / 1e3;
        match &self.reason {
            DeclineReason::Paused(rest) => write!(
                f,
                "nothing is launched on {host} for {:.0} s, since tasks failed there",
                rest.as_secs_f64()
            ),
            DeclineReason::Leaving(left) if left.is_zero() => {
                write!(f, "nothing is launched on {host}, which is down for maintenance")
            }
            DeclineReason::Leaving(left) => write!(
                f,
                "nothing is launched on {host}, which goes down for maintenance in {:.0} s",
                left.as_secs_f64()
            ),
            DeclineReason::Constraint(Demand::Server { .. }, constraint) => {
                write!(f, "no server on {host}: --server-constraint {constraint} is not met")
            }
            DeclineReason::Constraint(_, constraint) => {
                write!(f, "no worker on {host}: --constraint {constraint} is not met")
            }
            DeclineReason::NoServer { needed, needed_mem, cpus_milli, mem, ports } => write!(
                f,
                "no server on {host}: {} CPU, {mem} MB and {ports} ports are offered; a server needs {} CPU \
                 (--server-cpus), {needed_mem} MB (--server-mem) and two ports",
                cpu(cpus_milli),
                cpu(needed)
            ),
            DeclineReason::NoWorker { needed, cpus_milli, revocable, reserved, mem } => {
                let kind = if *revocable { "revocable CPU" } else { "CPU" };
                write!(f, "no worker on {host}: {} {kind} and {mem} MB are left", cpu(cpus_milli))?;
                if *reserved > 0 {
                    write!(f, ", of which {} CPU is reserved (--reserve-cpus)", cpu(reserved))?;
                }
                write!(f, "; a worker needs {} {kind} and {WORKER_MEM} MB", cpu(needed))
            }
        }
    }
}
