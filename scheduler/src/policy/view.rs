//! What policies may look at.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use problem::Problem;

use super::Intent;
use crate::fleet::{Fleet, Task};
use crate::history::{History, Topic};
use crate::journal::{Assignment, MiningPause};
use crate::offers::{AgentMarks, WorkerLimits};
use crate::options::OnServerLoss;
use crate::run_state::RunState;
use crate::settings::Settings;
use crate::specification::Fingerprints;
use crate::user_notice::UserNotice;

/// The state that policies can read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The user's settings.
    pub settings: &'a Settings,
    /// The fingerprints of tasks that are launched now.
    pub fingerprints: &'a Fingerprints,
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
    /// Why the records cannot be written now; `None` if they can be.
    pub fn store_problem(&self) -> Option<&Problem> {
        self.history.problems.get(&Topic::Store)
    }

    /// The intent that sets a topic's problem, or clears it; `None` if nothing changes.
    pub fn set_problem(&self, topic: Topic, problem: Option<Problem>) -> Option<Intent> {
        let changes = self.history.problems.get(&topic) != problem.as_ref();
        changes.then_some(Intent::Problem { topic, problem })
    }

    /// Like [`Self::set_problem`]. The user is notified of a problem that is new or has changed.
    pub fn set_and_tell(&self, topic: Topic, problem: Option<Problem>) -> Vec<Intent> {
        let notice = problem.clone().map(|problem| Intent::Notify(UserNotice::Problem(problem)));
        match self.set_problem(topic, problem) {
            Some(set) => [set].into_iter().chain(notice).collect(),
            None => Vec::new(),
        }
    }

    /// Whether workers can be told to mine at another server. Workers that run a user's own image cannot.
    pub fn can_redirect(&self) -> bool {
        let template = &self.settings.template;
        template.pool.is_none() && template.programs.worker.is_none()
    }

    /// Whether workers are kept when their server is lost.
    pub fn keeps_workers(&self) -> bool {
        self.settings.options.on_server_loss == OnServerLoss::Repoint && self.can_redirect()
    }

    /// Whether the workers of this server are kept when it ends. Workers that can be redirected are kept if the scheduler, in
    /// this run or an earlier one, has ended the server to replace it. `--on-server-loss` does not matter then.
    pub fn keeps_workers_of(&self, server: &str) -> bool {
        let was_ended = |server: &Task| {
            let now = server.is_to_end() && (server.is_ending || server.has_ended());
            let before = server.state() == Some(TaskState::TaskKilled) && server.was_launched().is_none();
            now || before
        };
        self.keeps_workers() || self.can_redirect() && self.fleet.get(server).is_some_and(was_ended)
    }

    /// Whether a worker mines at a server task and can be redirected to another server.
    pub fn can_be_redirected(&self, worker: &Task) -> bool {
        worker.record.server().is_some_and(|server| self.keeps_workers_of(server))
    }

    /// The URL of the external pool, if workers mine at one.
    pub fn external_pool(&self) -> Option<&str> {
        self.settings.template.pool.as_ref().map(|pool| pool.url.as_str())
    }

    /// Whether a task goes on: it is a server in service, a worker of such a server or of any external pool, or a worker that
    /// can be redirected. It may have to be replaced later, see [`Self::mines_where_wanted`].
    pub fn belongs(&self, task: &Task) -> bool {
        if !task.is_worker() {
            return self.fleet.servers.contains_key(task.id());
        }
        match &task.record.assignment {
            Some(Assignment::Pool(_)) => true,
            Some(Assignment::Server(server)) => {
                self.fleet.servers.contains_key(server) || self.can_be_redirected(task)
            }
            None => false,
        }
    }

    /// Whether a worker mines where workers that are launched now do: at the same external pool, or at a server.
    pub fn mines_where_wanted(&self, worker: &Task) -> bool {
        match &worker.record.assignment {
            Some(Assignment::Pool(pool)) => self.external_pool() == Some(pool),
            Some(Assignment::Server(_)) => self.external_pool().is_none(),
            None => false,
        }
    }

    /// The pause that an operator has commanded; `None` while mining is wanted.
    pub fn mining_pause(&self) -> Option<&MiningPause> {
        self.history.controls.pause.as_ref()
    }

    /// The limits that hold now: those of the options, and those that an operator has set within them.
    pub fn limits(&self) -> WorkerLimits {
        self.history.limits(&self.settings.placement.limits)
    }

    /// What affects launches on an agent. A machine that becomes unavailable within `notice` counts as leaving.
    pub fn marks(&self, agent: &str, host: &str, notice: Duration, now: Instant) -> AgentMarks {
        let avoided = self.history.avoids(agent, host).is_some();
        AgentMarks { avoided, ..self.fleet.marks(agent, notice, now) }
    }

    /// The CPU (in thousandths) that further workers may use, and the maximum number of further workers; `None` if no more are
    /// allowed.
    pub fn room(&self) -> Option<(u64, u64)> {
        if self.admission_is_unknown() {
            return None;
        }
        let (used, count) = self.fleet.placed();
        let used = used.saturating_add(self.server_cpus_milli());
        self.limits().room(used, count, self.admitted())
    }

    /// Thousandths of a CPU reserved for the server, whether or not it runs. With an external pool, those that servers from
    /// before still have.
    pub fn server_cpus_milli(&self) -> u64 {
        if self.external_pool().is_none() {
            return self.settings.server_cpus_milli();
        }
        self.fleet.servers_in_service().map(|server| server.record.cpus_milli()).sum()
    }

    /// Whether messages from tasks can be received. Otherwise the silence of a task means nothing.
    pub fn hears_tasks(&self, now: Instant) -> bool {
        self.run.connected && !self.run.master_is_silent(now)
    }
}
