//! Work on its way to the miners.

mod id;
mod layout;
mod puzzle;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bitcoin::ScriptBuf;
use hasher::{CompactTarget, Target};
use node::{BlockDraft, CoinbasePlan, HeaderTimes, Template};
use stratum::Message;

pub use self::id::JobId;
pub use self::layout::{Layout, TooSmall};
pub use self::puzzle::Puzzle;

const _: () = assert!(Layout::OWN.size() <= CoinbasePlan::MAX_EXTRANONCE_SIZE);

/// Version bits that miners may roll (BIP-0320).
pub const VERSION_MASK: u32 = 0x1fff_e000;

/// The right to make a block, which only one share gets. Whoever publishes work decides which of it makes the same block.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicBool>);

impl Claim {
    /// True for the first caller only.
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Whether somebody has it.
    pub fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A block to be made, as a source publishes it.
#[derive(Clone, Debug)]
pub struct Work {
    /// What the chain gives.
    pub template: Arc<Template>,
    /// Time and bits of its headers.
    pub times: HeaderTimes,
    /// Where subsidy and fees go; to the miners' own addresses if none.
    pub payout: Option<ScriptBuf>,
    /// The coinbase's tag.
    pub tag: Arc<[u8]>,
    /// The right to make this block.
    pub claim: Claim,
}

/// An upstream pool's job, of which each connection gets a part.
#[derive(Clone, Debug)]
pub struct UpstreamJob {
    /// The job as the upstream pool gave it.
    pub job: Arc<stratum::Job>,
    /// How its extranonce2 is shared out.
    pub layout: Layout,
    /// Rises with each job that voids all earlier ones.
    pub epoch: u64,
    /// The right to make this block, as far as we see: only the upstream pool knows.
    pub claim: Claim,
}

/// What a job is about.
#[derive(Clone, Debug)]
pub enum Content {
    /// A block that we make.
    Block(Work),
    /// A job of an upstream pool.
    Upstream(UpstreamJob),
}

impl From<Work> for Content {
    fn from(work: Work) -> Content {
        Content::Block(work)
    }
}

impl From<UpstreamJob> for Content {
    fn from(borrowed: UpstreamJob) -> Content {
        Content::Upstream(borrowed)
    }
}

/// Work for all connections. Each gives it an id, a difficulty and an extranonce1 of its own.
#[derive(Debug)]
pub struct Job {
    /// Rises with each job of the pool; the first is 1.
    pub serial: u32,
    /// What it is about.
    pub content: Content,
    /// Height of the block, 0 if it is not known.
    pub height: u32,
    /// Time and bits of its headers.
    pub times: HeaderTimes,
    /// What a digest must meet for the job's source to hear of it: the network's target, or an easier one of the
    /// upstream pool's shares.
    pub target: Target,
    /// The same as a difficulty; none of a connection is higher.
    pub difficulty: f64,
    /// What the digest of a block must meet, as a difficulty.
    pub network: f64,
    /// Version bits that may be rolled.
    pub version_mask: u32,
    /// What miners may choose in the coinbase.
    pub layout: Layout,
    /// The puzzle that all connections share, if they do.
    shared: Option<Puzzle>,
    /// What tells connections of it that have had no other on the same tip: with a new block, the same line for all.
    first_line: OnceLock<String>,
}

impl Job {
    /// A job to be published.
    pub fn new(serial: u32, content: impl Into<Content>) -> Job {
        match content.into() {
            Content::Block(work) => Job::block(serial, work),
            Content::Upstream(borrowed) => Job::upstream(serial, borrowed),
        }
    }

    fn block(serial: u32, work: Work) -> Job {
        let target = network_target(work.times.bits.to_consensus());
        Job {
            serial,
            height: work.template.height,
            times: work.times,
            target,
            difficulty: target.difficulty(),
            network: target.difficulty(),
            version_mask: VERSION_MASK & !work.template.used_version_bits,
            layout: Layout::OWN,
            shared: work.payout.clone().map(|payout| draft(&work, payout)),
            content: Content::Block(work),
            first_line: OnceLock::new(),
        }
    }

