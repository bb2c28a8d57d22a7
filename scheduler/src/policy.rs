//! The policies of the framework, one per file. A policy reads the fleet and returns intents. It changes nothing itself and
//! cannot see the state of other policies.
//!
//! # Precedence
//! [`policies`] lists the policies. Each event goes to them in this order, and the intents of one policy are carried out before
//! the next policy gets the event. So later policies see the effects of earlier ones: a task that is to end, a server that was
//! given up, an agent whose offers are held. No policy can undo certain intents: a task that is to end is never kept, and nothing
//! is launched once the shutdown has begun. An agent's maintenance window, an agent's held offers and the limit on launches are
//! each set and cleared by one policy only.
//!
//! An intent may raise further events. They are handled after the present one.

mod acknowledge;
mod admission;
mod agent_pause;
mod common_failure;
mod decline_groups;
mod event;
mod fetch_pacing;
mod intervals;
mod kill;
mod launch;
mod launch_timeout;
mod maintenance;
mod merge;
mod reconcile;
mod redirect;
mod retire;
mod server_health;
mod server_loss;
mod server_preemption;
mod shutdown;
mod silence;
mod surplus;
mod task_notices;
#[cfg(test)]
mod tests;
mod unreachable;
mod upgrade;

use std::fmt;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

pub use self::event::PolicyEvent;
#[cfg(test)]
pub use self::server_health::{ILL_SERVER, SERVER_START};
pub use self::task_notices::TaskEnd;

use crate::event::Call;
use crate::fleet::{Fleet, LaunchLimit, MaintenanceWindow, Task};
use crate::history::{History, RemarkTopic};
use crate::journal::Assignment;
use crate::offers::{PlannedTask, UnusedAgent};
use crate::options::OnServerLoss;
use crate::run_state::RunState;
use crate::settings::Settings;
use crate::user_notice::UserNotice;

/// One policy: a state machine that is driven by events.
pub trait Policy: fmt::Debug + Send {
    /// Handles an event.
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent>;
}

/// All policies, in the order in which they get an event.
pub fn policies(settings: &Settings) -> Vec<Box<dyn Policy>> {
    vec![
        // First, so that the other policies do not see retired tasks.
        Box::<retire::Retire>::default(),
        // Before `TaskNotices`: surplus tasks are ended, so no notice says that they run.
        Box::<surplus::SurplusTasks>::default(),
        // Before `TaskNotices` and `AgentPause`: both treat a common failure differently from a single one.
        Box::new(common_failure::CommonFailures::new(settings.seed)),
        Box::<task_notices::TaskNotices>::default(),
        // Before `ServerLoss`, so that a server's failure is counted before the server is given up.
        Box::<agent_pause::AgentPause>::default(),
        Box::<server_loss::ServerLoss>::default(),
        // Before the policies that give up tasks: the master may still know these tasks.
        Box::new(reconcile::Reconcile::new(settings.seed)),
        Box::<launch_timeout::LaunchTimeout>::default(),
        Box::<server_health::ServerHealth>::default(),
        Box::<unreachable::Unreachable>::default(),
        Box::<silence::Silence>::default(),
        Box::<maintenance::Maintenance>::default(),
        Box::<merge::Merge>::default(),
        Box::<redirect::Redirects>::default(),
        Box::<server_preemption::ServerPreemption>::default(),
        Box::<upgrade::Upgrade>::default(),
        Box::<intervals::WorkerIntervals>::default(),
        // Last, since these depend on the decisions of the others: acknowledgements, KILLs, launches, the shutdown.
        Box::<acknowledge::Acknowledge>::default(),
        Box::<kill::Kill>::default(),
        Box::new(launch::Launch::new(settings)),
        Box::<admission::Admission>::default(),
        Box::<shutdown::Shutdown>::default(),
    ]
}

/// The state that policies can read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The user's settings.
    pub settings: &'a Settings,
    /// The state of this run: its subscription, and whether it is shutting down.
    pub run: &'a RunState,
    /// Tasks and agents.
    pub fleet: &'a Fleet,
    /// The framework's records that outlive its tasks.
    pub history: &'a History,
    /// The number of changes that are not on disk yet.
    pub unpersisted: usize,
}

