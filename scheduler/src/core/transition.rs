//! One transition of the state: an event changes fleet and history, and the rules hear what has happened.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::outbox::{OnWritten, Outbox};
use crate::event::{Call, Effect, Event};
use crate::fleet::{Fleet, Task};
use crate::history::{History, Memory};
use crate::journal::{self, Change, Origin, StatusRecord, Ticket};
use crate::kind::Kind;
use crate::policy::Happening;
use crate::session::Session;
use crate::settings::Settings;
use crate::user_notice::UserNotice;

/// The parts of the state that an event or an intent may change.
pub(super) struct Transition<'a> {
    pub settings: &'a Settings,
    pub session: &'a mut Session,
    pub fleet: &'a mut Fleet,
    pub history: &'a mut History,
    pub outbox: &'a mut Outbox,
    /// What the rules are to hear, oldest first.
    pub happenings: VecDeque<Happening>,
    pub now: Instant,
}

impl Transition<'_> {
    /// A change that is acted on when it is on disk.
    pub fn persist(&mut self, change: Change, then: OnWritten) {
        self.outbox.persist(change, then);
    }

    /// A change that holds from now on.
    pub fn change(&mut self, change: Change, then: OnWritten) {
        self.apply(&change);
        self.persist(change, then);
    }

    /// The change is made in memory.
    pub fn apply(&mut self, change: &Change) {
        let mut memory = Memory { fleet: self.fleet, history: self.history, now: self.now };
        // Memory keeps no wall-clock times.
        let Ok(()) = journal::apply(&mut memory, change, 0);
    }

    /// Without a subscription a call would have no effect; what matters is made up for after the next one.
    pub fn call(&mut self, call: Call) {
        if self.session.connected {
            self.outbox.add(Effect::Call(call));
        }
    }

    pub fn notify(&mut self, notice: UserNotice) {
        self.outbox.add(Effect::Publish(notice));
    }

    pub fn happen(&mut self, happening: Happening) {
        self.happenings.push_back(happening);
    }

    /// The tasks of an earlier run are in the fleet.
    pub fn take_up_earlier_run(&mut self) {
        let reports: Vec<String> = self
            .fleet
            .all()
            .filter(|task| self.history.ledger.workers_of(task.id()).next().is_some())
            .map(|task| task.id().to_owned())
            .collect();
        // What has reported sends messages, too, unless it fell silent before this run.
        reports.iter().for_each(|id| self.fleet.expect_live(id, self.now));
        let launched = |task: &&Task| !task.is_worker() && task.record().origin != Origin::Found;
        // The one launched last; an older one was given up, if it has not ended.
        let last = self.fleet.all().rfind(launched).filter(|server| !server.is_over());
        if let Some(id) = last.map(|server| server.id().to_owned())
            && self.settings.template.pool.is_none()
        {
            self.fleet.take_into_service(&id);
        }
        self.happen(Happening::Started);
    }

    /// An event has happened.
    pub fn on_event(&mut self, event: Event) {
        if event.is_from_master() && self.session.hear_master(self.now) {
            // Nor could tasks be heard: what waited behind it is still to be read.
            self.fleet.listen_anew(true, self.now);
        }
        self.fleet.expire(self.now);
        match event {
            Event::Heartbeat => {}
            Event::Subscribed { framework } => self.subscribed(framework),
            Event::Disconnected => {
                self.session.connected = false;
                // Offers are void: what was to be launched on them is not.
                self.fleet.call_off_all();
            }
            Event::Removed => self.removed(),
            Event::Offers(offers) => self.happen(Happening::Offers(offers)),
            Event::Rescinded { offer } => self.rescinded(&offer),
            Event::Planned(agents) => self.happen(Happening::Planned(agents)),
            Event::InverseOffers(offers) => self.happen(Happening::InverseOffers(offers)),
            Event::InverseRescinded { offer } => self.happen(Happening::InverseRescinded { offer }),
            Event::Update(status) => self.update(*status),
            Event::Message { executor, data } => self.message(executor, &data),
            Event::Failure { executor: Some(executor), status, .. } => {
                self.happen(Happening::ExecutorFailed { executor, status });
            }
            Event::Failure { agent: Some(agent), .. } => self.happen(Happening::AgentGone { agent }),
            Event::Failure { .. } => {}
            Event::Persisted(tickets) => tickets.into_iter().for_each(|ticket| self.persisted(ticket)),
            Event::Fetching(fetching) => self.happen(Happening::Fetching(fetching)),
            Event::CallsAnswered { decided_before } => {
                self.happen(Happening::CallsAnswered { decided_before });
            }
            Event::Tick => self.tick(),
            Event::Stop => self.happen(Happening::Stop),
        }
    }

    fn subscribed(&mut self, framework: String) {
        if self.history.framework.as_ref().is_some_and(|known| *known != framework) {
            self.removed();
        }
        self.session.connected = true;
        self.fleet.forget_windows();
        if self.history.framework.is_none() {
            self.change(Change::Framework { id: framework.clone() }, OnWritten::Nothing);
        }
        self.notify(UserNotice::Subscribed { framework });
        // Time without a subscription does not count.
        self.fleet.listen_anew(false, self.now);
        self.fleet.kill_all_anew(self.now);
        self.happen(Happening::Subscribed);
    }

    /// The master has given the framework up, so nothing of it is left. The ledger starts anew with a new one.
    fn removed(&mut self) {
        let lost: Vec<(String, Kind)> = self
            .fleet
            .present()
            .filter(|task| task.may_live())
            .map(|task| (task.id().to_owned(), task.record().kind))
            .collect();
        for (task, kind) in lost {
            let why = "the master has given the framework up";
            let status = end_without_report(task, kind, TaskState::TaskGone, why);
            self.persist(Change::Status(status), OnWritten::Nothing);
        }
        if let Some(framework) = self.history.framework.clone() {
            self.notify(UserNotice::Removed { framework });
            self.change(Change::FrameworkEnded, OnWritten::Nothing);
        }
        self.session.connected = false;
        self.outbox.forget();
    }

    fn persisted(&mut self, ticket: Ticket) {
        match self.outbox.written(ticket) {
            Some(OnWritten::Launch(task)) => self.happen(Happening::LaunchWritten { task }),
            Some(OnWritten::Update(update)) => self.act_on(*update),
            Some(OnWritten::LateUpdate(update)) => self.happen(update.recorded()),
            Some(OnWritten::Peak) => self.note_peak(),
            Some(OnWritten::Nothing) | None => {}
        }
    }

    fn tick(&mut self) {
        if self.session.tick(self.now) {
            // What came meanwhile is still to be read, and it must not be held against tasks that it was not.
            self.fleet.listen_anew(true, self.now);
        }
        self.happen(Happening::Tick);
    }

    fn rescinded(&mut self, offer: &str) {
        let Some(task) = self.fleet.holder_of(offer).map(|task| task.id().to_owned()) else { return };
        // The agent's other offers come back by themselves when they are given back.
        let held = self.fleet.call_off(&task);
        let rest: Vec<String> = held.into_iter().filter(|held| held != offer).collect();
        if !rest.is_empty() {
            self.call(Call::Decline { offers: rest, refuse: Duration::ZERO });
        }
    }

    /// Keeps the most workers that ran at once; the disk hears of the next one when it has the last one.
    pub fn note_peak(&mut self) {
        let running = self.fleet.count_running_workers() as u64;
        let peak = self.history.peak_workers.max(running);
        if peak > self.history.written_peak && !self.outbox.is_peak_pending() {
            self.history.written_peak = peak;
            self.persist(Change::Peak(peak), OnWritten::Peak);
        }
        self.history.peak_workers = peak;
    }

    /// The master has taken the TEARDOWN; what is to be written down of what did not end before.
    pub fn torn_down(&mut self) -> Vec<Change> {
        let live = self.fleet.present().filter(|task| task.may_live());
        let live: Vec<_> = live.map(|task| (task.id().to_owned(), task.record().kind)).collect();
        let end = |(task, kind): (String, Kind)| {
            let why = "ended by TEARDOWN without a last report";
            let change = Change::Status(end_without_report(task, kind, TaskState::TaskKilled, why));
            self.apply(&change);
            change
        };
        live.into_iter().map(end).collect()
    }
}

/// What is written down of a task that ended without saying so itself.
pub(super) fn end_without_report(task: String, kind: Kind, state: TaskState, why: &str) -> StatusRecord {
    StatusRecord {
        task,
        kind,
        state: Some(state),
        reason: None,
        last: false,
        message: Some(why.to_owned()),
        report: None,
    }
}
