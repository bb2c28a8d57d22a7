//! What one task takes of an agent's offers.

use mesos::resources::{Quantity, Resources, Shortage};
use mesos::v1::{Offer, Resource};

use super::{Accept, DeclineReason, Demand, SERVER_MEM, WORKER_MEM, Wanted};
use crate::constraints::Place;

/// The executor's part of a task's CPU, thousandths: the least that Mesos asks for.
const EXECUTOR_CPUS_MILLI: u64 = 10;
/// The executor's part of a task's memory, MB: the least that Mesos asks for.
const EXECUTOR_MEM: u64 = 32;

/// What one task takes.
pub(super) struct Fit {
    pub cpus_milli: u64,
    executor: Resources,
    task: Resources,
    ports: Option<(u16, u16)>,
}

impl Fit {
    pub fn on(self, agent: &str, place: Place, offers: Vec<String>) -> Accept {
        let Fit { cpus_milli, executor, task, ports } = self;
        let (executor, task) = (executor.into(), task.into());
        Accept { offers, agent: agent.to_owned(), place, cpus_milli, executor, task, ports }
    }
}

/// What the task that is wanted takes of an agent's offers, and what is left for further ones; or why they are not enough.
pub(super) fn fill(
    offers: &[&Offer],
    demand: &Demand<'_>,
    failures: u32,
) -> Result<(Fit, Resources), DeclineReason> {
    let mut left = usable(offers, demand);
    if let Wanted::Server { .. } = demand.wanted {
        // Some other program may have the first ports, whoever gave them to Mesos.
        let skipped = 2 * u64::from(failures) % left.count("ports").saturating_sub(1).max(1);
        // There are more.
        left.take_values("ports", usize::try_from(skipped).unwrap_or(0)).ok();
    }
    match take_next(&mut left, demand) {
        Ok(fit) => Ok((fit, left)),
        Err(_) => Err(too_small(&usable(offers, demand), demand)),
    }
}

/// What one more task takes of what is left; nothing is taken if it is not enough.
pub(super) fn take_next(left: &mut Resources, demand: &Demand<'_>) -> Result<Fit, TooSmall> {
    let limits = &demand.placement.limits;
    match demand.wanted {
        Wanted::Nothing => Err(TooSmall),
        Wanted::Server { cpus_milli } => take(left, cpus_milli, SERVER_MEM, 2),
        Wanted::Workers => {
            let free = left.sum("cpus").milli().saturating_sub(limits.reserve_cpus_milli);
            if free < limits.min_worker_cpus_milli {
                return Err(TooSmall);
            }
            let most = limits.worker_cpus_milli.unwrap_or(u64::MAX).min(demand.cpus_left_milli);
            take(left, free.min(most), WORKER_MEM, 0)
        }
    }
}

/// What is left is not enough for a task.
#[derive(Debug)]
pub(super) struct TooSmall;

impl From<Shortage> for TooSmall {
    fn from(_: Shortage) -> Self {
        Self
    }
}

/// What of an agent's offers the task that is wanted may use.
fn usable(offers: &[&Offer], demand: &Demand<'_>) -> Resources {
    let pieces = offers.iter().flat_map(|offer| offer.resources.iter().cloned());
    let mut usable = Resources::from(pieces.collect::<Vec<_>>());
    // What Mesos may take back at any time is for no server, and what it shares out not for us.
    let revocable = usable.split_off(|piece| piece.revocable.is_some() || piece.shared.is_some());
    if uses_revocable(demand) {
        // A task that mixes the two is refused.
        usable.split_off(|piece| piece.name == "cpus");
        let cpus = |piece: &Resource| piece.name == "cpus" && piece.shared.is_none();
        usable.extend(revocable.into_iter().filter(cpus));
    }
    usable
}

fn uses_revocable(demand: &Demand<'_>) -> bool {
    demand.placement.revocable && demand.wanted == Wanted::Workers
}

/// Why nothing is launched on this.
fn too_small(usable: &Resources, demand: &Demand<'_>) -> DeclineReason {
    let cpus_milli = usable.sum("cpus").milli();
    let (mem, ports) = (usable.sum("mem").milli() / 1000, usable.count("ports"));
    if let Wanted::Server { cpus_milli: needed } = demand.wanted {
        return DeclineReason::NoServer { needed, cpus_milli, mem, ports };
    }
    let limits = &demand.placement.limits;
    let (needed, reserved) = (limits.min_worker_cpus_milli, limits.reserve_cpus_milli);
    DeclineReason::NoWorker { needed, cpus_milli, reserved, revocable: uses_revocable(demand), mem }
}

/// If there is not enough of everything, nothing is taken.
fn take(left: &mut Resources, cpus_milli: u64, mem: u64, ports: usize) -> Result<Fit, TooSmall> {
    let there = |name: &str| left.sum(name).milli();
    if there("cpus") < cpus_milli || there("mem") < mem * 1000 || left.count("ports") < ports as u64 {
        return Err(TooSmall);
    }
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
