//! Tells the user what tasks wait for, as the tasks themselves say it: a node, a pool, a disk. There is one problem for each kind,
//! however many tasks have it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use command_line::pluralize;
use mesos::v1::TaskState;
use problem::{Problem, ProblemKind};

use super::{Intent, Policy, PolicyEvent, TaskEnd, View};
use crate::fleet::Task;
use crate::history::Topic;
use crate::task_id::TaskKind;
use crate::user_notice::UserNotice;

/// The tasks with a problem are looked at this often. A problem that has not lasted for this long is not shown: a task that fails at
/// once says its problem just before its last update, which names the problem, too.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The user is notified of a kind of problem at most this often.
const NOTIFY_EVERY: Duration = Duration::from_secs(60);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct TaskProblems {
    looked: Option<Instant>,
    /// The problems that are shown now.
    shown: BTreeMap<ProblemKind, Problem>,
    /// The problems because of which tasks have failed, and the kind of these tasks, until a task of that kind runs. The next
    /// tasks most likely fail in the same way, but each of them exists for a moment only.
    failed: BTreeMap<ProblemKind, (TaskKind, String)>,
    /// When the user was last notified of each kind of problem, and what it was.
    notified: BTreeMap<ProblemKind, (Instant, String)>,
}

/// The tasks with one kind of problem.
#[derive(Debug)]
struct Group<'a> {
    first: &'a Task,
    problem: &'a Problem,
    workers: usize,
    servers: usize,
}

impl Policy for TaskProblems {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Ended(ended) => self.ended(view, ended),
            PolicyEvent::LaunchGivenUp(given_up) => self.given_up(view, given_up),
            PolicyEvent::Alive { task, state: TaskState::TaskRunning, change }
                if change.before != Some(TaskState::TaskRunning) =>
            {
                if let Some(task) = view.fleet.get(task) {
                    self.forget_failures(task.record.kind);
                }
            }
            PolicyEvent::Tick if view.hears_tasks(now) => return self.look(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl TaskProblems {
    fn ended(&mut self, view: &View<'_>, ended: &TaskEnd) {
        let Some(task) = view.fleet.get(&ended.task) else { return };
        if ended.state != TaskState::TaskFailed || task.is_to_end() {
            return;
        }
        let kind = task.record.kind;
        self.forget_failures(kind);
        // What a task waited for is not the cause if Mesos says that its executor was to blame.
        let waited = || ended.problem.as_ref().filter(|_| ended.explanation(view, None).is_none());
        if let Some(problem) = ended.permanent_problem().or_else(waited) {
            let text = format!("{} on {} has failed: {problem}", task.id(), task.host());
            self.failed.insert(problem.kind, (kind, text));
        }
    }

    /// A task did not run in time. What it waited for stays in the list until the next task can say the same.
    fn given_up(&mut self, view: &View<'_>, given_up: &TaskEnd) {
        let Some(task) = view.fleet.get(&given_up.task) else { return };
        if let Some(problem) = task.last_problem() {
            self.forget_failures(task.record.kind);
            let text = format!("{} on {} was given up: {problem}", task.id(), task.host());
            self.failed.insert(problem.kind, (task.record.kind, text));
        }
    }

    /// A task of this kind runs, or has failed for another reason.
    fn forget_failures(&mut self, kind: TaskKind) {
        self.failed.retain(|_, (failed, _)| *failed != kind);
    }

    fn look(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        if self.looked.is_some_and(|looked| now < looked + LOOK_EVERY) {
            return Vec::new();
        }
        self.looked = Some(now);
        let groups = if view.run.ending { BTreeMap::new() } else { groups(view, now) };
        let failed = self.failed.iter().filter(|_| !view.run.ending);
        let mut problems: BTreeMap<_, _> =
            failed.map(|(kind, (_, text))| (*kind, Problem::new(*kind, text.clone()))).collect();
        problems.extend(groups.iter().map(|(kind, group)| (*kind, Problem::new(*kind, group.text()))));
        let mut intents = Vec::new();
        for (kind, group) in &groups {
            intents.extend(self.notify(*kind, group, now));
        }
        let over = self.shown.keys().filter(|kind| !problems.contains_key(kind)).map(|kind| (*kind, None));
        let new = problems.iter().filter(|(kind, problem)| self.shown.get(kind) != Some(problem));
        let changes = over.chain(new.map(|(kind, problem)| (*kind, Some(problem.clone()))));
        intents.extend(changes.map(|(kind, problem)| Intent::Problem { topic: Topic::Tasks(kind), problem }));
        self.shown = problems;
        intents
    }

    /// Notifies the user of a kind of problem that is new, or has changed.
    fn notify(&mut self, kind: ProblemKind, group: &Group<'_>, now: Instant) -> Option<Intent> {
        let reason = &group.problem.text;
        let shown = self.shown.contains_key(&kind);
        if let Some((at, known)) = self.notified.get(&kind)
            && (now < *at + NOTIFY_EVERY || shown && known == reason)
        {
            return None;
        }
        self.notified.insert(kind, (now, reason.clone()));
        Some(Intent::Notify(UserNotice::Problem(Problem::new(kind, group.text()))))
    }
}

/// The tasks that have a problem, by its kind.
fn groups<'a>(view: &View<'a>, now: Instant) -> BTreeMap<ProblemKind, Group<'a>> {
    let mut groups = BTreeMap::<_, Group<'_>>::new();
    for task in view.fleet.with_problem().filter(|task| !task.is_to_end()) {
        let Some(problem) = task.problem(LOOK_EVERY, now) else { continue };
        let new = Group { first: task, problem, workers: 0, servers: 0 };
        let group = groups.entry(problem.kind).or_insert(new);
        match task.is_worker() {
            true => group.workers += 1,
            false => group.servers += 1,
        }
    }
    groups
}

impl Group<'_> {
    fn text(&self) -> String {
        let Group { first, problem, workers, servers } = self;
        let (id, host) = (first.id(), first.host());
        let who = match (*workers, *servers) {
            (0, 1) | (1, 0) => return format!("{id} on {host} waits: {problem}"),
            (workers, 0) => pluralize(workers, "worker"),
            (0, servers) => pluralize(servers, "server"),
            (workers, servers) => {
                format!("{} and {}", pluralize(workers, "worker"), pluralize(servers, "server"))
            }
        };
        format!("{who} wait: {problem} (so says {id} on {host})")
    }
}
