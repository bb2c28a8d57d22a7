//! Shares that wait for an upstream pool's answer, and counts of the answers. No I/O except logging, no clock.

use std::collections::HashMap;
use std::hash::Hash;

use client::Outcome;

use crate::share::{ForwardRequest, UpstreamShareCounts};

/// The shares without an answer (ticket → share), and the counts of all shares.
#[derive(Debug)]
pub struct ForwardedShares<T> {
    open: HashMap<T, ForwardRequest>,
    counts: UpstreamShareCounts,
}

impl<T> Default for ForwardedShares<T> {
    fn default() -> Self {
        ForwardedShares { open: HashMap::new(), counts: UpstreamShareCounts::default() }
    }
}

impl<T: Eq + Hash> ForwardedShares<T> {
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

    /// Counts a share as stale, because it could not be submitted.
    pub fn not_submitted(&mut self, forward: ForwardRequest) -> (ForwardRequest, Outcome) {
        self.counts.forwarded += 1;
        self.counts.stale += 1;
        (forward, Outcome::Stale(None))
    }

    /// Removes a share and counts its outcome. Returns `None` if no share waits under this ticket.
    pub fn answered(&mut self, ticket: T, outcome: Outcome) -> Option<(ForwardRequest, Outcome)> {
        let forward = self.open.remove(&ticket)?;
        let count = match &outcome {
            Outcome::Accepted => &mut self.counts.accepted,
            Outcome::Rejected(_) => &mut self.counts.rejected,
            Outcome::Stale(_) => &mut self.counts.stale,
            Outcome::Unanswered => &mut self.counts.unanswered,
        };
        *count += 1;
        if outcome == Outcome::Accepted && forward.share.judged.candidate {
            self.counts.candidates += 1;
            tracing::debug!(
                worker = &*forward.share.judged.worker,
                "the upstream pool has accepted a candidate"
            );
        }
        Some((forward, outcome))
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
    use crate::share::{JudgedShare, UpstreamShare};

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
        let judged = JudgedShare { worker: "w".into(), row, work: 1, candidate: nonce < 5, rejection: None };
        ForwardRequest {
            share: UpstreamShare { job: Arc::new(job), start: 0, epoch: 0, share, judged },
            reply: Some(oneshot::channel().0),
        }
    }

    #[test]
    fn every_share_has_one_outcome() {
        let outcomes = [
            Outcome::Accepted,
            Outcome::Rejected(Reason::new(23, "low")),
            Outcome::Stale(Some(Reason::new(21, "job not found"))),
            Outcome::Stale(None),
            Outcome::Unanswered,
        ];
        let mut in_flight = ForwardedShares::default();
        for ticket in 0..outcomes.len() {
            in_flight.submitted(ticket, forward(ticket as u32));
        }
        assert_eq!(
            in_flight.counts(),
            UpstreamShareCounts { forwarded: 5, ..UpstreamShareCounts::default() }
        );
        for (ticket, outcome) in outcomes.into_iter().enumerate().rev() {
            let (forward, given) = in_flight.answered(ticket, outcome.clone()).unwrap();
            assert_eq!((forward.share.share.nonce, given), (ticket as u32, outcome.clone()));
            assert!(in_flight.answered(ticket, outcome).is_none(), "answered twice");
        }
        assert!(in_flight.is_empty());
        // This share is no candidate, so the count of candidates stays the same.
        in_flight.submitted(7, forward(7));
        in_flight.answered(7, Outcome::Accepted);
        assert_eq!(in_flight.not_submitted(forward(9)).1, Outcome::Stale(None));
        let expected = UpstreamShareCounts {
            forwarded: 7,
            accepted: 2,
            rejected: 1,
            stale: 3,
            unanswered: 1,
            candidates: 1,
        };
        assert_eq!(in_flight.counts(), expected);
    }
}
