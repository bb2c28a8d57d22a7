//! Decides which tasks are launched on offers, and which offers are declined. The functions are pure.
//!
//! A server takes a fixed amount of CPU and memory, and two ports. A worker takes a fixed amount of memory and all CPU that is
//! left. If a single worker may not take so much CPU, several workers are launched. [`WorkerLimits`] and
//! [`constraints`](crate::constraints) apply. All offers of one agent are used together, since Mesos offers an agent's resources
//! in pieces. Tasks take resource entries of the offers unchanged, so that reservations and allocation roles are preserved.

mod fit;
mod placement;
#[cfg(test)]
mod tests;
mod unused;

use std::collections::BTreeMap;
use std::time::Duration;

use mesos::resources::Resources;
use mesos::v1::{Offer, Resource};

pub(crate) use self::fit::PORTS;
use self::fit::{Fit, fill, take_next};
pub use self::placement::{Placement, WorkerLimits};
pub use self::unused::{DeclineReason, UnusedAgent};
use crate::constraints::{Constraint, Occupancy, Place, TentativeOccupancy};
use crate::server_address::agent_url;

/// The memory that a worker takes from an offer, executor and task together, in MB.
pub const WORKER_MEM: u64 = 128;

/// If maintenance of an agent's machine is near, the agent's offers are declined for at most this time. Only a new offer shows
/// whether the maintenance plan has changed.
const LEAVING: Duration = Duration::from_secs(10);
/// How long each offer of an agent is declined while the agent's workers are being replaced by one larger worker. The larger
/// worker needs the resources of all these workers at once.
const HELD: Duration = Duration::from_secs(1);

/// What the next offers are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// Nothing. All offers are declined.
    Nothing,
    /// One server.
    Server {
        /// Thousandths of a CPU, executor and task together.
        cpus_milli: u64,
        /// Memory in MB, executor and task together.
        mem: u64,
    },
    /// A worker on each agent that has CPU left.
    Workers,
}

/// What affects launches on an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentMarks {
    /// How many launches in a row have failed on the agent.
    pub failures: u32,
    /// For how much longer nothing is launched on the agent, since tasks have failed there; `None` without a pause.
    pub paused: Option<Duration>,
    /// The time until the agent's machine becomes unavailable because of maintenance, if that is soon.
    pub leaving: Option<Duration>,
    /// Whether the agent's workers are being replaced by one larger worker. The agent's offers are declined until the resources
    /// of all these workers can be offered together.
    pub held: bool,
    /// Whether nothing is launched on the agent until an operator allows it again.
    pub avoided: bool,
    /// Whether a launch on the agent makes the agent fetch the executor from this scheduler.
    pub fetches: bool,
}

/// What a plan depends on, besides the offers.
#[derive(Clone)]
pub struct PlanContext<'a> {
    /// What the offers are wanted for.
    pub demand: Demand,
    /// Where tasks may run, and with how much CPU.
    pub placement: &'a Placement,
    /// Thousandths of a CPU that further workers may take.
    pub cpus_left_milli: u64,
    /// The number of further workers that may be launched.
    pub workers_left: u64,
    /// The number of further agents that may begin to fetch the executor now. The other agents that do not have the executor wait
    /// for their turn; until then their offers are declined.
    pub fetches_left: u64,
    /// For each constraint: the number of existing workers for each value of the constraint's field, for example for each
    /// rack.
    pub placed: &'a Occupancy,
    /// Returns what affects launches on the agent with this id and host name.
    pub marks: &'a dyn Fn(&str, &str) -> AgentMarks,
    /// How long offers that cannot be used are declined.
    pub refuse: Duration,
    /// Whether agents with fewer failed launches are used first.
    pub fewest_failures_first: bool,
}

impl<'a> PlanContext<'a> {
    /// Asks only where there is room: limits on CPU, on the number of workers and on fetches do not apply.
    pub fn without_limits(
        demand: Demand,
        placement: &'a Placement,
        placed: &'a Occupancy,
        marks: &'a dyn Fn(&str, &str) -> AgentMarks,
    ) -> Self {
        Self {
            demand,
            placement,
            cpus_left_milli: u64::MAX,
            workers_left: u64::MAX,
            fetches_left: u64::MAX,
            placed,
            marks,
            refuse: Duration::ZERO,
            fewest_failures_first: false,
        }
    }
}

