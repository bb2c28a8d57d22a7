//! Offers, and the calls that accept or decline them.

use std::time::{Duration, Instant};

use mesos::v1::scheduler::call;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{Filters, OfferId, TaskInfo, TaskState};

use super::agent::{Agent, Amount, offer_number};
use super::{Cluster, events, updates};

/// If a call that declines resources sets no `refuse_seconds`, the master does not offer them again for this time. The value is
/// the default of Mesos.
const REFUSE: Duration = Duration::from_secs(5);

/// The progress of one burst of offers.
#[derive(Default)]
pub(super) struct Watched {
    /// The burst's offers have the numbers from `from` to `below - 1`.
    from: u64,
    below: u64,
    /// The number of the burst's offers that are still to be sent.
    missing: usize,
    /// The number of the burst's sent offers that the scheduler has not answered.
    open: usize,
    since: Option<Instant>,
    answered: Option<Instant>,
}

impl Watched {
    /// Records that new offers were sent. `offers` is the number of new offers. All offers sent so far have numbers less than
    /// `below`.
    fn sent(&mut self, offers: usize, below: u64, now: Instant) {
        if self.missing > 0 {
            self.missing = self.missing.saturating_sub(offers);
            self.open += offers;
            self.below = below;
            self.since.get_or_insert(now);
        }
    }

    fn answered(&mut self, number: u64, now: Instant) {
        if (self.from..self.below).contains(&number) {
            self.open -= 1;
            self.answered = (self.open == 0 && self.missing == 0).then_some(now);
        }
    }
}

impl Cluster {
    /// Offers all free resources that no filter excludes, in one event.
    pub(super) fn allocate(&mut self, now: Instant) {
        self.next_allocation = now + self.settings.allocation_interval;
        if self.stream.is_none() || self.suppressed {
            return;
        }
        let leftovers = self.settings.leftovers;
        let all = 0..self.agents.len();
        let offered: Vec<usize> =
            all.filter(|number| self.agents[*number].is_offered(leftovers, now)).collect();
        self.offer(&offered, now);
    }

    /// Offers the free resources of `count` agents that run workers, as if the agents' filters had just expired. Begins with
    /// agent `from`. Returns the agent to continue from.
    pub fn offer_leftovers(&mut self, from: usize, count: usize, now: Instant) -> usize {
        let all = self.agents.len();
        let free = |agent: &Agent| agent.free.mem > 0 && !agent.is_lost && !agent.tasks.is_empty();
        let around = (0..all).map(|step| (from + step) % all).filter(|number| free(&self.agents[*number]));
        let offered: Vec<usize> = around.take(count).collect();
        self.offer(&offered, now);
        offered.last().map_or(from, |last| last + 1)
    }

    fn offer(&mut self, agents: &[usize], now: Instant) {
        if agents.is_empty() || self.is_closed {
            return;
        }
        let mut offers = Vec::with_capacity(agents.len());
        for agent in agents {
            let number = self.next_offer;
            self.next_offer += 1;
            let amount = std::mem::take(&mut self.agents[*agent].free);
            self.offers.insert(number, (*agent, amount));
            offers.push(self.agents[*agent].offer(number, &self.framework, amount));
        }
        self.counters.offers_sent += offers.len() as u64;
        if let Some(watched) = &mut self.watched {
            watched.sent(offers.len(), self.next_offer, now);
        }
        self.counters.last_offers = Some(now);
        let event = events::offers(offers);
        self.counters.offer_bytes += event.len() as u64;
        self.send(event);
    }

    /// Begins to watch the next offer of each agent until it is answered.
    pub fn watch_offers(&mut self) {
        let (from, missing) = (self.next_offer, self.agents.len());
        self.watched = Some(Watched { from, below: from, missing, ..Watched::default() });
    }

    /// The time at which the first offers after [`Self::watch_offers`] were sent.
    pub fn watched_since(&self) -> Option<Instant> {
        self.watched.as_ref()?.since
    }

