//! Decides what would be launched on offers. The functions are pure.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use mesos::resources::Resources;
use mesos::v1::Offer;
use problem::Problem;

use crate::cluster_view::{NotAskedFor, OfferOptions, not_asked_for};
use crate::config::Config;
use crate::event::Unavailability;
use crate::fleet::Fleet;
use crate::offers::{self, DeclineReason, Demand, Plan, PlanContext, PlannedTask, UnusedAgent};
use crate::policy::{maintenance_notice, maintenance_window};
use crate::server_capacity;
use crate::task_id::TaskKind;

/// What would be launched on the offers of all agents.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The agents that offer resources, sorted by their ids.
    pub agents: Vec<AgentForecast>,
    /// Whether the server cannot be launched, because no agent offers enough for it. Then workers would not be launched either.
    pub server_missing: bool,
    /// If the server is missing: the number of workers that would be launched if there were one.
    pub workers_with_server: u64,
    /// The limit that prevents further workers, if one is reached.
    pub limit: Option<Limit>,
    /// Why there are no offers, if there are none.
    pub no_offers: Option<Problem>,
    /// The agents that masters normally do not offer without an option that is not given.
    pub not_asked_for: Vec<NotAskedFor>,
}

/// What would be launched on one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentForecast {
    /// The agent's id.
    pub agent: String,
    /// The agent's host name.
    pub host: String,
    /// The resources that the agent offers.
    pub offered: Offered,
    /// The tasks that would be launched, in this order.
    pub tasks: Vec<TaskForecast>,
    /// If no worker would be launched on the agent: the reason, as far as it is known.
    pub why_not: Option<WhyNot>,
}

/// The resources that an agent offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offered {
    /// CPU that is not revocable, in thousandths.
    pub cpus_milli: u64,
    /// Revocable CPU, in thousandths.
    pub revocable_cpus_milli: u64,
    /// Memory in MB.
    pub mem: u64,
    /// The number of ports that a task can listen on.
    pub ports: u64,
}

/// A task that would be launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskForecast {
    /// Whether the task is the server or a worker.
    pub kind: TaskKind,
    /// Thousandths of a CPU, executor and task together.
    pub cpus_milli: u64,
    /// Memory in MB, executor and task together.
    pub mem: u64,
    /// For a server: its HTTP and its Stratum port.
    pub ports: Option<(u16, u16)>,
}

/// Why nothing would be launched on an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WhyNot {
    /// The scheduler would decline the agent's offers for this reason.
    Declined(DeclineReason),
    /// A limit is reached.
    Limit(Limit),
}

/// A limit for all workers together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// `--max-workers`.
    Workers(u64),
    /// The server admits no more workers than this.
    Server(u64),
    /// `--max-cpus`, in thousandths.
    Cpus(u64),
}

impl AgentForecast {
    fn has_worker(&self) -> bool {
        self.tasks.iter().any(|task| task.kind == TaskKind::Worker)
    }
}

impl Forecast {
    /// Whether nothing would be launched.
    pub fn is_empty(&self) -> bool {
        self.agents.iter().all(|agent| agent.tasks.is_empty())
    }

    /// The tasks that would be launched.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskForecast> {
        self.agents.iter().flat_map(|agent| &agent.tasks)
    }

    /// The number of tasks of one kind.
    pub fn count(&self, kind: TaskKind) -> usize {
        self.tasks().filter(|task| task.kind == kind).count()
    }

    /// The CPU of all tasks, in thousandths.
    pub fn cpus_milli(&self) -> u64 {
        self.tasks().map(|task| task.cpus_milli).sum()
    }

    /// The number of agents on which a task would be launched.
    pub fn used_agents(&self) -> usize {
        self.agents.iter().filter(|agent| !agent.tasks.is_empty()).count()
    }
}

/// What the scheduler would launch on these offers: workers and, unless they mine at an external pool, a server for them.
pub(super) fn forecast(
    config: &Config,
    offers: &[Offer],
    unavailabilities: &HashMap<String, Unavailability>,
    now: Instant,
) -> Forecast {
    let forecaster = Forecaster::new(config, unavailabilities, now);
    let server = config.pool.is_none().then(|| forecaster.plan(offers, server_demand(config)));
    let server_task = server.as_ref().and_then(|plan| plan.tasks.first());
    let server_missing = server.is_some() && server_task.is_none();
    let rest = server_task.map(|task| without(offers, task));
    let workers = forecaster.plan(rest.as_deref().unwrap_or(offers), Demand::Workers);
    let limit = forecaster.reached_limit(&workers);
    // If no agent can run the server, no worker is launched either. Then each agent is listed with the reason why it cannot run
    // the server.
    let decisive = server.as_ref().filter(|_| server_missing).unwrap_or(&workers);
    let mut agents = agents(offers);
    for task in server_task.into_iter().chain(workers.tasks.iter().filter(|_| !server_missing)) {
        if let Some(agent) = agents.get_mut(task.agent.as_str()) {
            agent.tasks.push(TaskForecast::of(task));
        }
    }
    for UnusedAgent { agent, reason, .. } in &decisive.unused {
        if let Some(agent) = agents.get_mut(agent.as_str()) {
            agent.why_not = Some(WhyNot::Declined(whole_seconds(reason)));
        }
    }
    for agent in agents.values_mut().filter(|agent| agent.why_not.is_none() && !agent.has_worker()) {
        agent.why_not = limit.map(WhyNot::Limit);
    }
    Forecast {
        agents: agents.into_values().collect(),
        server_missing,
        workers_with_server: if server_missing { workers.tasks.len() as u64 } else { 0 },
        limit,
        not_asked_for: not_asked_for(&OfferOptions::new(&config.role, &config.placement)),
        no_offers: None,
    }
}

