//! What becomes of each find: dropped as stale, submitted, answered or never answered. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hasher::Target;
use stratum::{Job, Share, Verdict};
use task::ShareRow;

use crate::engine::Found;
use crate::engine::search::same_content;
use crate::tally::Outcome;

/// The shares of one miner. Submissions have the ids that their session gave them.
#[derive(Debug, Default)]
pub struct Shares {
    /// The latest job.
    job: Option<Arc<Job>>,
    /// Finds of earlier generations are stale.
    valid_from: u64,
    pending: HashMap<u64, Pending>,
}

#[derive(Debug)]
struct Pending {
    found: Found,
    sent: Instant,
}

impl Shares {
    /// The engine mines this job from this generation on.
    pub fn on_job(&mut self, job: &Arc<Job>, generation: u64) {
        // A pool may say "clean" about the very job that is being mined, when only the difficulty changed.
        let again = self.job.as_ref().is_some_and(|old| old.id == job.id && same_content(old, job));
        if job.clean && !again {
            self.valid_from = generation;
        }
        self.job = Some(job.clone());
    }

    /// The share to submit, or the outcome of a find that is outdated.
    pub fn judge(&self, found: &Found) -> Result<Share, Box<Outcome>> {
        if found.generation < self.valid_from {
            return Err(Box::new(outcome(found, task::Verdict::Stale, Duration::ZERO)));
        }
        Ok(Share {
            job: found.job.id.clone(),
            extranonce2: found.extranonce2.clone(),
            ntime: found.header.ntime,
            nonce: found.header.nonce,
            version: found.header.version,
        })
    }

    /// The share was sent.
    pub fn sent(&mut self, id: u64, found: Found, now: Instant) {
        self.pending.insert(id, Pending { found, sent: now });
    }

    /// The pool's verdict; `None` for an id that is not ours, or was answered before.
    pub fn answered(&mut self, id: u64, verdict: &Verdict, now: Instant) -> Option<Outcome> {
        let pending = self.pending.remove(&id)?;
        let verdict = match verdict {
            Verdict::Accepted => task::Verdict::Accepted,
            Verdict::Rejected(reason) if reason.is_stale() => task::Verdict::Stale,
            Verdict::Rejected(reason) => task::Verdict::Rejected(reason.code),
        };
        Some(outcome(&pending.found, verdict, now - pending.sent))
    }

    /// How many answers are outstanding.
    pub fn outstanding(&self) -> usize {
        self.pending.len()
    }

    /// Whether answers are outstanding.
    pub fn waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The connection is gone: nothing will be answered any more, and what is found now has nowhere to go.
    pub fn disconnected(&mut self, next_generation: u64, now: Instant) -> Vec<Outcome> {
        self.valid_from = next_generation;
        self.job = None;
        let lost = |pending: Pending| outcome(&pending.found, task::Verdict::Unanswered, now - pending.sent);
        self.pending.drain().map(|(_, pending)| lost(pending)).collect()
    }
}

fn outcome(found: &Found, verdict: task::Verdict, round_trip: Duration) -> Outcome {
    let row = ShareRow {
        job: found.job.id.clone(),
        extranonce2: found.extranonce2.clone(),
        ntime: found.header.ntime,
        version: found.header.version,
        nonce: found.header.nonce,
        difficulty: found.digest.difficulty(),
        verdict,
        round_trip,
    };
    let network = Target::from_compact(found.header.nbits);
    let block = network.is_ok_and(|target| target.is_met_by(&found.digest));
    Outcome { row, work: found.job.target.work(), block }
}

#[cfg(test)]
mod tests {
    use hasher::Header;
    use stratum::Reason;

    use super::*;

    fn job(id: &str, clean: bool) -> Arc<Job> {
        Arc::new(Job {
            id: id.into(),
            prev_hash: [0; 32],
            coinb1: vec![1],
            coinb2: vec![2],
            branch: Vec::new(),
            version: 1,
            nbits: Header::genesis().nbits,
            ntime: 1_231_006_505,
            clean,
            target: Target::from_difficulty(1.0),
            version_mask: 0,
            extranonce1: Vec::new(),
            extranonce2_len: 4,
        })
    }

    fn found(job: &Arc<Job>, generation: u64) -> Found {
        let header = Header::genesis();
        Found { job: job.clone(), generation, extranonce2: vec![0; 4], header, digest: header.digest() }
    }

    #[test]
    fn a_clean_job_makes_older_finds_stale_and_others_do_not() {
        let (a, b, c) = (job("a", true), job("b", false), job("c", true));
        let mut shares = Shares::default();
        shares.on_job(&a, 1);
        shares.on_job(&b, 2);
        assert!(shares.judge(&found(&a, 1)).is_ok());
        shares.on_job(&c, 3);
        for old in [found(&a, 1), found(&b, 2)] {
            let outcome = shares.judge(&old).expect_err("outdated");
            assert_eq!(outcome.row.verdict, task::Verdict::Stale);
        }
        assert!(shares.judge(&found(&c, 3)).is_ok());
    }

    #[test]
    fn the_same_job_again_keeps_its_finds() {
        let mut shares = Shares::default();
        shares.on_job(&job("a", true), 1);
        let mut harder = (*job("a", true)).clone();
        harder.target = Target::from_difficulty(2.0);
        shares.on_job(&Arc::new(harder), 2);
        assert!(shares.judge(&found(&job("a", true), 1)).is_ok());
    }

    #[test]
    fn each_share_gets_one_verdict() {
        let a = job("a", true);
        let now = Instant::now();
        let later = now + Duration::from_millis(7);
        let mut shares = Shares::default();
        shares.on_job(&a, 1);
        for id in 1..=4 {
            shares.sent(id, found(&a, 1), now);
        }
        let rejected = |code| Verdict::Rejected(Reason::new(code, ""));
        let mut answer =
            |id, verdict| shares.answered(id, &verdict, later).map(|outcome| outcome.row.verdict);
        assert_eq!(answer(2, Verdict::Accepted), Some(task::Verdict::Accepted));
        assert_eq!(answer(2, Verdict::Accepted), None, "answered twice");
        assert_eq!(answer(1, rejected(23)), Some(task::Verdict::Rejected(23)));
        assert_eq!(answer(3, rejected(21)), Some(task::Verdict::Stale));
        assert_eq!(answer(9, Verdict::Accepted), None);
        assert!(shares.waiting());
        let lost = shares.disconnected(2, later);
        assert_eq!(lost.iter().map(|o| o.row.verdict).collect::<Vec<_>>(), [task::Verdict::Unanswered]);
        assert_eq!(lost.iter().map(|o| o.row.round_trip.as_millis()).collect::<Vec<_>>(), [7]);
        assert!(!shares.waiting());
        assert!(shares.judge(&found(&a, 1)).is_err(), "found before, with nowhere to go");
    }

    #[test]
    fn work_and_block_come_from_the_targets() {
        let outcome = outcome(&found(&job("a", true), 1), task::Verdict::Accepted, Duration::ZERO);
        assert_eq!(outcome.work, 0x1_0001_0001, "the genesis block's work, as Bitcoin Core gives it");
        assert!(outcome.block);
        assert!(outcome.row.difficulty >= 1.0);
        let mut hard = found(&job("a", true), 1);
        hard.header.nbits = hasher::CompactTarget(0x1700_ffff);
        assert!(!super::outcome(&hard, task::Verdict::Accepted, Duration::ZERO).block);
    }
}
