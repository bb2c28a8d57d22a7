//! Offers → what to launch on them, what to decline. Pure.
//!
//! A server takes a fixed amount of CPU, memory and two ports. A worker takes a fixed amount of memory and all the
//! CPU that is left. All offers of one agent are used together, since Mesos offers an agent in pieces. Whatever
//! is launched takes its resources from the offers' own entries, so that reservations and the role they were
//! allocated to stay as they are.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mesos::resources::{Quantity, Resources, Shortage};
use mesos::v1::{Offer, Resource};

/// Memory of the server's executor and task together, MB.
pub const SERVER_MEM: u64 = 256;
/// Memory of a worker's executor and task together, MB.
pub const WORKER_MEM: u64 = 128;
/// The least CPU worth a worker, thousandths.
pub const WORKER_CPUS_MILLI: u64 = 100;
/// The executor's part of a task's CPU, thousandths: the least that Mesos asks for.
const EXECUTOR_CPUS_MILLI: u64 = 10;
/// The executor's part of a task's memory, MB: the least that Mesos asks for.
const EXECUTOR_MEM: u64 = 32;

/// What is wanted from the next offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: all is declined.
    Nothing,
    /// One server.
    Server {
        /// Thousandths of a CPU, executor and task together.
        cpus_milli: u64,
    },
    /// A worker on each agent that has CPU left.
    Workers,
}

/// What is wanted, and where not.
#[derive(Clone, Debug)]
pub struct Demand {
    /// What is wanted.
    pub wanted: Wanted,
    /// Agents to leave alone, by id, and for how long.
    pub paused: BTreeMap<String, Duration>,
    /// How long what is of no use should not be offered again.
    pub refuse: Duration,
}

/// What to do with all offers that were given to [`plan`]: each is in exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to launch, one task an agent.
    pub accepts: Vec<Accept>,
    /// What to decline.
    pub declines: Vec<Decline>,
    /// Why nothing is launched where something is wanted.
    pub remarks: Vec<Remark>,
}

/// One task for one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Accept {
    /// The offers to use, all of this agent.
    pub offers: Vec<String>,
    /// The agent's id.
    pub agent: String,
    /// The agent's host name.
    pub host: String,
    /// Thousandths of a CPU, executor and task together.
    pub cpus_milli: u64,
    /// The executor's part.
    pub executor: Vec<Resource>,
    /// The task's part, ports included.
    pub task: Vec<Resource>,
    /// For a server: its HTTP and its Stratum port.
    pub ports: Option<(u16, u16)>,
}

/// Offers that are of no use now.
#[derive(Clone, Debug, PartialEq)]
pub struct Decline {
    /// Their ids.
    pub offers: Vec<String>,
    /// For how long.
    pub refuse: Duration,
}

/// Why nothing is launched on an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// The agent's id.
    pub agent: String,
    /// The agent's host name.
    pub host: String,
    /// The reason.
    pub cause: Cause,
}

/// A reason to launch nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// Not enough of something.
    TooSmall {
        /// What is wanted.
        wanted: Wanted,
        /// Thousandths of a CPU on offer.
        cpus_milli: u64,
        /// Memory on offer, MB.
        mem: u64,
        /// Ports on offer.
        ports: u64,
    },
    /// Tasks have failed there.
    Paused(Duration),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match self.cause {
            Cause::Paused(rest) => {
                write!(
                    f,
                    "nothing is launched on {host} for {:.0} s, since tasks failed there",
                    rest.as_secs_f64()
                )
            }
            Cause::TooSmall { wanted: Wanted::Server { cpus_milli }, cpus_milli: cpus, mem, ports } => {
                write!(
                    f,
                    "no server on {host}: {} CPU, {mem} MB and {ports} ports are offered; a server needs {} CPU \
                 (--server-cpus), {SERVER_MEM} MB and two ports",
                    cpus as f64 / 1e3,
                    cpus_milli as f64 / 1e3
                )
            }
            Cause::TooSmall { cpus_milli: cpus, mem, .. } => write!(
                f,
                "no worker on {host}: {} CPU and {mem} MB are left; a worker needs {} CPU and {WORKER_MEM} MB",
                cpus as f64 / 1e3,
                WORKER_CPUS_MILLI as f64 / 1e3
            ),
        }
    }
}

