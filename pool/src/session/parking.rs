//! Sessions whose connection has ended, kept for a while, so that a miner that comes back goes on where it was: the same
//! extranonce1, its jobs still known, its shares still told from duplicates.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::resume::{Parked, SessionId};
use crate::admission::Lease;

/// How long a session is kept.
pub(super) const KEEP: Duration = Duration::from_secs(5 * 60);
/// Digests of shares in all of them together, 32 bytes each; sessions beyond that are kept without their jobs.
pub(super) const MAX_DIGESTS: usize = 1 << 20;

/// All kept sessions.
#[derive(Debug)]
pub struct Parking {
    /// Sessions at once; the oldest make room.
    room: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<SessionId, Kept>,
    /// Until when, the oldest first; also of sessions that have been taken since.
    order: VecDeque<(Instant, SessionId)>,
    digests: usize,
}

#[derive(Debug)]
struct Kept {
    until: Instant,
    session: Parked,
    lease: Lease,
}

impl State {
    fn remove(&mut self, id: &SessionId) -> Option<Kept> {
        let kept = self.sessions.remove(id)?;
        self.digests -= kept.session.digests();
        Some(kept)
    }

    /// Removes the first in order, unless it has been taken (and perhaps come back) since then; none if there is no first.
    fn pop(&mut self) -> Option<bool> {
        let (until, id) = self.order.pop_front()?;
        let present = self.sessions.get(&id).is_some_and(|kept| kept.until == until);
        Some(present && self.remove(&id).is_some())
    }

    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.pop();
        }
    }
}

impl Parking {
    /// For so many sessions.
    pub fn new(room: usize) -> Parking {
        Parking { room, state: Mutex::default() }
    }

    /// Keeps a session, with the extranonce1 that it goes with.
    pub fn park(&self, mut session: Parked, lease: Lease, now: Instant) {
        let mut state = self.lock();
        state.expire(now);
        // Sessions that come back soon leave their places in the order behind.
        while state.order.len() >= self.room.max(1) {
            state.pop();
        }
        if state.digests + session.digests() > MAX_DIGESTS {
            session.forget_jobs();
        }
        state.digests += session.digests();
        let (id, until) = (session.id(), now + KEEP);
        state.order.push_back((until, id));
        state.sessions.insert(id, Kept { until, session, lease });
    }

    /// Takes a session back; none if nobody of that name has left lately.
    pub fn take(&self, id: &SessionId, now: Instant) -> Option<(Parked, Lease)> {
        let mut state = self.lock();
        state.expire(now);
        state.remove(id).map(|kept| (kept.session, kept.lease))
    }

    /// Gives up the oldest session, so that its extranonce1 is free; false if there is none.
    pub fn give_up_oldest(&self) -> bool {
        let mut state = self.lock();
        while let Some(removed) = state.pop() {
            if removed {
                return true;
            }
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
