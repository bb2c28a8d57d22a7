//! Whether there is room for the next server once the present one, and perhaps some workers, have ended.

use std::collections::BTreeMap;
use std::time::Instant;

use ::task::{Live, PoolLive};
use mesos::resources::{Quantity, ranges, scalar};
use mesos::v1::{Offer, TaskState};

use super::super::{View, launch, maintenance};
use crate::constraints::Place;
use crate::fleet::Task;
use crate::offers::{self, PlanContext, WORKER_MEM};
use crate::server_capacity;

/// To make room for the next server, at most this many workers are considered for ending.
const CHECKED: usize = 1000;

/// An agent on which the next server has room if the tasks in `ends` end. The resources of these tasks and of `offers` count as
/// free.
pub(super) fn find(view: &View<'_>, ends: &[&Task], offers: &[Offer], now: Instant) -> Option<String> {
    let held: Vec<Offer> = ends.iter().map(|task| resources(view, task)).collect();
    let mut agents: BTreeMap<&str, (Place, Vec<&Offer>)> = BTreeMap::new();
    for (task, held) in ends.iter().zip(&held) {
        agents.entry(task.agent()).or_insert_with(|| (task.place(), Vec::new())).1.push(held);
    }
    for offer in offers {
        let agent = agents.entry(&offer.agent_id.value);
        agent.or_insert_with(|| (Place::of(offer), Vec::new())).1.push(offer);
    }
    let (placement, placed) = (&view.settings.placement, view.fleet.occupancy());
    let marks = |agent: &str, host: &str| view.marks(agent, host, maintenance::NO_SERVER, now);
    let context = PlanContext::without_limits(launch::server_demand(view), placement, placed, &marks);
    let is_place = |(agent, (place, offers)): &(&str, (Place, Vec<&Offer>))| {
        offers::is_place(agent, place, offers, &context)
    };
    agents.into_iter().find(is_place).map(|(agent, _)| agent.to_owned())
}

/// Finds an agent on which the next server has room if some of the agent's workers are ended. The present server counts as ended.
/// Returns the agent and these workers; `None` if there is no such agent. `free` has the last offers of agents. Agents for which
/// `tried` is true are left out.
pub(super) fn workers_to_end(
    view: &View<'_>,
    server: &Task,
    free: &BTreeMap<String, Vec<Offer>>,
    tried: impl Fn(&str) -> bool,
    now: Instant,
) -> Option<(String, Vec<String>)> {
    // A server cannot use revocable CPU.
    if view.settings.placement.revocable {
        return None;
    }
    let gives = |task: &&Task| {
        task.is_worker()
            && task.may_live()
            && !task.is_to_end()
            && task.state() != Some(TaskState::TaskUnreachable)
            && !tried(task.agent())
    };
    let fits = |workers: &[&Task]| {
        let ends = [&[server], workers].concat();
        let offers =
            workers.first().and_then(|worker| free.get(worker.agent())).map_or(&[][..], Vec::as_slice);
        find(view, &ends, offers, now)
    };
    let ids = |workers: &[&Task]| workers.iter().map(|worker| worker.id().to_owned()).collect();
    let mut neighbours: Vec<&Task> = view.fleet.on_agent(server.agent()).filter(gives).collect();
    neighbours.sort_by_key(|worker| std::cmp::Reverse(worker.record.cpus_milli()));
    let mut few = (1..=neighbours.len()).map(|count| &neighbours[..count]);
    if let Some((agent, workers)) = few.find_map(|workers| Some((fits(workers)?, ids(workers)))) {
        return Some((agent, workers));
    }
    let needed = view.settings.server_cpus_milli();
    let is_large = |task: &&Task| task.agent() != server.agent() && task.record.cpus_milli() >= needed;
    let mut others = view.fleet.in_launch_order(None).filter(gives).filter(is_large).take(CHECKED);
    others.find_map(|worker| Some((fits(&[worker])?, ids(&[worker]))))
}

/// A hypothetical offer: the resources that this task would free if it ended.
fn resources(view: &View<'_>, task: &Task) -> Offer {
    let mem = if task.is_worker() { WORKER_MEM } else { memory(view, task) };
    let cpus = scalar("cpus", Quantity::from_milli(task.record.cpus_milli()));
    let ports = task.record.address.as_ref().map(|address| {
        let port = |port: u16| u64::from(port)..=u64::from(port);
        ranges("ports", [port(address.http_port), port(address.stratum_port)])
    });
    let resources = [cpus, scalar("mem", Quantity::whole(mem))].into_iter().chain(ports).collect();
    Offer { resources, ..Offer::default() }
}

/// A lower bound of a server's memory, in MB. The memory is not recorded, so it is estimated from the maximum number of
/// connections that the server reports. The estimate is at most `--server-mem`. If the server has not reported this number,
/// `--server-mem` is assumed.
fn memory(view: &View<'_>, server: &Task) -> u64 {
    let wanted = view.settings.template.options.server_mem;
    match &server.live {
        Some((_, Live::Pool(PoolLive { max_connections: Some(told), .. })))
            if *told < server_capacity::connections(wanted) =>
        {
            server_capacity::memory(*told).min(wanted)
        }
        _ => wanted,
    }
}
