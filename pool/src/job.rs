//! Work on its way to the miners.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitcoin::ScriptBuf;
use bitcoin::hashes::Hash;
use hasher::Target;
use node::{CoinbasePlan, Draft, Solution, Template, Times};

/// Bytes of the coinbase that count the jobs which a connection got for one block, so that no two of them share
/// a single header: a miner that starts over with each job never repeats itself.
pub const ISSUE_SIZE: usize = 2;
/// Bytes of a connection's extranonce1.
pub const EXTRANONCE1_SIZE: usize = 4;
/// Bytes that the miner chooses.
pub const EXTRANONCE2_SIZE: usize = 8;
/// All of these.
pub const EXTRANONCE_SIZE: usize = ISSUE_SIZE + EXTRANONCE1_SIZE + EXTRANONCE2_SIZE;

const _: () = assert!(EXTRANONCE_SIZE <= CoinbasePlan::MAX_EXTRANONCE_SIZE);

/// Version bits that miners may roll (BIP-0320).
const VERSION_MASK: u32 = 0x1fff_e000;

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
    pub times: Times,
    /// Where subsidy and fees go; to the miners' own addresses if none.
    pub payout: Option<ScriptBuf>,
    /// The coinbase's tag.
    pub tag: Arc<[u8]>,
    /// The right to make this block.
    pub claim: Claim,
}

/// Work for all connections. Each gives it an id, a difficulty and an extranonce1 of its own.
#[derive(Debug)]
pub struct Job {
    /// Rises with each job of the pool; the first is 1.
    pub serial: u32,
    /// The block to be made.
    pub work: Work,
    /// What the digest of a block must meet.
    pub target: Target,
    /// The target as a difficulty.
    pub difficulty: f64,
    /// Version bits that may be rolled.
    pub version_mask: u32,
    /// The draft that all connections share, if they do.
    shared: Option<Arc<Draft>>,
}

impl Job {
    /// A job to be published.
    pub fn new(serial: u32, work: Work) -> Job {
        let target = hasher::CompactTarget(work.times.bits.to_consensus());
        // A template with nonsense in it can't be solved, but is no reason to fall over.
        let target = Target::from_compact(target).unwrap_or(Target::ZERO);
        Job {
            serial,
            target,
            difficulty: target.difficulty(),
            version_mask: VERSION_MASK & !work.template.used_version_bits,
            shared: work.payout.clone().map(|payout| draft(&work, payout)),
            work,
        }
    }

    /// The block with a coinbase. It pays `payee` where each miner is paid by itself; none if there is nobody to pay.
    pub fn draft(&self, payee: Option<&ScriptBuf>) -> Option<Arc<Draft>> {
        self.shared.clone().or_else(|| Some(draft(&self.work, payee?.clone())))
    }

    /// Whether `newer` makes this job worthless.
    pub fn is_outdated_by(&self, newer: &Job) -> bool {
        self.work.template.prev_hash != newer.work.template.prev_hash
    }

    /// Whether `newer` is the one that this job's bits were to make way for, so that a miner should turn to it at once.
    pub fn gives_way_to(&self, newer: &Job) -> bool {
        self.is_outdated_by(newer) || (self.work.times.until.is_some() && newer.work.times.until.is_none())
    }
}

fn draft(work: &Work, payout: ScriptBuf) -> Arc<Draft> {
    let plan = CoinbasePlan { payout, tag: work.tag.to_vec(), extranonce_size: EXTRANONCE_SIZE };
    Arc::new(Draft::new(work.template.clone(), &plan).expect("the extranonces fit"))
}

/// The header that a solution makes, as its 80 bytes are hashed.
pub fn header(draft: &Draft, solution: Solution<'_>) -> hasher::Header {
    let header = draft.header(solution);
    hasher::Header {
        // The same 32 bits.
        version: header.version.to_consensus() as u32,
        prev_hash: header.prev_blockhash.to_byte_array(),
        merkle_root: header.merkle_root.to_byte_array(),
        ntime: header.time,
        nbits: hasher::CompactTarget(header.bits.to_consensus()),
        nonce: header.nonce,
    }
}

/// A job as one connection got it.
#[derive(Clone, Debug)]
pub struct IssuedJob {
    /// Its id on this connection.
    pub id: JobId,
    /// What all connections work on.
    pub job: Arc<Job>,
    /// The block with this connection's coinbase.
    pub draft: Arc<Draft>,
    /// The difficulty in force when it was sent.
    pub difficulty: f64,
    /// The lowest difficulty in force since then: some miners use it for jobs that they have already.
    pub lowest: f64,
}

/// A job's id on one connection: the job's serial number, and which time the connection got this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId {
    /// Serial number of the job.
    pub serial: u32,
    /// Counts from 0 for each job.
    pub issue: u16,
}

impl JobId {
    /// Reads what [`Display`](std::fmt::Display) writes; case and leading zeros don't matter.
    pub fn parse(text: &str) -> Option<JobId> {
        if text.starts_with('+') {
            return None;
        }
        let number = u64::from_str_radix(text, 16).ok()?;
        Some(JobId { serial: u32::try_from(number >> 16).ok()?, issue: number as u16 })
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}{:04x}", self.serial, self.issue)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chain::BuiltinChain;

    #[test]
    fn ids_survive_the_trip() {
        for (serial, issue) in [(1, 0), (0, 1), (0xabc, 0xffff), (u32::MAX, u16::MAX)] {
            let id = JobId { serial, issue };
            assert_eq!(JobId::parse(&id.to_string()), Some(id));
            assert_eq!(JobId::parse(&id.to_string().to_uppercase()), Some(id));
        }
        for text in ["", "x", "+10000", "-1", "1ffffffff0000", "ffffffffffffffffff"] {
            assert_eq!(JobId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn one_block_per_claim_and_jobs_know_what_makes_them_worthless() {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", 1_800_000_000);
        let work = |hashrate| crate::source::builtin_work(&chain, hashrate, 1_800_000_000, Claim::default());
        let first = Job::new(1, work(0.0));
        let harder = Job::new(2, Work { claim: first.work.claim.clone(), ..work(1e6) });
        assert!(!first.is_outdated_by(&harder) && !first.gives_way_to(&harder));
        assert!(harder.difficulty > first.difficulty);
        assert!(harder.work.claim.take());
        assert!(!harder.work.claim.take() && !first.work.claim.take() && first.work.claim.is_taken());

        let mut other = work(0.0);
        Arc::make_mut(&mut other.template).prev_hash =
            bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin).block_hash();
        let other = Job::new(3, other);
        assert!(harder.is_outdated_by(&other) && harder.gives_way_to(&other) && other.work.claim.take());
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
        let job = Job::new(1, work.clone());
        assert_eq!(job.draft(None).unwrap().coinbase, job.draft(Some(&mine)).unwrap().coinbase);
        work.payout = None;
        let job = Job::new(1, work);
        assert!(job.draft(None).is_none());
        assert_ne!(job.draft(Some(&mine)).unwrap().coinbase, job.draft(Some(&yours)).unwrap().coinbase);
    }
}
