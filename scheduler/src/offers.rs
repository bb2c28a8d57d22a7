//! Offers → what to launch on them, what to decline. Pure.
//!
//! A server takes a fixed amount of CPU, memory and two ports. A worker takes a fixed amount of memory and all the
//! CPU that is left or, where that is more than one may take, several take it, as far as [`Limits`] and [`constraints`](crate::constraints) allow. All offers of one agent are
//! used together, since Mesos offers an agent in pieces. Whatever is launched takes its resources from the offers' own
//! entries, so that reservations and the role they were allocated to stay as they are.

mod fit;
#[cfg(test)]
mod tests;
mod unused;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mesos::resources::Resources;
use mesos::v1::{Offer, Resource};

use self::fit::{Fit, fill, take_next};
pub use self::unused::{DeclineReason, UnusedAgent};
use crate::constraints::{Constraint, Occupancy, Place, Trial};

/// Memory of the server's executor and task together, MB.
pub const SERVER_MEM: u64 = 256;
/// Memory of a worker's executor and task together, MB.
pub const WORKER_MEM: u64 = 128;
/// The least CPU worth a worker, thousandths.
const WORKER_CPUS_MILLI: u64 = 100;

/// Plans of maintenance change, and nobody says so but the next offer.
const LEAVING: Duration = Duration::from_secs(10);
/// Offers of an agent whose resources gather are given back for so long.
const HELD: Duration = Duration::from_secs(1);

/// What is wanted from the next offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// How much CPU workers may take, in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most for all tasks together, the server included.
    pub max_cpus_milli: Option<u64>,
    /// The most workers.
    pub max_workers: Option<u64>,
    /// The most for one worker; `None`: all that its agent offers.
    pub worker_cpus_milli: Option<u64>,
    /// The least worth a worker.
    pub min_worker_cpus_milli: u64,
    /// To be left on each agent.
    pub reserve_cpus_milli: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_cpus_milli: None,
            max_workers: None,
            worker_cpus_milli: None,
            min_worker_cpus_milli: WORKER_CPUS_MILLI,
            reserve_cpus_milli: 0,
        }
    }
}

/// Where tasks may run, and with how much CPU.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// How much CPU.
    pub limits: Limits,
    /// Workers take CPU that Mesos may take back at any time, and no other.
    pub revocable: bool,
    /// Where workers may run; all must be met.
    pub workers: Vec<Constraint>,
    /// Where the server may run; all must be met.
    pub server: Vec<Constraint>,
}

/// What speaks against launching on an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentMarks {
    /// How many tasks in a row have failed there.
    pub failures: u32,
    /// Nothing is to be launched there for so long, since tasks failed.
    pub paused: Option<Duration>,
    /// Its machine goes away in this time.
    pub leaving: Option<Duration>,
    /// Its offers are to be given back, so that they come as one.
    pub held: bool,
}

/// Tells what speaks against launching on agents.
pub trait Agents: fmt::Debug {
    /// Of the agent with this id.
    fn marks(&self, agent: &str) -> AgentMarks;
}

/// What is wanted, and where not.
#[derive(Clone, Debug)]
pub struct Demand<'a> {
    /// What is wanted.
    pub wanted: Wanted,
    /// Where, and with how much CPU.
    pub placement: &'a Placement,
    /// CPU that workers may still take, thousandths.
    pub cpus_left_milli: u64,
    /// Workers that may still be launched.
    pub workers_left: u64,
    /// The workers that there are, as the placement's constraints count them.
    pub placed: &'a Occupancy,
    /// What speaks against single agents.
    pub agents: &'a dyn Agents,
    /// How long what is of no use should not be offered again.
    pub refuse: Duration,
    /// Agents where the fewest tasks have failed are used first.
    pub fewest_failures_first: bool,
}

