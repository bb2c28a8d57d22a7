//! The framework's decisions: `on_event(event, now) -> effects`. Pure: no clock, no disk, no socket.
//!
//! Rules that hold whatever happens:
//! - an update is acknowledged only when its record is on disk, and it changes nothing before that;
//! - a task is launched only when its launch is written down;
//! - there is one server at most; workers are launched only while it runs, and killed when it is gone, unless they are
//!   to be sent to the next one;
//! - a task that should not be there is killed, again and again until Mesos says that it ended.

mod agents;
mod ending;
mod event;
mod kills;
mod launching;
mod maintenance;
mod merging;
mod missing;
mod overview;
mod past;
mod reconcile;
mod repoint;
mod task;
mod updates;
mod user_notice;
mod versions;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ::task::Live;
use mesos::v1::TaskState;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use self::event::{Call, Effect, Event};
pub use self::maintenance::{Away, InverseOffer};
pub use self::overview::{Failure, MAX_PAGE, Overview, TaskLine, TaskPage, UnusedReasons};
pub use self::repoint::OnServerLoss;
pub use self::user_notice::UserNotice;

use self::agents::Agents;
use self::ending::Ending;
use self::maintenance::Maintenance;
use self::merging::Merging;
use self::overview::Failures;
use self::past::{Late, Past};
use self::reconcile::Reconciler;
use self::task::{Phase, Task};
use self::updates::Update;
use self::versions::Replaced;
use crate::kind::Kind;
use crate::launch::Template;
use crate::ledger::Ledger;
use crate::offers::{Placement, Wanted};
use crate::record::{Change, Recovered, StatusRecord, Ticket};

/// The CPU, on record, of a task that was found running and is to end: nobody here launched it.
const ADOPTED: u64 = 0;

/// Without a tick for so long, the scheduler itself was stopped or held up.
const AWAY: Duration = Duration::from_secs(5);

/// What the user wants, as far as decisions depend on it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What all tasks have in common.
    pub template: Template,
    /// A running task that has sent live messages and sends none for so long is replaced.
    pub silence_timeout: Duration,
    /// The server's CPU, thousandths.
    pub server_cpus_milli: u64,
    /// Where tasks may run, and with how much CPU.
    pub placement: Placement,
    /// What becomes of the workers when their server is gone.
    pub on_server_loss: OnServerLoss,
    /// End all tasks at the end.
    pub teardown: bool,
    /// End after this time.
    pub duration: Option<Duration>,
    /// End after so many blocks.
    pub blocks: Option<u64>,
    /// For jitter.
    pub seed: u64,
}

/// What happens when a ticket comes back.
#[derive(Debug)]
enum Pending {
    Launch(String),
    Update(Box<Update>),
    Late(Box<Late>),
    Nothing,
}

/// All that the framework knows.
#[derive(Debug)]
pub struct State {
    settings: Settings,
    random: StdRng,
    started: Instant,
    /// The framework's age: `age_at_birth` at the time `born`.
    born: Instant,
    age_at_birth: Duration,
    connected: bool,
    framework: Option<String>,
    /// The tasks of this framework, those that ended too: some come back.
    tasks: BTreeMap<String, Task>,
    /// What is left of those that ended long ago.
    past: Past,
    /// The one server, from the decision to launch it until it is gone.
    server: Option<String>,
    /// Since when there are workers that wait for a server.
    without_server: Option<Instant>,
    /// The last task that made place for a newer version.
    replaced: Option<Replaced>,
    next_number: u64,
    ledger: Ledger,
    peak: u64,
    next_ticket: Ticket,
    pending: BTreeMap<Ticket, Pending>,
    agents: Agents,
    /// To be shown.
    failures: Failures,
    maintenance: Maintenance,
    merging: Merging,
    /// What the master was last told that is wanted.
    told: Wanted,
    /// Offers were declined because of a constraint that may be met when workers come or go.
    held_back: bool,
    /// What was declined is to be offered again.
    offer_again: bool,
    reconciler: Reconciler,
    /// Tasks that are to end and have not.
    killing: BTreeSet<String>,
    /// When time was last looked at.
    ticked: Instant,
    /// When the master last said anything.
    heard: Instant,
    /// Whether one of them may be due.
    kill_now: bool,
    ending: Ending,
    effects: Vec<Effect>,
}