/// What to do with the offers. Each offer is in exactly one of `tasks`, `declines` and `waiting`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The tasks to launch. Tasks on the same agent are consecutive. Only the last of them contains the ids of the agent's
    /// offers.
    pub tasks: Vec<PlannedTask>,
    /// The offers to decline.
    pub declines: Vec<Decline>,
    /// The offers to decline until their agents can fetch the executor.
    pub waiting: Vec<Waiting>,
    /// The agents on which nothing is launched, although something is wanted.
    pub unused: Vec<UnusedAgent>,
    /// Whether a constraint prevented a launch. The constraint may be met when workers are added or removed.
    pub held_back: bool,
}

/// One task to launch.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTask {
    /// The ids of all offers of the agent, if this is the last planned task on the agent; otherwise empty.
    pub offers: Vec<String>,
    /// The agent's id.
    pub agent: String,
    /// The agent's host name and attributes.
    pub place: Place,
    /// The agent's URL, if an offer has one.
    pub agent_url: Option<String>,
    /// Thousandths of a CPU, executor and task together.
    pub cpus_milli: u64,
    /// The resources that the executor takes from the offers.
    pub executor: Vec<Resource>,
    /// The resources that the task itself takes from the offers, ports included.
    pub task: Vec<Resource>,
    /// For a server: its HTTP and its Stratum port.
    pub ports: Option<(u16, u16)>,
}

/// Offers to decline.
#[derive(Clone, Debug, PartialEq)]
pub struct Decline {
    /// The ids of the offers.
    pub offers: Vec<String>,
    /// Mesos' `refuse_seconds`: for how long these resources are not offered again, unless REVIVE asks for them.
    pub refuse: Duration,
}

/// Offers of an agent that has to wait for its turn to fetch the executor.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The agent's id.
    pub agent: String,
    /// The ids of the offers.
    pub offers: Vec<String>,
}

