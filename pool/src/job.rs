//! Jobs: the work that the pool gives its miners, and the rules by which a newer job makes an older one stale.

mod extranonce_layout;
mod header_builder;
mod issued;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use bitcoin::ScriptBuf;
use hasher::{CompactTarget, Target};
use node::{BlockDraft, CoinbasePlan, HeaderTimes, NodeClock, Template};

pub use self::extranonce_layout::{ExtranonceLayout, ExtranonceTooSmall};
pub use self::header_builder::HeaderBuilder;
pub use self::issued::{IssuedJob, JobId};

const _: () = assert!(ExtranonceLayout::OWN_BLOCKS.size() <= CoinbasePlan::MAX_EXTRANONCE_SIZE);

/// Version bits that miners may roll (BIP-0320).
pub const VERSION_MASK: u32 = 0x1fff_e000;

/// The right to make a block. Only one share gets it, since all jobs for the same block have the same claim.
#[derive(Clone, Debug, Default)]
pub struct BlockClaim(Arc<AtomicU8>);

impl BlockClaim {
    const FREE: u8 = 0;
    const TAKEN: u8 = 1;
    const HELD: u8 = 2;

    /// Takes the right to make the block. Returns true for the first caller only.
    pub fn take(&self) -> bool {
        self.leave_free(Self::TAKEN)
    }

    /// Keeps everybody from [taking](Self::take) the right until it is [released](Self::release): the operator wants no block yet.
    /// Returns false if it is taken already.
    pub fn hold(&self) -> bool {
        self.leave_free(Self::HELD)
    }

    fn leave_free(&self, state: u8) -> bool {
        self.0.compare_exchange(Self::FREE, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Gives the right back, so that the next caller of [`take`](Self::take) gets it.
    pub fn release(&self) {
        self.0.store(Self::FREE, Ordering::Release);
    }

    /// Whether [`take`](Self::take) would return false: the right is taken or held.
    pub fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) != Self::FREE
    }

    /// Whether the right is [held](Self::hold).
    pub fn is_held(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::HELD
    }
}

/// A job to make a block of our own from a template.
#[derive(Clone, Debug)]
pub struct TemplateJob {
    /// The template of the node or of the built-in chain.
    pub template: Arc<Template>,
    /// The header times that nodes accept, and the bits of the headers.
    pub times: HeaderTimes,
    /// The clock that judges header times.
    pub clock: NodeClock,
    /// The script that receives subsidy and fees; `None`: each miner is paid at its own address.
    pub payout: Option<ScriptBuf>,
    /// Bytes for the end of the coinbase's input script, such as the pool's name.
    pub tag: Arc<[u8]>,
    /// The right to make this block: all jobs for this block have the same claim, and only one share gets it.
    pub claim: BlockClaim,
}

/// A job of an upstream pool. Each connection gets a part of its extranonce2.
#[derive(Clone, Debug)]
pub struct UpstreamJob {
    /// The job as the upstream pool sent it.
    pub job: Arc<stratum::Job>,
    /// How the upstream pool's extranonce2 is divided among the miners.
    pub layout: ExtranonceLayout,
    /// The upstream pool's clock, as far as its job shows it.
    pub clock: NodeClock,
    /// The header time with which miners start: that of the job, or a later one if the job is given out again.
    pub start: u32,
    /// Rises by one whenever a new job of the upstream pool makes all earlier jobs stale.
    pub epoch: u64,
    /// The right to forward a share that makes a block but is below the upstream pool's difficulty. Many pools take such a share, as
    /// it is a block; others reject it. So there is one on each tip at most.
    pub easy_block: BlockClaim,
}

/// The content of a job, as its source made it.
#[derive(Clone, Debug, derive_more::From)]
pub enum JobContent {
    /// A block of our own.
    Template(TemplateJob),
    /// A job of an upstream pool.
    Upstream(UpstreamJob),
}