fn server_demand(config: &Config) -> Demand {
    Demand::Server { cpus_milli: config.task.server_cpus_milli(), mem: config.task.server_mem }
}

/// Decides with the scheduler's own code ([`offers::plan`]) what a new framework without tasks would launch.
struct Forecaster<'a> {
    config: &'a Config,
    /// A fleet without tasks, which knows the maintenance windows of the agents.
    fleet: Fleet,
    /// The number of workers that the server admits; `None` if that is unknown.
    admitted: Option<u64>,
    now: Instant,
}

impl<'a> Forecaster<'a> {
    fn new(config: &'a Config, unavailabilities: &HashMap<String, Unavailability>, now: Instant) -> Self {
        let mut fleet = Fleet::new(&config.placement.workers);
        for (agent, unavailability) in unavailabilities {
            fleet.agents.set_window(agent, Some(maintenance_window(*unavailability, now)));
        }
        let ours = config.pool.is_none() && config.programs.is_ours(TaskKind::Server);
        let admitted = || server_capacity::workers(server_capacity::connections(config.task.server_mem));
        Self { config, fleet, admitted: ours.then(admitted), now }
    }

    fn plan(&self, offers: &[Offer], demand: Demand) -> Plan {
        let server_cpus_milli =
            if self.config.pool.is_some() { 0 } else { self.config.task.server_cpus_milli() };
        let limits = &self.config.placement.limits;
        let (cpus_left_milli, workers_left) =
            limits.room(server_cpus_milli, 0, self.admitted).unwrap_or((0, 0));
        let context = PlanContext {
            demand,
            placement: &self.config.placement,
            cpus_left_milli,
            workers_left,
            // Agents may have to wait for their turn to fetch the executor, but in the end all of them have it.
            fetches_left: u64::MAX,
            placed: self.fleet.occupancy(),
            marks: &|agent, _host| self.fleet.marks(agent, maintenance_notice(demand), self.now),
            refuse: Duration::ZERO,
            fewest_failures_first: false,
        };
        offers::plan(offers, &context)
    }

    /// The limit that these workers reach, so that no more would be launched. `None` if they reach no limit.
    fn reached_limit(&self, workers: &Plan) -> Option<Limit> {
        let limits = &self.config.placement.limits;
        let count = workers.tasks.len() as u64;
        let by_number = match (limits.max_workers, self.admitted) {
            (Some(most), admitted) if admitted.is_none_or(|admitted| most <= admitted) => {
                Some((most, Limit::Workers(most)))
            }
            (_, admitted) => admitted.map(|admitted| (admitted, Limit::Server(admitted))),
        };
        if let Some((_, limit)) = by_number.filter(|(most, _)| count >= *most) {
            return Some(limit);
        }
        let most = limits.max_cpus_milli?;
        let server = if self.config.pool.is_some() { 0 } else { self.config.task.server_cpus_milli() };
        let used = workers.tasks.iter().map(|task| task.cpus_milli).sum::<u64>() + server;
        (most.saturating_sub(used) < limits.min_worker_cpus_milli).then_some(Limit::Cpus(most))
    }
}

impl TaskForecast {
    fn of(task: &PlannedTask) -> Self {
        let mem = |pieces: &[_]| Resources::from(pieces.to_vec()).sum("mem").milli();
        Self {
            kind: if task.ports.is_some() { TaskKind::Server } else { TaskKind::Worker },
            cpus_milli: task.cpus_milli,
            mem: (mem(&task.executor) + mem(&task.task)) / 1000,
            ports: task.ports,
        }
    }
}

/// Rounds the time until maintenance down to whole seconds. Then agents whose maintenance begins at the same time have equal
/// reasons.
fn whole_seconds(reason: &DeclineReason) -> DeclineReason {
    match reason {
        DeclineReason::Leaving(left) => DeclineReason::Leaving(Duration::from_secs(left.as_secs())),
        reason => reason.clone(),
    }
}

/// Agent id → the agent with the resources that it offers.
fn agents(offers: &[Offer]) -> BTreeMap<&str, AgentForecast> {
    let mut agents: BTreeMap<&str, AgentForecast> = BTreeMap::new();
    for offer in offers {
        let agent = agents.entry(&offer.agent_id.value).or_insert_with(|| AgentForecast {
            agent: offer.agent_id.value.clone(),
            host: offer.hostname.clone(),
            offered: Offered::default(),
            tasks: Vec::new(),
            why_not: None,
        });
        let mut firm = Resources::from(offer.resources.clone());
        let revocable = firm.split_off(|piece| piece.revocable.is_some());
        let offered = &mut agent.offered;
        offered.cpus_milli += firm.sum("cpus").milli();
        offered.revocable_cpus_milli += revocable.sum("cpus").milli();
        offered.mem += firm.sum("mem").milli() / 1000;
        // Port 0 cannot be listened on, so no task gets it.
        firm.keep_values("ports", offers::PORTS);
        offered.ports = offered.ports.saturating_add(firm.count("ports"));
    }
    agents
}

/// The offers that remain after the launch of a task. The unused resources of the task's agent are one offer, as they would be in
/// Mesos.
fn without(offers: &[Offer], task: &PlannedTask) -> Vec<Offer> {
    let (of_agent, others): (Vec<&Offer>, Vec<&Offer>) =
        offers.iter().partition(|offer| offer.agent_id.value == task.agent);
    let mut rest =
        Resources::from(of_agent.iter().flat_map(|offer| offer.resources.clone()).collect::<Vec<_>>());
    for part in [&task.executor, &task.task] {
        rest.subtract(&Resources::from(part.clone()));
    }
    let rest = of_agent.first().map(|offer| Offer { resources: rest.into(), ..(*offer).clone() });
    rest.into_iter().chain(others.into_iter().cloned()).collect()
}