/// Plans what to do with the offers.
pub fn plan<'a>(offers: &'a [Offer], context: &PlanContext<'_>) -> Plan {
    let mut agents: BTreeMap<&'a str, Vec<&'a Offer>> = BTreeMap::new();
    for offer in offers {
        agents.entry(&offer.agent_id.value).or_default().push(offer);
    }
    let mut planner = Planner::new(context);
    let mut waiting: BTreeMap<Vec<Option<String>>, Vec<Candidate<'_>>> = BTreeMap::new();
    let mut agents: Vec<_> = agents.into_iter().collect();
    if context.fewest_failures_first {
        let host = |offers: &[&'a Offer]| offers.first().map_or("", |offer| offer.hostname.as_str());
        agents.sort_by_cached_key(|(agent, offers)| (context.marks)(agent, host(offers.as_slice())).failures);
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

/// Whether the wanted task could be launched on an agent that has the resources of these offers.
pub fn is_place(agent: &str, place: &Place, offers: &[&Offer], context: &PlanContext<'_>) -> bool {
    let marks = (context.marks)(agent, &place.host);
    let is_used = !marks.held && !marks.avoided && marks.paused.is_none() && marks.leaving.is_none();
    is_used && Planner::new(context).unmet(place).is_none() && fill(offers, context, marks.failures).is_ok()
}

/// An agent whose offers have not been decided on yet.
struct Candidate<'a> {
    agent: &'a str,
    offers: Vec<&'a Offer>,
    place: Place,
}

/// The plan so far.
struct Planner<'a> {
    context: PlanContext<'a>,
    /// The existing workers and the planned ones.
    placed: TentativeOccupancy<'a>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn new(context: &PlanContext<'a>) -> Self {
        Self {
            placed: TentativeOccupancy::of(context.placed),
            context: context.clone(),
            plan: Plan::default(),
        }
    }

    /// Plans launches on an agent, or declines its offers. Returns the candidate if only a constraint prevents a launch.
    fn try_agent<'c>(&mut self, candidate: Candidate<'c>) -> Option<Candidate<'c>> {
        let marks = (self.context.marks)(candidate.agent, &candidate.place.host);
        let refuse = self.context.refuse;
        if marks.held {
            self.decline(&candidate, HELD, None);
        } else if self.nothing_wanted() {
            self.decline(&candidate, refuse, None);
        } else if marks.avoided {
            self.decline(&candidate, refuse, Some(DeclineReason::Avoided));
        } else if let Some(rest) = marks.paused {
            self.decline(&candidate, rest, Some(DeclineReason::Paused(rest)));
        } else if let Some(left) = marks.leaving {
            self.decline(&candidate, refuse.min(LEAVING), Some(DeclineReason::Leaving(left)));
        } else {
            match fill(&candidate.offers, &self.context, marks.failures) {
                Err(reason) => self.decline(&candidate, refuse, Some(reason)),
                Ok(_) if self.unmet(&candidate.place).is_some() => return Some(candidate),
                Ok(_) if marks.fetches && self.must_wait() => self.wait(&candidate),
                Ok((fit, left)) => {
                    self.context.fetches_left =
                        self.context.fetches_left.saturating_sub(u64::from(marks.fetches));
                    self.accept(candidate, fit, left);
                }
            }
        }
        None
    }

    /// Tries those agents again whose constraints may be met now that workers are planned on other agents. The agents in one
    /// entry of `waiting` have equal values for all constraints, so if one of these agents is refused, the others would be
    /// refused, too. The agents are tried in rounds. A round that does not change [`TentativeOccupancy::level`] is
    /// the last one, because another round could meet no further constraint.
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

    /// For each constraint of the wanted task: the value that the agent has for the constraint's field.
    fn values(&self, place: &Place) -> Vec<Option<String>> {
        self.constraints().iter().map(|it| it.value(place).map(str::to_owned)).collect()
    }

    /// Plans the first task of an agent. Plans further tasks while the remaining resources are enough.
    fn accept(&mut self, candidate: Candidate<'_>, first: Fit, mut left: Resources) {
        let Candidate { agent, offers, place } = candidate;
        let url = offers.iter().find_map(|offer| agent_url(offer));
        let mut next = Some(first);
        while let Some(fit) = next.take() {
            if self.context.demand == Demand::Workers {
                self.placed.add(&self.context.placement.workers, &place);
                self.context.workers_left -= 1;
                self.context.cpus_left_milli = self.context.cpus_left_milli.saturating_sub(fit.cpus_milli);
            } else {
                self.context.demand = Demand::Nothing;
            }
            if !self.nothing_wanted() && self.unmet(&place).is_none() {
                next = take_next(&mut left, &self.context);
            }
            // Of an agent's tasks, only the last one gets the ids of the agent's offers.
            let ids = if next.is_none() { ids(&offers) } else { Vec::new() };
            self.plan.tasks.push(fit.on(agent, place.clone(), url.clone(), ids));
        }
    }

    /// Whether the agent has to wait for its turn to fetch the executor. A server does not wait, since nothing can be mined
    /// without it.
    fn must_wait(&self) -> bool {
        self.context.demand == Demand::Workers && self.context.fetches_left == 0
    }

    fn wait(&mut self, candidate: &Candidate<'_>) {
        let Candidate { agent, offers, .. } = candidate;
        self.plan.waiting.push(Waiting { agent: (*agent).to_owned(), offers: ids(offers) });
    }

    fn nothing_wanted(&self) -> bool {
        let PlanContext { demand, workers_left, cpus_left_milli, placement, .. } = &self.context;
        match demand {
            Demand::Nothing => true,
            Demand::Server { .. } => false,
            Demand::Workers => {
                *workers_left == 0 || *cpus_left_milli < placement.limits.min_worker_cpus_milli
            }
        }
    }

    /// The first constraint that an agent does not meet.
    fn unmet(&self, place: &Place) -> Option<&Constraint> {
        let constraints = self.constraints();
        if self.context.demand == Demand::Workers {
            let unmet =
                |(index, constraint): &(usize, &Constraint)| !constraint.allows(place, *index, &self.placed);
            return constraints.iter().enumerate().find(unmet).map(|(_, constraint)| constraint);
        }
        let (nothing, none) = (Occupancy::default(), 0);
        let nobody = TentativeOccupancy::of(&nothing);
        constraints.iter().find(|constraint| !constraint.allows(place, none, &nobody))
    }

    /// The constraints for the wanted task.
    fn constraints(&self) -> &'a [Constraint] {
        let placement = self.context.placement;
        if self.context.demand == Demand::Workers { &placement.workers } else { &placement.server }
    }

    fn hold_back(&mut self, candidate: &Candidate<'_>) {
        let reason = match self.unmet(&candidate.place) {
            _ if self.nothing_wanted() => None,
            unmet => {
                unmet.map(|constraint| DeclineReason::Constraint(self.context.demand, constraint.to_string()))
            }
        };
        self.plan.held_back |= reason.is_some();
        self.decline(candidate, self.context.refuse, reason);
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