/// A job for all connections. Each connection adds a job id, a difficulty and an extranonce1 of its own
/// ([`IssuedJob`]).
#[derive(Debug)]
pub struct Job {
    /// The job's number in this pool, from 1.
    pub serial: u32,
    /// The content, as the job's source made it.
    pub content: JobContent,
    /// Height of the block, 0 if unknown.
    pub height: u32,
    /// The header times that are accepted, and the bits of the headers.
    pub times: HeaderTimes,
    /// The clock that judges header times: the node's, or what the upstream pool's job shows of that pool's.
    pub clock: NodeClock,
    /// The target for shares that go to the job's source: the network's target, or the upstream pool's. The source wants every share
    /// that meets it.
    pub target: Target,
    /// [`Job::target`] as a difficulty. No connection gets a higher one.
    pub difficulty: f64,
    /// The network's difficulty, which a block must reach.
    pub network_difficulty: f64,
    /// Version bits that miners may roll.
    pub version_mask: u32,
    /// How the coinbase's free bytes are divided among pool, connection and miner.
    pub layout: ExtranonceLayout,
    /// The header builder that all connections share; `None` if each miner is paid at its own address.
    common_builder: Option<HeaderBuilder>,
    /// The encoded message for connections that get this job as their first job on a new tip. All these connections get the same
    /// bytes.
    first_encoding: OnceLock<String>,
}

impl Job {
    /// Makes a job to be published.
    pub fn new(serial: u32, content: impl Into<JobContent>) -> Self {
        match content.into() {
            JobContent::Template(job) => Job::from_template(serial, job),
            JobContent::Upstream(job) => Job::from_upstream(serial, job),
        }
    }

    fn from_template(serial: u32, job: TemplateJob) -> Self {
        let target = network_target(job.times.bits.to_consensus());
        Job {
            serial,
            height: job.template.height,
            times: job.times,
            clock: job.clock,
            target,
            difficulty: target.difficulty(),
            network_difficulty: target.difficulty(),
            version_mask: VERSION_MASK & !job.template.used_version_bits,
            layout: ExtranonceLayout::OWN_BLOCKS,
            common_builder: job.payout.clone().map(|payout| block_builder(&job, payout)),
            content: JobContent::Template(job),
            first_encoding: OnceLock::new(),
        }
    }

    fn from_upstream(serial: u32, upstream: UpstreamJob) -> Self {
        let job = &upstream.job;
        let network = network_target(job.nbits.0);
        // Where the upstream pool's difficulty is above the network's, a share that only makes a block is not forwarded like others:
        // there may be thousands a second, and many pools reject them.
        let target = job.target;
        let bits = bitcoin::CompactTarget::from_consensus(job.nbits.0);
        Job {
            serial,
            height: coinbase_height(&job.coinb1).unwrap_or(0),
            // Stratum does not tell which header times the upstream pool accepts.
            times: HeaderTimes { bits, start: upstream.start, first: job.ntime, last: u32::MAX, until: None },
            clock: upstream.clock,
            target,
            difficulty: target.difficulty(),
            network_difficulty: network.difficulty(),
            version_mask: job.version_mask,
            layout: upstream.layout,
            common_builder: Some(HeaderBuilder::Upstream(job.clone())),
            content: JobContent::Upstream(upstream),
            first_encoding: OnceLock::new(),
        }
    }

    /// The header builder for a connection. If each miner is paid at its own address, the connection's blocks pay `payout`;
    /// the result is `None` as long as the connection has no such address.
    pub fn header_builder(&self, payout: Option<&ScriptBuf>) -> Option<HeaderBuilder> {
        match &self.content {
            JobContent::Template(job) => {
                self.common_builder.clone().or_else(|| Some(block_builder(job, payout?.clone())))
            }
            JobContent::Upstream(_) => self.common_builder.clone(),
        }
    }

    /// Where to cache the encoding of this job as issued under `id`; `None` if other connections get different bytes.
    pub fn encoding_cache(&self, id: JobId, clean: bool) -> Option<&OnceLock<String>> {
        (clean && id.issue == 0 && self.common_builder.is_some()).then_some(&self.first_encoding)
    }

    /// The claim on the block that this job mines, which only one share can take. `None` if an upstream pool makes the block.
    pub fn claim(&self) -> Option<&BlockClaim> {
        match &self.content {
            JobContent::Template(job) => Some(&job.claim),
            JobContent::Upstream(_) => None,
        }
    }

    /// Whether the operator wants no block yet, so that nothing comes of a candidate for this job.
    pub fn is_held(&self) -> bool {
        self.claim().is_some_and(BlockClaim::is_held)
    }

    /// Whether a connection whose last job id is `last` has used all ids of this job.
    pub fn is_exhausted_after(&self, last: JobId) -> bool {
        last.serial == self.serial && last.issue == self.layout.last_issue()
    }

