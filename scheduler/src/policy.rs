//! The policies of the framework, one a file. A policy reads the fleet and returns intents. It changes nothing itself, and
//! cannot see the state of another policy.
//!
//! # Which policy wins
//! [`policies`] lists the policies. They get each event in this order, and the intents of one policy are carried out before the
//! next policy is asked. So later policies see what earlier ones did: a task that an earlier policy ends is to end for all of
//! them, a server that it gives up is gone, an agent that it holds is left alone. Some intents cannot be undone by any policy: a
//! task that is to end never goes on, and nothing is launched once the shutdown has begun. What can be set and cleared (an
//! agent's window, its held offers, a worker's slot, its server) is set by one policy alone.
//!
//! An intent may raise an event of its own. That event comes after the present one.

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
        // First, since the others need not see tasks that have retired.
        Box::<retire::Retire>::default(),
        // Before the notice that a task runs: a surplus task is ended at once.
        Box::<surplus::SurplusTasks>::default(),
        // Before the notice of each failure, and before the failure pauses its agent.
        Box::new(common_failure::CommonFailures::new(settings.seed)),
        Box::<task_notices::TaskNotices>::default(),
        // Before the loss of a server, so that its end is counted first.
        Box::<agent_pause::AgentPause>::default(),
        Box::<server_loss::ServerLoss>::default(),
        // Before tasks are given up, since the master may still know of them.
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
        // Last, since they follow from the others: acknowledgements, KILLs, launches, the shutdown.
        Box::<acknowledge::Acknowledge>::default(),
        Box::<kill::Kill>::default(),
        Box::new(launch::Launch::new(settings)),
        Box::<admission::Admission>::default(),
        Box::<shutdown::Shutdown>::default(),
    ]
}

/// What policies may look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What the user wants.
    pub settings: &'a Settings,
    /// The subscription.
    pub run: &'a RunState,
    /// Tasks and agents.
    pub fleet: &'a Fleet,
    /// What of the framework outlives its tasks.
    pub history: &'a History,
    /// How many changes are on their way to the disk.
    pub unpersisted: usize,
}

impl View<'_> {
    /// Whether workers outlive their server. Workers that run a user's own image cannot be redirected.
    pub fn keeps_workers(&self) -> bool {
        let template = &self.settings.template;
        self.settings.options.on_server_loss == OnServerLoss::Repoint
            && template.pool.is_none()
            && template.programs.worker.is_none()
    }

    /// Whether a worker works for a server task, and can be redirected to another one.
    pub fn can_be_redirected(&self, worker: &Task) -> bool {
        self.keeps_workers() && worker.record.server().is_some()
    }

    /// The URL of the external pool, if workers mine at one.
    pub fn pool(&self) -> Option<&str> {
        self.settings.template.pool.as_ref().map(|pool| pool.url.as_str())
    }

    /// Whether a task is one of the servers in service or of their workers.
    pub fn belongs(&self, task: &Task) -> bool {
        if !task.is_worker() {
            return self.fleet.servers.contains_key(task.id());
        }
        let works = match &task.record.assignment {
            Some(Assignment::Pool(pool)) => self.pool() == Some(pool),
            Some(Assignment::Server(server)) => {
                self.pool().is_none() && self.fleet.servers.contains_key(server)
            }
            None => false,
        };
        works || self.can_be_redirected(task)
    }

    /// How much CPU (thousandths) further workers may take, and how many they may be; `None` if there may be no more.
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

    /// Thousandths of a CPU for the server, whether it runs or not.
    pub fn server_cpus_milli(&self) -> u64 {
        if self.pool().is_some() { 0 } else { self.settings.server_cpus_milli() }
    }

    /// Whether messages of tasks can be received, so that silence is the tasks' own.
    pub fn hears_tasks(&self, now: Instant) -> bool {
        self.run.connected && !self.run.master_is_silent(now)
    }
}

/// Something that a policy wants done. Tasks, agents and servers are named by their ids.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Call the master. Without a subscription the call is dropped.
    Call(Call),
    /// Tell the user.
    Notify(UserNotice),
    /// Persist launches on the offers of one agent. The last of them holds the offers.
    Launch(Vec<PlannedTask>),
    /// Send launches that are on disk, by one call.
    SendLaunches {
        /// The id of the task that holds the offers.
        holder: String,
        /// The ids of the tasks.
        tasks: Vec<String>,
        /// Mesos' `refuse_seconds` for what is left of the offers.
        refuse: Duration,
    },
    /// Remove a task whose launch is on disk and is not to be sent; decline its offers.
    ForgetLaunch(String),
    /// A task is to end.
    End(String),
    /// A task that has returned is to end: its next KILL is due now.
    EndReturned(String),
    /// A task whose executor does not respond is to end.
    EndExecutor(String),
    /// Send a KILL that is due.
    SendKill(String),
    /// A task without any update counts as lost.
    PresumeLost(String),
    /// A server is given up.
    GiveUpServer(String),
    /// No more workers are assigned to a server.
    DrainServer(String),
    /// A worker has gone to another server.
    Assign {
        /// The worker.
        worker: String,
        /// The server.
        server: String,
    },
    /// A task has failed on its agent.
    PauseAgent {
        /// The task.
        task: String,
        /// Why, for people.
        why: String,
        /// Whether other agents have this failure in common. Then it is only counted, since launches are limited anyway.
        common: bool,
    },
    /// Sets or clears the limit of launches.
    LimitLaunches(Option<Box<LaunchLimit>>),
    /// Sets or clears an agent's maintenance window.
    SetWindow {
        /// The agent.
        agent: String,
        /// `None` if no maintenance is planned.
        window: Option<MaintenanceWindow>,
    },
    /// Sets whether an agent's offers are declined until its resources can be offered together.
    HoldOffers {
        /// The agent.
        agent: String,
        /// Whether they are declined.
        held: bool,
    },
    /// Sets the intervals for workers.
    SetWorkerIntervals(::task::Intervals),
    /// Nothing is launched on an agent's offers.
    NoteUnused(UnusedAgent),
    /// A worker counts again against limits and constraints.
    HoldSlot(String),
    /// A worker no longer counts against limits and constraints.
    ReleaseSlot(String),
    /// Declined offers are wanted again.
    ReviveOffers,
    /// Sets or clears a remark for the user.
    Remark {
        /// What it is about.
        topic: RemarkTopic,
        /// The remark.
        text: Option<String>,
    },
    /// Keep only the numbers and sums of these tasks.
    Retire(Vec<String>),
    /// Forget what is old of agents.
    ExpireAgents,
    /// The shutdown begins: nothing more is launched.
    BeginShutdown,
    /// All is done.
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

/// A random time around `middle`, so that a thousand schedulers do not act at once.
fn jitter(random: &mut StdRng, middle: Duration) -> Duration {
    middle.mul_f64(random.random_range(0.75..1.25))
}
