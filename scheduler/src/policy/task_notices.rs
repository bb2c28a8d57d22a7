//! Notifies the user when tasks run, fail or end.

use std::time::Instant;

use mesos::v1::{TaskState, task_status};

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::StateChange;
use crate::task_info::Delivery;
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
            PolicyEvent::ExecutorTerminated { executor, status } => executor_failed(view, executor, *status),
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

fn executor_failed(view: &View<'_>, executor: &str, status: Option<i32>) -> Option<UserNotice> {
    let task = view.fleet.get(executor)?;
    if task.is_to_end() || status == Some(0) || view.fleet.common_failure().is_some() && !task.is_running() {
        return None;
    }
    let how = status.map(wait_status).unwrap_or_default();
    Some(UserNotice::MesosFailure(format!("the executor of {executor} ended{how}")))
}

fn agent_gone(view: &View<'_>, agent: &str) -> UserNotice {
    UserNotice::MesosFailure(match view.fleet.on_agent(agent).next() {
        Some(task) => format!("the agent on {} is gone ({agent})", task.host()),
        None => format!("agent {agent} is gone"),
    })
}

/// A wait(2) status in words.
fn wait_status(status: i32) -> String {
    // An exit status has eight bits. Mesos may set meaningless bits above them.
    match (status & 0x7f, status >> 8 & 0xff) {
        (0, code) => format!(" with exit status {code}"),
        (signal, _) => format!(" by signal {signal}"),
    }
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
    let why = format!("{}{}", ended.why(), advice(view, ended));
    Some(UserNotice::Ended {
        task: ended.task.clone(),
        host,
        state: ended.state.as_str_name().to_owned(),
        why,
    })
}

fn given_up(view: &View<'_>, given_up: &TaskEnd) -> Option<UserNotice> {
    let why = given_up.message.clone().unwrap_or_default().into();
    (!is_common(view, given_up)).then(|| UserNotice::GivenUp { task: given_up.task.clone(), why })
}

/// Whether the task's failure is the common failure that the user was already told of.
pub(super) fn is_common(view: &View<'_>, ended: &TaskEnd) -> bool {
    view.fleet
        .common_failure()
        .is_some_and(|common| (common.failure.state, common.failure.reason) == (ended.state, ended.reason))
}

/// How a task ended.
#[derive(Clone, Debug)]
pub struct TaskEnd {
    /// The id of the task that has ended.
    pub task: String,
    /// The state in which the task ended.
    pub state: TaskState,
    /// The reason that Mesos gave for the end, if any.
    pub reason: Option<task_status::Reason>,
    /// What Mesos or the executor says about the end, as text for the user.
    pub message: Option<String>,
}

impl TaskEnd {
    /// The reason and the message, for display.
    pub(super) fn why(&self) -> String {
        let reason = self.reason.map(|reason| format!(" ({})", reason.as_str_name())).unwrap_or_default();
        let message = self.message.as_deref().filter(|message| !message.is_empty());
        format!("{reason}{}", message.map(|message| format!(": {message}")).unwrap_or_default())
    }
}

/// A hint for a failed fetch of the executor: most likely the agent cannot reach this scheduler.
pub(super) fn advice(view: &View<'_>, ended: &TaskEnd) -> String {
    let launch = ended.reason == Some(task_status::Reason::ContainerLaunchFailed);
    let fetch = ended.message.as_ref().is_some_and(|message| message.contains("fetch"));
    match &view.settings.template.delivery {
        Delivery::Fetch { uri, .. } if launch && fetch => {
            format!("; does this agent reach {uri}? (--artifact-address, --executor-uri)")
        }
        _ => String::new(),
    }
}
