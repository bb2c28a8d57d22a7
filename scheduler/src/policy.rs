//! The policies of the framework, one per file. A policy reads the fleet and returns intents. It changes nothing itself and
//! cannot see the state of other policies.
//!
//! # Precedence
//! [`policies`] lists the policies. Each event goes to them in this order, and the intents of one policy are carried out
//! before the next policy gets the event. So later policies see the effects of earlier ones: for example that a task is to
//! end, that a server was given up, or that the offers of an agent are declined for a while. Some intents cannot be undone by
//! any policy: a task that is to end is never kept, and nothing is launched once the shutdown has begun. An agent's
//! maintenance window, the limit on launches, and the decision to hold an agent's offers (`Intent::HoldOffers`) are each set
//! and cleared by one policy only.
//!
//! An intent may raise further events. They are handled after the present one.

mod acknowledge;
mod admission;
mod agent_pause;
mod avoided_agents;
mod beyond_limits;
mod commanded_kills;
mod common_failure;
mod decline_groups;
mod event;
mod executor_failure;
mod executor_output;
mod fetch_pacing;
mod intent;
mod intervals;
mod kill;
mod lasting_problem;
mod launch;
mod launch_timeout;
mod maintenance;
mod merge;
mod mining_pause;
mod no_offers;
mod node_credentials;
mod reconcile;
mod redirect;
mod replacement;
mod retire;
mod sent_launches;
mod server_drain;
mod server_health;
mod server_loss;
mod server_preemption;
mod shutdown;
mod silence;
mod surplus;
mod task_notices;
mod task_problems;
mod tell_again;
mod terminated_executor;
#[cfg(test)]
mod tests;
mod unanswered_launch;
mod unreachable;
mod view;

use std::fmt;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

pub use self::event::PolicyEvent;
pub use self::intent::Intent;
pub(crate) use self::maintenance::{notice as maintenance_notice, window as maintenance_window};
#[cfg(test)]
pub use self::server_health::ILL_SERVER;
pub use self::view::View;

pub use crate::event::TaskEnd;
use crate::settings::Settings;

/// One policy: a state machine that is driven by events.
pub trait Policy: fmt::Debug + Send {
    /// Handles an event.
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent>;
}

/// All policies, in the order in which they get an event.
pub fn policies(settings: &Settings) -> Vec<Box<dyn Policy>> {
    vec![
        // This policy comes first, so that the other policies do not see retired tasks.
        Box::<retire::Retire>::default(),
        // This policy comes before `TaskNotices`, so that no notice says that a surplus task runs: such a task is ended
        // immediately.
        Box::<surplus::SurplusTasks>::default(),
        // This policy comes before `TaskNotices` and `AgentPause`, because both treat a common failure differently from a single
        // one.
        Box::new(common_failure::CommonFailures::new(settings.seed)),
        Box::<task_notices::TaskNotices>::default(),
        // This policy comes before `ServerLoss`, so that a server's failure is counted before the server is given up.
        Box::<agent_pause::AgentPause>::default(),
        // This policy comes after `AgentPause`, which lists the failures that this one adds to.
        Box::<executor_output::ExecutorOutput>::default(),
        Box::<server_loss::ServerLoss>::default(),
        // This policy comes before the policies that give up tasks, so that the master is asked about a task first: the master
        // may still know the task.
        Box::new(reconcile::Reconcile::new(settings.seed)),
        Box::<unanswered_launch::UnansweredLaunches>::default(),
        Box::<launch_timeout::LaunchTimeout>::default(),
        Box::<task_problems::TaskProblems>::default(),
        Box::<terminated_executor::TerminatedExecutors>::default(),
        Box::<server_health::ServerHealth>::default(),
        Box::<unreachable::Unreachable>::default(),
        Box::<silence::Silence>::default(),
        Box::<maintenance::Maintenance>::default(),
        Box::<avoided_agents::AvoidedAgents>::default(),
        Box::<commanded_kills::CommandedKills>::default(),
        Box::<mining_pause::PauseMining>::default(),
        Box::<merge::Merge>::default(),
        Box::<redirect::Redirects>::default(),
        Box::new(node_credentials::NodeCredentials::new(settings.seed)),
        Box::<server_preemption::ServerPreemption>::default(),
        // This policy comes before `Replacement`, because workers beyond the limits are to be ended, not replaced.
        Box::<beyond_limits::BeyondLimits>::default(),
        Box::<replacement::Replacement>::default(),
        Box::<intervals::WorkerIntervals>::default(),
        // The policies from here on come last, since they depend on the decisions of the others: acknowledgements, KILLs,
        // launches, the shutdown.
        Box::<acknowledge::Acknowledge>::default(),
        Box::<kill::Kill>::default(),
        Box::new(launch::Launch::new(settings)),
        Box::<admission::Admission>::default(),
        Box::<no_offers::NoOffers>::default(),
        // This policy comes after all that set problems, so that it sees those of this moment.
        Box::<lasting_problem::LastingProblem>::default(),
        Box::<shutdown::Shutdown>::default(),
    ]
}

/// A random time around `middle`, so that a thousand schedulers do not act simultaneously.
fn jitter(random: &mut StdRng, middle: Duration) -> Duration {
    middle.mul_f64(random.random_range(0.75..1.25))
}
