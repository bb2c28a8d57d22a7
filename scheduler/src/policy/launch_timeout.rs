//! Gives up tasks that have not reached TASK_RUNNING in time after their launch (`--launch-timeout`), and tells the user what such
//! tasks wait for. Mesos' own limit, the agents' `--executor_registration_timeout`, does not hold for all of them: an agent may
//! drop a launch without a word, and an executor may register but never run its task.
//!
//! Each scheduler process measures the timeout itself. The launch times that an earlier process recorded are not used, because
//! they are wall-clock times. If that clock jumped, all starting tasks would be given up at once.

mod waiting_text;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use problem::{Problem, ProblemKind};
use text::InWords;

use self::waiting_text::{Downloads, Waiting};
use super::sent_launches::SentLaunches;
use super::tell_again::TellAgain;
use super::{Intent, Policy, PolicyEvent, TaskEnd, View};
use crate::fleet::Task;
use crate::history::Topic;
use crate::user_notice::UserNotice;

/// After an interruption, tasks are not given up for this long, because their updates may still be on their way: an agent may
/// need most of this time to find a restarted master.
const GRACE: Duration = Duration::from_secs(120);
/// The user is told of a launch that takes at least this long, or half of `--launch-timeout` if that is shorter.
const SLOW: Duration = Duration::from_secs(60);
/// While no worker mines, the user is told of a launch that takes at least this long. Launches are looked at once a second, so the
/// user knows within ten seconds what the launch waits for.
const SLOW_WHILE_IDLE: Duration = Duration::from_secs(9);
/// The waiting launches are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct LaunchTimeout {
    sent: SentLaunches,
    /// The ids of launched tasks that do not run yet, each with the time when its `--launch-timeout` began.
    waiting: BTreeMap<Arc<str>, Instant>,
    looked: Option<Instant>,
    downloads: Downloads,
    server: Announcement,
    workers: Announcement,
}

/// The problem that launches are slow. It is displayed while they are, and the user is also notified of it from time to time.
#[derive(Debug, Default)]
struct Announcement {
    again: TellAgain,
    /// How slow the launches were when the standard error of an executor was last asked for.
    read: Option<Slowness>,
}

/// How slow a launch is. An executor may have written nothing yet when its launch is first told of, so it is looked at again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slowness {
    /// It is told of only because no worker mines.
    WhileIdle,
    /// It is told of in any case.
    Always,
}

