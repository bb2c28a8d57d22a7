//! A session that goes on over another connection.

use std::sync::Arc;

use bitcoin::ScriptBuf;
use stratum::message::Subscribe;
use stratum::{Id, Response};

use super::seen::Seen;
use super::{Effect, Session};
use crate::clock::Now;
use crate::job::{IssuedJob, Job, JobId, Layout};
use crate::vardiff::Vardiff;

/// What a miner has to know to resume a session.
pub type SessionId = [u8; 16];

/// What is left of a session when its connection has ended.
#[derive(Debug)]
pub struct Parked {
    id: SessionId,
    extranonce1: Vec<u8>,
    layout: Layout,
    payee: Option<ScriptBuf>,
    vardiff: Vardiff,
    job: Option<Arc<Job>>,
    issued: Vec<IssuedJob>,
    sent: Option<(JobId, JobId)>,
    new_tip: bool,
    seen: Seen,
}

impl Parked {
    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// How many shares it knows.
    pub fn digests(&self) -> usize {
        self.seen.len()
    }

    /// Takes shares for its jobs no more, so that it need not know which have come.
    pub fn forget_jobs(&mut self) {
        self.issued = Vec::new();
        self.seen = Seen::default();
    }
}

impl Session {
    /// What another connection may go on with; none if nobody has been authorized here.
    pub fn park(self) -> Option<Parked> {
        self.is_ready().then_some(Parked {
            id: self.id,
            extranonce1: self.extranonce1,
            layout: self.layout,
            payee: self.payee,
            vardiff: self.vardiff,
            job: self.job,
            issued: self.issued,
            sent: self.sent,
            new_tip: self.new_tip,
            seen: self.seen,
        })
    }

    /// The session that a miner wants to go on with, if it may: not once it has been told another extranonce1.
    pub(super) fn wanted_back(&self, subscribe: &Subscribe) -> Option<SessionId> {
        let mut id = SessionId::default();
        let wanted = subscribe.session.as_ref().filter(|_| !self.subscribed)?;
        hex::decode_to_slice(wanted, &mut id).ok()?;
        Some(id)
    }

    /// Whether a former session can go on here: the work still leaves miners the same part of the coinbase, and there is a
    /// job for it that it has not had, which with an upstream pool that leaves no room to count jobs there may not be.
    pub fn takes(&self, parked: &Parked) -> bool {
        let had = |job: &Job| parked.sent.is_some_and(|(_, last)| job.is_used_up_by(last));
        self.layout.looks_like(&parked.layout) && !self.job.as_deref().is_some_and(had)
    }

    /// Answers the request that brought [`Effect::Resume`]: with the former session, if it is still there.
    pub fn on_resume(&mut self, call: Id, parked: Option<Parked>, now: Now) -> Vec<Effect> {
        let ready = self.is_ready();
        if let Some(parked) = parked {
            self.go_on(parked, now);
        }
        let mut effects = Vec::new();
        let result = self.subscribe();
        self.respond(Response::ok(call, result), ready, now, &mut effects);
        effects
    }

    fn go_on(&mut self, parked: Parked, now: Now) {
        let Parked { id, extranonce1, layout, payee, vardiff, job, issued, sent, new_tip, seen } = parked;
        (self.id, self.extranonce1, self.layout) = (id, extranonce1, layout);
        (self.issued, self.sent, self.new_tip, self.seen) = (issued, sent, new_tip, seen);
        self.payee = self.payee.take().or(payee);
        // The miner was silent while it was away, not idle.
        self.vardiff = vardiff;
        self.vardiff.go_on(now.at);
        let outdated = match (&job, &self.job) {
            (Some(old), Some(new)) => old.is_outdated_by(new),
            _ => true,
        };
        if outdated {
            self.outdate();
        }
    }
}
