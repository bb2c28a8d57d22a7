//! Tells the user why no offers come, or none that is usable, although tasks are wanted and nothing runs: after a while, the master is
//! asked for its agents and quotas, which explain most cases. The question is repeated while usable offers are missing.

use std::time::{Duration, Instant};

use problem::Problem;

use super::launch::wanted;
use super::{Intent, Policy, PolicyEvent, View};
use crate::cluster_view::{self, ClusterView, OfferOptions, Question, Shortage};
use crate::history::Topic;
use crate::offers::{DeclineReason, Demand, WORKER_MEM};

/// Without a usable offer for this long, the user is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// The master is asked this long after the last usable offer, so that it has answered when the user is told.
const ASK_AFTER: Duration = Duration::from_secs(6);
/// How often the master is asked while usable offers are missing. Its answer can be large.
const ASK_EVERY: Duration = Duration::from_secs(60);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct NoOffers {
    /// Usable offers are missing since this time; `None` if they are not wanted.
    missing_since: Option<Instant>,
    /// Whether the master has made an offer in this subscription.
    before: bool,
    /// Whether the master has made an offer since the last tick.
    offered: bool,
    /// Whether offers were declined for reasons that the user is told. The question and its answer depend on it.
    declined: bool,
    /// When the master was last asked.
    asked: Option<Instant>,
    /// What the master said last.
    answer: Option<ClusterView>,
}

impl Policy for NoOffers {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Subscribed => *self = Self::default(),
            PolicyEvent::Offers(_) => (self.offered, self.before) = (true, true),
            PolicyEvent::ClusterViewed(answer) => self.answer.clone_from(answer),
            PolicyEvent::Tick => return self.tick(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl NoOffers {
    fn tick(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        if !is_missing(view, now) {
            (self.missing_since, self.asked, self.answer, self.offered) = (None, None, None, false);
            return view.set_and_tell(Topic::Offers, None);
        }
        let before = std::mem::replace(&mut self.declined, view.fleet.agents.reasons().len() > 0);
        if before != self.declined {
            (self.asked, self.answer) = (None, None);
        }
        // Offers that are not declined for a reason of their own are of use, now or soon.
        if !self.declined && (before || std::mem::take(&mut self.offered)) {
            self.missing_since = None;
        }
        let since = *self.missing_since.get_or_insert(now);
        let options = OfferOptions::of(view.settings);
        let mut intents = Vec::new();
        if since + ASK_AFTER <= now && self.asked.is_none_or(|asked| asked + ASK_EVERY <= now) {
            self.asked = Some(now);
            let shortage = self.declined.then(|| shortage(view));
            intents.push(Intent::AskMaster(Question { wanted: options.clone(), shortage }));
        }
        let problem = (since + PATIENCE <= now).then(|| self.explain(&options)).flatten();
        intents.extend(view.set_and_tell(Topic::Offers, problem));
        intents
    }

    fn explain(&self, wanted: &OfferOptions) -> Option<Problem> {
        match &self.answer {
            // The reasons of the declined offers are listed anyway.
            None if self.declined => None,
            // This is the late answer to a question before the first offers were declined, or after the last ones.
            Some(answer) if answer.offers_come != self.declined => None,
            answer => cluster_view::problem(answer.as_ref(), wanted, self.before),
        }
    }
}

/// Whether a task is wanted, and no worker runs or starts.
fn is_missing(view: &View<'_>, now: Instant) -> bool {
    view.hears_tasks(now)
        && wanted(view) != Demand::Nothing
        && view.fleet.launches_allowed(now) != Some(0)
        && !view.fleet.active().any(|task| task.is_worker())
}

/// What the wanted task needs, which agents were declined, and what the framework itself uses.
fn shortage(view: &View<'_>) -> Shortage {
    let limits = &view.settings.placement.limits;
    let (cpus_milli, mem) = match wanted(view) {
        Demand::Nothing => (0, 0),
        Demand::Server { cpus_milli, mem } => (cpus_milli, mem),
        // What the master says of its agents does not contain the revocable CPU that they can offer.
        Demand::Workers if view.settings.placement.revocable => (0, WORKER_MEM),
        Demand::Workers => {
            (limits.min_worker_cpus_milli.saturating_add(limits.reserve_cpus_milli), WORKER_MEM)
        }
    };
    let mut shortage = Shortage { cpus_milli, mem, ..Shortage::default() };
    for unused in view.fleet.agents.unused() {
        let is_too_small =
            matches!(unused.reason, DeclineReason::NoServer { .. } | DeclineReason::NoWorker { .. });
        shortage.declined.insert(unused.agent.clone(), is_too_small);
    }
    for task in view.fleet.active() {
        let mem = if task.is_worker() { WORKER_MEM } else { view.settings.template.options.server_mem };
        let (own_cpus, own_mem) = shortage.own.entry(task.agent().to_owned()).or_default();
        *own_cpus += task.record.cpus_milli();
        *own_mem += mem;
    }
    shortage
}