    /// The time at which the scheduler had answered all watched offers (see [`Self::watch_offers`]).
    pub fn watched_answered(&self) -> Option<Instant> {
        self.watched.as_ref()?.answered
    }

    /// The number of unanswered offers.
    pub fn open_offers(&self) -> usize {
        self.offers.len()
    }

    /// Withdraws all offers, because the framework has disconnected.
    pub(super) fn withdraw_offers(&mut self) {
        for (_, (agent, amount)) in std::mem::take(&mut self.offers) {
            self.counters.offers_answered += 1;
            self.agents[agent].free.add(amount);
        }
    }

    /// Rescinds the offers of a lost agent.
    pub(super) fn rescind(&mut self, agent: usize) {
        let of_agent = self.offers.iter().filter(|(_, (of, _))| *of == agent);
        for number in of_agent.map(|(number, _)| *number).collect::<Vec<_>>() {
            if let Some((agent, amount)) = self.offers.remove(&number) {
                self.counters.offers_answered += 1;
                self.agents[agent].free.add(amount);
                self.send(events::rescind(number));
            }
        }
    }

    pub(super) fn revive(&mut self, now: Instant) {
        self.suppressed = false;
        self.agents.iter_mut().for_each(Agent::forget_filter);
        self.allocate(now);
    }

    pub(super) fn decline(&mut self, decline: call::Decline, now: Instant) {
        let time = refuse_time(decline.filters.as_ref());
        for offer in &decline.offer_ids {
            // If the offer is unknown, the master withdrew it in the meantime. This is not an error.
            if let Some((agent, amount)) = self.take_offer(offer, now) {
                self.agents[agent].free.add(amount);
                self.agents[agent].refuse(time, now);
            }
        }
    }

    pub(super) fn accept(&mut self, accept: call::Accept, now: Instant) {
        self.counters.last_accept = Some(now);
        let taken: Vec<Option<(usize, Amount)>> =
            accept.offer_ids.iter().map(|offer| self.take_offer(offer, now)).collect();
        let all_valid = taken.iter().all(Option::is_some);
        let tasks = accept.operations.into_iter().filter_map(|operation| operation.launch);
        let tasks: Vec<TaskInfo> = tasks.flat_map(|launch| launch.task_infos).collect();
        let mut left = Amount::default();
        let mut agent = None;
        for (number, amount) in taken.into_iter().flatten() {
            left.add(amount);
            agent = Some(number);
        }
        for task in tasks {
            let fits = if all_valid { left.without(Amount::of(&task)) } else { None };
            match (agent, fits) {
                (Some(agent), Some(rest)) => {
                    left = rest;
                    self.launch(agent, task, now);
                }
                _ => self.refuse_launch(&task, all_valid),
            }
        }
        if let Some(agent) = agent {
            self.agents[agent].free.add(left);
            self.agents[agent].refuse(refuse_time(accept.filters.as_ref()), now);
        }
    }

    fn take_offer(&mut self, offer: &OfferId, now: Instant) -> Option<(usize, Amount)> {
        let number = offer_number(&offer.value)?;
        let taken = self.offers.remove(&number)?;
        if let Some(watched) = &mut self.watched {
            watched.answered(number, now);
        }
        self.counters.offers_answered += 1;
        self.counters.last_answer = Some(now);
        Some(taken)
    }

    /// Fails a launch because an offer was withdrawn, or because the offered resources are too small.
    fn refuse_launch(&mut self, task: &TaskInfo, all_valid: bool) {
        self.counters.failed_launches += 1;
        let (state, reason) = match all_valid {
            true => (TaskState::TaskError, Reason::TaskInvalid),
            false => (TaskState::TaskDropped, Reason::InvalidOffers),
        };
        let status = updates::status(&task.task_id.value, &task.agent_id.value, state);
        let status = updates::because(status, Source::Master, reason, "The offers are void or too small");
        self.send(events::update(status));
    }
}

fn refuse_time(filters: Option<&Filters>) -> Duration {
    let seconds = filters.and_then(|filters| filters.refuse_seconds);
    seconds.map_or(REFUSE, |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
