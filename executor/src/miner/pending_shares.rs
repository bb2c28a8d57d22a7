//! The shares that wait for the pool's answer. This module does no I/O.

use std::collections::HashMap;
use std::time::Duration;

use client::{Answer, Ticket};
use hasher::Target;
use stratum::{Reason, Share};
use task::{ShareRow, Verdict};

use crate::engine::FoundShare;
use crate::report_builder::MinedShare;

/// The submitted, unanswered shares.
#[derive(Debug, Default)]
pub struct PendingShares(HashMap<Ticket, FoundShare>);

impl PendingShares {
    /// Adds a submitted share.
    pub fn insert(&mut self, ticket: Ticket, found: FoundShare) {
        self.0.insert(ticket, found);
    }

    /// Returns the share with its verdict, and the pool's reason if the pool rejected it; `None` if the ticket is unknown.
    pub fn on_answer(&mut self, answer: Answer) -> Option<(MinedShare, Option<Reason>)> {
        let found = self.0.remove(&answer.ticket)?;
        let share = found.mined(answer.outcome.verdict(), answer.round_trip);
        Some((share, answer.outcome.reason().cloned()))
    }
}

impl FoundShare {
    /// Whether the hash meets the network's target, so that a block can be made of the share.
    pub fn is_candidate(&self) -> bool {
        let network = Target::from_compact(self.header.nbits);
        network.is_ok_and(|target| target.is_met_by(&self.digest))
    }

    /// The share with this verdict.
    pub fn mined(&self, verdict: Verdict, round_trip: Duration) -> MinedShare {
        let Share { job, extranonce2, ntime, nonce, version } = self.into();
        let difficulty = self.digest.difficulty();
        let row = ShareRow { job, extranonce2, ntime, version, nonce, difficulty, verdict, round_trip };
        MinedShare { row, work: self.job.target.work(), candidate: self.is_candidate() }
    }
}

impl From<&FoundShare> for Share {
    fn from(found: &FoundShare) -> Self {
        Share {
            job: found.job.id.clone(),
            extranonce2: found.extranonce2.clone(),
            ntime: found.header.ntime,
            nonce: found.header.nonce,
            version: found.header.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hasher::Header;
    use stratum::Job;

    use super::*;

    fn found() -> FoundShare {
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
        FoundShare {
            job: Arc::new(job),
            generation: 1,
            extranonce2: vec![0; 4],
            header,
            digest: header.digest(),
        }
    }

    #[test]
    fn work_and_candidate_come_from_the_targets() {
        let share = found().mined(Verdict::Accepted, Duration::ZERO);
        assert_eq!(share.work, 0x1_0001_0001, "the work of the genesis block in Bitcoin Core");
        assert!(share.candidate);
        assert!(share.row.difficulty >= 1.0);
        let mut hard = found();
        hard.header.nbits = hasher::CompactTarget(0x1700_ffff);
        assert!(!hard.mined(Verdict::Accepted, Duration::ZERO).candidate);
    }
}
