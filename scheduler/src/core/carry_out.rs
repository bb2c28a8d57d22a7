//! What rules want is carried out.

use std::time::Duration;

use ::task::ServerAddress;
use mesos::v1::{TaskInfo, TaskState};

use super::outbox::OnWritten;
use super::transition::{Transition, end_without_report};
use crate::event::{Call, Effect};
use crate::fleet::{Pause, PlannedLaunch, Task};
use crate::journal::{Assignment, Change, Origin, TaskRecord, UNTRACKED_MINERS};
use crate::kind::Kind;
use crate::offers::{Accept, UnusedAgent};
use crate::policy::{Happening, Intent};
use crate::user_notice::UserNotice;

impl Transition<'_> {
    pub fn carry_out(&mut self, intent: Intent) {
        let now = self.now;
        match intent {
            Intent::Call(call) => self.call(call),
            Intent::Notify(notice) => self.notify(notice),
            // Nothing is launched once the end has begun, whoever wants it.
            Intent::Launch(accepts) if self.session.ending => {
                let offers = accepts.into_iter().flat_map(|accept| accept.offers).collect();
                self.call(Call::Decline { offers, refuse: Duration::ZERO });
            }
            Intent::Launch(accepts) => self.write_down_all(accepts),
            Intent::SendLaunches { tasks, .. } if self.session.ending => {
                tasks.into_iter().for_each(|task| self.forget_launch(task));
            }
            Intent::SendLaunches { holder, tasks, refuse } => self.send_launches(&holder, tasks, refuse),
            Intent::ForgetLaunch { task } => self.forget_launch(task),
            Intent::End { task } => self.end(&task),
            Intent::EndAnew { task } => self.fleet.want_end_anew(&task, now),
            Intent::EndExecutor { task } => self.fleet.want_end_of_executor(&task, now),
            Intent::SendKill { task } => self.send_kill(task),
            Intent::PresumeLost { task } => self.presume_lost(task),
            Intent::GiveUpServer { server } => {
                if self.fleet.take_out_of_service(&server) {
                    self.happen(Happening::ServerLost { server });
                }
            }
            Intent::MoveServer { server } => self.fleet.set_moving(&server),
            Intent::Assign { worker, server } => self.assign(worker, server),
            Intent::PauseAgent { task, why, common } => self.pause_agent(&task, why, common),
            Intent::LimitLaunches(limit) => self.fleet.limit_launches(limit.map(|limit| *limit)),
            Intent::SetWindow { agent, window } => self.fleet.set_window(&agent, window),
            Intent::HoldOffers { agent, held } => self.fleet.hold_offers(&agent, held),
            Intent::SetWorkerIntervals(intervals) => self.fleet.set_worker_intervals(intervals),
            Intent::NoteUnused(unused) => self.note_unused(unused),
            Intent::HoldSlot { task } => self.fleet.hold_slot(&task),
            Intent::ReleaseSlot { task } => {
                self.fleet.release_slot(&task);
                self.happen(Happening::SlotReleased { task });
            }
            Intent::WantOffers => self.happen(Happening::OffersWanted),
            Intent::Remark { topic, text: Some(text) } => drop(self.history.remarks.insert(topic, text)),
            Intent::Remark { topic, text: None } => drop(self.history.remarks.remove(&topic)),
            Intent::Retire { tasks } => self.retire(tasks),
            Intent::ForgetOldOfAgents => self.fleet.forget_old_of_agents(now),
            Intent::BeginEnd => self.session.ending = true,
            Intent::Finish => self.outbox.add(Effect::Finish),
        }
    }

    /// Launches on the offers of one agent are sent when the last of them is on disk, and the others with it; until then
    /// its offers are held.
    fn write_down_all(&mut self, mut accepts: Vec<Accept>) {
        let Some(last) = accepts.pop() else { return };
        let others = accepts.into_iter().map(|accept| self.write_down(accept, None)).collect();
        self.write_down(last, Some(others));
    }

    /// Returns the task's id.
    fn write_down(&mut self, accept: Accept, with: Option<Vec<String>>) -> String {
        let kind = if accept.ports.is_some() { Kind::Server } else { Kind::Worker };
        let id = self.history.name(kind);
        let address = accept.ports.map(|(http_port, stratum_port)| {
            let host = accept.place.host.clone();
            ServerAddress { host, stratum_port, http_port }
        });
        let record = TaskRecord {
            id: id.clone(),
            kind,
            agent: accept.agent.clone(),
            host: accept.place.host.clone(),
            attributes: accept.place.attributes.clone(),
            agent_url: None,
            assignment: if kind == Kind::Worker { self.assignment() } else { None },
            origin: Origin::Launched { cpus_milli: accept.cpus_milli },
            address,
            state: None,
            closed: false,
            specification: None,
        };
        self.fleet.forget_unused(&accept.agent);
        self.fleet.insert(Task::planned(record.clone(), PlannedLaunch { accept, with }));
        if kind == Kind::Server {
            self.fleet.take_into_service(&id);
        }
        self.change(Change::Task(record), OnWritten::Launch(id.clone()));
        id
    }

    /// Whom a new worker works for: the pool, or the server with the fewest workers.
    fn assignment(&self) -> Option<Assignment> {
        if let Some(pool) = &self.settings.template.pool {
            return Some(Assignment::Pool(pool.url.clone()));
        }
        let server = self.fleet.least_busy_server();
        server.map(|(server, _)| Assignment::Server(server.id().to_owned()))
    }

    /// Launches tasks on the offers that one of them holds, or a task that is not launched any more.
    fn send_launches(&mut self, holder: &str, ids: Vec<String>, refuse: Duration) {
        let offers = self.fleet.take_offers(holder);
        let tasks: Vec<TaskInfo> = ids.iter().filter_map(|id| self.launch(id)).collect();
        self.call(Call::Accept { offers, tasks, refuse });
        for id in ids {
            let Some(record) = self.fleet.get(&id).map(Task::record) else { continue };
            let (host, cpus_milli) = (record.host.clone(), record.cpus_milli());
            if self.fleet.common_failure().is_none() {
                self.notify(UserNotice::Launched { task: id.clone(), host, cpus_milli });
            }
            self.happen(Happening::Launched { task: id });
        }
    }

    /// A task as the master is told to launch it.
    fn launch(&mut self, id: &str) -> Option<TaskInfo> {
        let accept = self.fleet.launch_sent(id, self.now)?;
        let record = self.fleet.get(id).map(Task::record)?;
        let server = record.server().and_then(|server| self.fleet.get(server));
        let pool = server.and_then(|server| server.record().address.as_ref());
        let template = &self.settings.template;
        let wanted = self.fleet.worker_intervals().filter(|_| record.kind == Kind::Worker);
        let intervals = wanted.unwrap_or(template.intervals());
        let task = template.task(record, pool, accept.executor, accept.task, intervals);
        self.fleet.set_intervals(id, intervals);
        Some(task)
    }

    /// What was never sent was never launched.
    fn forget_launch(&mut self, id: String) {
        let Some(task) = self.fleet.remove(&id) else { return };
        let offers = crate::fleet::held_offers(&task).to_vec();
        if !offers.is_empty() {
            self.call(Call::Decline { offers, refuse: Duration::ZERO });
        }
        self.change(Change::Forget { task: id }, OnWritten::Nothing);
    }

    fn end(&mut self, id: &str) {
        if self.fleet.get(id).is_some_and(|task| !task.is_over()) {
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

    /// Nothing was ever heard of it: another can take its place.
    fn presume_lost(&mut self, id: String) {
        let Some(kind) = self.fleet.get(&id).map(|task| task.record().kind) else { return };
        let why = "the launch was never answered";
        let status = end_without_report(id.clone(), kind, TaskState::TaskLost, why);
        self.change(Change::Status(status), OnWritten::Nothing);
        self.carry_out(Intent::GiveUpServer { server: id });
    }

    fn assign(&mut self, worker: String, server: String) {
        self.change(Change::Assign { task: worker.clone(), server }, OnWritten::Nothing);
        self.happen(Happening::Assigned { worker });
    }

    fn pause_agent(&mut self, task: &str, why: String, common: bool) {
        let Some(host) = self.fleet.get(task).map(|task| task.host().to_owned()) else { return };
        let pause = self.fleet.fail_agent(task, common, self.now);
        self.history.failures.push(task, &host, &why, self.now);
        if let Some((Pause { failures, .. }, length)) = pause {
            self.notify(UserNotice::Paused { host, pause: length, failures, why });
        }
    }

    /// What is left beside a worker needs no explanation, but may be merged with it.
    fn note_unused(&mut self, unused: UnusedAgent) {
        let busy = self.fleet.count_workers_on(&unused.agent) > 0;
        self.happen(Happening::Unused(unused.clone()));
        if !busy && self.fleet.note_unused(&unused, self.now) {
            self.notify(UserNotice::Unused(unused));
        }
    }

    fn retire(&mut self, tasks: Vec<String>) {
        let closed_server = |task: &&Task| !task.is_worker() && task.record().closed;
        let servers = tasks.iter().filter_map(|id| self.fleet.get(id)).filter(closed_server);
        for server in servers.map(|server| server.id().to_owned()).collect::<Vec<_>>() {
            self.aggregate_untracked_miners(&server);
        }
        self.change(Change::Retire { tasks }, OnWritten::Nothing);
    }

    fn aggregate_untracked_miners(&mut self, server: &str) {
        let is_ours = |name: &&str| self.fleet.get(name).is_some() || self.history.retired.contains(name);
        let miners = self.history.ledger.workers_of(server).filter(|name| !is_ours(name)).count();
        if miners > UNTRACKED_MINERS {
            self.persist(Change::AggregateUntrackedMiners { server: server.to_owned() }, OnWritten::Nothing);
        }
    }
}