impl State {
    /// Goes on where an earlier life of the scheduler stopped; `age` is how long ago the framework began.
    pub fn new(settings: Settings, recovered: Recovered, age: Duration, now: Instant) -> State {
        let mut state = State {
            random: StdRng::seed_from_u64(settings.seed),
            settings,
            started: now,
            born: now,
            age_at_birth: age,
            connected: false,
            framework: recovered.framework.map(|framework| framework.id),
            tasks: BTreeMap::new(),
            past: recovered.past.into(),
            server: None,
            without_server: None,
            replaced: None,
            next_number: recovered.next_number.max(1),
            ledger: recovered.ledger,
            peak: recovered.peak_workers,
            next_ticket: 1,
            pending: BTreeMap::new(),
            agents: Agents::default(),
            failures: Failures::default(),
            maintenance: Maintenance::default(),
            merging: Merging::default(),
            told: Wanted::Nothing,
            held_back: false,
            offer_again: false,
            reconciler: Reconciler::default(),
            killing: BTreeSet::new(),
            ticked: now,
            heard: now,
            kill_now: false,
            ending: Ending::No,
            effects: Vec::new(),
        };
        for record in recovered.tasks {
            let id = record.id.clone();
            let mut task = Task::new(record, Phase::Sent(now), now);
            // Who has reported sends messages, too, unless it fell silent before this life of the scheduler.
            task.silent_since = state.ledger.workers_of(&id).next().map(|_| now);
            if !task.is_worker()
                && task.record.cpus_milli != ADOPTED
                && state.settings.template.pool.is_none()
            {
                // The one launched last; an older one was given up, if it has not ended.
                state.server = (!task.is_over()).then(|| id.clone());
            }
            state.tasks.insert(id, task);
        }
        state.start_past(now);
        let superfluous: Vec<String> = state
            .tasks
            .values()
            .filter(|task| !state.belongs(task))
            .map(|task| task.record.id.clone())
            .collect();
        for id in superfluous {
            state.want_kill(&id, now);
        }
        let tasks = state.live_tasks();
        if tasks > 0 {
            state.publish(UserNotice::GoingOn { tasks });
        }
        state
    }

    /// The id to subscribe with.
    pub fn framework(&self) -> Option<&str> {
        self.framework.as_deref()
    }

    /// Takes in what has happened; the effects must be carried out in order.
    pub fn on_event(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        if event.is_from_master() {
            self.hear_master(now);
        }
        match event {
            Event::Heartbeat => {}
            Event::Subscribed { framework } => self.subscribed(framework, now),
            Event::Disconnected => self.disconnected(),
            Event::Removed => self.removed(now),
            Event::Offers(offers) => self.offers(&offers, now),
            Event::Rescinded { offer } => self.rescinded(&offer),
            Event::Planned(agents) => self.maintenance_planned(agents, now),
            Event::InverseOffers(offers) => self.inverse_offers(offers, now),
            Event::InverseRescinded { offer } => self.inverse_offer_rescinded(&offer),
            Event::Update(status) => self.update(*status, now),
            Event::Message { executor, data } => self.message(&executor, &data, now),
            Event::Failure { agent, executor, status } => self.failure(agent, executor, status),
            Event::Persisted(ticket) => self.persisted(ticket, now),
            Event::Tick => self.tick(now),
            Event::Stop => self.stop(now),
        }
        self.go_on_moving(now);
        self.kill_what_is_due(now);
        self.tell_what_is_wanted();
        self.go_on_ending(now);
        std::mem::take(&mut self.effects)
    }

    fn subscribed(&mut self, framework: String, now: Instant) {
        if self.framework.as_ref().is_some_and(|known| *known != framework) {
            self.removed(now);
        }
        self.connected = true;
        self.maintenance.forget();
        // A new subscription starts with no filters, and with offers wanted.
        self.told = self.wanted();
        if self.told == Wanted::Nothing {
            self.told = Wanted::Workers;
        }
        if self.framework.is_none() {
            self.framework = Some(framework.clone());
            self.persist(Change::Framework { id: framework.clone() }, Pending::Nothing);
        }
        self.publish(UserNotice::Subscribed { framework });
        self.start_reconciling(now);
        for id in &self.killing {
            if let Some(task) = self.tasks.get_mut(id) {
                task.kill_at_once(now);
            }
        }
        self.kill_now = true;
        self.listen_anew(now);
    }