    fn upstream(serial: u32, borrowed: UpstreamJob) -> Job {
        let job = &borrowed.job;
        let network = network_target(job.nbits.0);
        // A block is worth telling of whatever the upstream pool asks for.
        let target = if job.target.difficulty() > network.difficulty() { network } else { job.target };
        let bits = bitcoin::CompactTarget::from_consensus(job.nbits.0);
        Job {
            serial,
            height: height(&job.coinb1).unwrap_or(0),
            // What else the upstream pool allows of time is not known.
            times: HeaderTimes { bits, start: job.ntime, first: job.ntime, last: u32::MAX, until: None },
            target,
            difficulty: target.difficulty(),
            network: network.difficulty(),
            version_mask: job.version_mask,
            layout: borrowed.layout,
            shared: Some(Puzzle::Upstream(job.clone())),
            content: Content::Upstream(borrowed),
            first_line: OnceLock::new(),
        }
    }

    /// The line that tells a miner of it. `puzzle` is what [`Job::puzzle`] gave for the miner.
    pub fn line(&self, puzzle: &Puzzle, id: JobId, clean: bool) -> String {
        let (start, bits) = (self.times.start, self.times.bits.to_consensus());
        let line = || Message::from(puzzle.notify(id, &self.layout, start, bits, clean).to_call()).to_line();
        if clean && id.issue == 0 && self.shared.is_some() {
            self.first_line.get_or_init(line).clone()
        } else {
            line()
        }
    }

    /// What its headers are made of. Blocks pay `payee` where each miner is paid by itself; none if there is nobody to
    /// pay.
    pub fn puzzle(&self, payee: Option<&ScriptBuf>) -> Option<Puzzle> {
        match &self.content {
            Content::Block(work) => self.shared.clone().or_else(|| Some(draft(work, payee?.clone()))),
            Content::Upstream(_) => self.shared.clone(),
        }
    }

    /// The right to make this block.
    pub fn claim(&self) -> &Claim {
        match &self.content {
            Content::Block(work) => &work.claim,
            Content::Upstream(borrowed) => &borrowed.claim,
        }
    }

    /// Whether a connection that got this job under the id `last` can't get it once more.
    pub fn is_used_up_by(&self, last: JobId) -> bool {
        last.serial == self.serial && last.issue == self.layout.last_issue()
    }

    /// Whether `newer` makes this job worthless.
    pub fn is_outdated_by(&self, newer: &Job) -> bool {
        match (&self.content, &newer.content) {
            (Content::Block(old), Content::Block(new)) => old.template.prev_hash != new.template.prev_hash,
            (Content::Upstream(old), Content::Upstream(new)) => old.epoch != new.epoch,
            _ => true,
        }
    }

    /// Whether `newer` is the one that this job's bits were to make way for, so that a miner should turn to it at once.
    pub fn gives_way_to(&self, newer: &Job) -> bool {
        self.is_outdated_by(newer) || (self.times.until.is_some() && newer.times.until.is_none())
    }
}

/// A template with nonsense in it can't be solved, but is no reason to fall over.
fn network_target(bits: u32) -> Target {
    Target::from_compact(CompactTarget(bits)).unwrap_or(Target::ZERO)
}

fn draft(work: &Work, payout: ScriptBuf) -> Puzzle {
    let plan = CoinbasePlan { payout, tag: work.tag.to_vec(), extranonce_size: Layout::OWN.size() };
    Puzzle::Block(Arc::new(BlockDraft::new(work.template.clone(), &plan).expect("the extranonces fit")))
}

/// The height that a coinbase begins with (BIP-0034), read from its first half.
fn height(coinb1: &[u8]) -> Option<u32> {
    // Version, number of inputs, outpoint, and the length of the script, which is one byte: it is at most 100.
    let script = coinb1.get(4 + 1 + 36 + 1..)?;
    match *script {
        // OP_1 to OP_16
        [opcode @ 0x51..=0x60, ..] => Some(u32::from(opcode - 0x50)),
        [length @ 1..=4, ref rest @ ..] => {
            let digits = rest.get(..usize::from(length))?;
            Some(digits.iter().rev().fold(0, |height, digit| height << 8 | u32::from(*digit)))
        }
        _ => None,
    }
}

/// A job as one connection got it.
#[derive(Clone, Debug)]
pub struct IssuedJob {
    /// Its id on this connection.
    pub id: JobId,
    /// What all connections work on.
    pub job: Arc<Job>,
    /// What its headers are made of, with this connection's coinbase.
    pub puzzle: Puzzle,
    /// The difficulty in force when it was sent.
    pub difficulty: f64,
    /// The lowest difficulty in force since then: some miners use it for jobs that they have already.
    pub lowest: f64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chain::BuiltinChain;

