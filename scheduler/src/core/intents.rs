//! Carries out the intents of policies.

use std::time::Duration;

use ::task::ServerAddress;
use mesos::v1::{TaskInfo, TaskState};

use super::outbox::OnPersisted;
use super::transition::{Transition, end_without_report};
use crate::event::{Call, Effect};
use crate::fleet::{Pause, PlannedLaunch, ServerState, Slot, Task};
use crate::journal::{Assignment, Change, Origin, TaskRecord, UNTRACKED_MINERS};
use crate::offers::{PlannedTask, UnusedAgent};
use crate::policy::{Intent, PolicyEvent, TaskEnd};
use crate::sandbox::Sandbox;
use crate::server_address;
use crate::task_id::TaskKind;
use crate::user_notice::UserNotice;

impl Transition<'_> {
    pub fn perform(&mut self, intent: Intent) {
        let now = self.now;
        match intent {
            Intent::Call(call) => self.call(call),
            Intent::Notify(notice) => self.notify(notice),
            // Once the shutdown has begun, nothing is launched.
            Intent::PersistLaunches(tasks) if self.run.ending => {
                self.give_back(tasks.into_iter().flat_map(|planned| planned.offers).collect());
            }
            Intent::PersistLaunches(tasks) => self.persist_launches(tasks),
            Intent::SendLaunches { tasks, .. } if self.run.ending => {
                tasks.into_iter().for_each(|task| self.forget_launch(task));
            }
            Intent::SendLaunches { holder, tasks, refuse } => self.send_launches(&holder, tasks, refuse),
            Intent::ForgetLaunch(task) => self.forget_launch(task),
            Intent::End(task) => self.end(&task),
            Intent::EndReturned(task) => self.fleet.want_end_of_returned(&task, now),
            Intent::EndExecutor(task) => self.fleet.want_end_of_executor(&task, now),
            Intent::SendKill(task) => self.send_kill(task),
            Intent::Reconciled => self.reconciled(),
            Intent::PresumeLost(task) => self.presume_lost(task),
            Intent::GiveUpLaunch(end) => self.give_up_launch(end),
            Intent::GiveUpServer(server) => {
                if self.fleet.servers.remove(&server).is_some() {
                    self.raise(PolicyEvent::ServerLost(server));
                }
            }
            Intent::SeekServerPlace(seeks) => self.fleet.seeks_server_place = seeks,
            Intent::DrainServer(server) => self.fleet.drain_server(&server),
            Intent::Assign { worker, server } => {
                self.change(Change::Assign { task: worker.clone(), server }, OnPersisted::Nothing);
                self.raise(PolicyEvent::Assigned(worker));
            }
            Intent::PauseAgent { task, why, common, least } => self.pause_agent(&task, why, common, least),
            Intent::LimitLaunches(limit) => self.fleet.launch_limit = limit.map(|limit| *limit),
            Intent::SetWindow { agent, window } => self.fleet.agents.set_window(&agent, window),
            Intent::HoldOffers { agent, held } => self.fleet.agents.hold_offers(&agent, held),
            Intent::SetWorkerIntervals(intervals) => self.fleet.worker_intervals = Some(intervals),
            Intent::NoteUnused(unused) => self.note_unused(unused),
            Intent::HoldSlot(task) => self.fleet.set_slot(&task, Slot::Held),
            Intent::ReleaseSlot(task) => {
                self.fleet.set_slot(&task, Slot::Released);
                self.raise(PolicyEvent::SlotReleased(task));
            }
            Intent::AskMaster(question) => self.outbox.add(Effect::AskMaster(question)),
            Intent::ReviveOffers => self.raise(PolicyEvent::OffersRevived),
            Intent::Problem { topic, problem } => self.history.set_problem(topic, problem),
            Intent::ReadStderr(end) => self.read_stderr(end),
            Intent::NoteStderr { task, text, stderr, sandbox } => {
                self.history.failures.add_stderr(&task, text, stderr, sandbox);
            }
            Intent::Retire(tasks) => self.retire(tasks),
            Intent::ExpireAgents => self.fleet.agents.expire(now),
            Intent::BeginShutdown { teardown } => (self.run.ending, self.run.teardown) = (true, teardown),
            Intent::RecordTeardown => self.change(Change::TearingDown(true), OnPersisted::Nothing),
            Intent::Finish => self.outbox.finish(),
        }
    }

    /// Tells the policies that the master has answered for all tasks. The answers are applied when they are on disk.
    fn reconciled(&mut self) {
        if self.outbox.count_unpersisted() == 0 {
            return self.raise(PolicyEvent::Reconciled);
        }
        // Changes are written in order. So when the change below is on disk, the answers are on disk, too. This change has no
        // other purpose: it writes the old peak again.
        let written = OnPersisted::Raise(Box::new(PolicyEvent::Reconciled));
        self.persist(Change::Peak(self.history.persisted_peak), written);
    }

    /// Declines offers without a filter, so that their resources are offered again immediately.
    fn give_back(&mut self, offers: Vec<String>) {
        self.call(Call::Decline { offers, refuse: Duration::ZERO });
    }

    /// Persists planned launches on the offers of one agent. When the last of them is on disk, all are sent in one call. Until
    /// then the offers are reserved for that last launch.
    fn persist_launches(&mut self, mut tasks: Vec<PlannedTask>) {
        let Some(last) = tasks.pop() else { return };
        let others = tasks.into_iter().map(|planned| self.persist_launch(planned, None)).collect();
        self.persist_launch(last, Some(others));
    }

    /// Persists one launch, and returns the id of the new task. If the offers are reserved for this launch, `with` has the ids of
    /// the other tasks that the same call launches; otherwise it is `None`.
    fn persist_launch(&mut self, planned: PlannedTask, with: Option<Vec<String>>) -> String {
        let PlannedTask { agent, place, agent_url, cpus_milli, ports, .. } = &planned;
        let pinned = self.settings.template.options.server_address;
        let host = || server_address::hosts(&place.host, agent_url.as_deref(), pinned).swap_remove(0);
        let kind = if ports.is_some() { TaskKind::Server } else { TaskKind::Worker };
        let id = self.history.new_task_id(kind);
        let origin = Origin::Launched { cpus_milli: *cpus_milli };
        let record = TaskRecord {
            attributes: place.attributes.clone(),
            agent_url: agent_url.clone(),
            specification: self.fingerprints.of(kind).map(str::to_owned),
            assignment: if kind == TaskKind::Worker { self.assignment() } else { None },
            address: ports.map(|(http_port, stratum_port)| ServerAddress {
                host: host(),
                stratum_port,
                http_port,
            }),
            ..TaskRecord::new(id.clone(), agent.clone(), place.host.clone(), origin)
        };
        self.fleet.agents.forget_unused(agent);
        self.fleet.insert(Task::planned(record.clone(), PlannedLaunch { planned, with }));
        if kind == TaskKind::Server {
            self.note_unknown_address(&record);
            self.fleet.servers.insert(id.clone(), ServerState::Open);
        }
        self.change(Change::Task(record), OnPersisted::Launch(id.clone()));
        id
    }

    /// Where a new worker is to mine: at the external pool, or at the server with the fewest workers; `None` if there is no open
    /// server.
    fn assignment(&self) -> Option<Assignment> {
        if let Some(pool) = &self.settings.template.pool {
            return Some(Assignment::Pool(pool.url.clone()));
        }
        let server = self.fleet.least_busy_server();
        server.map(|(server, _)| Assignment::Server(server.id().to_owned()))
    }

    /// Launches tasks in one call, on the offers that are reserved for the task `holder`. The resources that the tasks leave
    /// unused are declined for the time `refuse`.
    fn send_launches(&mut self, holder: &str, ids: Vec<String>, refuse: Duration) {
        let offers = self.fleet.take_offers(holder);
        let tasks: Vec<TaskInfo> = ids.iter().filter_map(|id| self.launch(id)).collect();
        self.call(Call::Accept { offers, tasks, refuse });
        for id in ids {
            let Some(record) = self.fleet.get(&id).map(|task| &task.record) else { continue };
            let (host, cpus_milli) = (record.host.clone(), record.cpus_milli());
            if self.fleet.common_failure().is_none() {
                self.notify(UserNotice::Launched { task: id.clone(), host, cpus_milli });
            }
            self.raise(PolicyEvent::Launched(id));
        }
    }

    /// Marks a planned launch as sent, and returns its `TaskInfo`.
    fn launch(&mut self, id: &str) -> Option<TaskInfo> {
        let planned = self.fleet.launch_sent(id, self.now)?;
        let record = self.fleet.get(id).map(|task| &task.record)?;
        let server = record.server().and_then(|server| self.fleet.get(server)).map(|server| &server.record);
        let template = &self.settings.template;
        let wanted = self.fleet.worker_intervals.filter(|_| record.kind == TaskKind::Worker);
        let intervals = wanted.unwrap_or(template.intervals());
        let task = template.task(record, server, planned.executor, planned.task, intervals);
        self.fleet.set_intervals(id, intervals);
        Some(task)
    }

    /// Removes a task whose launch was not sent.
    fn forget_launch(&mut self, id: String) {
        let Some(task) = self.fleet.remove(&id) else { return };
        let offers = task.held_offers().to_vec();
        if !offers.is_empty() {
            self.give_back(offers);
        }
        self.change(Change::Forget(id), OnPersisted::Nothing);
    }

    fn end(&mut self, id: &str) {
        if self.fleet.get(id).is_some_and(|task| !task.has_ended()) {
            self.fleet.want_end(id, self.now);
        }
    }

    fn send_kill(&mut self, id: String) {
        self.fleet.kill_sent(&id, self.now);
        let Some(task) = self.fleet.get(&id) else { return };
        let (agent, overdue) = (task.agent().to_owned(), task.ignores_kills());
        self.call(Call::Kill { task: id.clone(), agent: agent.clone() });
        if overdue && !agent.is_empty() {
            self.call(Call::Shutdown { executor: id, agent });
        }
    }

    /// Records a task as lost, because its launch was never answered, so that another task can take its place.
    fn presume_lost(&mut self, id: String) {
        let Some(kind) = self.fleet.get(&id).map(|task| task.record.kind) else { return };
        let why = "the launch was never answered";
        let status = end_without_report(id.clone(), kind, TaskState::TaskLost, why);
        self.change(Change::Status(status), OnPersisted::Nothing);
        self.perform(Intent::GiveUpServer(id));
    }

    /// Ends a task that does not start, and lets another task take its place without waiting for its end.
    fn give_up_launch(&mut self, end: TaskEnd) {
        let task = end.task.clone();
        self.fleet.want_end_of_executor(&task, self.now);
        self.raise(PolicyEvent::LaunchGivenUp(end));
        if self.fleet.get(&task).is_some_and(Task::is_worker) {
            self.perform(Intent::ReleaseSlot(task));
        } else {
            self.perform(Intent::GiveUpServer(task));
        }
    }

    fn pause_agent(&mut self, task: &str, why: String, common: bool, least: Duration) {
        let Some(host) = self.fleet.get(task).map(|task| task.host().to_owned()) else { return };
        let pause = self.fleet.count_failure(task, common, least, self.now);
        self.history.failures.push(task, &host, &why, self.now);
        if let Some((Pause { failures, .. }, length)) = pause {
            self.notify(UserNotice::Paused { host, pause: length, failures });
        }
    }

    /// Asks for the end of the standard error of a task's executor, if its agent's address is known.
    fn read_stderr(&mut self, end: TaskEnd) {
        let Some(framework) = self.history.framework.as_ref().map(|framework| framework.id.clone()) else {
            return;
        };
        let Some(record) = self.fleet.get(&end.task).map(|task| &task.record) else { return };
        let Some(agent_url) = record.agent_url.clone() else { return };
        let (task, agent, host) = (record.id.clone(), record.agent.clone(), record.host.clone());
        self.outbox.add(Effect::ReadStderr(Sandbox { framework, task, agent, host, agent_url }, end));
    }

    /// Raises an event for policies: `Merge` may merge the unused resources with those of the agent's workers. If the agent has
    /// no workers, the user is told why the agent is unused, unless the user already knows this reason.
    fn note_unused(&mut self, unused: UnusedAgent) {
        let busy = self.fleet.count_workers_on(&unused.agent) > 0;
        self.raise(PolicyEvent::Unused(unused.clone()));
        if !busy && self.fleet.agents.note_unused(&unused, self.now) {
            self.notify(UserNotice::Unused(unused));
        }
    }

    fn retire(&mut self, tasks: Vec<String>) {
        let closed_server = |task: &&Task| !task.is_worker() && task.record.closed;
        let servers = tasks.iter().filter_map(|id| self.fleet.get(id)).filter(closed_server);
        for server in servers.map(|server| server.id().to_owned()).collect::<Vec<_>>() {
            self.aggregate_untracked_miners(server);
        }
        self.change(Change::Retire(tasks), OnPersisted::Nothing);
    }

    fn aggregate_untracked_miners(&mut self, server: String) {
        let is_ours = |name: &&str| self.fleet.get(name).is_some() || self.history.retired.contains(name);
        let miners = self.history.ledger.workers_of(&server).filter(|name| !is_ours(name)).count();
        if miners > UNTRACKED_MINERS {
            self.persist(Change::AggregateUntrackedMiners(server), OnPersisted::Nothing);
        }
    }
}
