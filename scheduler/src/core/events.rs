//! The changes that each event makes before the policies react to it.

use std::time::Duration;

use mesos::v1::{Offer, TaskState};

use super::outbox::OnPersisted;
use super::transition::{Transition, end_without_report};
use crate::event::{Call, Event};
use crate::fleet::{ServerState, Task};
use crate::history::Topic;
use crate::journal::{Change, ChangeId, Origin, Removal, TaskRecord};
use crate::options::FrameworkOptions;
use crate::policy::PolicyEvent;
use crate::server_address;
use crate::user_notice::UserNotice;

impl Transition<'_> {
    /// Resumes with the tasks of an earlier run of the scheduler, which are already in the fleet.
    /// `now_ms` is the time, in milliseconds since the Unix epoch.
    pub fn resume(&mut self, now_ms: u64) {
        if self.history.framework.as_ref().is_some_and(|framework| framework.removal.is_some()) {
            // The master has removed this framework. In this case, the scheduler starts only if the user has allowed a new
            // framework.
            self.begin_anew();
        }
        // A task that has sent reports is expected to send live messages, too, even if it fell silent before this run.
        let reports = |task: &str| self.history.ledger.workers_of(task).next().is_some();
        let tasks = self.fleet.all().map(|task| task.id().to_owned());
        for id in tasks.filter(|task| reports(task)).collect::<Vec<_>>() {
            self.fleet.expect_live(&id, self.now);
        }
        // Only the server that was launched last is in service. An older server that has not ended was given up earlier. This
        // holds also if workers are to mine at an external pool from now on: until they are replaced, they need the server.
        let launched = |task: &&Task| !task.is_worker() && task.record.origin != Origin::Unrecorded;
        let last = self
            .fleet
            .all()
            .rfind(launched)
            .filter(|server| !server.has_ended())
            .map(|server| server.record.clone());
        if let Some(server) = last {
            self.note_unknown_address(&server);
            self.fleet.servers.insert(server.id, ServerState::Open);
        }
        self.check_scale(now_ms);
        self.raise(PolicyEvent::Started);
    }

    pub fn on_event(&mut self, event: Event) {
        if event.is_from_master() && self.run.hear_master(self.now) {
            // While the master was silent, messages from tasks were delayed, too. The timeouts of tasks start over, so that no
            // task is given up before its delayed messages are read.
            self.resume_timers();
        }
        self.fleet.expire_hashrates(self.now);
        match event {
            Event::Heartbeat => {}
            Event::Subscribed(framework) => self.subscribed(framework),
            Event::Disconnected => {
                self.run.connected = false;
                // Without a subscription all offers are void, so the launches for which they are reserved are cancelled.
                self.fleet.cancel_all_launches();
            }
            Event::Removed { now_ms } => self.removed(now_ms),
            Event::Offers(offers) => {
                self.learn_server_urls(&offers);
                self.raise(PolicyEvent::Offers(offers));
            }
            Event::Rescinded(offer) => self.rescinded(&offer),
            Event::Unavailabilities(agents) => self.raise(PolicyEvent::Unavailabilities(agents)),
            Event::InverseOffers(offers) => self.raise(PolicyEvent::InverseOffers(offers)),
            Event::InverseRescinded(offer) => self.raise(PolicyEvent::InverseRescinded(offer)),
            Event::Update(status) => self.update(*status),
            Event::Message { executor, data } => self.message(executor, &data),
            Event::ExecutorTerminated { agent, executor, status } => {
                self.executor_terminated(agent.as_deref(), executor, status);
            }
            Event::AgentRemoved(agent) => self.raise(PolicyEvent::AgentRemoved(agent)),
            Event::Persisted(change_ids) => {
                change_ids.into_iter().for_each(|change_id| self.persisted(change_id))
            }
            Event::Fetching(fetching) => self.raise(PolicyEvent::Fetching(fetching)),
            Event::CallsAnswered { decided_before } => {
                self.raise(PolicyEvent::CallsAnswered { decided_before })
            }
            Event::StderrRead(read) => self.raise(PolicyEvent::StderrRead(read)),
            Event::Problem { topic, problem } => self.history.set_problem(topic, problem),
            Event::ClusterViewed(view) => self.raise(PolicyEvent::ClusterViewed(view)),
            Event::Order(request) => self.order(*request),
            Event::NodeCredentials(_) => self.raise(PolicyEvent::NodeCredentialsChanged),
            Event::Tick => self.tick(),
            Event::Stop => self.raise(PolicyEvent::Stop),
        }
    }

    fn subscribed(&mut self, framework: String) {
        self.run.connected = true;
        self.history.set_problem(Topic::Subscription, None);
        self.fleet.agents.forget_windows();
        if self.history.framework.is_none() {
            self.change(Change::Framework(framework.clone()), OnPersisted::Nothing);
        }
        let ms = self.settings.options.failover_timeout.as_millis() as u64;
        if self.history.framework.as_ref().is_some_and(|known| known.failover_ms != Some(ms)) {
            self.change(Change::FailoverTimeout { ms }, OnPersisted::Nothing);
        }
        // An earlier run was about to tear the framework down, but the master still knows it.
        let tears_down = self.run.ending && self.run.teardown;
        if !tears_down && self.history.framework.as_ref().is_some_and(|known| known.tearing_down) {
            self.change(Change::TearingDown(false), OnPersisted::Nothing);
        }
        self.notify(UserNotice::Subscribed(framework));
        // Time without a subscription does not count towards the timeouts of tasks.
        self.fleet.restart_timers(false, self.now);
        self.run.resumed = self.now;
        self.fleet.make_all_kills_due(self.now);
        self.raise(PolicyEvent::Subscribed);
    }

    /// The master has removed the framework, and all its tasks with it. Normally, the scheduler records that the framework was
    /// removed, and ends. It begins a new framework instead if the user has allowed this, or if an earlier run sent TEARDOWN and
    /// did not receive the answer. If the scheduler is tearing the framework down, it ends and records nothing.
    fn removed(&mut self, now_ms: u64) {
        self.run.connected = false;
        self.end_tasks();
        let FrameworkOptions { new_framework, .. } = self.settings.options;
        let ours = self.history.framework.as_ref().is_some_and(|framework| framework.tearing_down);
        match self.run.ending {
            // An operator has commanded it, and the answer to TEARDOWN was lost.
            false if ours && self.history.controls.teardown.is_some() => {
                self.change(Change::FrameworkEnded, OnPersisted::Nothing);
                self.outbox.finish();
            }
            false if new_framework || ours => self.begin_anew(),
            true if self.run.teardown => self.outbox.finish(),
            true if ours => {
                self.change(Change::FrameworkEnded, OnPersisted::Nothing);
                self.outbox.finish();
            }
            _ => {
                let silent_ms = self.run.silence(self.now).map(|silence| silence.as_millis() as u64);
                let removal = Removal { removed_ms: now_ms, silent_ms };
                self.change(Change::FrameworkRemoved(removal), OnPersisted::Nothing);
                self.outbox.finish();
            }
        }
    }

    /// Records that no task is left, because the master has ended all of them.
    fn end_tasks(&mut self) {
        // Some actions, such as launches, wait until a change is on disk. These actions are void now.
        self.outbox.cancel_pending();
        self.fleet.cancel_all_launches();
        let unsent: Vec<String> = self.fleet.unsent().map(|task| task.id().to_owned()).collect();
        for task in unsent {
            self.change(Change::Forget(task), OnPersisted::Nothing);
        }
        for (task, kind) in self.live_tasks() {
            let why = "the master has removed the framework";
            let status = end_without_report(task, kind, TaskState::TaskGone, why);
            self.change(Change::Status(status), OnPersisted::Nothing);
        }
    }

    /// Ends the framework, which the master has removed. The next one begins with an empty ledger.
    fn begin_anew(&mut self) {
        if let Some(framework) = self.history.framework.clone() {
            self.notify(if framework.tearing_down {
                UserNotice::TornDown(framework.id)
            } else {
                UserNotice::Removed(framework.id)
            });
            self.change(Change::FrameworkEnded, OnPersisted::Nothing);
        }
    }

    fn persisted(&mut self, change_id: ChangeId) {
        match self.outbox.persisted(change_id) {
            OnPersisted::Launch(task) => self.raise(PolicyEvent::LaunchPersisted(task)),
            OnPersisted::Update(update) => self.apply_update(*update),
            OnPersisted::Command(command) => self.obey(*command),
            OnPersisted::Raise(event) => self.raise(*event),
            OnPersisted::Peak => self.update_peak(),
            OnPersisted::Nothing => {}
        }
    }

    fn tick(&mut self) {
        if self.run.tick(self.now) {
            // This process was stopped. Messages that tasks sent in the meantime are still to be read, so the tasks do not count
            // as silent.
            self.resume_timers();
        }
        if self.run.connected {
            self.fleet.expire_first_live(self.now);
        }
        self.raise(PolicyEvent::Tick);
    }

    /// Restarts the timeouts of tasks, because no updates could be received until now.
    fn resume_timers(&mut self) {
        self.fleet.restart_timers(true, self.now);
        self.run.resumed = self.now;
    }

    /// An executor has terminated. If the task was launched on another agent, this is another executor with the same name, so the
    /// event is ignored.
    fn executor_terminated(&mut self, agent: Option<&str>, executor: String, status: Option<i32>) {
        let known = self.fleet.get(&executor).map(Task::agent).filter(|known| !known.is_empty());
        if known.zip(agent).is_some_and(|(known, agent)| known != agent) {
            return;
        }
        self.fleet.set_executor_terminated(&executor, status);
        self.raise(PolicyEvent::ExecutorTerminated(executor));
    }

    /// Records the IP addresses of servers' agents that the offers tell. Workers that are launched or redirected from now on get
    /// them. A server of an earlier version has no recorded address, and an agent may come back with another address.
    fn learn_server_urls(&mut self, offers: &[Offer]) {
        let learned = |server: &Task| {
            let url = offers.iter().find_map(|offer| server_address::new_agent_url(&server.record, offer))?;
            Some(Change::AgentUrl { task: server.id().to_owned(), url })
        };
        let changes: Vec<Change> = self.fleet.active_servers().filter_map(learned).collect();
        changes.into_iter().for_each(|change| self.change(change, OnPersisted::Nothing));
    }

    /// Tells the user that workers connect to a server by name, although the user wants them to use the IP address.
    pub fn note_unknown_address(&mut self, server: &TaskRecord) {
        if server_address::lacks_ip(server, self.settings.template.options.server_address) {
            let (task, host) = (server.id.clone(), server.host.clone());
            self.notify(UserNotice::AddressUnknown { task, host });
        }
    }

    /// The master has rescinded an offer, so the launches that were to use it and are not sent yet are cancelled.
    fn rescinded(&mut self, offer: &str) {
        let Some(task) = self.fleet.holder_of(offer).map(|task| task.id().to_owned()) else { return };
        // A launch can use several offers of one agent. Those that were not rescinded are declined, so that the master offers all
        // of the agent's resources again.
        let mut rest = self.fleet.cancel_launch(&task);
        rest.retain(|held| held != offer);
        if !rest.is_empty() {
            self.call(Call::Decline { offers: rest, refuse: Duration::ZERO });
        }
    }

    /// The master has accepted TEARDOWN, which ends all tasks. Returns the changes to persist.
    pub fn torn_down(&mut self) -> Vec<Change> {
        let tasks = self.live_tasks();
        let end = |(task, kind)| {
            let why = "ended by TEARDOWN without a last report";
            let change = Change::Status(end_without_report(task, kind, TaskState::TaskKilled, why));
            self.apply(&change);
            change
        };
        tasks.into_iter().map(end).collect()
    }
}
