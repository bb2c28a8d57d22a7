//! Tasks that say nothing, or not what they should, for too long.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::missing::UNREACHABLE;
use super::task::{Phase, Task};
use super::{State, UserNotice};

/// A server that does not listen after this time is replaced. Fetching and starting must fit in.
pub(super) const SERVER_START: Duration = Duration::from_secs(180);
/// A server that runs but gives no work is replaced after this time.
pub(super) const ILL_SERVER: Duration = Duration::from_secs(60);
/// A worker of ours ends by itself when it has had no work for a minute. One that does not is stuck.
const WORKER_START: Duration = Duration::from_secs(120);
/// A launch without any update is given up after this time: longer than an agent needs to notice that its master
/// was restarted.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(120);

/// A master that says nothing for so long, though it sends a heartbeat every 15 s, is stuck or out of reach itself.
const MASTER_SILENT: Duration = Duration::from_secs(18);

impl State {
    /// Gives up what is silent, unreachable or not well for too long, as far as it could be heard.
    pub(super) fn watch(&mut self, now: Instant) {
        if self.master_is_silent(now) {
            return;
        }
        self.give_up_silent_launches(now);
        self.watch_server(now);
        self.miss_workers(now);
        self.give_up_silent_tasks(now);
    }

    /// Replaces a server that does not come up, or that has been unreachable or not well for long.
    fn watch_server(&mut self, now: Instant) {
        let Some(task) = self.server.as_ref().and_then(|id| self.tasks.get(id)) else { return };
        let Phase::Sent(sent) = task.phase else { return };
        let why = match task.state {
            Some(TaskState::TaskUnreachable) if now.duration_since(task.since) >= UNREACHABLE => {
                "its agent does not answer"
            }
            Some(TaskState::TaskStaging | TaskState::TaskStarting)
                if now.duration_since(sent) >= SERVER_START =>
            {
                "it does not come up"
            }
            Some(TaskState::TaskRunning)
                if task.ill_since().is_some_and(|since| now.duration_since(since) >= ILL_SERVER) =>
            {
                "it gives no work"
            }
            _ => return,
        };
        let id = task.record.id.clone();
        self.publish(UserNotice::GivenUp { task: id.clone(), why });
        self.agent_failed(&id, why, now);
        self.lose_server(now);
        self.want_kill(&id, now);
    }

    /// Without a subscription nobody could be heard.
    pub(super) fn listen_anew(&mut self, now: Instant) {
        for task in self.tasks.values_mut().filter(|task| task.silent_since.is_some()) {
            task.silent_since = Some(now);
        }
    }

    /// Nor while this process was stopped: what came meanwhile is still to be read, and it must not be held against the
    /// tasks that it was not.
    pub(super) fn was_away(&mut self, now: Instant) {
        self.listen_anew(now);
        for task in self.tasks.values_mut() {
            match (&mut task.phase, task.state) {
                (Phase::Sent(sent), None | Some(TaskState::TaskStaging | TaskState::TaskStarting)) => {
                    *sent = now
                }
                (_, Some(TaskState::TaskUnreachable)) => task.since = now,
                _ => {}
            }
            task.health = task.health.map(|(healthy, _)| (healthy, now));
        }
    }

    /// Nor while the master said nothing, through which all comes: what waited behind it is still to be read, too.
    pub(super) fn hear_master(&mut self, now: Instant) {
        if self.master_is_silent(now) {
            self.was_away(now);
        }
        self.heard = now;
    }

    fn master_is_silent(&self, now: Instant) -> bool {
        now.duration_since(self.heard) >= MASTER_SILENT
    }

    /// Replaces tasks that Mesos calls running but that say nothing any more: an executor that is stuck keeps its
    /// resources for ever otherwise, and a server all its workers. Mesos itself does not look after executors.
    fn give_up_silent_tasks(&mut self, now: Instant) {
        let limit = self.settings.silence_timeout;
        let long_ago = |at: Instant| now.duration_since(at) >= limit;
        let silent = |task: &Task| {
            let since = task.silent_since.filter(|_| task.is_running() && task.kill.is_none());
            since.is_some_and(|since| long_ago(since) && long_ago(task.since))
        };
        let why = |task: &Task| {
            let stuck = || self.is_stuck_at_its_start(task, now).then_some("it does not come up");
            silent(task).then_some("it says nothing any more").or_else(stuck)
        };
        let ids: Vec<(String, &'static str)> =
            self.tasks.values().filter_map(|task| Some((task.record.id.clone(), why(task)?))).collect();
        for (id, why) in ids {
            self.publish(UserNotice::GivenUp { task: id.clone(), why });
            self.agent_failed(&id, why, now);
            if self.server.as_ref() == Some(&id) {
                self.lose_server(now);
            }
            self.want_kill(&id, now);
            if let Some(task) = self.tasks.get_mut(&id) {
                task.want_end(now);
            }
        }
    }

    /// Its executor said that it begins, and nothing more. What others' images do until they run, nobody knows.
    fn is_stuck_at_its_start(&self, task: &Task, now: Instant) -> bool {
        let long_ago = |at: Instant| now.duration_since(at) >= WORKER_START;
        task.is_worker()
            && task.state == Some(TaskState::TaskStarting)
            && task.kill.is_none()
            && self.settings.template.programs.is_ours(task.record.kind)
            && matches!(task.phase, Phase::Sent(sent) if long_ago(sent) && long_ago(task.since))
    }

    /// A launch that the master never heard of, or whose agent is silent.
    fn give_up_silent_launches(&mut self, now: Instant) {
        let silent = |task: &&Task| match task.phase {
            Phase::Sent(sent) => task.state.is_none() && now.duration_since(sent) >= LAUNCH_TIMEOUT,
            Phase::Writing(_) => false,
        };
        let ids: Vec<String> =
            self.tasks.values().filter(silent).map(|task| task.record.id.clone()).collect();
        for id in ids {
            self.publish(UserNotice::GivenUp { task: id.clone(), why: "its launch was never answered" });
            self.presume_lost(&id, now);
        }
    }
}
