//! The rules of the framework, one a file. A rule reads the fleet and says what it wants; it changes nothing itself, and
//! cannot see what another rule remembers.
//!
//! # Which rule wins
//! [`policies`] lists the rules. For each happening they are asked in that order, and what one wants is carried out before
//! the next one is asked. So the later rules see what the earlier ones did: a task that an earlier rule ends is to end for
//! all of them, a server that it gives up is gone, an agent that it holds is left alone. Some things cannot be undone,
//! whoever wants it: a task that is to end never goes on, and nothing is launched once the end has begun. What can be set
//! and cleared (an agent's window, its held offers, a worker's slot, its server) is set by one rule alone.
//!
//! What an intent brings about is a happening of its own. It comes after the one that all rules are being asked about.

mod acknowledge;
mod admission;
mod agent_pause;
mod common_failure;
mod decline_groups;
mod fetch_pacing;
mod give_way;
mod happening;
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
mod shutdown;
mod silence;
mod task_notices;
#[cfg(test)]
mod tests;
mod unreachable;
mod unwanted;
mod upgrade;

use std::fmt;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

pub use self::happening::Happening;
#[cfg(test)]
pub use self::server_health::{ILL_SERVER, SERVER_START};
pub use self::task_notices::Ended;

use crate::event::Call;
use crate::fleet::{Fleet, LaunchLimit, Task, Window};
use crate::history::{History, Topic};
use crate::journal::Assignment;
use crate::offers::{Accept, UnusedAgent};
use crate::session::Session;
use crate::settings::{OnServerLoss, Settings};
use crate::user_notice::UserNotice;

/// A rule.
pub trait Policy: fmt::Debug + Send {
    /// What is to be done about a happening.
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent>;
}

/// All rules, in the order in which they are asked.
pub fn policies(settings: &Settings) -> Vec<Box<dyn Policy>> {
    vec![
        // What is no longer there is nothing for the others.
        Box::<retire::Retire>::default(),
        // Before the user is told that a task runs which ends at once.
        Box::<unwanted::Unwanted>::default(),
        // Before a failure is told of one by one, and held against its agent.
        Box::new(common_failure::CommonFailures::new(settings.seed)),
        Box::<task_notices::TaskNotices>::default(),
        // Before a lost server: its end is told and counted first.
        Box::<agent_pause::AgentPause>::default(),
        Box::<server_loss::ServerLoss>::default(),
        // Before tasks are given up: the master may yet tell of them.
        Box::new(reconcile::Reconcile::new(settings.seed)),
        Box::<launch_timeout::LaunchTimeout>::default(),
        Box::<server_health::ServerHealth>::default(),
        Box::<unreachable::Unreachable>::default(),
        Box::<silence::Silence>::default(),
        Box::<maintenance::Maintenance>::default(),
        Box::<merge::Merge>::default(),
        Box::<redirect::Redirects>::default(),
        Box::<give_way::GiveWay>::default(),
        Box::<upgrade::Upgrade>::default(),
        Box::<intervals::WorkerIntervals>::default(),
        // Last of all what follows from the others: acknowledgements, KILLs, what is wanted of offers, the end.
        Box::<acknowledge::Acknowledge>::default(),
        Box::<kill::Kill>::default(),
        Box::new(launch::Launch::new(settings)),
        Box::<admission::Admission>::default(),
        Box::<shutdown::Shutdown>::default(),
    ]
}

/// What rules may look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What the user wants.
    pub settings: &'a Settings,
    /// The subscription.
    pub session: &'a Session,
    /// Tasks and agents.
    pub fleet: &'a Fleet,
    /// The framework's history.
    pub history: &'a History,
    /// How many changes are on their way to the disk.
    pub unwritten: usize,
}

