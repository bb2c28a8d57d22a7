//! Handles a submitted share: judges and counts it, assembles a found block, or forwards the share to the upstream pool.

use std::sync::Arc;

use stratum::Reason;

use super::{Answer, Effect, Session};
use crate::clock::Now;
use crate::job::{Job, JobContent};
use crate::share::{
    FoundBlock, JudgedShare, RejectedShare, Rejection, ShareContext, SubmittedShare, UpstreamShare,
    ValidShare, check,
};

/// The account of miners that give no user name, as `minerd` without `-u` does.
const NAMELESS: &str = "(nameless)";

/// The name of the account that counts a worker's shares.
pub(super) fn account_name(worker: &Arc<str>) -> Arc<str> {
    if worker.is_empty() { NAMELESS.into() } else { worker.clone() }
}

impl Session {
    /// Judges a share. Returns the answer, or `None` if an upstream pool has to judge it first.
    pub(super) fn submit(
        &mut self,
        share: &SubmittedShare,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Option<Answer> {
        let result = match self.account_of(share) {
            Ok(account) => self.judge(account, share, now, effects)?,
            Err(reason) => Err(reason),
        };
        match &result {
            Err(reason) if super::issued_jobs::is_outdated(reason) => {}
            result => effects.push(Effect::CountForBan { accepted: result.is_ok() }),
        }
        match result {
            Ok(Some(solved)) => {
                effects.push(Effect::AnswerWithNextJob(solved));
                None
            }
            Ok(None) => Some(Answer::Accepted),
            Err(reason) => Some(Answer::Rejected(reason)),
        }
    }

    /// The account that counts a share.
    fn account_of(&self, share: &SubmittedShare) -> Result<Arc<str>, Reason> {
        if !self.subscribed {
            return Err(Reason::new(Reason::NOT_SUBSCRIBED, "not subscribed"));
        }
        match self.workers.iter().find(|worker| ***worker == *share.worker) {
            None => Err(Reason::new(Reason::UNAUTHORIZED, "unauthorized worker")),
            Some(worker) => Ok(account_name(worker)),
        }
    }

    /// Judges a share and adds all its effects except the answer. Returns the job of an accepted share that solves its tip, whether or
    /// not it makes the block; `None` if an upstream pool judges the share.
    fn judge(
        &mut self,
        account: Arc<str>,
        share: &SubmittedShare,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Option<Result<Option<Arc<Job>>, Reason>> {
        let checked = self.check(share, now);
        let judged = JudgedShare::new(account, share, &checked);
        let valid = match checked {
            Ok(valid) => valid,
            Err(rejected) => {
                effects.push(Effect::CountShare(judged));
                return Some(Err(rejected.reason));
            }
        };
        self.state.vardiff.accepted(valid.work as f64, now.at);
        if self.state.issued.needs_renewal(valid.issued.id) {
            self.issue(false, effects);
        }
        if let JobContent::Upstream(upstream) = &valid.issued.job.content {
            if valid.meets_job_target {
                effects.push(Effect::Forward(Box::new(UpstreamShare::new(&valid, upstream, judged))));
                return None;
            }
            if valid.meets_network_target() && upstream.easy_block.take() {
                let share = UpstreamShare::new(&valid, upstream, judged.clone());
                effects.push(Effect::ForwardEasyBlock(Box::new(share)));
            }
        }
        let block = FoundBlock::from_share(&valid, &judged.worker, now.unix).unwrap_or_else(|error| {
            effects.push(Effect::InvalidBlock(error));
            None
        });
        effects.push(Effect::CountShare(judged));
        effects.extend(block.map(Effect::FoundBlock));
        Some(Ok(valid.meets_job_target.then_some(valid.issued.job)))
    }

    /// Checks a share against its job and the earlier shares.
    fn check(&mut self, share: &SubmittedShare, now: Now) -> Result<ValidShare, RejectedShare> {
        let unknown_job = |reason| {
            // Without the share's job, only the rolled bits of the version are known.
            RejectedShare {
                reason,
                rejection: Rejection::Other,
                version: share.version_bits.unwrap_or(0),
                difficulty: 0.0,
            }
        };
        let issued = self.state.issued.find(&share.job).map_err(unknown_job)?;
        let context = ShareContext {
            extranonce1: self.state.extranonce1.bytes(),
            version_mask: self.version_mask,
            now: now.boot,
        };
        let valid = check(issued, &context, share)?;
        match self.state.issued.accept(valid.issued.id, valid.digest.to_bytes()) {
            Ok(()) => Ok(valid),
            Err(reason) => {
                let rejection = match reason.is_duplicate() {
                    true => Rejection::Duplicate,
                    false => Rejection::Other,
                };
                let (version, difficulty) = (valid.version, valid.digest.difficulty());
                Err(RejectedShare { reason, rejection, version, difficulty })
            }
        }
    }
}
