//! Tells the user why no offers come although tasks are wanted, and nothing runs: after a while, the master is asked for its agents
//! and quotas, which explain most cases. The question is repeated while offers are missing.

use std::time::{Duration, Instant};

use problem::Problem;

use super::launch::is_wanted;
use super::{Intent, Policy, PolicyEvent, View};
use crate::cluster_view::{self, ClusterView, OfferOptions};
use crate::history::Topic;
use crate::user_notice::UserNotice;

/// Without an offer for this long, the user is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// The master is asked this long after the last offer, so that it has answered when the user is told.
const ASK_AFTER: Duration = Duration::from_secs(6);
/// How often the master is asked while offers are missing. Its answer can be large.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct NoOffers {
    /// Offers are missing since this time; `None` if they are not wanted.
    missing_since: Option<Instant>,
    /// Whether the master has made an offer in this subscription.
    before: bool,
    /// When the master was last asked.
    asked: Option<Instant>,
    /// What the master said last.
    answer: Option<ClusterView>,
    /// What the user sees now.
    problem: Option<Problem>,
}

impl Policy for NoOffers {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Subscribed => {
                let problem = self.problem.take();
                *self = Self { problem, ..Self::default() };
            }
            PolicyEvent::Offers(_) => (self.missing_since, self.before) = (None, true),
            PolicyEvent::ClusterViewed(answer) => self.answer.clone_from(answer),
            PolicyEvent::Tick => return self.tick(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl NoOffers {
    fn tick(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let since = match is_missing(view, now) {
            true => *self.missing_since.get_or_insert(now),
            false => {
                (self.missing_since, self.asked, self.answer) = (None, None, None);
                return self.show(None);
            }
        };
        let wanted = OfferOptions::of(view.settings);
        let mut intents = Vec::new();
        if since + ASK_AFTER <= now && self.asked.is_none_or(|asked| asked + ASK_EVERY <= now) {
            self.asked = Some(now);
            intents.push(Intent::AskMaster(wanted.clone()));
        }
        let is_due = since + PATIENCE <= now;
        let problem = is_due.then(|| cluster_view::problem(self.answer.as_ref(), &wanted, self.before));
        intents.extend(self.show(problem));
        intents
    }

    /// Sets or clears the problem, and tells the user of a new one.
    fn show(&mut self, problem: Option<Problem>) -> Vec<Intent> {
        if problem == self.problem {
            return Vec::new();
        }
        self.problem.clone_from(&problem);
        let notice = problem.clone().map(|problem| Intent::Notify(UserNotice::Problem(problem)));
        [Intent::Problem { topic: Topic::Offers, problem }].into_iter().chain(notice).collect()
    }
}

/// Whether a task is wanted, no worker runs or starts, and there is no offer whose use is known. Agents whose offers were declined
/// have a reason of their own, and come back when their filter ends.
fn is_missing(view: &View<'_>, now: Instant) -> bool {
    view.hears_tasks(now)
        && is_wanted(view)
        && view.fleet.launches_allowed(now) != Some(0)
        && view.fleet.agents.reasons().len() == 0
        && !view.fleet.active().any(|task| task.is_worker())
}
