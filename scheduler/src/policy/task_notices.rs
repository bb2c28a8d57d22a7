//! Notifies the user when tasks run, fail or end.

use std::time::Instant;

use mesos::v1::{TaskState, task_status};
use problem::Problem;

use super::executor_failure::{ExecutorEnd, Explanation};
use super::{Intent, Policy, PolicyEvent, TaskEnd, View};
use crate::fleet::{ExecutorStatus, LaunchFailure, StateChange, Task};
use crate::task_id::TaskKind;
use crate::user_notice::UserNotice;

/// The policy.
#[derive(Debug, Default)]
pub(super) struct TaskNotices;

impl Policy for TaskNotices {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        let notice = match event {
            PolicyEvent::Started => {
                Some(view.fleet.count_live()).filter(|tasks| *tasks > 0).map(UserNotice::Resumed)
            }
            PolicyEvent::AgentRemoved(agent) => Some(agent_gone(view, agent)),
            PolicyEvent::Alive { task, state, change } => alive(view, task, *state, *change),
            // The user is not told when a task first reports that it is healthy.
            PolicyEvent::Health { task, healthy, known, why } => (!healthy || *known)
                .then(|| UserNotice::Health { task: task.clone(), healthy: *healthy, why: why.clone() }),
            PolicyEvent::Ended(ended) => self::ended(view, ended),
            PolicyEvent::LaunchGivenUp(given_up) => self::given_up(view, given_up),
            _ => None,
        };
        notice.map(Intent::Notify).into_iter().collect()
    }
}

fn agent_gone(view: &View<'_>, agent: &str) -> UserNotice {
    UserNotice::MesosFailure(match view.fleet.on_agent(agent).next() {
        Some(task) => format!("the agent on {} is gone ({agent})", task.host()),
        None => format!("agent {agent} is gone"),
    })
}

fn alive(view: &View<'_>, task: &str, state: TaskState, change: StateChange) -> Option<UserNotice> {
    if change.before == Some(state) {
        return None;
    }
    let known = view.fleet.get(task)?;
    let (task, host) = (task.to_owned(), known.host().to_owned());
    match state {
        TaskState::TaskUnreachable => Some(UserNotice::Unreachable { task, host }),
        TaskState::TaskRunning if !known.is_to_end() => Some(match known.record.address.clone() {
            Some(address) => UserNotice::ServerUp { task, address },
            None => UserNotice::Mining { task, host },
        }),
        _ => None,
    }
}

fn ended(view: &View<'_>, ended: &TaskEnd) -> Option<UserNotice> {
    if is_common(view, ended) {
        return None;
    }
    let host = view.fleet.get(&ended.task)?.host().to_owned();
    Some(UserNotice::Ended {
        task: ended.task.clone(),
        host,
        state: ended.state.as_str_name().to_owned(),
        why: ended.why(view),
    })
}

fn given_up(view: &View<'_>, given_up: &TaskEnd) -> Option<UserNotice> {
    let why = given_up.message.clone().unwrap_or_default().into();
    (!is_common(view, given_up)).then(|| UserNotice::GivenUp { task: given_up.task.clone(), why })
}

/// Whether the task's failure is the common failure that the user was already told of.
pub(super) fn is_common(view: &View<'_>, ended: &TaskEnd) -> bool {
    let way = |failure: &LaunchFailure| (failure.task_kind, failure.state, failure.reason, failure.problem);
    view.fleet.common_failure().is_some_and(|common| way(&common.failure) == way(&ended.failure()))
}

impl TaskEnd {
    /// The state of a task that does not run yet, in the form of an end.
    pub(super) fn of_starting(task: &Task) -> Self {
        let state = task.state().unwrap_or(TaskState::TaskStaging);
        Self { task: task.id().to_owned(), state, reason: None, status: None, message: None, problem: None }
    }

    /// The reason, the exit status, and what they most likely mean or the message, for display after the state.
    pub(super) fn why(&self, view: &View<'_>) -> String {
        self.why_with(view, None)
    }

    /// The same with the end of the executor's standard error, if it was read.
    pub(super) fn why_with(&self, view: &View<'_>, stderr: Option<&str>) -> String {
        let text = self.explanation(view, stderr).map(|explanation| explanation.text());
        let text = text.unwrap_or_else(|| self.message().to_owned());
        format!("{}{}{text}", self.failure().how(), if text.is_empty() { "" } else { ": " })
    }

    /// What Mesos or the executor says about the end; empty if there is nothing.
    pub(super) fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// Why the executor did not run, if Mesos says that the executor was to blame. `stderr` is the end of its standard error, if it
    /// was read of this task. What another task wrote is no cause of this end.
    pub(super) fn explanation(&self, view: &View<'_>, stderr: Option<&str>) -> Option<Explanation> {
        let template = &view.settings.template;
        let task = view.fleet.get(&self.task);
        let ours = task.is_none_or(|task| template.programs.is_ours(task.record.kind));
        let (reason, message) = (self.reason, self.message());
        let status = self.status.map(ExecutorStatus::of);
        ExecutorEnd { reason, message, status, stderr }.explain(ours.then_some(template))
    }

    /// The kind of the failure. If Mesos could not launch the container, the status is the one of what it has killed, or of its own
    /// helpers, and differs although the failure is the same.
    pub(crate) fn failure(&self) -> LaunchFailure {
        let launched = self.reason != Some(task_status::Reason::ContainerLaunchFailed);
        let status = self.status.filter(|_| launched);
        let problem = self.permanent_problem().map(|problem| problem.kind);
        let task_kind = TaskKind::of_id(&self.task);
        LaunchFailure { task_kind, state: self.state, reason: self.reason, status, problem }
    }

    /// The problem that the task named, if it does not mend itself.
    pub(crate) fn permanent_problem(&self) -> Option<&Problem> {
        self.problem.as_ref().filter(|problem| problem.kind.is_permanent())
    }
}
