//! The resources that one task takes from an agent's offers.

use std::ops::RangeInclusive;

use mesos::resources::{Quantity, Resources};
use mesos::v1::{Offer, Resource};

use super::{DeclineReason, Demand, PlanContext, PlannedTask, WORKER_MEM};
use crate::constraints::Place;

/// The part of a task's CPU that goes to its executor, in thousandths of a CPU: the minimum that Mesos allows.
const EXECUTOR_CPUS_MILLI: u64 = 10;
/// The part of a task's memory that goes to its executor, in MB: the minimum that Mesos allows.
const EXECUTOR_MEM: u64 = 32;

/// The valid port numbers. Zero is excluded, because a program that listens at port 0 gets a random port from the system.
pub const PORTS: RangeInclusive<u64> = 1..=65_535;

/// The resources of one task.
pub(super) struct Fit {
    pub cpus_milli: u64,
    executor: Resources,
    task: Resources,
    ports: Option<(u16, u16)>,
}

impl Fit {
    pub fn on(
        self,
        agent: &str,
        place: Place,
        agent_url: Option<String>,
        offers: Vec<String>,
    ) -> PlannedTask {
        let Fit { cpus_milli, executor, task, ports } = self;
        let (executor, task) = (executor.into(), task.into());
        PlannedTask { offers, agent: agent.to_owned(), place, agent_url, cpus_milli, executor, task, ports }
    }
}

/// Returns the resources that the wanted task takes from an agent's offers, and the resources that remain for further tasks.
/// Fails with the reason if the offers are not enough.
pub(super) fn fill(
    offers: &[&Offer],
    context: &PlanContext<'_>,
    failures: u32,
) -> Result<(Fit, Resources), DeclineReason> {
    let mut left = usable(offers, context);
    if let Demand::Server { .. } = context.demand {
        // After failures, other ports are taken, since another program may use the first ones although Mesos offers them.
        let skipped = 2 * u64::from(failures) % left.count("ports").saturating_sub(1).max(1);
        // This cannot fail, because `left` has at least `skipped` ports.
        left.take_values("ports", usize::try_from(skipped).unwrap_or(0)).ok();
    }
    match take_next(&mut left, context) {
        Some(fit) => Ok((fit, left)),
        None => Err(too_small(&usable(offers, context), context)),
    }
}

/// Takes the resources of one more task from the remaining resources; `None` if these are not enough.
pub(super) fn take_next(left: &mut Resources, context: &PlanContext<'_>) -> Option<Fit> {
    let limits = &context.placement.limits;
    match context.demand {
        Demand::Nothing => None,
        Demand::Server { cpus_milli, mem } => take(left, cpus_milli, mem, 2),
        Demand::Workers => {
            let free = left.sum("cpus").milli().saturating_sub(limits.reserve_cpus_milli);
            if free < limits.min_worker_cpus_milli {
                return None;
            }
            let most = limits.worker_cpus_milli.unwrap_or(u64::MAX).min(context.cpus_left_milli);
            take(left, free.min(most), WORKER_MEM, 0)
        }
    }
}

/// The resources of an agent's offers that the wanted task may use.
fn usable(offers: &[&Offer], context: &PlanContext<'_>) -> Resources {
    let pieces = offers.iter().flat_map(|offer| offer.resources.iter().cloned());
    let mut usable = Resources::from(pieces.collect::<Vec<_>>());
    // Only valid ports are kept: an agent may offer port 0, and a faulty master may offer numbers above 65,535.
    usable.keep_values("ports", PORTS);
    // A server cannot use revocable resources, and no task uses shared ones.
    let revocable = usable.split_off(|piece| piece.revocable.is_some() || piece.shared.is_some());
    if uses_revocable(context) {
        // Mesos refuses a task that mixes revocable and non-revocable CPU.
        usable.split_off(|piece| piece.name == "cpus");
        let cpus = |piece: &Resource| piece.name == "cpus" && piece.shared.is_none();
        usable.extend(revocable.into_iter().filter(cpus));
    }
    usable
}

fn uses_revocable(context: &PlanContext<'_>) -> bool {
    context.placement.revocable && context.demand == Demand::Workers
}

/// Why nothing is launched on these resources.
fn too_small(usable: &Resources, context: &PlanContext<'_>) -> DeclineReason {
    let cpus_milli = usable.sum("cpus").milli();
    let (mem, ports) = (usable.sum("mem").milli() / 1000, usable.count("ports"));
    if let Demand::Server { cpus_milli: needed, mem: needed_mem } = context.demand {
        return DeclineReason::NoServer { needed, needed_mem, cpus_milli, mem, ports };
    }
    let limits = &context.placement.limits;
    let (needed, reserved) = (limits.min_worker_cpus_milli, limits.reserve_cpus_milli);
    DeclineReason::NoWorker { needed, cpus_milli, reserved, revocable: uses_revocable(context), mem }
}

/// Takes resources. If there is not enough of one of them, nothing is taken and `None` is returned.
fn take(left: &mut Resources, cpus_milli: u64, mem: u64, ports: usize) -> Option<Fit> {
    let there = |name: &str| left.sum(name).milli();
    if there("cpus") < cpus_milli || there("mem") < mem * 1000 || left.count("ports") < ports as u64 {
        return None;
    }
    let mut executor = left.take("cpus", Quantity::from_milli(EXECUTOR_CPUS_MILLI)).ok()?;
    executor.extend(left.take("mem", Quantity::whole(EXECUTOR_MEM)).ok()?);
    let mut task =
        left.take("cpus", Quantity::from_milli(cpus_milli.saturating_sub(EXECUTOR_CPUS_MILLI))).ok()?;
    task.extend(left.take("mem", Quantity::whole(mem.saturating_sub(EXECUTOR_MEM))).ok()?);
    let (numbers, taken) = left.take_values("ports", ports).ok()?;
    task.extend(taken);
    let mut numbers = numbers.into_iter().filter_map(|port| u16::try_from(port).ok());
    let ports = numbers.next().zip(numbers.next());
    Some(Fit { cpus_milli, executor, task, ports })
}
