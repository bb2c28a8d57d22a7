//! Asks for the end of the standard error of executors that do not run, and tells the user what it says. It is read once in a
//! while for each kind of failure, so that thousands of failures that are alike ask few agents. It explains only the task that wrote it:
//! failures that look alike to Mesos may have different causes.
//!
//! The failure is also a problem for the list that users see, unless agents have it in common: then it is listed already.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use problem::Problem;

use super::executor_failure::ExecutorFault;
use super::{Intent, Policy, PolicyEvent, TaskEnd, View};
use crate::fleet::{ExecutorStatus, LaunchFailure, Task};
use crate::history::Topic;
use crate::sandbox::{StderrOutcome, StderrRead};
use crate::user_notice::UserNotice;

/// A kind of failure is read again on another agent after this time. The same words are also told again only after this time.
const AGAIN: Duration = Duration::from_secs(60);
/// On the agent on which a kind of failure was read last, it is read again after this time, or when a task has run there since.
const AGAIN_THERE: Duration = Duration::from_secs(5);
/// Maximum number of kinds of failure that are remembered. The oldest is forgotten first.
const KINDS: usize = 32;
/// If the file cannot be read, it is tried again at the next failures of this kind, up to this often, and then once in `AGAIN`.
const TRIES: u32 = 3;
/// A problem of one agent is listed for this time after its last failure, unless a task runs on the agent before that.
const LISTED: Duration = Duration::from_secs(900);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct ExecutorOutput {
    kinds: Vec<Kind>,
    /// What the user was told about agents that refuse to show sandboxes.
    told: BTreeSet<String>,
    listed: Option<Listed>,
}

/// A kind of failure for which a standard error was read. It bounds how often this kind is read, and explains no other failure.
#[derive(Debug)]
struct Kind {
    failure: LaunchFailure,
    /// The task that was last asked for, and its agent.
    task: String,
    agent: String,
    /// When it was asked for; `None` if a task has run on the agent since.
    asked: Option<Instant>,
    /// The number of times it was asked for since it was last read. 0 if it was read.
    tries: u32,
    /// The words that the user was told last, and when.
    said: Option<(Instant, String)>,
}

/// The problem that is listed now.
#[derive(Debug)]
struct Listed {
    agent: String,
    failure: LaunchFailure,
    /// What Mesos' words alone mean.
    fault: ExecutorFault,
    /// Whether the task's standard error was read.
    is_read: bool,
    since: Instant,
}

impl Policy for ExecutorOutput {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Ended(end) if end.explanation(view, None).is_some() => self.failed(view, end, now),
            // The executor still runs, and may tell why its task does not.
            PolicyEvent::LaunchGivenUp(end) => self.failed(view, end, now),
            PolicyEvent::StderrRead(read) => self.read(view, read, now),
            PolicyEvent::Alive { task, state: TaskState::TaskRunning, change } => {
                let Some(agent) = view.fleet.get(task).map(Task::agent) else { return Vec::new() };
                if change.before != Some(TaskState::TaskRunning) {
                    self.kinds
                        .iter_mut()
                        .filter(|kind| kind.agent == agent)
                        .for_each(|kind| kind.asked = None);
                }
                self.clear_if(|listed| listed.agent == agent)
            }
            PolicyEvent::AgentRemoved(agent) => self.clear_if(|listed| listed.agent == *agent),
            PolicyEvent::Tick => {
                let is_common = view.fleet.common_failure().is_some();
                self.clear_if(|listed| is_common || now.duration_since(listed.since) >= LISTED)
            }
            _ => Vec::new(),
        }
    }
}

impl ExecutorOutput {
    fn failed(&mut self, view: &View<'_>, end: &TaskEnd, now: Instant) -> Vec<Intent> {
        let Some(task) = view.fleet.get(&end.task) else { return Vec::new() };
        // A launch that is given up is to end, too.
        if view.run.ending || task.is_to_end() && task.has_ended() {
            return Vec::new();
        }
        let mut intents = Vec::new();
        // Where there was no process, there is no standard error.
        let started = end.status.map(ExecutorStatus::of) != Some(ExecutorStatus::NeverStarted);
        if let Some(explanation) = end.explanation(view, None)
            && view.fleet.common_failure().is_none()
        {
            intents.extend(self.list(view, (task, end), explanation.fault, started, now));
        }
        if started && self.is_due(end, task.agent(), now) {
            intents.push(Intent::ReadStderr(end.clone()));
        }
        intents
    }

    /// Lists the failure as a problem. If one of its kind is listed whose standard error was read, that one stays until the next
    /// one of its kind is read: it says more.
    fn list(
        &mut self,
        view: &View<'_>,
        (task, end): (&Task, &TaskEnd),
        fault: ExecutorFault,
        readable: bool,
        now: Instant,
    ) -> Option<Intent> {
        let failure = end.failure();
        if let Some(listed) = &mut self.listed
            && (&listed.failure, listed.fault, listed.is_read) == (&failure, fault, true)
            && readable
        {
            listed.since = now;
            return None;
        }
        let (agent, host) = (task.agent().to_owned(), task.host().to_owned());
        self.listed = Some(Listed { agent, failure, fault, is_read: false, since: now });
        problem(view, end, host, None)
    }

    /// Whether the standard error is to be read for this failure. If so, notes that it was asked for.
    fn is_due(&mut self, end: &TaskEnd, agent: &str, now: Instant) -> bool {
        let failure = end.failure();
        if let Some(kind) = self.kinds.iter().find(|kind| kind.failure == failure)
            && !kind.is_due(&end.task, agent, now)
        {
            return false;
        }
        let kind = self.kind(failure);
        (kind.task, kind.agent, kind.asked) = (end.task.clone(), agent.to_owned(), Some(now));
        kind.tries = (kind.tries + 1).min(TRIES);
        true
    }

