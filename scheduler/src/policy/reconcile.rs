//! The master is asked what has become of our tasks, until each has answered.
//!
//! See "Reconciliation" in Mesos' documentation. A master gives no answer for a task whose agent may yet come back, so it
//! must be asked again, with growing pauses. An implicit request (for all tasks) finds what we do not know of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesos::backoff::Backoff;
use mesos::v1::TaskState;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Happening, Intent, Policy, View, jitter};
use crate::event::Call;
use crate::fleet::{DueQueue, Task};

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);
const IMPLICIT: Duration = Duration::from_secs(15 * 60);
/// A launch without any update is asked about after this time.
const LAUNCH_DOUBT: Duration = Duration::from_secs(10);

/// The rule.
#[derive(Debug)]
pub(super) struct Reconcile {
    random: StdRng,
    /// What was asked for and has not answered.
    waiting: BTreeSet<String>,
    backoff: Backoff,
    next: Option<Instant>,
    /// When all are asked for.
    implicit: Option<Instant>,
    /// Launches.
    due: DueQueue<Arc<str>>,
}

impl Reconcile {
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            waiting: BTreeSet::new(),
            backoff: Backoff::new(FIRST, LONGEST),
            next: None,
            implicit: None,
            due: DueQueue::default(),
        }
    }
}

impl Policy for Reconcile {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Launched { task } => {
                let task = view.fleet.get(task).map(|task| Arc::clone(task.shared_id()));
                task.into_iter().for_each(|task| self.due.add(now + LAUNCH_DOUBT, task));
            }
            Happening::Answered { task } => drop(self.waiting.remove(task)),
            Happening::Subscribed => return self.begin(view, now),
            Happening::Tick if view.session.connected => return self.go_on(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl Reconcile {
    /// After each subscription: much may have happened.
    fn begin(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        self.backoff.reset();
        (self.next, self.implicit) = (None, None);
        let doubtful = |task: &&Task| task.may_live() || task.state() == Some(TaskState::TaskLost);
        let ids = view.fleet.all().filter(doubtful).map(|task| task.id().to_owned());
        self.waiting = ids.collect();
        self.go_on(view, now)
    }

    fn go_on(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let all = self.implicit.is_none_or(|at| now >= at);
        let idle = self.waiting.is_empty();
        self.add_silent_launches(view, now);
        if all {
            // Of what the master does not know it tells only those who ask for it: some day it forgets agents that stay
            // away, and their tasks.
            let live = view.fleet.present().filter(|task| task.may_live());
            self.waiting.extend(live.map(|task| task.id().to_owned()));
        }
        let mut intents = self.ask(view, idle, now);
        if all {
            self.implicit = Some(now + jitter(&mut self.random, IMPLICIT));
            intents.push(Intent::Call(Call::Reconcile(Vec::new())));
        }
        intents
    }

    fn add_silent_launches(&mut self, view: &View<'_>, now: Instant) {
        for id in self.due.take_all(now) {
            match view.fleet.get(&id).and_then(Task::unanswered_since) {
                Some(since) if since + LAUNCH_DOUBT > now => self.due.add(since + LAUNCH_DOUBT, id),
                Some(_) => drop(self.waiting.insert(id.to_string())),
                None => {}
            }
        }
    }

    /// Asks for all that have not answered, if it is time.
    fn ask(&mut self, view: &View<'_>, idle: bool, now: Instant) -> Vec<Intent> {
        if self.waiting.is_empty() {
            self.backoff.reset();
            self.next = None;
            return Vec::new();
        }
        if !idle && self.next.is_some_and(|next| now < next) {
            return Vec::new();
        }
        self.waiting.retain(|id| view.fleet.get(id).is_some());
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.next = Some(now + self.backoff.delay_with(&mut self.random));
        let agent = |id: &String| Some((id.clone(), view.fleet.get(id)?.agent().to_owned()));
        let tasks = self.waiting.iter().filter_map(agent).collect();
        vec![Intent::Call(Call::Reconcile(tasks))]
    }
}