/// What to do with all offers that were given to [`plan`]: each is in exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to launch. Tasks of one agent follow each other, and the last of them has the agent's offers.
    pub accepts: Vec<Accept>,
    /// What to decline.
    pub declines: Vec<Decline>,
    /// Why nothing is launched where something is wanted.
    pub unused: Vec<UnusedAgent>,
    /// Whether a constraint kept something from being launched: what it depends on may change.
    pub held_back: bool,
}

/// One task for an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Accept {
    /// The offers to use, all of this agent; none if a further task of the agent follows, which has them.
    pub offers: Vec<String>,
    /// The agent's id.
    pub agent: String,
    /// The agent's host name and attributes.
    pub place: Place,
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

/// Decides about offers.
pub fn plan<'a>(offers: &'a [Offer], demand: &Demand<'_>) -> Plan {
    let mut agents: BTreeMap<&'a str, Vec<&'a Offer>> = BTreeMap::new();
    for offer in offers {
        agents.entry(&offer.agent_id.value).or_default().push(offer);
    }
    let mut planner = Planner::new(demand);
    let mut waiting: BTreeMap<Vec<Option<String>>, Vec<Candidate<'_>>> = BTreeMap::new();
    let mut agents: Vec<_> = agents.into_iter().collect();
    if demand.fewest_failures_first {
        agents.sort_by_cached_key(|(agent, _)| demand.agents.marks(agent).failures);
    }
    for (agent, offers) in agents {
        let place = offers.first().map(|offer| Place::of(offer)).unwrap_or_default();
        let candidate = Candidate { agent, offers, place };
        if let Some(candidate) = planner.try_agent(candidate) {
            waiting.entry(planner.values(&candidate.place)).or_default().push(candidate);
        }
    }
    planner.try_again(&mut waiting);
    for candidate in waiting.into_values().flatten() {
        planner.hold_back(&candidate);
    }
    planner.plan
}

/// An agent that has not been decided about.
struct Candidate<'a> {
    agent: &'a str,
    offers: Vec<&'a Offer>,
    place: Place,
}