/// Decides about offers.
pub fn plan(offers: &[Offer], demand: &Demand) -> Plan {
    let mut agents: BTreeMap<&str, Vec<&Offer>> = BTreeMap::new();
    for offer in offers {
        agents.entry(&offer.agent_id.value).or_default().push(offer);
    }
    let mut plan = Plan::default();
    let mut wanted = demand.wanted;
    for (agent, offers) in agents {
        let ids = || offers.iter().map(|offer| offer.id.value.clone()).collect();
        let host = offers.first().map(|offer| offer.hostname.clone()).unwrap_or_default();
        let remark = |cause| Remark { agent: agent.to_owned(), host: host.clone(), cause };
        let outcome = match demand.paused.get(agent) {
            _ if wanted == Wanted::Nothing => Err((demand.refuse, None)),
            Some(rest) => Err((*rest, Some(remark(Cause::Paused(*rest))))),
            None => fill(&offers, wanted).map_err(|cause| (demand.refuse, Some(remark(cause)))),
        };
        match outcome {
            Ok(fit) => {
                if matches!(wanted, Wanted::Server { .. }) {
                    wanted = Wanted::Nothing;
                }
                plan.accepts.push(fit.on(agent, &host, ids()));
            }
            Err((refuse, remark)) => {
                plan.declines.push(Decline { offers: ids(), refuse });
                plan.remarks.extend(remark);
            }
        }
    }
    plan
}

/// What one task takes.
struct Fit {
    cpus_milli: u64,
    executor: Resources,
    task: Resources,
    ports: Option<(u16, u16)>,
}

impl Fit {
    fn on(self, agent: &str, host: &str, offers: Vec<String>) -> Accept {
        let Fit { cpus_milli, executor, task, ports } = self;
        let (agent, host) = (agent.to_owned(), host.to_owned());
        Accept { offers, agent, host, cpus_milli, executor: executor.into(), task: task.into(), ports }
    }
}

fn fill(offers: &[&Offer], wanted: Wanted) -> Result<Fit, Cause> {
    let pieces = offers.iter().flat_map(|offer| offer.resources.iter().cloned());
    let mut left = Resources::from(pieces.collect::<Vec<_>>());
    // What Mesos may take back at any time, or shares out, is not for us.
    left.split_off(|piece| piece.revocable.is_some() || piece.shared.is_some());
    let (cpus, mem, ports) = (left.sum("cpus"), left.sum("mem"), left.count("ports"));
    let too_small = Cause::TooSmall { wanted, cpus_milli: cpus.milli(), mem: mem.milli() / 1000, ports };
    let fit = match wanted {
        Wanted::Nothing => return Err(too_small),
        Wanted::Server { cpus_milli } => take(&mut left, cpus_milli, SERVER_MEM, 2),
        Wanted::Workers => take(&mut left, cpus.milli().max(WORKER_CPUS_MILLI), WORKER_MEM, 0),
    };
    fit.map_err(|_| too_small)
}

fn take(left: &mut Resources, cpus_milli: u64, mem: u64, ports: usize) -> Result<Fit, Shortage> {
    let mut executor = left.take("cpus", Quantity::from_milli(EXECUTOR_CPUS_MILLI))?;
    executor.extend(left.take("mem", Quantity::whole(EXECUTOR_MEM))?);
    let mut task = left.take("cpus", Quantity::from_milli(cpus_milli.saturating_sub(EXECUTOR_CPUS_MILLI)))?;
    task.extend(left.take("mem", Quantity::whole(mem - EXECUTOR_MEM))?);
    let (numbers, taken) = left.take_values("ports", ports)?;
    task.extend(taken);
    let mut numbers = numbers.into_iter().filter_map(|port| u16::try_from(port).ok());
    let ports = numbers.next().zip(numbers.next());
    Ok(Fit { cpus_milli, executor, task, ports })
}
