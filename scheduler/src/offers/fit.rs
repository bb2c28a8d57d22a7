//! What one task takes of an agent's offers.

use mesos::resources::{Quantity, Resources, Shortage};
use mesos::v1::{Offer, Resource};

use super::{Accept, DeclineReason, Demand, WORKER_MEM, Wanted};
use crate::constraints::Place;

/// The executor's part of a task's CPU, thousandths: the least that Mesos asks for.
const EXECUTOR_CPUS_MILLI: u64 = 10;
/// The executor's part of a task's memory, MB: the least that Mesos asks for.
const EXECUTOR_MEM: u64 = 32;

/// What one task takes.
pub(super) struct Fit {
    pub cpus_milli: u64,
    /// CPU that another worker could have, thousandths.
    pub left_milli: u64,
    executor: Resources,
    task: Resources,
    ports: Option<(u16, u16)>,
}

impl Fit {
    pub fn on(self, agent: &str, place: Place, more: bool, offers: Vec<String>) -> Accept {
        let Fit { cpus_milli, executor, task, ports, .. } = self;
        let (executor, task) = (executor.into(), task.into());
        Accept { offers, agent: agent.to_owned(), place, cpus_milli, more, executor, task, ports }
    }
}

/// What the task that is wanted takes of an agent's offers, or why they are not enough.
pub(super) fn fill(offers: &[&Offer], demand: &Demand<'_>, failures: u32) -> Result<Fit, DeclineReason> {
    let pieces = offers.iter().flat_map(|offer| offer.resources.iter().cloned());
    let mut left = Resources::from(pieces.collect::<Vec<_>>());
    // What Mesos may take back at any time is for no server, and what it shares out not for us.
    let revocable = left.split_off(|piece| piece.revocable.is_some() || piece.shared.is_some());
    let use_revocable = demand.placement.revocable && demand.wanted == Wanted::Workers;
    if use_revocable {
        // A task that mixes the two is refused.
        left.split_off(|piece| piece.name == "cpus");
        let usable = |piece: &Resource| piece.name == "cpus" && piece.shared.is_none();
        left.extend(revocable.into_iter().filter(usable));
    }
    let (cpus, mem, ports) = (left.sum("cpus").milli(), left.sum("mem").milli() / 1000, left.count("ports"));
    let limits = &demand.placement.limits;
    let free = cpus.saturating_sub(limits.reserve_cpus_milli);
    let needed = limits.min_worker_cpus_milli;
    let too_small = match demand.wanted {
        Wanted::Server { cpus_milli, mem: needed_mem } => {
            DeclineReason::NoServer { needed: cpus_milli, needed_mem, cpus_milli: cpus, mem, ports }
        }
        _ => {
            let reserved = limits.reserve_cpus_milli;
            DeclineReason::NoWorker { needed, cpus_milli: cpus, reserved, revocable: use_revocable, mem }
        }
    };
    let fit = match demand.wanted {
        Wanted::Nothing => return Err(too_small),
        Wanted::Server { cpus_milli, mem } => {
            // Some other program may have the first ports, whoever gave them to Mesos.
            let skipped = 2 * u64::from(failures) % ports.saturating_sub(1).max(1);
            // There are more.
            left.take_values("ports", usize::try_from(skipped).unwrap_or(0)).ok();
            take(&mut left, cpus_milli, mem, 2)
        }
        Wanted::Workers if free < needed => return Err(too_small),
        Wanted::Workers => {
            let most = limits.worker_cpus_milli.unwrap_or(u64::MAX).min(demand.cpus_left_milli);
            let wanted = free.min(most);
            let fit = take(&mut left, wanted, WORKER_MEM, 0);
            fit.map(|fit| Fit { left_milli: free - wanted, ..fit })
        }
    };
    fit.map_err(|_| too_small)
}

fn take(left: &mut Resources, cpus_milli: u64, mem: u64, ports: usize) -> Result<Fit, Shortage> {
    let mut executor = left.take("cpus", Quantity::from_milli(EXECUTOR_CPUS_MILLI))?;
    executor.extend(left.take("mem", Quantity::whole(EXECUTOR_MEM))?);
    let mut task = left.take("cpus", Quantity::from_milli(cpus_milli.saturating_sub(EXECUTOR_CPUS_MILLI)))?;
    task.extend(left.take("mem", Quantity::whole(mem.saturating_sub(EXECUTOR_MEM)))?);
    let (numbers, taken) = left.take_values("ports", ports)?;
    task.extend(taken);
    let mut numbers = numbers.into_iter().filter_map(|port| u16::try_from(port).ok());
    let ports = numbers.next().zip(numbers.next());
    Ok(Fit { cpus_milli, left_milli: 0, executor, task, ports })
}
