//! What a task has done so far: exact totals, and the single shares since the last report.

use std::ops::AddAssign;
use std::time::Duration;

/// A task's account of its work, carried by `TASK_RUNNING` and by the terminal update.
///
/// A worker's report has one account, its own. The pool server's has one for each worker whose totals changed
/// since the agent acknowledged an earlier report; its last report has all of them. Totals count from the start
/// of the task, so a report that is repeated or skipped changes no sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Rises by one with each report of a task; 1 is the first.
    pub sequence: u64,
    /// One entry per worker, see above.
    pub accounts: Vec<Account>,
    /// Where the pool server listens; set in every report of a server task, never in a worker's.
    pub server: Option<ServerAddress>,
}

/// The work of one worker, as the worker or the pool server counts it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// The worker's Stratum user name. Under Mesos this is the worker's task id.
    pub worker: String,
    /// Sums since the start of the reporting task.
    pub totals: Totals,
    /// Shares since the last report, oldest first; bounded by the sender.
    pub rows: Vec<ShareRow>,
    /// Rows left out since the start of the task, because there were too many.
    pub rows_omitted: u64,
}

/// Sums since the start of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Hashes searched. Zero in the pool server's accounts, which can't know it.
    pub hashes: u128,
    /// Expected hashes of the accepted shares: the sum of `2^256 / (target + 1)`, a whole number per share.
    pub accepted_work: u128,
    /// Shares that the pool accepted.
    pub accepted: u64,
    /// Shares that the pool rejected for any reason but staleness.
    pub rejected: u64,
    /// Shares that were outdated: rejected with code 21, or dropped unsent.
    pub stale: u64,
    /// Shares that were sent and never answered.
    pub unanswered: u64,
    /// Blocks found.
    pub blocks: u64,
}

impl Totals {
    /// Adds one share's verdict; `work` is its expected number of hashes, counted if it was accepted.
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
    }
}

/// One share.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareRow {
    /// The pool's name for the job.
    pub job: String,
    /// The extranonce2 bytes as they stand in the coinbase.
    pub extranonce2: Vec<u8>,
    /// The header's time, seconds since the Unix epoch.
    pub ntime: u32,
    /// The header's version, with rolled bits.
    pub version: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The difficulty that the digest reached: at least the one asked for.
    pub difficulty: f64,
    /// What became of it.
    pub verdict: Verdict,
    /// From submit to answer; in the pool server's rows, the time the check took. Whole microseconds.
    pub round_trip: Duration,
}

/// What became of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pool accepted it.
    Accepted,
    /// The pool rejected it with this Stratum error code (20 where it gave none).
    Rejected(u32),
    /// Rejected with code 21, or dropped unsent because its job was outdated.
    Stale,
    /// No answer came.
    Unanswered,
}

/// Where the pool server of a task listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Host name or IP address (IPv6 without brackets), as workers should dial it.
    pub host: String,
    /// Stratum port.
    pub stratum_port: u16,
    /// HTTP port (health, metrics).
    pub http_port: u16,
}