impl View<'_> {
    /// Whether workers outlive their server. Workers of a user's own image cannot be redirected.
    pub fn keeps_workers(&self) -> bool {
        let template = &self.settings.template;
        self.settings.on_server_loss == OnServerLoss::Repoint
            && template.pool.is_none()
            && template.programs.worker.is_none()
    }

    /// Whether a worker works for a server task, and may be sent to another one.
    pub fn can_be_redirected(&self, worker: &Task) -> bool {
        self.keeps_workers() && worker.record().server().is_some()
    }

    /// The pool that all workers are to work for, if there is one.
    pub fn pool(&self) -> Option<&str> {
        self.settings.template.pool.as_ref().map(|pool| pool.url.as_str())
    }

    /// Whether a task has its place: the servers in service, and the workers that work for them.
    pub fn belongs(&self, task: &Task) -> bool {
        if !task.is_worker() {
            return self.fleet.service(task.id()).is_some();
        }
        let works = match &task.record().assignment {
            Some(Assignment::Pool(pool)) => self.pool() == Some(pool),
            Some(Assignment::Server(server)) => self.pool().is_none() && self.fleet.service(server).is_some(),
            None => false,
        };
        works || self.can_be_redirected(task)
    }

    /// CPU (thousandths) and number of workers that there may be beside those there are; `None` if no more.
    pub fn room(&self) -> Option<(u64, u64)> {
        let limits = &self.settings.placement.limits;
        let (used, count) = self.fleet.placed();
        let used = used.saturating_add(self.server_cpus_milli());
        let cpus = limits.max_cpus_milli.map_or(u64::MAX, |most| most.saturating_sub(used));
        let most = limits.max_workers.into_iter().chain(self.admitted()).min();
        let workers = most.map_or(u64::MAX, |most| most.saturating_sub(count));
        (cpus >= limits.min_worker_cpus_milli && workers > 0).then_some((cpus, workers))
    }

    /// CPU that the server takes, running or not, thousandths.
    pub fn server_cpus_milli(&self) -> u64 {
        if self.pool().is_some() { 0 } else { self.settings.server_cpus_milli }
    }

    /// Whether tasks can be heard, so that what is not heard may be held against them.
    pub fn hears_tasks(&self, now: Instant) -> bool {
        self.session.connected && !self.session.master_is_silent(now)
    }
}

/// Something that a rule wants done.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Tell the master. Without a subscription it comes to nothing.
    Call(Call),
    /// Tell the user.
    Notify(UserNotice),
    /// Write launches on the offers of one agent down, and say when each is on disk. The last one has the offers.
    Launch(Vec<Accept>),
    /// Send launches that are on disk, by one call.
    SendLaunches {
        /// The id of the task that holds the offers.
        holder: String,
        /// The ids of the tasks.
        tasks: Vec<String>,
        /// Mesos' `refuse_seconds` for what is left of the offers.
        refuse: Duration,
    },
    /// Give back the offers of a launch that is on disk, and forget it.
    ForgetLaunch {
        /// The task's id.
        task: String,
    },
    /// A task is to end.
    End {
        /// Its id.
        task: String,
    },
    /// A task that returned is to end: its next KILL is due now.
    EndAnew {
        /// Its id.
        task: String,
    },
    /// A task whose executor does not answer is to end.
    EndExecutor {
        /// The task's id.
        task: String,
    },
    /// Send a KILL that is due.
    SendKill {
        /// The task's id.
        task: String,
    },
    /// A task of which nothing was ever heard counts as lost.
    PresumeLost {
        /// Its id.
        task: String,
    },
    /// A server is given up.
    GiveUpServer {
        /// Its id.
        server: String,
    },
    /// A server is to move: it gets no more workers.
    MoveServer {
        /// Its id.
        server: String,
    },
    /// A worker works for another server now.
    Assign {
        /// The worker's id.
        worker: String,
        /// The server's id.
        server: String,
    },
    /// A task failed on its agent.
    PauseAgent {
        /// The task's id.
        task: String,
        /// Why, for people.
        why: String,
        /// Other agents have failed alike: it is only counted, since launches wait anyway.
        common: bool,
    },
    /// Limits launches, or does so no more.
    LimitLaunches(Option<Box<LaunchLimit>>),
    /// Sets or clears an agent's maintenance window.
    SetWindow {
        /// The agent's id.
        agent: String,
        /// `None`: its machine stays.
        window: Option<Window>,
    },
    /// Sets whether an agent's offers are declined until they can come as one.
    HoldOffers {
        /// The agent's id.
        agent: String,
        /// Whether they are.
        held: bool,
    },
    /// Workers are to use these intervals.
    SetWorkerIntervals(::task::Intervals),
    /// Nothing is launched on what an agent offers.
    NoteUnused(UnusedAgent),
    /// A worker counts again against limits and constraints.
    HoldSlot {
        /// Its id.
        task: String,
    },
    /// A worker no longer counts against limits and constraints.
    ReleaseSlot {
        /// Its id.
        task: String,
    },
    /// What was declined is to be offered again.
    WantOffers,
    /// What the user should know of this topic from now on.
    Remark {
        /// Of what.
        topic: Topic,
        /// `None`: nothing any more.
        text: Option<String>,
    },
    /// Of these tasks only numbers and sums are kept.
    Retire {
        /// Their ids.
        tasks: Vec<String>,
    },
    /// What is old says nothing of agents any more.
    ForgetOldOfAgents,
    /// The end begins: nothing is launched any more.
    BeginEnd,
    /// All is done.
    Finish,
}

/// A time around `middle`, so that a thousand schedulers do not act at once.
fn jitter(random: &mut StdRng, middle: Duration) -> Duration {
    middle.mul_f64(random.random_range(0.75..1.25))
}
