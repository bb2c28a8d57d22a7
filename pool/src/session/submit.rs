//! `mining.submit`: from the miner's fields to a verdict, in the order in which pools check.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Block;
use hasher::{Digest, Target};
use stratum::message::Submit;
use stratum::{Id, Reason, Share};
use task::{ShareRow, Verdict};

use super::{Effect, MAX_SEEN, RENEW_AFTER, Session};
use crate::accounts::{JudgedShare, ledger_verdict};
use crate::clock::Now;
use crate::job::{Content, IssuedJob, JobId, Puzzle, UpstreamJob};
use crate::share::{FoundBlock, Proof, Refusal, Submission, Terms, UpstreamShare, validate};

/// What a peer may call a job that we don't know; longer names are cut in the accounts.
const MAX_JOB_NAME: usize = 40;
/// Says of a job that it was there once, and not only that it is not known.
const STALE: &str = "stale";
/// The account of miners that give no user name, as `minerd` without `-u` does.
const NAMELESS: &str = "(nameless)";

/// When a share that is as good as we can see is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// At once.
    Now,
    /// When an upstream pool has judged it.
    Later,
}

/// Whether a share was refused for no fault of the miner.
pub(super) fn is_outdated(reason: &Reason) -> bool {
    reason.code == Reason::JOB_NOT_FOUND && reason.message == STALE
}

