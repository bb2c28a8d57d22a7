//! Asks for the end of the standard error of executors that do not run, and tells the user what it says. It is read once for each
//! kind of failure, so that thousands of failures that are alike ask one agent.
//!
//! The failure is also a problem for the list that users see, unless agents have it in common: then it is listed already.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use problem::Problem;

use super::{Intent, Policy, PolicyEvent, TaskEnd, View};
use crate::fleet::{ExecutorStatus, LaunchFailure, Task};
use crate::history::Topic;
use crate::sandbox::{StderrOutcome, StderrRead};
use crate::user_notice::UserNotice;

/// The same kind of failure is read again after this time.
const AGAIN: Duration = Duration::from_secs(3600);
/// Maximum number of kinds of failure that are remembered. The oldest is forgotten first.
const KINDS: usize = 32;
/// If the file cannot be read, it is tried again at the next failures of this kind, up to this often in all.
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

/// A kind of failure for which a standard error was read.
#[derive(Debug)]
struct Kind {
    failure: LaunchFailure,
    asked: Instant,
    /// The number of times it was asked for since it was last read. 0 if it was read.
    tries: u32,
}

/// The problem that is listed now.
#[derive(Debug)]
struct Listed {
    task: String,
    agent: String,
    failure: LaunchFailure,
    since: Instant,
}

impl Policy for ExecutorOutput {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Ended(end) if end.explanation(view, None).is_some() => self.failed(view, end, now),
            // The executor still runs, and may tell why its task does not.
            PolicyEvent::LaunchGivenUp(end) => self.failed(view, end, now),
            PolicyEvent::StderrRead(read) => self.read(view, read, now),
            PolicyEvent::Alive { task, state: TaskState::TaskRunning, .. } => {
                let agent = view.fleet.get(task).map(|task| task.agent());
                self.clear_if(|listed| Some(listed.agent.as_str()) == agent)
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
        if end.explanation(view, None).is_some() && view.fleet.common_failure().is_none() {
            intents.extend(self.list(view, task, end, now));
        }
        // Where there was no process, there is no standard error.
        let started = end.status.map(ExecutorStatus::of) != Some(ExecutorStatus::NeverStarted);
        if started && self.is_new(end.failure(), now) {
            intents.push(Intent::ReadStderr(end.clone()));
        }
        intents
    }

    /// Lists the failure as a problem. If one of its kind on another agent is listed, of which more is known, that one stays.
    fn list(&mut self, view: &View<'_>, task: &Task, end: &TaskEnd, now: Instant) -> Option<Intent> {
        let known = |agent| view.history.stderr_ends.get(agent, &end.failure()).is_some();
        if let Some(listed) = &mut self.listed
            && listed.failure == end.failure()
            && known(&listed.agent)
            && !known(task.agent())
        {
            listed.since = now;
            return None;
        }
        let (task, agent, host) = (end.task.clone(), task.agent().to_owned(), task.host().to_owned());
        self.listed = Some(Listed { task, agent, failure: end.failure(), since: now });
        problem(view, end, host, None)
    }

    /// Whether the standard error of this kind of failure is to be read. If so, notes that it was asked for.
    fn is_new(&mut self, failure: LaunchFailure, now: Instant) -> bool {
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.failure == failure) {
            let again = now.duration_since(kind.asked) >= AGAIN;
            if !again && !(1..TRIES).contains(&kind.tries) {
                return false;
            }
            (kind.asked, kind.tries) = (now, if again { 1 } else { kind.tries + 1 });
            return true;
        }
        self.kinds.truncate(KINDS - 1);
        self.kinds.insert(0, Kind { failure, asked: now, tries: 1 });
        true
    }

    /// Notes that the standard error of this kind of failure was read. It may also have been read because a launch was slow.
    fn is_known(&mut self, failure: LaunchFailure, now: Instant) {
        self.kinds.retain(|kind| kind.failure != failure);
        self.kinds.truncate(KINDS - 1);
        self.kinds.insert(0, Kind { failure, asked: now, tries: 0 });
    }

    fn read(&mut self, view: &View<'_>, read: &StderrRead, now: Instant) -> Vec<Intent> {
        let StderrRead { end, host, url, outcome } = read;
        let task = || end.task.clone();
        let mut intents = Vec::new();
        let mut tell = |notice| intents.push(Intent::Notify(notice));
        match outcome {
            StderrOutcome::Read(text) => {
                for line in text.lines() {
                    tell(UserNotice::Stderr { task: task(), host: host.clone(), line: line.to_owned() });
                }
                if text.is_empty() && end.reason.is_some() {
                    tell(UserNotice::NoStderr {
                        task: task(),
                        host: host.clone(),
                        why: "it is empty".to_owned(),
                    });
                }
            }
            StderrOutcome::NoFile => {}
            StderrOutcome::Refused(why) if self.told.contains(why) => {}
            StderrOutcome::Refused(why) => {
                self.told.insert(why.clone());
                tell(UserNotice::NoStderr { task: task(), host: host.clone(), why: why.clone() });
            }
            StderrOutcome::Failed(why) => {
                tell(UserNotice::NoStderr { task: task(), host: host.clone(), why: why.clone() });
            }
        }
        if let Some(url) = url {
            tell(UserNotice::Sandbox { task: task(), url: url.clone() });
        }
        if matches!(outcome, StderrOutcome::Read(_) | StderrOutcome::NoFile) {
            self.is_known(end.failure(), now);
        }
        let stderr = match outcome {
            StderrOutcome::Read(stderr) => Some(stderr.as_str()),
            _ => None,
        };
        intents.extend(self.note(view, read, stderr));
        intents
    }

    /// Adds what was read to the failure, and to the problem if it is listed.
    fn note(&self, view: &View<'_>, read: &StderrRead, stderr: Option<&str>) -> Vec<Intent> {
        let StderrRead { end, host, url, .. } = read;
        let text = format!("{}{}", end.state.as_str_name(), end.why_with(view, stderr));
        let (failed, shown, sandbox) = (end.clone(), stderr.map(str::to_owned), url.clone());
        let mut intents = vec![Intent::NoteStderr { end: failed, text, stderr: shown, sandbox }];
        if self.listed.as_ref().is_some_and(|listed| listed.task == end.task) {
            intents.extend(problem(view, end, host.clone(), stderr));
        }
        intents
    }

    fn clear_if(&mut self, when: impl FnOnce(&Listed) -> bool) -> Vec<Intent> {
        match self.listed.take_if(|listed| when(listed)) {
            Some(_) => vec![Intent::Problem { topic: Topic::Executor, problem: None }],
            None => Vec::new(),
        }
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