    /// What is known of a kind of failure, which becomes the newest one.
    fn kind(&mut self, failure: LaunchFailure) -> &mut Kind {
        let known = self.kinds.iter().position(|kind| kind.failure == failure);
        let kind = known.map(|index| self.kinds.remove(index)).unwrap_or_else(|| Kind::new(failure));
        self.kinds.truncate(KINDS - 1);
        self.kinds.insert(0, kind);
        &mut self.kinds[0]
    }

    /// Notes that the standard error of this failure was read, maybe because a launch was slow. Returns whether its words are to be
    /// told.
    fn is_news(&mut self, view: &View<'_>, end: &TaskEnd, text: &str, now: Instant) -> bool {
        let kind = self.kind(end.failure());
        kind.tries = 0;
        if let Some(task) = view.fleet.get(&end.task).filter(|task| kind.task != task.id()) {
            (kind.task, kind.agent, kind.asked) = (end.task.clone(), task.agent().to_owned(), Some(now));
        }
        let known =
            kind.said.as_ref().is_some_and(|(at, said)| now.duration_since(*at) < AGAIN && said == text);
        if !known {
            kind.said = Some((now, text.to_owned()));
        }
        !known
    }

    fn read(&mut self, view: &View<'_>, read: &StderrRead, now: Instant) -> Vec<Intent> {
        let StderrRead { end, host, url, outcome } = read;
        let stderr = match outcome {
            StderrOutcome::Read(stderr) => Some(stderr.as_str()),
            StderrOutcome::NoFile => Some(""),
            StderrOutcome::Refused(_) | StderrOutcome::Failed(_) => None,
        };
        let mut notices = Vec::new();
        if stderr.is_none_or(|stderr| self.is_news(view, end, stderr, now)) {
            notices = self.notices(read);
            let sandbox = |url: &String| UserNotice::Sandbox { task: end.task.clone(), url: url.clone() };
            notices.extend(url.as_ref().map(sandbox));
        }
        let mut intents: Vec<Intent> = notices.into_iter().map(Intent::Notify).collect();
        let stderr = stderr.filter(|_| *outcome != StderrOutcome::NoFile);
        let text = format!("{}{}", end.state.as_str_name(), end.why_with(view, stderr));
        let (task, shown, sandbox) = (end.task.clone(), stderr.map(str::to_owned), url.clone());
        intents.push(Intent::NoteStderr { task, text, stderr: shown, sandbox });
        intents.extend(self.relist(view, end, host, stderr));
        intents
    }

    /// What the user is told about a standard error.
    fn notices(&mut self, read: &StderrRead) -> Vec<UserNotice> {
        let StderrRead { end, host, outcome, .. } = read;
        let (task, host) = (|| end.task.clone(), || host.clone());
        let none = |why: &str| vec![UserNotice::NoStderr { task: task(), host: host(), why: why.to_owned() }];
        match outcome {
            StderrOutcome::Read(text) if text.is_empty() && end.reason.is_some() => none("it is empty"),
            StderrOutcome::Read(text) => {
                let line =
                    |line: &str| UserNotice::Stderr { task: task(), host: host(), line: line.to_owned() };
                text.lines().map(line).collect()
            }
            StderrOutcome::NoFile => Vec::new(),
            StderrOutcome::Refused(why) if !self.told.insert(why.clone()) => Vec::new(),
            StderrOutcome::Refused(why) | StderrOutcome::Failed(why) => none(why),
        }
    }

    /// Lists this failure in place of one of its kind, now that its standard error was read. If it could not be read, what was read of
    /// a task on another agent stays.
    fn relist(&mut self, view: &View<'_>, end: &TaskEnd, host: &str, stderr: Option<&str>) -> Option<Intent> {
        let listed = self.listed.as_mut().filter(|listed| listed.failure == end.failure())?;
        let agent = view.fleet.get(&end.task).map_or(listed.agent.as_str(), Task::agent);
        if stderr.is_none() && listed.is_read && listed.agent != agent {
            return None;
        }
        let problem = problem(view, end, host.to_owned(), stderr)?;
        (listed.agent, listed.is_read) = (agent.to_owned(), stderr.is_some());
        Some(problem)
    }

    fn clear_if(&mut self, when: impl FnOnce(&Listed) -> bool) -> Vec<Intent> {
        match self.listed.take_if(|listed| when(listed)) {
            Some(_) => vec![Intent::Problem { topic: Topic::Executor, problem: None }],
            None => Vec::new(),
        }
    }
}

impl Kind {
    fn new(failure: LaunchFailure) -> Self {
        let (task, agent, asked, tries, said) = Default::default();
        Self { failure, task, agent, asked, tries, said }
    }

    /// Whether the standard error of another failure of this kind is to be read.
    fn is_due(&self, task: &str, agent: &str, now: Instant) -> bool {
        let pause = match self.tries {
            0 if self.task == task => return false,
            0 if self.agent == agent => AGAIN_THERE,
            0 | TRIES.. => AGAIN,
            _ => Duration::ZERO,
        };
        self.asked.is_none_or(|asked| now.duration_since(asked) >= pause)
    }
}

/// Lists why an executor does not run on a host.
fn problem(view: &View<'_>, end: &TaskEnd, host: String, stderr: Option<&str>) -> Option<Intent> {
    let explanation = end.explanation(view, stderr)?;
    let status = end.failure().telling_status().map(|status| format!(": {status}")).unwrap_or_default();
    let text = format!("{} on {host}{status}{}", explanation.headline, explanation.details);
    Some(Intent::Problem {
        topic: Topic::Executor,
        problem: Some(Problem::new(explanation.fault.kind(), text)),
    })
}
