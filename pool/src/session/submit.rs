//! `mining.submit`: from the miner's fields to a verdict, in the order in which pools check.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Block;
use stratum::Reason;
use stratum::message::Submit;
use task::{ShareRow, Verdict};

use super::{Effect, MAX_SEEN, Session};
use crate::accounts::{Judged, ledger_verdict};
use crate::clock::Now;
use crate::found::Found;
use crate::job::{IssuedJob, JobId};
use crate::validate::{Proof, Refusal, Submission, Terms, validate};

/// What a peer may call a job that we don't know; longer names are cut in the accounts.
const MAX_JOB_NAME: usize = 40;
/// The account of miners that give no user name, as `minerd` without `-u` does.
const NAMELESS: &str = "(nameless)";

impl Session {
    /// Judges a share, with all that follows from it but the answer.
    pub(super) fn submit(
        &mut self,
        submit: Submit,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Reason> {
        if !self.subscribed {
            return Err(Reason::new(Reason::NOT_SUBSCRIBED, "not subscribed"));
        }
        let Some(worker) = self.workers.iter().find(|worker| ***worker == *submit.user).cloned() else {
            return Err(Reason::new(Reason::UNAUTHORIZED, "unauthorized worker"));
        };
        let judgement = self.judge(&submit, now);
        let worker: Arc<str> = if worker.is_empty() { NAMELESS.into() } else { worker };
        let block = judgement.as_ref().ok().and_then(|accepted| block(accepted, &submit, effects));
        let mut judged =
            Judged { worker: worker.clone(), row: row(&submit, &judgement), work: 0, block: block.is_some() };
        if let Ok(Accepted { proof, .. }) = &judgement {
            judged.work = proof.work;
            self.vardiff.accepted(proof.work as f64, now.at);
        }
        effects.push(Effect::Count(judged));
        effects.extend(block.map(|block| Effect::Found(Found { worker, block: Box::new(block) })));
        judgement.map(|_| ()).map_err(|refusal| refusal.reason)
    }

    fn judge(&mut self, submit: &Submit, now: Now) -> Result<Accepted, Refusal> {
        let issued = self.find(&submit.job).map_err(unjudged)?.clone();
        let (extranonce1, version_mask) = (self.extranonce1, self.version_mask);
        let terms = Terms { extranonce1, version_mask, now: now.unix };
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
        if self.seen.len() >= MAX_SEEN {
            return Err(refuse(Reason::OTHER, "too many shares for one block"));
        }
        self.seen.insert(digest);
        Ok(Accepted { issued, proof })
    }

    fn find(&self, name: &str) -> Result<&IssuedJob, Reason> {
        let id = JobId::parse(name);
        if let Some(issued) = self.issued.iter().find(|issued| Some(issued.id) == id) {
            return Ok(issued);
        }
        let was_sent = |id: JobId| self.sent.is_some_and(|(first, last)| (first..=last).contains(&id));
        let text = if id.is_some_and(was_sent) { "stale" } else { "job not found" };
        Err(Reason::new(Reason::JOB_NOT_FOUND, text))
    }
}

/// The block that a share makes, if it is the first to make one.
fn block(accepted: &Accepted, submit: &Submit, effects: &mut Vec<Effect>) -> Option<Block> {
    let Accepted { issued, proof } = accepted;
    let claim = &issued.job.work.claim;
    if !proof.solves || claim.is_taken() {
        return None;
    }
    match issued.draft.assemble(proof.solution(issued, &submission(submit))) {
        Ok(block) => claim.take().then_some(block),
        Err(error) => {
            effects.push(Effect::Broken(error));
            None
        }
    }
}

struct Accepted {
    issued: IssuedJob,
    proof: Proof,
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
            let verdict = ledger_verdict(&stratum::Verdict::Rejected(refusal.reason.clone()));
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