/// One task of each agent's offers; what was decided so far.
struct Planner<'a> {
    demand: Demand<'a>,
    /// The workers that there are, and those of the plan.
    placed: Trial<'a>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn new(demand: &Demand<'a>) -> Self {
        Self { placed: Trial::of(demand.placed), demand: demand.clone(), plan: Plan::default() }
    }

    /// Launches something or declines; gives the candidate back if only a constraint is against a launch.
    fn try_agent<'c>(&mut self, candidate: Candidate<'c>) -> Option<Candidate<'c>> {
        let marks = self.demand.agents.marks(candidate.agent);
        let refuse = self.demand.refuse;
        if marks.held {
            self.decline(&candidate, HELD, None);
        } else if self.nothing_wanted() {
            self.decline(&candidate, refuse, None);
        } else if let Some(rest) = marks.paused {
            self.decline(&candidate, rest, Some(DeclineReason::Paused(rest)));
        } else if let Some(left) = marks.leaving {
            self.decline(&candidate, refuse.min(LEAVING), Some(DeclineReason::Leaving(left)));
        } else {
            match fill(&candidate.offers, &self.demand, marks.failures) {
                Err(reason) => self.decline(&candidate, refuse, Some(reason)),
                Ok(_) if self.unmet(&candidate.place).is_some() => return Some(candidate),
                Ok((fit, left)) => self.accept(candidate, fit, left),
            }
        }
        None
    }

    /// A constraint that was not met may be when something was launched on other agents. Those that look the same to all
    /// constraints wait together, and are looked at only when the constraints' counts say that it may help.
    fn try_again(&mut self, waiting: &mut BTreeMap<Vec<Option<String>>, Vec<Candidate<'_>>>) {
        if !self.constraints().iter().any(Constraint::waits_for_others) {
            return;
        }
        waiting.values_mut().for_each(|candidates| candidates.reverse());
        loop {
            let level = self.placed.level();
            for candidates in waiting.values_mut() {
                while let Some(next) = candidates.last()
                    && (self.nothing_wanted() || self.unmet(&next.place).is_none())
                    && let Some(next) = candidates.pop()
                {
                    self.try_agent(next);
                }
            }
            waiting.retain(|_, candidates| !candidates.is_empty());
            if waiting.is_empty() || self.placed.level() == level {
                return;
            }
        }
    }

    /// All that constraints look at.
    fn values(&self, place: &Place) -> Vec<Option<String>> {
        self.constraints().iter().map(|it| it.value(place).map(str::to_owned)).collect()
    }

    /// Plans the first task of an agent, and further ones for as long as there is enough left.
    fn accept(&mut self, candidate: Candidate<'_>, first: Fit, mut left: Resources) {
        let Candidate { agent, offers, place } = candidate;
        let mut next = Some(first);
        while let Some(fit) = next.take() {
            if self.demand.wanted == Wanted::Workers {
                self.placed.add(&self.demand.placement.workers, &place);
                self.demand.workers_left -= 1;
                self.demand.cpus_left_milli = self.demand.cpus_left_milli.saturating_sub(fit.cpus_milli);
            } else {
                self.demand.wanted = Wanted::Nothing;
            }
            if !self.nothing_wanted() && self.unmet(&place).is_none() {
                next = take_next(&mut left, &self.demand).ok();
            }
            // The last one holds the offers.
            let offers = if next.is_none() { ids(&offers) } else { Vec::new() };
            self.plan.accepts.push(fit.on(agent, place.clone(), offers));
        }
    }

    fn nothing_wanted(&self) -> bool {
        let Demand { wanted, workers_left, cpus_left_milli, placement, .. } = &self.demand;
        match wanted {
            Wanted::Nothing => true,
            Wanted::Server { .. } => false,
            Wanted::Workers => {
                *workers_left == 0 || *cpus_left_milli < placement.limits.min_worker_cpus_milli
            }
        }
    }

    /// The first constraint that is not met.
    fn unmet(&self, place: &Place) -> Option<&Constraint> {
        let constraints = self.constraints();
        if self.demand.wanted == Wanted::Workers {
            let unmet =
                |(index, constraint): &(usize, &Constraint)| !constraint.allows(place, *index, &self.placed);
            return constraints.iter().enumerate().find(unmet).map(|(_, constraint)| constraint);
        }
        let (nothing, none) = (Occupancy::default(), 0);
        let nobody = Trial::of(&nothing);
        constraints.iter().find(|constraint| !constraint.allows(place, none, &nobody))
    }

    /// Those that what is wanted has to meet.
    fn constraints(&self) -> &'a [Constraint] {
        let placement = self.demand.placement;
        if self.demand.wanted == Wanted::Workers { &placement.workers } else { &placement.server }
    }

    fn hold_back(&mut self, candidate: &Candidate<'_>) {
        let reason = match self.unmet(&candidate.place) {
            _ if self.nothing_wanted() => None,
            unmet => {
                unmet.map(|constraint| DeclineReason::Constraint(self.demand.wanted, constraint.to_string()))
            }
        };
        self.plan.held_back |= reason.is_some();
        self.decline(candidate, self.demand.refuse, reason);
    }

    fn decline(&mut self, candidate: &Candidate<'_>, refuse: Duration, reason: Option<DeclineReason>) {
        let Candidate { agent, offers, .. } = candidate;
        self.plan.declines.push(Decline { offers: ids(offers), refuse });
        let host = offers.first().map(|offer| offer.hostname.clone()).unwrap_or_default();
        self.plan.unused.extend(reason.map(|reason| UnusedAgent {
            agent: (*agent).to_owned(),
            host,
            reason,
        }));
    }
}

fn ids(offers: &[&Offer]) -> Vec<String> {
    offers.iter().map(|offer| offer.id.value.clone()).collect()
}
