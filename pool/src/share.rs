//! A share, with one type for each stage of its processing:
//!
//! ```text
//! SubmittedShare ─check→ ValidShare or RejectedShare ─→ JudgedShare ─→ accounts
//!                            │
//!                            ├─→ UpstreamShare ─ForwardRequest→ upstream pool ─client::Outcome→ accounts
//!                            └─→ FoundBlock ─→ node or built-in chain
//! ```

mod check;
mod found_block;
mod rejection;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use client::Outcome;
use task::{ShareRow, Verdict};

pub use self::check::{RejectedShare, ShareContext, ValidShare, check};
pub use self::found_block::FoundBlock;
pub use self::rejection::{Rejection, RejectionCounts};
pub use self::upstream::{
    ForwardRequest, UpstreamShare, UpstreamShareCounts, UpstreamSummary, answer_to_miner,
};

/// Maximum length of the job id in a share's row, in characters. Longer ids are cut, because a miner may send any text.
const MAX_JOB_ID: usize = 40;

/// A share as a miner submitted it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubmittedShare {
    /// The name of the worker.
    pub worker: String,
    /// The job's id, as the miner wrote it.
    pub job: String,
    /// The bytes that the miner chose.
    pub extranonce2: Vec<u8>,
    /// The header's time, seconds since the Unix epoch.
    pub ntime: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The rolled version bits, if the miner sent any (BIP-0310).
    pub version_bits: Option<u32>,
}

/// A share with its verdict, to be counted in its worker's account.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedShare {
    /// The name of the worker's account, in which the share is counted.
    pub worker: Arc<str>,
    /// The share and its verdict.
    pub row: ShareRow,
    /// The work for which the share counts: the average number of hashes to find a share of its difficulty. 0 if the share was
    /// not accepted.
    pub work: u128,
    /// Whether the share meets the network's target, so that a block can be made of it. If so, its row is always kept. The block
    /// itself, if one is made, is counted when the chain has judged it.
    pub candidate: bool,
    /// Why the share was rejected; `None` if it has another verdict.
    pub rejection: Option<Rejection>,
}

impl JudgedShare {
    /// The share of `worker` with the result of its check.
    pub fn new(
        worker: Arc<str>,
        share: &SubmittedShare,
        checked: &Result<ValidShare, RejectedShare>,
    ) -> Self {
        let (version, difficulty, verdict, work) = match checked {
            Ok(valid) => (valid.version, valid.digest.difficulty(), Verdict::Accepted, valid.work),
            Err(RejectedShare { reason, version, difficulty, .. }) => {
                (*version, *difficulty, Outcome::of(Err(reason.clone())).verdict(), 0)
            }
        };
        let row = ShareRow {
            job: share.job.chars().take(MAX_JOB_ID).collect(),
            extranonce2: share.extranonce2.clone(),
            ntime: share.ntime,
            version,
            nonce: share.nonce,
            difficulty,
            verdict,
            // This time is measured and set later: by the connection or, for a forwarded share, in `settle`.
            round_trip: Duration::ZERO,
        };
        let candidate = checked.as_ref().is_ok_and(ValidShare::meets_network_target);
        let rejected = checked.as_ref().err().filter(|_| matches!(verdict, Verdict::Rejected(_)));
        let rejection = rejected.map(|rejected| rejected.rejection);
        JudgedShare { worker, row, work, candidate, rejection }
    }

    /// Replaces the verdict with that of the upstream pool, whose answer took `round_trip`.
    pub fn settle(&mut self, outcome: &Outcome, round_trip: Duration) {
        self.row.verdict = outcome.verdict();
        self.row.round_trip = round_trip;
        if *outcome != Outcome::Accepted {
            self.work = 0;
        }
        self.rejection = matches!(outcome, Outcome::Rejected(_)).then_some(Rejection::Upstream);
    }
}
