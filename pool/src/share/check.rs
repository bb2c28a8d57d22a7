//! The check of one share. Pure: the same input always gets the same result.

use hasher::{CompactTarget, Digest, Target};
use node::{BootTime, Solution};
use stratum::Reason;

use super::{Rejection, SubmittedShare};
use crate::job::IssuedJob;

/// What the check of a share needs to know, apart from the share and its job.
#[derive(Clone, Copy, Debug)]
pub struct ShareContext<'a> {
    /// The connection's part of the coinbase.
    pub extranonce1: &'a [u8],
    /// Version bits that the connection may roll; 0 for none.
    pub version_mask: u32,
    /// When the share came.
    pub now: BootTime,
}

/// A share that meets its difficulty.
#[derive(Clone, Debug)]
pub struct ValidShare {
    /// The job.
    pub issued: IssuedJob,
    /// All extranonce bytes, which lie between the two halves of the coinbase.
    pub extranonces: Vec<u8>,
    /// The header's version, with rolled bits.
    pub version: u32,
    /// The header's time, seconds since the Unix epoch.
    pub ntime: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The header's digest. Two spellings of the same share have the same digest.
    pub digest: Digest,
    /// The work for which the share counts: the average number of hashes to find a share of a certain difficulty. If the digest
    /// meets the difficulty that the connection had when the job was sent, that difficulty counts. Otherwise, the lowest
    /// difficulty that was sent later counts.
    pub work: u128,
    /// Whether the digest also meets the target of the job's source.
    pub meets_job_target: bool,
}

impl ValidShare {
    /// Whether the digest meets the network's target, so that a block can be made of the share.
    pub fn meets_network_target(&self) -> bool {
        let bits = CompactTarget(self.issued.job.times.bits.to_consensus());
        Target::from_compact(bits).is_ok_and(|target| target.is_met_by(&self.digest))
    }

    /// The solution for [`BlockDraft::assemble`](node::BlockDraft::assemble).
    pub fn solution(&self) -> Solution<'_> {
        Solution {
            extranonces: &self.extranonces,
            version: self.version,
            ntime: self.ntime,
            bits: self.issued.job.times.bits,
            nonce: self.nonce,
        }
    }
}

/// A share that does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedShare {
    /// Code and text for the miner.
    pub reason: Reason,
    /// The kind of reason under which the share is counted.
    pub rejection: Rejection,
    /// The header's version with rolled bits; the rolled bits alone if the job is unknown.
    pub version: u32,
    /// The difficulty that the digest reached; 0 if no digest was computed.
    pub difficulty: f64,
}

/// Checks a share of `issued`. The caller checks whether the share is a duplicate.
///
/// # Errors
/// [`RejectedShare`] gives the reason why the share does not count.
pub fn check(
    issued: &IssuedJob,
    context: &ShareContext<'_>,
    share: &SubmittedShare,
) -> Result<ValidShare, RejectedShare> {
    let (times, layout) = (&issued.job.times, &issued.job.layout);
    let own_version = issued.builder.version();
    let mask = context.version_mask & issued.job.version_mask;
    let version = rolled(own_version, mask, share.version_bits);
    let reject = |rejection, code, difficulty, message: String| RejectedShare {
        reason: Reason::new(code, &message),
        rejection,
        version: version.unwrap_or(own_version),
        difficulty,
    };
    let reject_unhashed = |rejection, message| Err(reject(rejection, Reason::OTHER, 0.0, message));

    let (size, expected) = (share.extranonce2.len(), layout.extranonce2);
    if size != expected {
        let message = format!("extranonce2 has {size} bytes instead of {expected}");
        return reject_unhashed(Rejection::Extranonce, message);
    }
    let latest = times.latest(issued.job.clock.at(context.now));
    if !(times.first..=latest).contains(&share.ntime) {
        let message = format!("ntime {} is not in {}..={latest}", share.ntime, times.first);
        return reject_unhashed(Rejection::Time, message);
    }
    let Some(version) = version else {
        let bits = share.version_bits.unwrap_or_default();
        let message = format!("version bits {bits:08x} exceed the mask {mask:08x}");
        return reject_unhashed(Rejection::Version, message);
    };

    let extranonces = layout.join(issued.id.issue, context.extranonce1, &share.extranonce2);
    let (bits, ntime, nonce) = (times.bits, share.ntime, share.nonce);
    let solution = Solution { extranonces: &extranonces, version, ntime, bits, nonce };
    let digest = issued.builder.header(solution).digest();
    let meets_job_target = issued.job.target.is_met_by(&digest);
    // The miner may still apply the difficulty that was in force when the job was sent, or a lower one that was sent
    // after the job.
    let asked = [issued.difficulty, issued.lowest].map(Target::from_difficulty);
    let work = match asked.into_iter().find(|target| target.is_met_by(&digest)) {
        Some(target) => target.work(),
        // Every share that meets the job's target counts, even if rounding puts `issued.lowest` slightly above the job's
        // difficulty.
        None if meets_job_target => issued.job.target.work(),
        None => {
            let reached = digest.difficulty();
            let message = format!("difficulty {reached} is below {}", issued.lowest);
            return Err(reject(Rejection::LowDifficulty, Reason::LOW_DIFFICULTY, reached, message));
        }
    };
    let issued = issued.clone();
    Ok(ValidShare { issued, extranonces, version, ntime, nonce, digest, work, meets_job_target })
}