    /// Whether `newer` makes shares of this job stale.
    pub fn is_outdated_by(&self, newer: &Job) -> bool {
        match (&self.content, &newer.content) {
            (JobContent::Template(old), JobContent::Template(new)) => {
                old.template.prev_hash != new.template.prev_hash
            }
            (JobContent::Upstream(old), JobContent::Upstream(new)) => old.epoch != new.epoch,
            _ => true,
        }
    }

    /// Whether miners should immediately drop this job for `newer`: either `newer` makes this job stale, or this job has
    /// a time limit (on testnets) and `newer` has none.
    pub fn gives_way_to(&self, newer: &Job) -> bool {
        self.is_outdated_by(newer) || (self.times.until.is_some() && newer.times.until.is_none())
    }
}

/// The target that the bits encode. A template with invalid bits gets a target that no digest meets.
fn network_target(bits: u32) -> Target {
    Target::from_compact(CompactTarget(bits)).unwrap_or(Target::ZERO)
}

fn block_builder(job: &TemplateJob, payout: ScriptBuf) -> HeaderBuilder {
    let extranonce_size = ExtranonceLayout::OWN_BLOCKS.size();
    let plan = CoinbasePlan { payout, tag: job.tag.to_vec(), extranonce_size };
    let draft = BlockDraft::new(job.template.clone(), &plan).expect("the extranonces fit");
    HeaderBuilder::Template(Arc::new(draft))
}

/// The height at the beginning of a coinbase's script (BIP-0034), read from the coinbase's first half.
fn coinbase_height(coinb1: &[u8]) -> Option<u32> {
    // Skips version, number of inputs, outpoint, and the length of the script. The length takes one byte, since it is at
    // most 100.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chain::BuiltinChain;
    use crate::clock::Now;

    const NOW: u32 = 1_800_000_000;

    fn template_job(hashrate: f64) -> TemplateJob {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", NOW);
        crate::source::builtin_work(&chain, hashrate, Now::with_unix(NOW), BlockClaim::default())
    }

    #[test]
    fn a_claim_is_taken_once_and_a_job_is_outdated_by_another_tip() {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", NOW);
        let work = |hashrate| {
            crate::source::builtin_work(&chain, hashrate, Now::with_unix(NOW), BlockClaim::default())
        };
        let first = Job::new(1, work(0.0));
        let claim = |job: &Job| job.claim().unwrap().clone();
        let harder = Job::new(2, TemplateJob { claim: claim(&first), ..work(1e6) });
        assert!(!first.is_outdated_by(&harder) && !first.gives_way_to(&harder));
        assert!(harder.difficulty > first.difficulty);
        assert!(claim(&harder).take());
        assert!(!claim(&harder).take() && !claim(&first).take() && claim(&first).is_taken());

        // A job with a time limit gives way to a job without one, but not to another job that also has a time limit.
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
        assert!(harder.is_outdated_by(&other) && harder.gives_way_to(&other) && claim(&other).take());
    }

    #[test]
    fn version_bits_in_use_cannot_be_rolled() {
        let mut work = template_job(0.0);
        assert_eq!(Job::new(1, work.clone()).version_mask, 0x1fff_e000);
        Arc::make_mut(&mut work.template).used_version_bits = 0x1000_4001;
        assert_eq!(Job::new(1, work).version_mask, 0x0fff_a000);
    }

    #[test]
    fn each_miner_is_paid_at_its_own_address_where_there_is_no_common_payout() {
        let mut work = template_job(0.0);
        let (mine, yours) = (ScriptBuf::from_bytes(vec![0x51]), ScriptBuf::from_bytes(vec![0x52]));
        let coinb1 = |job: &Job, payee| match job.header_builder(payee)? {
            HeaderBuilder::Template(draft) => Some(draft.coinbase.clone()),
            HeaderBuilder::Upstream(_) => None,
        };
        let job = Job::new(1, work.clone());
        assert_eq!(coinb1(&job, None), coinb1(&job, Some(&mine)));
        work.payout = None;
        let job = Arc::new(Job::new(1, work));
        assert!(job.header_builder(None).is_none());
        assert_ne!(coinb1(&job, Some(&mine)), coinb1(&job, Some(&yours)));
        let line = |payee| {
            let (id, builder) = (JobId { serial: 1, issue: 0 }, job.header_builder(Some(payee)).unwrap());
            let issued = IssuedJob { id, job: job.clone(), builder, difficulty: 1.0, lowest: 1.0 };
            crate::stratum_v1::notify_line(&issued, true)
        };
        assert_ne!(line(&mine), line(&yours), "the cached line of one miner goes to no other");
    }
}
