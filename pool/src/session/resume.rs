//! Sessions that outlive their connection: a miner that reconnects within minutes keeps its extranonce1, its jobs and its
//! difficulty, and its shares are still checked for duplicates.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::ScriptBuf;
use hashlink::LinkedHashMap;

use super::{Effect, IssuedJobs, Session};
use crate::clock::Now;
use crate::extranonce_lease::ExtranonceLease;
use crate::job::{ExtranonceLayout, Job};
use crate::vardiff::Vardiff;

/// How long a session is kept after its connection has ended, so that another connection can resume it.
pub(super) const KEEP: Duration = Duration::from_secs(5 * 60);
/// Maximum number of digests of accepted shares in all suspended sessions together, 32 bytes each. A session that would
/// exceed this limit is kept without its jobs and digests.
pub(super) const MAX_DIGESTS: usize = 1 << 20;

/// The id of a session. A miner that knows the id can resume the session.
pub type SessionId = [u8; 16];

/// The part of a session that outlives its connection.
#[derive(Debug)]
pub struct SessionState {
    pub(super) id: SessionId,
    /// The session's extranonce1. While the session is suspended, no other connection gets it.
    pub(super) extranonce1: ExtranonceLease,
    pub(super) layout: ExtranonceLayout,
    /// The script to which blocks of this connection pay, if each miner is paid at its own address.
    pub(super) payout: Option<ScriptBuf>,
    pub(super) vardiff: Vardiff,
    /// The pool's current job, even if it was not sent to this connection.
    pub(super) job: Option<Arc<Job>>,
    pub(super) issued: IssuedJobs,
}

impl SessionState {
    /// The number of accepted shares that the session remembers.
    pub(super) fn digests(&self) -> usize {
        self.issued.accepted.len()
    }
}

impl Session {
    /// Whether a former session can be resumed: its extranonces still have the right sizes, and the current job can be
    /// issued to it. If the upstream pool's extranonce2 is short, each job can be sent only once. Then a former session that
    /// already had the current job is not resumed.
    pub(super) fn can_resume(&self, former: &SessionState) -> bool {
        self.state.layout.is_compatible_with(&former.layout)
            && self.state.job.as_deref().is_none_or(|job| former.issued.can_issue(job))
    }

    /// Answers the subscription that asked for a former session.
    pub(super) fn on_resume(
        &mut self,
        former: Option<Box<SessionState>>,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let was_ready = self.is_ready();
        if let Some(former) = former.filter(|former| self.can_resume(former)) {
            let new = std::mem::replace(&mut self.state, *former);
            let former_job = std::mem::replace(&mut self.state.job, new.job);
            // If a worker was authorized before the subscription, blocks pay to its address, not to that of the former
            // session.
            self.state.payout = new.payout.or(self.state.payout.take());
            self.state.vardiff.skip_pause(now.at);
            match (&former_job, &self.state.job) {
                (Some(old), Some(new)) if !old.is_outdated_by(new) => {}
                _ => self.state.issued.outdate(),
            }
        }
        effects.push(Effect::answer(self.subscribe()));
        self.begin_or_follow(was_ready, now, effects);
    }
}

/// All suspended sessions.
#[derive(Debug)]
pub struct SuspendedSessions {
    /// Maximum number of suspended sessions; the oldest ones make room for new ones.
    capacity: usize,
    table: Mutex<SessionTable>,
}

#[derive(Debug, Default)]
struct SessionTable {
    /// The suspended sessions with the time of their expiry, oldest first.
    sessions: LinkedHashMap<SessionId, (Instant, Box<SessionState>)>,
    /// Number of digests of accepted shares in all sessions.
    digests: usize,
}

impl SessionTable {
    fn remove_oldest(&mut self) -> bool {
        let Some((_, (_, session))) = self.sessions.pop_front() else { return false };
        self.digests -= session.digests();
        true
    }

    fn remove_expired(&mut self, now: Instant) {
        while self.sessions.front().is_some_and(|(_, (expiry, _))| *expiry <= now) {
            self.remove_oldest();
        }
    }
}

impl SuspendedSessions {
    /// An empty table with room for `capacity` sessions.
    pub fn new(capacity: usize) -> Self {
        SuspendedSessions { capacity, table: Mutex::default() }
    }

    /// Keeps a session until it expires.
    pub fn insert(&self, mut session: Box<SessionState>, now: Instant) {
        let mut table = self.lock();
        table.remove_expired(now);
        while table.sessions.len() >= self.capacity.max(1) {
            table.remove_oldest();
        }
        if table.digests + session.digests() > MAX_DIGESTS {
            session.issued.forget_jobs();
        }
        table.digests += session.digests();
        table.sessions.insert(session.id, (now + KEEP, session));
    }

    /// Removes and returns a session; `None` if no session has this id.
    pub fn take(&self, id: &SessionId, now: Instant) -> Option<Box<SessionState>> {
        let mut table = self.lock();
        table.remove_expired(now);
        let (_, session) = table.sessions.remove(id)?;
        table.digests -= session.digests();
        Some(session)
    }

    /// Removes the oldest session, which frees its extranonce1. Returns false if there is none.
    pub fn remove_oldest(&self) -> bool {
        self.lock().remove_oldest()
    }

    fn lock(&self) -> MutexGuard<'_, SessionTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