/// The version with the rolled bits; `None` if bits outside of the mask are rolled.
fn rolled(version: u32, mask: u32, bits: Option<u32>) -> Option<u32> {
    match bits {
        None => Some(version),
        // Some miners also send bits outside of the mask. Those that are already set in the job's version change nothing, so
        // they are allowed.
        Some(bits) if bits & !mask & !version == 0 => Some(stratum::job::rolled_version(version, mask, bits)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::chain::BuiltinChain;
    use crate::clock::Now;
    use crate::job::{HeaderBuilder, Job, JobId, TemplateJob};

    const NOW: u32 = 1_800_000_000;
    const MASK: u32 = 0x1fff_e000;
    /// How far a header's time may be ahead of the node's clock: two hours (consensus) less a minute.
    const MAX_AHEAD: u32 = 7_140;

    fn builtin_work() -> TemplateJob {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", NOW);
        crate::source::builtin_work(&chain, 1e3, Now::with_unix(NOW), Default::default())
    }

    fn issued(difficulty: f64, lowest: f64) -> IssuedJob {
        let job = Arc::new(Job::new(1, builtin_work()));
        let builder = job.header_builder(None).unwrap();
        IssuedJob { id: JobId { serial: 1, issue: 7 }, job, builder, difficulty, lowest }
    }

    fn context(version_mask: u32) -> ShareContext<'static> {
        ShareContext { extranonce1: &[1, 2, 3, 4], version_mask, now: BootTime::default() }
    }

    fn share() -> SubmittedShare {
        SubmittedShare { extranonce2: vec![0; 8], ntime: NOW, ..SubmittedShare::default() }
    }

    fn code(issued: &IssuedJob, mask: u32, share: &SubmittedShare) -> u32 {
        check(issued, &context(mask), share).map_or_else(|rejected| rejected.reason.code, |_| 0)
    }

    #[test]
    fn limits_of_time_and_version() {
        // Every hash is a share.
        let issued = issued(1e-30, 1e-30);
        let earliest = issued.job.times.first;
        for (ntime, expected) in [
            (earliest - 1, 20),
            (earliest, 0),
            (NOW + MAX_AHEAD, 0),
            (NOW + MAX_AHEAD + 1, 20),
            (0, 20),
            (u32::MAX, 20),
        ] {
            assert_eq!(code(&issued, 0, &SubmittedShare { ntime, ..share() }), expected, "{ntime}");
        }
        for (mask, bits, expected) in [
            (0, None, 0),
            (0, Some(0), 0),
            (0, Some(0x2000), 20),
            (MASK, Some(0x2000), 0),
            (MASK, Some(MASK), 0),
            (MASK, Some(0x2000_2000), 0),
            (MASK, Some(0x1000), 20),
            (MASK, Some(0x8000_0000), 20),
        ] {
            assert_eq!(
                code(&issued, mask, &SubmittedShare { version_bits: bits, ..share() }),
                expected,
                "{bits:08x?}"
            );
        }
    }

    #[test]
    fn sizes_must_fit_and_a_job_s_own_mask_counts() {
        let mut issued = issued(1e-30, 1e-30);
        for (size, expected) in [(0, 20), (7, 20), (8, 0), (9, 20), (16, 20)] {
            let extranonce2 = vec![0; size];
            assert_eq!(code(&issued, 0, &SubmittedShare { extranonce2, ..share() }), expected, "{size}");
        }
        let rolled = SubmittedShare { version_bits: Some(0x2000), ..share() };
        assert_eq!(code(&issued, MASK, &rolled), 0);
        // This job does not allow a bit that the connection may roll on other jobs.
        let mut job = Job::new(1, builtin_work());
        job.version_mask = MASK & !0x2000;
        issued.job = Arc::new(job);
        assert_eq!(code(&issued, MASK, &rolled), 20);
    }

    /// The system clock plays no part: it is not even an argument.
    #[test]
    fn times_may_be_two_hours_ahead_of_the_clock_of_the_job_s_source() {
        let mut issued = issued(1e-30, 1e-30);
        let read_at = BootTime::now();
        let mut job = Job::new(1, builtin_work());
        job.clock = node::NodeClock::new(NOW, read_at);
        issued.job = Arc::new(job);
        for passed in [0, 500, 30_000] {
            let now = read_at + Duration::from_secs(passed.into());
            let (context, latest) = (ShareContext { now, ..context(0) }, NOW + passed + MAX_AHEAD);
            assert!(check(&issued, &context, &SubmittedShare { ntime: latest, ..share() }).is_ok());
            assert!(check(&issued, &context, &SubmittedShare { ntime: latest + 1, ..share() }).is_err());
        }
    }

    #[test]
    fn the_first_block_of_a_testnet4_period_is_not_long_before_its_parent() {
        // A template of a node before Bitcoin Core 29: its earliest time breaks BIP94, which would make the block invalid.
        let mut work = builtin_work();
        let parent = NOW - 100;
        let template = Arc::make_mut(&mut work.template);
        (template.height, template.min_time, template.time) = (2016 * 3, parent - 3_000, NOW);
        let (network, policy) = (bitcoin::Network::Testnet4, node::MinDifficultyTime::Honest);
        work.times = node::HeaderTimes::of(&work.template, network, Some(parent), NOW, policy);
        work.clock = node::NodeClock::new(NOW, BootTime::default());
        let mut issued = issued(1e-30, 1e-30);
        issued.job = Arc::new(Job::new(1, work));
        issued.builder = issued.job.header_builder(None).unwrap();
        for (ntime, expected) in [(parent - 3_000, 20), (parent - 601, 20), (parent - 600, 0), (NOW, 0)] {
            assert_eq!(code(&issued, 0, &SubmittedShare { ntime, ..share() }), expected, "{ntime}");
        }
    }

    #[test]
    fn a_block_counts_at_any_difficulty_and_a_rejected_share_names_its_version() {
        let mut issued = issued(1e9, 1e9);
        let rolled = SubmittedShare { version_bits: Some(0x2000), ..share() };
        let rejected = check(&issued, &context(MASK), &rolled).unwrap_err();
        assert_eq!((rejected.reason.code, rejected.version), (23, issued.builder.version() | 0x2000));
        // About one in forty hashes makes a block.
        let mut job = Job::new(1, builtin_work());
        job.target = Target::from_difficulty(1e-8);
        issued.job = Arc::new(job);
        let valid =
            (0..).find_map(|nonce| check(&issued, &context(0), &SubmittedShare { nonce, ..share() }).ok());
        let valid = valid.unwrap();
        assert!(valid.meets_job_target && valid.work > 1);
        assert_eq!(valid.work, issued.job.target.work());
    }

    #[test]
    fn a_job_ahead_of_the_node_s_clock_allows_no_later_times_than_nodes_do() {
        let mut issued = issued(1e-30, 1e-30);
        // On a testnet, the earliest header time of a job may be in the future.
        let start = NOW + 7_000;
        let mut job = Job::new(1, builtin_work());
        (job.times.start, job.times.first) = (start, start);
        issued.job = Arc::new(job);
        for (ntime, expected) in
            [(start - 1, 20), (start, 0), (NOW + MAX_AHEAD, 0), (NOW + MAX_AHEAD + 1, 20)]
        {
            assert_eq!(code(&issued, 0, &SubmittedShare { ntime, ..share() }), expected, "{ntime}");
        }
    }

    #[test]
    fn work_is_that_of_the_difficulty_that_was_met() {
        let (mut high, mut low, mut neither) = (0, 0, 0);
        let issued = issued(1e-8, 1e-9);
        for nonce in 0..2_000 {
            let share = SubmittedShare { nonce, ..share() };
            match check(&issued, &context(0), &share) {
                Ok(valid) if valid.work == Target::from_difficulty(1e-8).work() => {
                    assert!(valid.digest.difficulty() >= 1e-8 * 0.999_999);
                    high += 1;
                }
                Ok(valid) => {
                    assert_eq!(valid.work, Target::from_difficulty(1e-9).work());
                    assert!(valid.digest.difficulty() < 1e-8);
                    low += 1;
                }
                Err(rejected) => {
                    assert_eq!(rejected.reason.code, 23);
                    assert!(rejected.difficulty < 1e-9);
                    neither += 1;
                }
            }
        }
        assert!(high > 0 && low > high && neither > low, "{high} {low} {neither}");
    }

    proptest! {
        #[test]
        fn verdict_and_header_fit(
            extranonce2: [u8; 8], ntime in NOW - 50..NOW + 8_000, nonce: u32, bits: Option<u32>, mask in prop_oneof![Just(0), Just(MASK)],
        ) {
            let issued = issued(1e-9, 1e-9);
            let share = SubmittedShare { extranonce2: extranonce2.to_vec(), ntime, nonce, version_bits: bits, ..share() };
            match check(&issued, &context(mask), &share) {
                Ok(valid) => {
                    let HeaderBuilder::Template(draft) = &issued.builder else { panic!() };
                    let header = issued.builder.header(valid.solution());
                    prop_assert_eq!(header.digest(), valid.digest);
                    prop_assert_eq!(&valid.extranonces[..6], &[0, 7, 1, 2, 3, 4]);
                    prop_assert_eq!(valid.version & !mask, issued.builder.version() & !mask);
                    prop_assert_eq!(draft.assemble(valid.solution()).is_ok(), valid.meets_job_target);
                }
                Err(rejected) => prop_assert!([20, 23].contains(&rejected.reason.code)),
            }
        }
    }
}