impl Session {
    /// Judges a share that came with the request `id`, with all that follows from it but the answer.
    pub(super) fn submit(
        &mut self,
        id: &Id,
        submit: Submit,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, Reason> {
        if !self.subscribed {
            return Err(Reason::new(Reason::NOT_SUBSCRIBED, "not subscribed"));
        }
        let Some(worker) = self.workers.iter().find(|worker| ***worker == *submit.user).cloned() else {
            return Err(Reason::new(Reason::UNAUTHORIZED, "unauthorized worker"));
        };
        let judgement = self.judge(&submit, now);
        let worker: Arc<str> = if worker.is_empty() { NAMELESS.into() } else { worker };
        let block = judgement.as_ref().ok().and_then(|accepted| {
            let block = block(accepted, &submit, effects)?;
            let height = accepted.issued.job.height;
            Some(FoundBlock { worker: worker.clone(), height, at: now.unix, block: Box::new(block) })
        });
        let mut judged =
            JudgedShare { worker, row: row(&submit, &judgement), work: 0, block: block.is_some() };
        if let Ok(accepted @ Accepted { proof, issued, .. }) = &judgement {
            judged.work = proof.work;
            self.vardiff.accepted(proof.work as f64, now.at);
            self.renew(accepted, effects);
            if let (true, Content::Upstream(borrowed)) = (proof.solves, &issued.job.content) {
                judged.block = makes_block(borrowed, proof.digest);
                let share = Box::new(forwarded(borrowed, proof, &submit, judged));
                effects.push(Effect::Forward { id: id.clone(), share });
                return Ok(Answer::Later);
            }
        }
        effects.push(Effect::Count(judged));
        effects.extend(block.map(Effect::Found));
        judgement.map(|_| Answer::Now).map_err(|refusal| refusal.reason)
    }

    fn judge(&mut self, submit: &Submit, now: Now) -> Result<Accepted, Refusal> {
        let issued = self.find(&submit.job).map_err(unjudged)?.clone();
        let terms = Terms { extranonce1: &self.extranonce1, version_mask: self.version_mask, now: now.unix };
        let proof = validate(&issued, &terms, &submission(submit))?;
        let refuse = |code, text| Refusal {
            reason: Reason::new(code, text),
            version: proof.version,
            difficulty: proof.digest.difficulty(),
        };
        let digest = proof.digest.to_bytes();
        if self.seen.contains(&digest) {
            return Err(refuse(Reason::DUPLICATE, "duplicate share"));
        }
        while self.seen.len() >= MAX_SEEN {
            let Some(oldest) = self.issued.iter().position(|other| other.id != issued.id) else {
                return Err(refuse(Reason::OTHER, "too many shares for one job"));
            };
            self.retire(oldest);
        }
        let shares = self.seen.insert(issued.id, digest);
        Ok(Accepted { issued, proof, shares })
    }

    /// Gives the miner another job on the same block when it has sent so many shares of this one that remembering them
    /// all takes too much room, as it may on a job that lasts for hours.
    fn renew(&mut self, accepted: &Accepted, effects: &mut Vec<Effect>) {
        let last = self.sent.is_some_and(|(_, last)| last == accepted.issued.id);
        if last && accepted.shares >= RENEW_AFTER {
            self.issue(false, effects);
        }
    }

    fn find(&self, name: &str) -> Result<&IssuedJob, Reason> {
        let id = JobId::parse(name);
        if let Some(issued) = self.issued.iter().find(|issued| Some(issued.id) == id) {
            return Ok(issued);
        }
        let was_sent = |id: JobId| self.sent.is_some_and(|(first, last)| (first..=last).contains(&id));
        let text = if id.is_some_and(was_sent) { STALE } else { "job not found" };
        Err(Reason::new(Reason::JOB_NOT_FOUND, text))
    }
}

/// The block that a share makes, if it is the first to make one.
fn block(accepted: &Accepted, submit: &Submit, effects: &mut Vec<Effect>) -> Option<Block> {
    let Accepted { issued, proof, .. } = accepted;
    let claim = issued.job.claim();
    let Puzzle::Block(draft) = &issued.puzzle else { return None };
    if !proof.solves || claim.is_taken() {
        return None;
    }
    match draft.assemble(proof.solution(issued, &submission(submit))) {
        Ok(block) => claim.take().then_some(block),
        Err(error) => {
            effects.push(Effect::Broken(error));
            None
        }
    }
}

/// A share as the upstream pool has to get it.
fn forwarded(borrowed: &UpstreamJob, proof: &Proof, submit: &Submit, judged: JudgedShare) -> UpstreamShare {
    let share = Share {
        job: borrowed.job.id.clone(),
        extranonce2: proof.extranonces.clone(),
        ntime: submit.ntime,
        nonce: submit.nonce,
        version: proof.version,
    };
    UpstreamShare { job: borrowed.job.clone(), share, judged }
}

/// Whether a share of an upstream pool's makes a block, and is the first to make it.
fn makes_block(borrowed: &UpstreamJob, digest: Digest) -> bool {
    Target::from_compact(borrowed.job.nbits).is_ok_and(|target| target.is_met_by(&digest))
        && borrowed.claim.take()
}

struct Accepted {
    issued: IssuedJob,
    proof: Proof,
    /// Of the same job so far.
    shares: usize,
}

fn submission(submit: &Submit) -> Submission<'_> {
    Submission {
        extranonce2: &submit.extranonce2,
        ntime: submit.ntime,
        nonce: submit.nonce,
        version_bits: submit.version_bits,
    }
}

fn unjudged(reason: Reason) -> Refusal {
    Refusal { reason, version: 0, difficulty: 0.0 }
}

fn row(submit: &Submit, judgement: &Result<Accepted, Refusal>) -> ShareRow {
    let (version, difficulty, verdict) = match judgement {
        Ok(Accepted { proof, .. }) => (proof.version, proof.digest.difficulty(), Verdict::Accepted),
        Err(refusal) => {
            let verdict = ledger_verdict(&Err(refusal.reason.clone()));
            // Of a job that is gone, only the rolled bits are known.
            let version =
                if refusal.version == 0 { submit.version_bits.unwrap_or(0) } else { refusal.version };
            (version, refusal.difficulty, verdict)
        }
    };
    ShareRow {
        job: submit.job.chars().take(MAX_JOB_NAME).collect(),
        extranonce2: submit.extranonce2.clone(),
        ntime: submit.ntime,
        version,
        nonce: submit.nonce,
        difficulty,
        verdict,
        // The edge knows how long it took.
        round_trip: Duration::ZERO,
    }
}
