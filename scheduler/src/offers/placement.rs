//! Where tasks may run, and how much CPU workers may take.

use crate::constraints::Constraint;

/// The CPU that a worker needs at least, unless the user sets another minimum, in thousandths of a CPU.
const WORKER_CPUS_MILLI: u64 = 100;

/// The limits for workers. CPU is in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Maximum CPU of all tasks together, including the server; `None` for no limit.
    pub max_cpus_milli: Option<u64>,
    /// Maximum number of workers; `None` for no limit.
    pub max_workers: Option<u64>,
    /// Maximum CPU for one worker; `None` if a worker may take all CPU that its agent offers.
    pub worker_cpus_milli: Option<u64>,
    /// Minimum CPU for a worker.
    pub min_worker_cpus_milli: u64,
    /// The part of the CPU in each agent's offers that workers leave unused.
    pub reserve_cpus_milli: u64,
}

impl WorkerLimits {
    /// The CPU (in thousandths) that further workers may use, and the maximum number of further workers; `None` if no more are
    /// allowed. `used_milli` is the CPU of all tasks, including the server, `workers` is the number of workers, and `admitted`
    /// is how many workers the servers admit, if that is known.
    pub fn room(&self, used_milli: u64, workers: u64, admitted: Option<u64>) -> Option<(u64, u64)> {
        let cpus = self.max_cpus_milli.map_or(u64::MAX, |most| most.saturating_sub(used_milli));
        let most = self.max_workers.into_iter().chain(admitted).min();
        let workers = most.map_or(u64::MAX, |most| most.saturating_sub(workers));
        (cpus >= self.min_worker_cpus_milli && workers > 0).then_some((cpus, workers))
    }
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
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
    /// The limits for workers.
    pub limits: WorkerLimits,
    /// Whether workers take only revocable CPU.
    pub revocable: bool,
    /// Whether agents with GPUs are used, too. A master with `--filter_gpu_resources`, the default, offers them only to
    /// frameworks that have the capability GPU_RESOURCES.
    pub gpu_agents: bool,
    /// Whether agents in other regions than the master's are used, too. Masters offer them only to frameworks that ask for them.
    pub remote_regions: bool,
    /// The constraints for workers. All must be met.
    pub workers: Vec<Constraint>,
    /// The constraints for the server. All must be met.
    pub server: Vec<Constraint>,
}