impl View<'_> {
    /// Whether workers are kept when their server is lost. Workers that run a user's own image cannot be redirected.
    pub fn keeps_workers(&self) -> bool {
        let template = &self.settings.template;
        self.settings.options.on_server_loss == OnServerLoss::Repoint
            && template.pool.is_none()
            && template.programs.worker.is_none()
    }

    /// Whether a worker mines at a server task and can be redirected to another server.
    pub fn can_be_redirected(&self, worker: &Task) -> bool {
        self.keeps_workers() && worker.record.server().is_some()
    }

    /// The URL of the external pool, if workers mine at one.
    pub fn external_pool(&self) -> Option<&str> {
        self.settings.template.pool.as_ref().map(|pool| pool.url.as_str())
    }

    /// Whether a task is still wanted: a server in service, a worker of such a server or of the external pool, or a worker that
    /// can be redirected.
    pub fn belongs(&self, task: &Task) -> bool {
        if !task.is_worker() {
            return self.fleet.servers.contains_key(task.id());
        }
        let works = match &task.record.assignment {
            Some(Assignment::Pool(pool)) => self.external_pool() == Some(pool),
            Some(Assignment::Server(server)) => {
                self.external_pool().is_none() && self.fleet.servers.contains_key(server)
            }
            None => false,
        };
        works || self.can_be_redirected(task)
    }

    /// The CPU (in thousandths) that further workers may use, and the maximum number of further workers; `None` if no more are
    /// allowed.
    pub fn room(&self) -> Option<(u64, u64)> {
        if self.admission_is_unknown() {
            return None;
        }
        let limits = &self.settings.placement.limits;
        let (used, count) = self.fleet.placed();
        let used = used.saturating_add(self.server_cpus_milli());
        let cpus = limits.max_cpus_milli.map_or(u64::MAX, |most| most.saturating_sub(used));
        let most = limits.max_workers.into_iter().chain(self.admitted()).min();
        let workers = most.map_or(u64::MAX, |most| most.saturating_sub(count));
        (cpus >= limits.min_worker_cpus_milli && workers > 0).then_some((cpus, workers))
    }

    /// Thousandths of a CPU reserved for the server, whether or not it runs; 0 with an external pool.
    pub fn server_cpus_milli(&self) -> u64 {
        if self.external_pool().is_some() { 0 } else { self.settings.server_cpus_milli() }
    }

    /// Whether messages from tasks can be received. Otherwise the silence of a task means nothing.
    pub fn hears_tasks(&self, now: Instant) -> bool {
        self.run.connected && !self.run.master_is_silent(now)
    }
}

/// An action that a policy requests. Tasks, agents and servers are identified by their ids.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Call the master. Without a subscription, the call is dropped.
    Call(Call),
    /// Tell the user.
    Notify(UserNotice),
    /// Persist launches on the offers of one agent. The last task in the list holds the offers.
    PersistLaunches(Vec<PlannedTask>),
    /// Send launches that are on disk, all in one call.
    SendLaunches {
        /// The id of the task that holds the offers.
        holder: String,
        /// The ids of the tasks.
        tasks: Vec<String>,
        /// Mesos' `refuse_seconds` for the unused resources of the offers.
        refuse: Duration,
    },
    /// Remove a task whose launch is on disk but will not be sent, and decline its offers.
    ForgetLaunch(String),
    /// End a task.
    End(String),
    /// End a task that has returned: its next KILL is due immediately.
    EndReturned(String),
    /// End a task whose executor does not respond.
    EndExecutor(String),
    /// Send a KILL that is due.
    SendKill(String),
    /// Treat a task without any status update as lost.
    PresumeLost(String),
    /// Take a server out of service.
    GiveUpServer(String),
    /// Assign no more workers to a server.
    DrainServer(String),
    /// Record that a worker mines at another server.
    Assign {
        /// The worker.
        worker: String,
        /// The server.
        server: String,
    },
    /// Pause the agent on which a task has failed.
    PauseAgent {
        /// The task.
        task: String,
        /// The reason, for display.
        why: String,
        /// Whether other agents have this failure in common. Then the failure is only counted, since launches are limited
        /// already.
        common: bool,
    },
    /// Set or clear the limit on launches.
    LimitLaunches(Option<Box<LaunchLimit>>),
    /// Set or clear an agent's maintenance window.
    SetWindow {
        /// The agent.
        agent: String,
        /// `None` if no maintenance is planned.
        window: Option<MaintenanceWindow>,
    },
    /// Set whether an agent's offers are declined until its resources can be offered together.
    HoldOffers {
        /// The agent.
        agent: String,
        /// Whether the offers are declined.
        held: bool,
    },
    /// Set the live and report intervals of workers.
    SetWorkerIntervals(::task::Intervals),
    /// Note why nothing is launched on an agent's offers.
    NoteUnused(UnusedAgent),
    /// Count a worker against limits and constraints again.
    HoldSlot(String),
    /// Stop counting a worker against limits and constraints.
    ReleaseSlot(String),
    /// Ask for declined offers again.
    ReviveOffers,
    /// Set or clear a remark for the user.
    Remark {
        /// The topic of the remark.
        topic: RemarkTopic,
        /// The text of the remark; `None` clears it.
        text: Option<String>,
    },
    /// Retire these tasks: keep only their numbers and sums.
    Retire(Vec<String>),
    /// Forget old failures of agents, and old reasons why agents are unused.
    ExpireAgents,
    /// Begin the shutdown: nothing more is launched.
    BeginShutdown,
    /// End the run: nothing is left to do.
    Finish,
}

impl Intent {
    fn end(task: &Task) -> Self {
        Intent::End(task.id().to_owned())
    }

    /// Tells the user that a task is given up.
    fn notify_given_up(task: &str, why: &'static str) -> Self {
        Intent::Notify(UserNotice::GivenUp { task: task.to_owned(), why })
    }
}

/// A random time around `middle`, so that a thousand schedulers do not act simultaneously.
fn jitter(random: &mut StdRng, middle: Duration) -> Duration {
    middle.mul_f64(random.random_range(0.75..1.25))
}
