//! Launches tasks on offers: a server if none is in service, then workers on all other resources. Offers are suppressed while no
//! task is wanted, and revived when one is.

use std::time::{Duration, Instant};

use mesos::v1::{Offer, TaskState};
use problem::{Problem, ProblemKind};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fetch_pacing::FetchPacing;
use super::{Intent, Policy, PolicyEvent, View, decline_groups, jitter, maintenance};
use crate::event::Call;
use crate::fleet::Task;
use crate::history::Topic;
use crate::journal::Command;
use crate::offers::{self, AgentMarks, Decline, Demand, PlanContext};
use crate::settings::Settings;
use crate::task_id::TaskKind;
use crate::user_notice::UserNotice;

/// How long offers on which nothing can be launched are declined, on average. REVIVE ends this time early when offers are wanted
/// again.
const REFUSE: Duration = Duration::from_secs(60);

/// The user is told at most this often that agents wait for their turn to fetch the executor.
const NOTICE_EVERY: Duration = Duration::from_secs(60);

/// The scheduler launches servers until this many are in service.
const SERVERS: usize = 1;

/// The policy.
#[derive(Debug)]
pub(super) struct Launch {
    random: StdRng,
    /// The demand for which the master sends offers now. If the scheduler's demand differs from it, REVIVE or SUPPRESS is sent.
    announced_demand: Demand,
    /// Whether offers were declined because of a constraint that may be met when workers come or go.
    held_back: bool,
    /// Whether offers that were declined earlier may be usable now. If so, REVIVE asks the master for them again.
    offer_again: bool,
    /// Whether offers were declined, or used only partly, because no more launches were allowed, or before an operator's command.
    limited: bool,
    pacing: FetchPacing,
    /// When the user was last notified that agents wait for their turn to fetch the executor.
    notified: Option<Instant>,
}

impl Launch {
    pub fn new(settings: &Settings) -> Self {
        let template = &settings.template;
        let paced = template.delivery.is_served_here() && template.programs.is_ours(TaskKind::Worker);
        Self {
            random: StdRng::seed_from_u64(settings.seed),
            pacing: FetchPacing::new(paced),
            notified: None,
            announced_demand: Demand::Nothing,
            held_back: false,
            offer_again: false,
            limited: false,
        }
    }
}