    fn disconnected(&mut self) {
        self.connected = false;
        // Offers are void: what was to be launched on them is not.
        for task in self.tasks.values_mut() {
            if let Phase::Writing(accept) = &mut task.phase {
                *accept = None;
            }
        }
    }

    /// The master has given the framework up, so nothing of it is left. The ledger starts anew with a new one.
    fn removed(&mut self, now: Instant) {
        let gone = TaskState::TaskGone.as_str_name();
        let lost: Vec<(String, Kind)> = self
            .tasks
            .values()
            .filter(|task| task.may_live())
            .map(|task| (task.record.id.clone(), task.record.kind))
            .collect();
        for (task, kind) in lost {
            let (state, message) =
                (Some(gone.to_owned()), Some("the master has given the framework up".to_owned()));
            let status = StatusRecord { task, kind, state, reason: None, last: false, message, report: None };
            self.persist(Change::Status(status), Pending::Nothing);
        }
        if let Some(framework) = self.framework.take() {
            self.publish(UserNotice::Removed { framework });
            self.persist(Change::FrameworkEnded, Pending::Nothing);
        }
        self.connected = false;
        self.tasks.clear();
        self.past = Past::default();
        self.killing.clear();
        self.server = None;
        self.ledger = Ledger::default();
        self.peak = 0;
        (self.born, self.age_at_birth) = (now, Duration::ZERO);
        for pending in self.pending.values_mut() {
            *pending = Pending::Nothing;
        }
    }

    fn persisted(&mut self, ticket: Ticket, now: Instant) {
        match self.pending.remove(&ticket) {
            Some(Pending::Launch(task)) => self.launch(&task, now),
            Some(Pending::Update(update)) => self.apply(*update, now),
            Some(Pending::Late(late)) => self.answer_late(*late),
            Some(Pending::Nothing) | None => {}
        }
    }

    fn tick(&mut self, now: Instant) {
        self.kill_now = true;
        if now.duration_since(std::mem::replace(&mut self.ticked, now)) >= AWAY {
            self.was_away(now);
        }
        self.look_at_past(now);
        if self.connected {
            self.reconcile_what_is_due(now);
            self.watch(now);
            self.drain(now);
            self.look_for_mergers(now);
            self.send_orphans_on(now);
            self.give_way(now);
            self.replace_outdated(now);
        }
        let over =
            self.settings.duration.is_some_and(|duration| now.duration_since(self.started) >= duration);
        let found = self.settings.blocks.is_some_and(|blocks| self.ledger.sum().1 >= blocks);
        if over || found {
            self.stop(now);
        }
    }

    fn message(&mut self, executor: &str, data: &[u8], now: Instant) {
        match (self.tasks.get_mut(executor), Live::decode(data)) {
            (Some(task), Ok(live)) => {
                task.live = Some((now, live.clone()));
                task.silent_since = Some(now);
                self.mines_at(executor, &live);
            }
            // Only for display, and the next one comes soon.
            (None, _) | (_, Err(_)) => tracing::debug!(executor, "unexpected message"),
        }
    }

    /// Whether a task has its place: the one server, and the workers that work for it.
    fn belongs(&self, task: &Task) -> bool {
        match task.record.kind {
            Kind::Server => self.server.as_ref() == Some(&task.record.id),
            Kind::Worker if self.can_be_sent_on(task) => true,
            Kind::Worker => self.employer().is_some() && self.employer() == task.record.server.as_deref(),
        }
    }

    /// Whom workers work for: the pool, or the one server.
    fn employer(&self) -> Option<&str> {
        let pool = self.settings.template.pool.as_ref().map(|pool| pool.url.as_str());
        pool.or(self.server.as_deref())
    }

    fn persist(&mut self, change: Change, pending: Pending) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending.insert(ticket, pending);
        self.effects.push(Effect::Persist(ticket, change));
    }

    /// Without a subscription a call would have no effect; what matters is made up for after the next one.
    fn call(&mut self, call: Call) {
        if self.connected {
            self.effects.push(Effect::Call(call));
        }
    }

    fn publish(&mut self, notice: UserNotice) {
        self.effects.push(Effect::Publish(notice));
    }

    /// A time around `middle`, so that a thousand schedulers do not act at once.
    fn jitter(&mut self, middle: Duration) -> Duration {
        middle.mul_f64(self.random.random_range(0.75..1.25))
    }
}
