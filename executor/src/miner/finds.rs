//! What becomes of each find: from the pool client's answers to outcomes. Pure.

use std::collections::HashMap;
use std::time::Duration;

use client::{Answer, Fate, Ticket};
use hasher::Target;
use stratum::{Reason, Share};
use task::ShareRow;

use crate::engine::Found;
use crate::tally::Outcome;

/// Finds that were submitted and not yet answered.
#[derive(Debug, Default)]
pub struct Finds(HashMap<Ticket, Found>);

impl Finds {
    /// The find was submitted.
    pub fn submitted(&mut self, ticket: Ticket, found: Found) {
        self.0.insert(ticket, found);
    }

    /// The outcome of a find, and the pool's reason if it did not accept it; `None` for a ticket that is not ours.
    pub fn answered(&mut self, answer: Answer) -> Option<(Outcome, Option<Reason>)> {
        let found = self.0.remove(&answer.ticket)?;
        let (verdict, reason) = match answer.fate {
            Fate::Accepted => (task::Verdict::Accepted, None),
            Fate::Rejected(reason) => (task::Verdict::Rejected(reason.code), Some(reason)),
            Fate::Stale(reason) => (task::Verdict::Stale, reason),
            Fate::Unanswered => (task::Verdict::Unanswered, None),
        };
        Some((outcome(&found, verdict, answer.round_trip), reason))
    }
}

/// The outcome of a find that came too late to be submitted.
pub fn stale(found: &Found) -> Outcome {
    outcome(found, task::Verdict::Stale, Duration::ZERO)
}

/// What to submit.
pub fn share(found: &Found) -> Share {
    Share {
        job: found.job.id.clone(),
        extranonce2: found.extranonce2.clone(),
        ntime: found.header.ntime,
        nonce: found.header.nonce,
        version: found.header.version,
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
    use std::sync::Arc;

    use hasher::Header;
    use stratum::Job;

    use super::*;

    fn found() -> Found {
        let job = Job {
            id: "a".into(),
            prev_hash: [0; 32],
            coinb1: vec![1],
            coinb2: vec![2],
            branch: Vec::new(),
            version: 1,
            nbits: Header::genesis().nbits,
            ntime: 1_231_006_505,
            clean: true,
            target: Target::from_difficulty(1.0),
            version_mask: 0,
            extranonce1: Vec::new(),
            extranonce2_len: 4,
        };
        let header = Header::genesis();
        Found { job: Arc::new(job), generation: 1, extranonce2: vec![0; 4], header, digest: header.digest() }
    }

    #[test]
    fn work_and_block_come_from_the_targets() {
        let outcome = outcome(&found(), task::Verdict::Accepted, Duration::ZERO);
        assert_eq!(outcome.work, 0x1_0001_0001, "the genesis block's work, as Bitcoin Core gives it");
        assert!(outcome.block);
        assert!(outcome.row.difficulty >= 1.0);
        let mut hard = found();
        hard.header.nbits = hasher::CompactTarget(0x1700_ffff);
        assert!(!super::outcome(&hard, task::Verdict::Accepted, Duration::ZERO).block);
    }
}