impl Policy for Launch {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            // After a new subscription, no filter and no SUPPRESS is in force, so the master sends offers, as after REVIVE. If
            // no task is wanted, the announced demand is set to `Workers`: `announce_demand` then sees a change, and sends
            // SUPPRESS.
            PolicyEvent::Subscribed => {
                self.announced_demand = match to_announce(view) {
                    Demand::Nothing => Demand::Workers,
                    wanted => wanted,
                };
            }
            PolicyEvent::Offers(offers) => return self.use_offers(view, offers, now),
            PolicyEvent::LaunchPersisted(task) => return self.send(view, task),
            PolicyEvent::Ended(ended) => {
                if let Some(task) = view.fleet.get(&ended.task).filter(|task| task.running_since.is_none()) {
                    self.fetch_ended(view, &[task]);
                }
                self.workers_changed();
            }
            PolicyEvent::SlotReleased(_) => self.workers_changed(),
            PolicyEvent::Alive { task, state: TaskState::TaskStarting | TaskState::TaskRunning, .. } => {
                if let Some(task) = view.fleet.get(task) {
                    self.pacing.started(task.agent(), now);
                }
            }
            PolicyEvent::AgentRemoved(agent) => self.pacing.gone(agent),
            PolicyEvent::Fetching(fetching) => self.pacing.measure(fetching),
            PolicyEvent::Tick => return self.tick(view, now),
            PolicyEvent::OffersRevived => self.offer_again = true,
            // Offers that were declined before may be wanted now.
            PolicyEvent::Commanded(Command::Allow { .. } | Command::Resume | Command::Scale { .. }) => {
                self.limited = true;
            }
            PolicyEvent::Settled => return self.announce_demand(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl Launch {
    fn use_offers(&mut self, view: &View<'_>, offers: &[Offer], now: Instant) -> Vec<Intent> {
        let (mut wanted, mut refuse) = (wanted(view), REFUSE);
        let (cpus_left_milli, mut workers_left) = view.room().unwrap_or((0, 0));
        let allowed = view.fleet.launches_allowed(now);
        if let Some(allowed) = allowed {
            refuse = self.limit(view, allowed, &mut wanted, now);
            workers_left = workers_left.min(allowed);
        }
        let for_server = matches!(wanted, Demand::Server { .. });
        let notice = maintenance::notice(wanted);
        let context = PlanContext {
            demand: wanted,
            placement: &view.settings.placement,
            cpus_left_milli,
            workers_left,
            fetches_left: self.pacing.room(),
            placed: view.fleet.occupancy(),
            marks: &|agent, host| AgentMarks {
                fetches: self.pacing.must_fetch(agent),
                ..view.marks(agent, host, notice, now)
            },
            refuse,
            fewest_failures_first: allowed.is_some(),
        };
        let plan = offers::plan(offers, &context);
        // When all allowed launches are used, the offers may still have room for more tasks.
        self.limited |= allowed == Some(plan.tasks.len() as u64);
        let server_placed = for_server && !plan.tasks.is_empty();
        if !plan.tasks.is_empty() {
            self.workers_changed();
        }
        self.held_back |= plan.held_back;
        plan.tasks.iter().for_each(|planned| self.pacing.launched(&planned.agent, now));
        let mut intents = Vec::new();
        let mut group = Vec::new();
        for planned in plan.tasks {
            let last = !planned.offers.is_empty();
            group.push(planned);
            intents.extend(last.then(|| Intent::PersistLaunches(std::mem::take(&mut group))));
        }
        let mut declines = plan.declines;
        for waiting in plan.waiting {
            let refuse = self.pacing.wait(&waiting.agent, self.random.random(), now);
            declines.push(Decline { offers: waiting.offers, refuse });
        }
        let declines = decline_groups::calls(declines, refuse, &mut self.random);
        intents.extend(declines.into_iter().map(Intent::Call));
        if !server_placed {
            intents.extend(plan.unused.into_iter().map(Intent::NoteUnused));
        }
        intents
    }

    /// Applies the limit on launches. Returns how long offers are declined: until the next launch is allowed, or for `REFUSE` if
    /// that is longer.
    fn limit(&mut self, view: &View<'_>, allowed: u64, wanted: &mut Demand, now: Instant) -> Duration {
        if allowed == 0 && *wanted != Demand::Nothing {
            *wanted = Demand::Nothing;
            self.limited = true;
        }
        let wait = view.fleet.launch_limit.as_ref().map(|limit| limit.wait(now)).unwrap_or_default();
        REFUSE.max(wait)
    }

    /// Workers come or go, so constraints that were not met may be met now.
    fn workers_changed(&mut self) {
        self.offer_again |= std::mem::take(&mut self.held_back);
    }

    /// Handles a launch that is on disk. When all launches on the same offers are on disk, those that are still wanted are sent
    /// in one call. The others are forgotten.
    fn send(&mut self, view: &View<'_>, holder: &str) -> Vec<Intent> {
        let Some(known) = view.fleet.get(holder).filter(|task| task.is_unsent()) else { return Vec::new() };
        let holder = holder.to_owned();
        let Some(with) = known.launched_with() else {
            // The offers are stored with another task. The call that launches that task will launch this one, too. If this launch
            // was cancelled, it is forgotten now.
            return match known.planned_launch() {
                Some(_) => Vec::new(),
                None => self.forget(view, &[known]),
            };
        };
        let can_be_sent = |task: &Task| {
            task.planned_launch().is_some() && view.run.connected && is_still_wanted(view, task)
        };
        let unsent = with.iter().chain([&holder]).filter_map(|id| view.fleet.get(id));
        let (send, forget): (Vec<&Task>, Vec<&Task>) =
            unsent.filter(|task| task.is_unsent()).partition(|task| can_be_sent(task));
        let tasks: Vec<String> = send.into_iter().map(|task| task.id().to_owned()).collect();
        let forget = self.forget(view, &forget);
        let refuse = jitter(&mut self.random, REFUSE);
        let send = (!tasks.is_empty()).then_some(Intent::SendLaunches { holder, tasks, refuse });
        send.into_iter().chain(forget).collect()
    }

    /// Forgets launches on one agent.
    fn forget(&mut self, view: &View<'_>, tasks: &[&Task]) -> Vec<Intent> {
        self.fetch_ended(view, tasks);
        tasks.iter().map(|task| Intent::ForgetLaunch(task.id().to_owned())).collect()
    }

    /// Handles the news that `tasks`, which are all on one agent, will not run. The agent no longer counts as fetching, unless
    /// another task on it still needs the executor.
    fn fetch_ended(&mut self, view: &View<'_>, tasks: &[&Task]) {
        let Some(agent) = tasks.first().map(|task| task.agent()) else { return };
        let is_other = |other: &&Task| tasks.iter().all(|task| task.id() != other.id());
        let fetches = |task: &Task| task.is_unsent() || task.may_live() && task.running_since.is_none();
        if !view.fleet.on_agent(agent).filter(is_other).any(fetches) {
            self.pacing.ended(agent);
        }
    }

    /// Updates the problem of agents that wait for their turn to fetch.
    fn tick(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        self.offer_again |= self.pacing.tick(now);
        let text = self.pacing.waiting_text().filter(|_| !view.run.ending);
        let problem = text.map(|text| Problem::new(ProblemKind::Fetching, text));
        let Some(set) = view.set_problem(Topic::Fetching, problem.clone()) else { return Vec::new() };
        let mut intents = vec![set];
        if let Some(problem) = problem
            && self.notified.is_none_or(|at| at + NOTICE_EVERY <= now)
        {
            self.notified = Some(now);
            intents.push(Intent::Notify(UserNotice::Problem(problem)));
        }
        intents
    }

    /// Sends SUPPRESS when no task is wanted. Sends REVIVE when the demand has changed, since declined offers may be sufficient
    /// now.
    fn announce_demand(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let wanted = to_announce(view);
        let allowed = view.fleet.launches_allowed(now);
        if wanted != Demand::Nothing && allowed == Some(0) {
            // The demand is announced when the next launch is allowed.
            return Vec::new();
        }
        let mut again = std::mem::take(&mut self.offer_again) && wanted == Demand::Workers;
        again |= std::mem::take(&mut self.limited) && wanted != Demand::Nothing;
        if !view.run.connected || !again && wanted == self.announced_demand {
            return Vec::new();
        }
        self.announced_demand = wanted;
        vec![Intent::Call(if wanted == Demand::Nothing { Call::Suppress } else { Call::Revive })]
    }
}

/// The demand for the next offers.
pub(super) fn wanted(view: &View<'_>) -> Demand {
    if view.run.ending || view.mining_pause().is_some() {
        return Demand::Nothing;
    }
    if lacks_server(view) {
        return server_demand(view);
    }
    let serves = view.external_pool().is_some() || view.fleet.open_servers().next().is_some();
    if serves && view.room().is_some() { Demand::Workers } else { Demand::Nothing }
}

/// The demand that the master is told. While a place for the next server is sought, offers are needed even if no task is to be
/// launched.
fn to_announce(view: &View<'_>) -> Demand {
    match wanted(view) {
        Demand::Nothing
            if view.fleet.seeks_server_place && !view.run.ending && view.mining_pause().is_none() =>
        {
            server_demand(view)
        }
        wanted => wanted,
    }
}

/// What a server needs.
pub(super) fn server_demand(view: &View<'_>) -> Demand {
    let (cpus_milli, mem) = (view.settings.server_cpus_milli(), view.settings.template.options.server_mem);
    Demand::Server { cpus_milli, mem }
}

/// Whether fewer servers are in service than wanted.
pub(super) fn lacks_server(view: &View<'_>) -> bool {
    view.external_pool().is_none() && view.fleet.servers_in_service().count() < SERVERS
}

/// Whether a task that is about to be launched is still wanted.
fn is_still_wanted(view: &View<'_>, task: &Task) -> bool {
    let avoided = view.history.avoids(task.agent(), task.host()).is_some();
    if view.run.ending || view.mining_pause().is_some() || avoided {
        return false;
    }
    if !task.is_worker() {
        return view.fleet.servers.contains_key(task.id());
    }
    let server = task.record.server().and_then(|server| view.fleet.get(server));
    view.belongs(task)
        && (view.external_pool().is_some()
            || server.is_some_and(|server| server.is_running() && !server.is_ending))
}
