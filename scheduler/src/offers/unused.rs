//! Why agents are unused.

use std::fmt;
use std::time::Duration;

use text::InWords;

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
        /// The CPU that a server needs, in thousandths of a CPU.
        needed: u64,
        /// The memory that a server needs, in MB.
        needed_mem: u64,
        /// The CPU that the agent offers, in thousandths of a CPU.
        cpus_milli: u64,
        /// The memory that the agent offers, in MB.
        mem: u64,
        /// The number of ports that the agent offers.
        ports: u64,
    },
    /// The resources are not enough for a worker.
    NoWorker {
        /// The CPU that a worker needs at least, in thousandths of a CPU.
        needed: u64,
        /// The CPU that the agent offers, in thousandths of a CPU.
        cpus_milli: u64,
        /// Whether workers may take only revocable CPU.
        revocable: bool,
        /// The part of the offered CPU that workers must leave unused (`--reserve-cpus`), in thousandths of a CPU.
        reserved: u64,
        /// The memory that the agent offers, in MB.
        mem: u64,
    },
    /// The agent does not meet a constraint for the wanted tasks. The constraint is given in its original text.
    Constraint(Demand, String),
    /// The agent is avoided until an operator allows it again.
    Avoided,
    /// Tasks have failed on the agent, so nothing is launched on it for this time.
    Paused(Duration),
    /// The agent's machine becomes unavailable after this time because of maintenance.
    Leaving(Duration),
}

impl fmt::Display for UnusedAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        let cpu = |milli: &u64| *milli as f64 / 1e3;
        match &self.reason {
            DeclineReason::Avoided => write!(f, "nothing is launched on {host}, which is avoided"),
            DeclineReason::Paused(rest) => {
                write!(f, "nothing is launched on {host} for {}, since tasks failed there", InWords(*rest))
            }
            DeclineReason::Leaving(left) if left.is_zero() => {
                write!(f, "nothing is launched on {host}, which is down for maintenance")
            }
            DeclineReason::Leaving(left) => write!(
                f,
                "nothing is launched on {host}, which goes down for maintenance in {}",
                InWords(*left)
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