    #[test]
    fn one_block_per_claim_and_jobs_know_what_makes_them_worthless() {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", 1_800_000_000);
        let work = |hashrate| crate::source::builtin_work(&chain, hashrate, 1_800_000_000, Claim::default());
        let first = Job::new(1, work(0.0));
        let harder = Job::new(2, Work { claim: first.claim().clone(), ..work(1e6) });
        assert!(!first.is_outdated_by(&harder) && !first.gives_way_to(&harder));
        assert!(harder.difficulty > first.difficulty);
        assert!(harder.claim().take());
        assert!(!harder.claim().take() && !first.claim().take() && first.claim().is_taken());

        // Where its bits have an end, it makes way for one without, but not for one with the same.
        let ending = |serial| {
            let mut job = Job::new(serial, work(0.0));
            job.times.until = Some(1);
            job
        };
        assert!(ending(4).gives_way_to(&first) && !ending(4).gives_way_to(&ending(5)));

        let mut other = work(0.0);
        Arc::make_mut(&mut other.template).prev_hash =
            bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin).block_hash();
        let other = Job::new(3, other);
        assert!(harder.is_outdated_by(&other) && harder.gives_way_to(&other) && other.claim().take());
    }

    #[test]
    fn a_line_that_is_kept_is_the_same_as_a_new_one() {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", 1_800_000_000);
        let job = Job::new(7, crate::source::builtin_work(&chain, 0.0, 1_800_000_000, Claim::default()));
        let puzzle = job.puzzle(None).unwrap();
        for (issue, clean) in [(0, true), (0, true), (0, false), (1, true), (0, true)] {
            let id = JobId { serial: 7, issue };
            let (start, bits) = (job.times.start, job.times.bits.to_consensus());
            let new = puzzle.notify(id, &job.layout, start, bits, clean);
            assert_eq!(job.line(&puzzle, id, clean), Message::from(new.to_call()).to_line());
        }
    }

    #[test]
    fn rollable_bits_leave_out_those_in_use() {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", 1_800_000_000);
        let mut work = crate::source::builtin_work(&chain, 0.0, 1_800_000_000, Claim::default());
        assert_eq!(Job::new(1, work.clone()).version_mask, 0x1fff_e000);
        Arc::make_mut(&mut work.template).used_version_bits = 0x1000_4001;
        assert_eq!(Job::new(1, work).version_mask, 0x0fff_a000);
    }

    #[test]
    fn each_is_paid_where_nobody_is_paid_for_all() {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", 1_800_000_000);
        let mut work = crate::source::builtin_work(&chain, 0.0, 1_800_000_000, Claim::default());
        let (mine, yours) = (ScriptBuf::from_bytes(vec![0x51]), ScriptBuf::from_bytes(vec![0x52]));
        let coinb1 = |job: &Job, payee| match job.puzzle(payee)? {
            Puzzle::Block(draft) => Some(draft.coinbase.clone()),
            Puzzle::Upstream(_) => None,
        };
        let job = Job::new(1, work.clone());
        assert_eq!(coinb1(&job, None), coinb1(&job, Some(&mine)));
        work.payout = None;
        let job = Job::new(1, work);
        assert!(job.puzzle(None).is_none());
        assert_ne!(coinb1(&job, Some(&mine)), coinb1(&job, Some(&yours)));
        let line = |payee| job.line(&job.puzzle(Some(payee)).unwrap(), JobId { serial: 1, issue: 0 }, true);
        assert_ne!(line(&mine), line(&yours), "nor is either told of the other's");
    }
}
