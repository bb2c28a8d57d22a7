//! What the client does about a pool that gives work but is of no use.

use std::time::Duration;

use tokio::time::Instant;

use super::Client;
use crate::error::ClientError;
use crate::event::{Event, Outcome};
use crate::fitness::{Fitness, Unfitness};

impl Client {
    /// When the job of the main connection, or the block on which it builds, is too old; `None` if nothing follows from its age.
    pub(super) fn job_too_old_at(&self) -> Option<Instant> {
        let history = self.main.as_ref().and_then(|_| self.history.get(self.failover.index()))?;
        let told_in_vain = history.fitness.is_told() && self.another_pool().is_none();
        let limit = self.config.job_timeout;
        let limits = [history.fitness.too_old_at(limit), history.fitness.block_too_old_at(limit)];
        limits.into_iter().flatten().map(|(at, _)| at).min().filter(|_| !told_in_vain)
    }

    /// The job of the main connection, or the block on which it builds, is too old.
    pub(super) fn on_job_too_old(&mut self) {
        let (Some(connection), Some(history)) = (&self.main, self.history.get(self.failover.index())) else {
            return;
        };
        let (pool, limit, now) = (connection.url().clone(), self.config.job_timeout, Instant::now());
        let is_due = |(at, after): (Instant, Duration)| (at <= now).then_some(after);
        if let Some(after) = history.fitness.too_old_at(limit).and_then(is_due) {
            self.on_unfit(Unfitness::Age, ClientError::JobTooOld { pool, after });
        } else if let Some(after) = history.fitness.block_too_old_at(limit).and_then(is_due) {
            self.on_unfit(Unfitness::Age, ClientError::BlockTooOld { pool, after });
        }
    }

    /// A share of the main connection has this outcome.
    pub(super) fn on_outcome(&mut self, outcome: &Outcome) {
        self.learn(|fitness| fitness.on_outcome(outcome));
        let rejects_all =
            self.history.get(self.failover.index()).map(|history| history.fitness.rejects_all());
        if let (Some(Some((shares, reason))), Some(connection)) = (rejects_all, &self.main) {
            let pool = connection.url().clone();
            self.on_unfit(Unfitness::Shares, ClientError::RejectsAll { pool, shares, reason });
        }
    }

    /// Adds to what is known about the current pool, and tells the owner if that makes an unfit pool fit.
    pub(super) fn learn(&mut self, add: impl FnOnce(&mut Fitness)) {
        let Some(history) = self.history.get_mut(self.failover.index()) else { return };
        let was_unfit = history.fitness.is_told();
        add(&mut history.fitness);
        if was_unfit && !history.fitness.is_told() {
            self.events.push_back(Event::Fit);
        }
    }

    /// The current pool has authorized us, so what the owner was told of another one is over.
    pub(super) fn forget_other_pools(&mut self) {
        let current = self.failover.index();
        for (index, history) in self.history.iter_mut().enumerate() {
            if index != current && history.fitness.on_left() {
                self.events.push_back(Event::Fit);
            }
        }
    }

    /// Leaves the current pool for the next one that is not set aside, and listens to its last answers. If there is none, the owner
    /// is told once.
    fn on_unfit(&mut self, why: Unfitness, error: ClientError) {
        let Some(next) = self.another_pool() else {
            let current = self.history.get_mut(self.failover.index());
            if current.is_some_and(|history| history.fitness.tell(why)) {
                self.events.push_back(Event::Unfit { error });
            }
            return;
        };
        let now = Instant::now();
        if let Some(current) = self.history.get_mut(self.failover.index()) {
            current.fitness.set_aside(self.config.set_aside, now);
        }
        self.drain();
        let index = self.failover.index();
        self.failover.move_to(next);
        self.reconnect(error, index, Duration::ZERO);
    }

    /// The next pool after the current one that is not set aside.
    fn another_pool(&self) -> Option<usize> {
        let (pools, index, now) = (self.history.len(), self.failover.index(), Instant::now());
        let mut others = (1..pools).map(|step| (index + step) % pools);
        others.find(|other| self.history.get(*other).is_some_and(|history| history.fitness.is_eligible(now)))
    }
}
