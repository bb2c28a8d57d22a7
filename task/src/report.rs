//! The results of a task: exact totals, and the individual shares since the last report.

use std::ops::AddAssign;
use std::time::Duration;

/// The results of a task, carried by `TASK_RUNNING` updates and by the terminal update.
///
/// A worker's report has one account, its own. A report of the pool server has an account for each worker whose totals have
/// changed since the last report that the agent acknowledged; the server's last report has all accounts. Totals count from the
/// start of the task, so a repeated or skipped report does not change any sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The sequence number of the report within its task, starting at 1.
    pub sequence: u64,
    /// The accounts of the workers, one each.
    pub accounts: Vec<Account>,
    /// The address of the pool server; set in every report of a server task, never in a worker's.
    pub server: Option<ServerAddress>,
}

/// The work of one worker, as counted by the worker or by the pool server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// The worker's Stratum user name. Under Mesos this is the worker's task id.
    pub worker: String,
    /// Totals since the start of the reporting task.
    pub totals: Totals,
    /// Shares since the last report, oldest first; the sender limits their number.
    pub rows: Vec<ShareRow>,
    /// The number of shares that `totals` counts but that no report of this task contained in its `rows`, because the number of
    /// rows is limited.
    pub rows_omitted: u64,
}

/// Totals since the start of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Hashes computed. Zero in the pool server's accounts, because a pool cannot know the number of hashes.
    pub hashes: u128,
    /// Expected hashes of the accepted shares: the sum of `2^256 / (target + 1)`, rounded down for each share.
    pub accepted_work: u128,
    /// Shares that the pool accepted.
    pub accepted: u64,
    /// Shares that the pool rejected for any reason other than staleness.
    pub rejected: u64,
    /// Stale shares: rejected as stale, or dropped before they were sent.
    pub stale: u64,
    /// Shares that were sent and never answered.
    pub unanswered: u64,
    /// In the pool server's accounts: blocks that a node (or the built-in chain) has accepted. Zero in a worker's account, because
    /// a worker is not told. Executors of earlier versions had their workers' `candidates` here.
    pub blocks: u64,
    /// Candidates: accepted shares that met the network's target, so that a block could be made of them. Not each becomes a
    /// block. Zero from pool servers of earlier versions.
    pub candidates: u64,
    /// How many of `blocks` are no longer in the node's chain. Zero in a worker's account.
    pub orphaned: u64,
}

impl Totals {
    /// Counts the verdict on one share. `work` is the expected number of hashes for the share, added if it was accepted.
    pub fn count(&mut self, verdict: Verdict, work: u128) {
        match verdict {
            Verdict::Accepted => {
                self.accepted += 1;
                self.accepted_work = self.accepted_work.saturating_add(work);
            }
            Verdict::Rejected(_) => self.rejected += 1,
            Verdict::Stale => self.stale += 1,
            Verdict::Unanswered => self.unanswered += 1,
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.hashes = self.hashes.saturating_add(other.hashes);
        self.accepted_work = self.accepted_work.saturating_add(other.accepted_work);
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.rejected = self.rejected.saturating_add(other.rejected);
        self.stale = self.stale.saturating_add(other.stale);
        self.unanswered = self.unanswered.saturating_add(other.unanswered);
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.candidates = self.candidates.saturating_add(other.candidates);
        self.orphaned = self.orphaned.saturating_add(other.orphaned);
    }
}

/// One share of a worker with its verdict, as stored in reports and in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareRow {
    /// The pool's id of the job.
    pub job: String,
    /// The bytes of extranonce2, as they appear in the coinbase.
    pub extranonce2: Vec<u8>,
    /// Header time, seconds since the Unix epoch.
    pub ntime: u32,
    /// Header version, with rolled bits.
    pub version: u32,
    /// Header nonce.
    pub nonce: u32,
    /// The difficulty of the hash, which is at least the share difficulty.
    pub difficulty: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// The time from the submission to the answer; in the pool server's rows, the time that the check took. Whole microseconds.
    pub round_trip: Duration,
}

/// The verdict on a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pool accepted the share.
    Accepted,
    /// The pool rejected the share with this Stratum error code (20 if it gave none).
    Rejected(u32),
    /// The pool rejected the share as stale, or the share was dropped before it was sent because its job was outdated.
    Stale,
    /// The pool did not answer.
    Unanswered,
}

/// The address of the pool server of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Host name or IP address (IPv6 without brackets) that workers connect to.
    pub host: String,
    /// Stratum port.
    pub stratum_port: u16,
    /// HTTP port (health, metrics).
    pub http_port: u16,
}
