//! Options for where tasks may run, and with how much CPU.

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::BoolishValueParser;
use command_line::whole_number;
use logging::error_chain;

use crate::constraints::{Constraint, ConstraintError};
use crate::offers::{Placement, WorkerLimits};
use crate::options::cpus;

/// Where tasks may run, and with how much CPU.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Where tasks run")]
pub struct PlacementArgs {
    /// Maximum number of CPUs for all tasks together, including the server [default: all that are offered].
    #[arg(long, value_name = "CPUS", env = "MINER_MAX_CPUS", value_parser = parse_sum)]
    pub max_cpus: Option<f64>,
    /// Maximum number of workers [default: as many as fit].
    #[arg(long, value_name = "N", env = "MINER_MAX_WORKERS", value_parser = whole_number::<u64>(1..=u64::MAX))]
    pub max_workers: Option<u64>,
    /// Maximum number of CPUs for one worker; an agent with more CPUs gets several workers [default: all CPUs of the agent].
    #[arg(long, value_name = "CPUS", env = "MINER_CPUS_PER_WORKER", value_parser = cpus)]
    pub cpus_per_worker: Option<f64>,
    /// Minimum number of CPUs for a worker.
    #[arg(long, value_name = "CPUS", env = "MINER_MIN_WORKER_CPUS", default_value = "0.1", value_parser = cpus)]
    pub min_worker_cpus: f64,
    /// CPUs to leave to other frameworks on each agent.
    #[arg(long, value_name = "CPUS", env = "MINER_RESERVE_CPUS", default_value = "0", value_parser = parse_sum)]
    pub reserve_cpus: f64,
    /// Run workers only on revocable CPUs, which Mesos may take back at any time.
    #[arg(long, env = "MINER_REVOCABLE", value_parser = BoolishValueParser::new())]
    pub revocable: bool,
    /// Use agents with GPUs, too, which Mesos offers only to frameworks that ask for them; the GPUs are left to others.
    #[arg(long, env = "MINER_GPU_AGENTS", value_parser = BoolishValueParser::new())]
    pub gpu_agents: bool,
    /// Use agents in other regions than the master's, too, which Mesos offers only to frameworks that ask for them; constraints on
    /// @region and @zone choose among them.
    #[arg(long, env = "MINER_REMOTE_REGIONS", value_parser = BoolishValueParser::new())]
    pub remote_regions: bool,
    /// Where workers may run: FIELD:OPERATOR or FIELD:OPERATOR:VALUE as in Marathon (such as rack:UNIQUE or
    /// hostname:LIKE:node1.*). FIELD is hostname, @region, @zone or an attribute. OPERATOR is UNIQUE, CLUSTER, GROUP_BY, LIKE,
    /// UNLIKE or MAX_PER. For several rules, repeat the option, or write one rule per line in the environment variable.
    #[arg(long, value_name = "RULE", env = "MINER_CONSTRAINT", value_delimiter = '\n', value_parser = rule)]
    pub constraint: Vec<Constraint>,
    /// Where the server may run, in the form of --constraint.
    #[arg(long, value_name = "RULE", env = "MINER_SERVER_CONSTRAINT", value_delimiter = '\n', value_parser = rule)]
    pub server_constraint: Vec<Constraint>,
}

impl PlacementArgs {
    /// Checks that the options do not contradict each other. `server_cpus` is `None` if there is no server task.
    ///
    /// # Errors
    /// If no worker could ever be launched.
    pub(super) fn check(self, server_cpus: Option<f64>) -> anyhow::Result<Placement> {
        let least = self.min_worker_cpus;
        if let Some(most) = self.cpus_per_worker {
            ensure!(most >= least, "--cpus-per-worker {most} is less than --min-worker-cpus {least}");
        }
        if let Some(most) = self.max_cpus {
            let why = match server_cpus {
                Some(server) => format!(
                    "leaves nothing for workers: the server takes {server} (--server-cpus) and a worker at least {least} \
                     (--min-worker-cpus)"
                ),
                None => {
                    format!("is too little for a worker, which takes at least {least} (--min-worker-cpus)")
                }
            };
            ensure!(milli(most) >= server_cpus.map_or(0, milli) + milli(least), "--max-cpus {most} {why}");
        }
        Ok(Placement {
            limits: WorkerLimits {
                max_cpus_milli: self.max_cpus.map(milli),
                max_workers: self.max_workers,
                worker_cpus_milli: self.cpus_per_worker.map(milli),
                min_worker_cpus_milli: milli(least),
                reserve_cpus_milli: milli(self.reserve_cpus),
            },
            revocable: self.revocable,
            gpu_agents: self.gpu_agents,
            remote_regions: self.remote_regions,
            workers: self.constraint,
            server: self.server_constraint,
        })
    }
}

fn milli(cpus: f64) -> u64 {
    (cpus * 1000.0).round() as u64
}

/// Parses a constraint.
fn rule(text: &str) -> Result<Constraint, String> {
    text.parse().map_err(|error: ConstraintError| error_chain(&error))
}

fn parse_sum(text: &str) -> anyhow::Result<f64> {
    let cpus: f64 = text.parse().context("write a number of CPUs such as 1 or 0.5")?;
    ensure!((0.0..=1e7).contains(&cpus), "must be from 0 to 10000000");
    Ok(cpus)
}
