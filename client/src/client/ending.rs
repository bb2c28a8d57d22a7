//! The end of a connection: what becomes of its shares and its session, and when the client connects again.

use std::collections::BTreeSet;
use std::time::Duration;

use stratum::{OptionalRequest, PoolUrl};
use tokio::time::Instant;

use super::Client;
use crate::dialect;
use crate::error::ClientError;
use crate::event::Event;
use crate::shares::{InFlightShare, ResumableSession};

impl Client {
    pub(super) fn on_lost(&mut self, error: ClientError) {
        if let (Some(connection), Some(history)) =
            (&mut self.main, self.history.get_mut(self.failover.index()))
        {
            if error.is_hang_up() && connection.hung_up(&mut history.dialect) {
                let blamed = connection.blamed(&history.dialect);
                return self.try_without(error, &blamed);
            }
            connection.teach(&mut history.dialect);
        }
        // A pool that refused the client counts as one that sent no jobs, even if it did send some. So the client next tries
        // another pool, if it has one.
        let worked = self.leave();
        if worked.is_some() && matches!(error, ClientError::ExtranonceTooSmall { .. }) {
            // It left enough at first, and would do so again, so a probe would find it recovered.
            let history = self.history.get_mut(self.failover.index());
            let set_aside = self.config.set_aside;
            history.into_iter().for_each(|history| history.fitness.set_aside(set_aside, Instant::now()));
        }
        let worked = worked.filter(|_| !error.is_useless());
        if self.is_refused_for_ever(&error) {
            return self.stop_trying(error);
        }
        self.retry(error, worked);
    }

    /// Tries the same pool again without these requests, or stops trying.
    fn try_without(&mut self, error: ClientError, requests: &BTreeSet<OptionalRequest>) {
        let pool = self.main.as_ref().map(|connection| connection.url().clone());
        let (worked, index) = (self.leave(), self.failover.index());
        let (Some(retry_in), Some(pool)) = (self.failover.on_dialect(worked), pool) else {
            return self.stop_trying(error);
        };
        let error = ClientError::HungUpOn { pool, requests: dialect::names(requests) };
        self.reconnect(error, index, retry_in);
    }

    /// Counts permanent refusals. Returns whether there were so many that further attempts are in vain.
    fn is_refused_for_ever(&mut self, error: &ClientError) -> bool {
        let Some(refusals) = &mut self.refusals else { return false };
        let pools = self.config.pools.len() as u64;
        // A pool may leave more another time, so this is no refusal as long as there are other pools to try meanwhile.
        let passing = pools > 1 && matches!(error, ClientError::ExtranonceTooSmall { .. });
        *refusals = if error.is_permanent() && !passing { *refusals + 1 } else { 0 };
        self.config.refusals.is_some_and(|limit| *refusals >= limit.saturating_mul(pools))
    }

    /// Schedules the next attempt, perhaps to another pool, or stops trying.
    fn retry(&mut self, error: ClientError, worked: Option<Duration>) {
        let index = self.failover.index();
        let Some(retry_in) = self.failover.on_lost(worked) else {
            return self.stop_trying(error);
        };
        self.reconnect(error, index, retry_in);
    }

    /// Tells the owner why there is no connection, and connects again after a pause, perhaps to another pool.
    pub(super) fn reconnect(&mut self, error: ClientError, index: usize, retry_in: Duration) {
        self.probe.reset();
        self.connect_after(retry_in);
        self.events.push_back(Event::Lost { error, index, retry_in });
    }

    pub(super) fn on_redirect(&mut self, pool: PoolUrl, to: PoolUrl, wait: Duration) {
        let (worked, index) = (self.leave(), self.failover.index());
        let error = ClientError::Redirected { pool, to: to.clone() };
        let Some(retry_in) = self.failover.on_redirect(worked, wait) else {
            return self.retry(error, None);
        };
        self.connect_after(retry_in);
        self.redirect = Some(to);
        self.events.push_back(Event::Lost { error, index, retry_in });
    }

    /// Takes the unanswered shares from the main connection before it is replaced. If their session can be resumed, the shares
    /// wait for a connection that resumes it; otherwise the client gives them up. Returns how long the connection provided work,
    /// or `None` if it never delivered a job.
    fn leave(&mut self) -> Option<Duration> {
        let connection = self.main.as_mut()?;
        let worked = connection.worked_for();
        let left = connection.in_flight.take_all();
        let resume = connection.resume().cloned();
        let resumable = worked.is_some() && resume.is_some();
        // Stores the resume token again, because `mining.set_extranonce` may have changed the extranonce1 in it since the
        // subscription.
        if let (Some(resume), Some(history)) = (resume, self.history.get_mut(self.failover.index())) {
            history.resume = Some(resume);
        }
        let jobs = std::mem::take(&mut connection.jobs);
        if worked.is_some() {
            self.give_up_resumable();
        }
        if resumable {
            let until = Instant::now() + self.config.resume_timeout;
            let pool = self.failover.index();
            self.resumable = Some(ResumableSession { pool, until, jobs, shares: left, resumed: false });
        } else {
            self.give_up(left);
        }
        if let Some(session) = &mut self.resumable {
            session.resumed = false;
        }
        worked
    }

    /// Ends the work on the main connection, and listens to the last answers on it.
    pub(super) fn drain(&mut self) {
        self.give_up_resumable();
        self.give_up_draining();
        let until = Instant::now() + self.config.drain_timeout;
        self.draining = self.main.take().map(|connection| (*connection, until));
    }

    pub(super) fn give_up_draining(&mut self) {
        if let Some((mut connection, _)) = self.draining.take() {
            let left = connection.in_flight.take_all();
            self.give_up(left);
        }
    }

    pub(super) fn give_up_resumable(&mut self) {
        if let Some(session) = self.resumable.take() {
            self.give_up(session.shares);
        }
    }

    pub(super) fn give_up(&mut self, left: Vec<InFlightShare>) {
        let now = std::time::Instant::now();
        self.events.extend(left.iter().map(|share| Event::Answer(share.give_up(now))));
    }

    /// Makes [`Client::next`] return this error.
    pub(super) fn stop_trying(&mut self, error: ClientError) {
        self.given_up = Some(error);
        self.give_up_resumable();
        // Without this pause, a caller that calls `next` again after each error would spin.
        self.connect_after(self.config.retry_pause);
    }

    pub(super) fn connect_after(&mut self, pause: Duration) {
        (self.main, self.redirect) = (None, None);
        self.connect_at = Instant::now() + pause;
    }
}