impl Policy for LaunchTimeout {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        for task in self.sent.on_event(view, event, now) {
            self.wait_for(view.fleet.get(&task), now);
        }
        match event {
            PolicyEvent::Started => view.fleet.active().for_each(|task| self.wait_for(Some(task), now)),
            PolicyEvent::Alive { task, state: TaskState::TaskStaging | TaskState::TaskStarting, .. } => {
                // The first update of a task shows that the master has accepted the launch, so the timeout begins. For a task that
                // was unreachable, or counted as lost, and has returned, it begins again.
                self.wait_for(view.fleet.get(task), now);
            }
            PolicyEvent::Alive { task, .. } => drop(self.waiting.remove(task.as_str())),
            PolicyEvent::Ended(ended) => drop(self.waiting.remove(ended.task.as_str())),
            PolicyEvent::Fetching(stats) => self.downloads.measured(stats, now),
            PolicyEvent::Tick if view.hears_tasks(now) => return self.look(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl LaunchTimeout {
    /// Begins to wait until a launched task runs. The timeout counts from `since`, unless the policy waits for the task already.
    fn wait_for(&mut self, task: Option<&Task>, since: Instant) {
        if let Some(task) = task.filter(|task| task.is_starting()) {
            self.waiting.entry(Arc::clone(task.shared_id())).or_insert(since);
        }
    }

    fn look(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        if self.looked.is_some_and(|looked| now < looked + LOOK_EVERY) {
            return Vec::new();
        }
        self.looked = Some(now);
        self.waiting.retain(|id, _| view.fleet.get(id).is_some_and(Task::is_starting));
        let mut intents = self.give_up(view, now);
        intents.extend(self.tell(view, now));
        intents
    }

    fn give_up(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let limit = view.settings.options.launch_timeout;
        if now < view.run.resumed + limit.min(GRACE) {
            return Vec::new();
        }
        let overdue = self.waiting.iter().filter(|(_, since)| **since + limit <= now);
        let ends = overdue.filter_map(|(id, _)| Some(given_up(view.fleet.get(id)?, limit)));
        let intents = ends.map(Intent::GiveUpLaunch).collect();
        self.waiting.retain(|_, since| *since + limit > now);
        intents
    }

    /// Tells the user of slow launches. One problem is about the server, and one is about all workers together.
    fn tell(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let always = SLOW.min(view.settings.options.launch_timeout / 2);
        let slow = match view.fleet.count_running_workers() {
            0 => SLOW_WHILE_IDLE.min(always),
            _ => always,
        };
        let wait = |(id, since): (&Arc<str>, &Instant)| {
            let (task, time) = (view.fleet.get(id)?, now.duration_since(*since));
            (time >= slow && !view.run.ending).then_some(Waiting { task, time })
        };
        let (workers, servers): (Vec<_>, Vec<_>) =
            self.waiting.iter().filter_map(wait).partition(|waiting| waiting.task.is_worker());
        let mut intents = Vec::new();
        intents.extend(self.server.read(&servers, always));
        intents.extend(self.workers.read(&workers, always));
        let fetching = self.downloads.fetch_all(self.waiting.len(), now);
        let server = servers.first().map(|server| waiting_text::server(view, server, fetching));
        let server = server.map(|text| Problem::new(ProblemKind::ServerLaunchSlow, text));
        intents.extend(self.server.tell(view, Topic::ServerLaunch, server, now));
        let workers = waiting_text::workers(view, &workers, fetching);
        let workers = workers.map(|text| Problem::new(ProblemKind::WorkerLaunchesSlow, text));
        intents.extend(self.workers.tell(view, Topic::WorkerLaunches, workers, now));
        intents
    }
}

/// The end of a task that does not start.
fn given_up(task: &Task, limit: Duration) -> TaskEnd {
    let state = task.state();
    let still = match state {
        Some(state) => format!("it was still in {}", state.as_str_name()),
        None => "it had no state".to_owned(),
    };
    let waits = task.last_problem().map(|problem| format!(": {problem}")).unwrap_or_default();
    let message = Some(format!("{still} after {} (--launch-timeout){waits}", InWords(limit)));
    TaskEnd { message, ..TaskEnd::of_starting(task) }
}

impl Announcement {
    /// Looks at the executor that is slowest, while it lives: it may have written why its task does not run. `always` is the time
    /// after which a launch is slow in any case.
    fn read(&mut self, slow: &[Waiting<'_>], always: Duration) -> Option<Intent> {
        let Some(slowest) = slow.iter().max_by_key(|waiting| waiting.time) else {
            self.read = None;
            return None;
        };
        let slowness = if slowest.time >= always { Slowness::Always } else { Slowness::WhileIdle };
        if self.read >= Some(slowness) {
            return None;
        }
        self.read = Some(slowness);
        Some(Intent::ReadStderr(TaskEnd::of_starting(slowest.task)))
    }

    /// Sets or clears the problem. Also notifies the user of it, at first immediately and then less and less often.
    fn tell(&mut self, view: &View<'_>, topic: Topic, problem: Option<Problem>, now: Instant) -> Vec<Intent> {
        let mut intents = Vec::new();
        match &problem {
            None => self.again.end(),
            Some(problem) if !self.again.waits(now) => {
                self.again.tell(now);
                intents.push(Intent::Notify(UserNotice::Problem(problem.clone())));
            }
            Some(_) => {}
        }
        intents.extend(view.set_problem(topic, problem));
        intents
    }
}
