//! Shares that wait for an upstream pool's answer, and counts of the answers. No I/O but the log, no clock.

use std::collections::HashMap;
use std::hash::Hash;

use client::Outcome;

use crate::share::{ForwardRequest, Reply, UpstreamShareCounts};

/// Shares without an answer, by ticket, and the counts of all shares.
#[derive(Debug)]
pub struct InFlightShares<T> {
    open: HashMap<T, ForwardRequest>,
    counts: UpstreamShareCounts,
}

impl<T> Default for InFlightShares<T> {
    fn default() -> InFlightShares<T> {
        InFlightShares { open: HashMap::new(), counts: UpstreamShareCounts::default() }
    }
}

impl<T: Eq + Hash> InFlightShares<T> {
    /// Number of shares without an answer.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether all shares are answered.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Counts of all shares so far.
    pub fn counts(&self) -> UpstreamShareCounts {
        self.counts
    }

    /// Adds a submitted share.
    pub fn submitted(&mut self, ticket: T, forward: ForwardRequest) {
        self.counts.forwarded += 1;
        self.open.insert(ticket, forward);
    }

    /// Counts a share that could not be submitted as stale.
    pub fn not_submitted(&mut self, forward: ForwardRequest) -> (ForwardRequest, Reply) {
        self.counts.forwarded += 1;
        self.counts.stale += 1;
        (forward, Reply::Stale)
    }

    /// Removes and counts an answered share; `None` if there is no such share.
    pub fn answered(&mut self, ticket: T, reply: Reply) -> Option<(ForwardRequest, Reply)> {
        let forward = self.open.remove(&ticket)?;
        let count = match &reply {
            Reply::Verdict(Ok(())) => &mut self.counts.accepted,
            Reply::Verdict(Err(reason)) if !reason.is_stale() => &mut self.counts.rejected,
            Reply::Verdict(Err(_)) | Reply::Stale => &mut self.counts.stale,
            Reply::Unanswered => &mut self.counts.unanswered,
        };
        *count += 1;
        if reply == Reply::Verdict(Ok(())) && forward.wanted.judged.block {
            self.counts.blocks += 1;
            tracing::info!(worker = &*forward.wanted.judged.worker, "a block for the upstream pool");
        }
        Some((forward, reply))
    }
}

impl From<Outcome> for Reply {
    fn from(outcome: Outcome) -> Reply {
        match outcome {
            Outcome::Accepted => Reply::Verdict(Ok(())),
            Outcome::Rejected(reason) | Outcome::Stale(Some(reason)) => Reply::Verdict(Err(reason)),
            Outcome::Stale(None) => Reply::Stale,
            Outcome::Unanswered => Reply::Unanswered,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use hasher::{CompactTarget, Target};
    use stratum::{Job, Reason, Share};
    use task::ShareRow;
    use tokio::sync::oneshot;

    use super::*;
    use crate::accounts::JudgedShare;
    use crate::share::UpstreamShare;

    fn forward(nonce: u32) -> ForwardRequest {
        let job = Job {
            id: "a".into(),
            prev_hash: [0; 32],
            coinb1: Vec::new(),
            coinb2: Vec::new(),
            branch: Vec::new(),
            version: 1,
            nbits: CompactTarget(0x1d00_ffff),
            ntime: 0,
            clean: true,
            target: Target::from_difficulty(1.0),
            version_mask: 0,
            extranonce1: Vec::new(),
            extranonce2_len: 4,
        };
        let row = ShareRow {
            job: "a".into(),
            extranonce2: vec![0; 2],
            ntime: 0,
            version: 1,
            nonce,
            difficulty: 1.0,
            verdict: task::Verdict::Accepted,
            round_trip: Duration::ZERO,
        };
        let share = Share { job: "a".into(), extranonce2: vec![0; 4], ntime: 0, nonce, version: 1 };
        let judged = JudgedShare { worker: "w".into(), row, work: 1, block: nonce < 5 };
        ForwardRequest {
            wanted: UpstreamShare { job: Arc::new(job), share, judged },
            reply: oneshot::channel().0,
        }
    }

    #[test]
    fn every_share_has_one_fate() {
        let rejected = |code, text| Err(Reason::new(code, text));
        let replies = [
            Reply::Verdict(Ok(())),
            Reply::Verdict(rejected(23, "low")),
            Reply::Verdict(rejected(21, "job not found")),
            Reply::Stale,
            Reply::Unanswered,
        ];
        let mut in_flight = InFlightShares::default();
        for ticket in 0..replies.len() {
            in_flight.submitted(ticket, forward(ticket as u32));
        }
        assert_eq!(
            in_flight.counts(),
            UpstreamShareCounts { forwarded: 5, ..UpstreamShareCounts::default() }
        );
        for (ticket, reply) in replies.into_iter().enumerate().rev() {
            let (forward, given) = in_flight.answered(ticket, reply.clone()).unwrap();
            assert_eq!((forward.wanted.share.nonce, given), (ticket as u32, reply.clone()));
            assert!(in_flight.answered(ticket, reply).is_none(), "answered twice");
        }
        assert!(in_flight.is_empty());
        // A share that makes no block.
        in_flight.submitted(7, forward(7));
        in_flight.answered(7, Reply::Verdict(Ok(())));
        assert_eq!(in_flight.not_submitted(forward(9)).1, Reply::Stale);
        let expected = UpstreamShareCounts {
            forwarded: 7,
            accepted: 2,
            rejected: 1,
            stale: 3,
            unanswered: 1,
            blocks: 1,
        };
        assert_eq!(in_flight.counts(), expected);
    }
}
