//! The check of one share. Pure: the same input always gets the same verdict.

use hasher::{Digest, Target};
use node::Solution;
use stratum::Reason;

use crate::job::IssuedJob;

/// How far ahead of our clock a header's time may be, in seconds: what nodes allow (consensus).
const MAX_AHEAD: u32 = 2 * 60 * 60;

/// A share as it was submitted, by value: spelling is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submission<'a> {
    /// The bytes that the miner chose.
    pub extranonce2: &'a [u8],
    /// The header's time, seconds since the Unix epoch.
    pub ntime: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The rolled version bits, where they were given (BIP-0310).
    pub version_bits: Option<u32>,
}

/// What a connection may do, and when it did it.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The connection's part of the coinbase.
    pub extranonce1: &'a [u8],
    /// Version bits that were granted; 0 for none.
    pub version_mask: u32,
    /// Our clock, seconds since the Unix epoch.
    pub now: u32,
}

/// A share that meets its difficulty.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// The header's digest; equal for equal shares, however they are spelled.
    pub digest: Digest,
    /// The header's version, with rolled bits.
    pub version: u32,
    /// Its expected hashes: those of the difficulty that it was asked for.
    pub work: u128,
    /// Whether it also meets the job's own target.
    pub solves: bool,
    /// All bytes between the coinbase's halves.
    pub extranonces: Vec<u8>,
}

impl Proof {
    /// The solution for [`BlockDraft::assemble`](node::BlockDraft::assemble).
    pub fn solution(&self, issued: &IssuedJob, submission: &Submission<'_>) -> Solution<'_> {
        Solution {
            extranonces: &self.extranonces,
            version: self.version,
            ntime: submission.ntime,
            bits: issued.job.times.bits,
            nonce: submission.nonce,
        }
    }
}

/// A share that does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Code and text for the miner.
    pub reason: Reason,
    /// The header's version with rolled bits.
    pub version: u32,
    /// The difficulty that the digest reached; 0 if it was not computed.
    pub difficulty: f64,
}

/// Judges a share of `issued`. Whether it came before is for the caller to know.
///
/// # Errors
/// [`Refusal`] says why the share does not count.
pub fn validate(issued: &IssuedJob, terms: &Terms<'_>, share: &Submission<'_>) -> Result<Proof, Refusal> {
    let (times, layout) = (&issued.job.times, &issued.job.layout);
    let own_version = issued.puzzle.version();
    let mask = terms.version_mask & issued.job.version_mask;
    let version = rolled(own_version, mask, share.version_bits);
    let refuse = |code, difficulty, message: String| Refusal {
        reason: Reason::new(code, &message),
        version: version.unwrap_or(own_version),
        difficulty,
    };
    let other = |message| Err(refuse(Reason::OTHER, 0.0, message));

    let (size, wanted) = (share.extranonce2.len(), layout.extranonce2);
    if size != wanted {
        return other(format!("extranonce2 has {size} bytes instead of {wanted}"));
    }
    let latest = terms.now.max(issued.puzzle.time()).saturating_add(MAX_AHEAD).min(times.last);
    if !(times.first..=latest).contains(&share.ntime) {
        return other(format!("ntime {} is not in {}..={latest}", share.ntime, times.first));
    }
    let Some(version) = version else {
        let bits = share.version_bits.unwrap_or_default();
        return other(format!("version bits {bits:08x} exceed the mask {mask:08x}"));
    };

    let extranonces = layout.join(issued.id.issue, terms.extranonce1, share.extranonce2);
    let (bits, ntime, nonce) = (times.bits, share.ntime, share.nonce);
    let solution = Solution { extranonces: &extranonces, version, ntime, bits, nonce };
    let digest = issued.puzzle.header(solution).digest();
    let solves = issued.job.target.is_met_by(&digest);
    // Asked for the difficulty that was in force when the job was sent, and for a lower one that came since.
    let asked = [issued.difficulty, issued.lowest].map(Target::from_difficulty);
    let met = asked.into_iter().find(|target| target.is_met_by(&digest));
    match met {
        Some(target) => Ok(Proof { digest, version, work: target.work(), solves, extranonces }),
        // Rounding may put the lowest difficulty a hair above the job's own.
        None if solves => Ok(Proof { digest, version, work: issued.job.target.work(), solves, extranonces }),
        None => {
            let reached = digest.difficulty();
            let message = format!("difficulty {reached} is below {}", issued.lowest);
            Err(refuse(Reason::LOW_DIFFICULTY, reached, message))
        }
    }
}

/// The version with the rolled bits, if they are within the mask.
fn rolled(version: u32, mask: u32, bits: Option<u32>) -> Option<u32> {
    match bits {
        None => Some(version),
        // Some miners give the job's own bits outside of the mask, which changes nothing.
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
    use crate::job::Job;
    use crate::job::JobId;

    const NOW: u32 = 1_800_000_000;
    const MASK: u32 = 0x1fff_e000;

    fn builtin_work() -> crate::job::Work {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", NOW);
        crate::source::builtin_work(&chain, 1e3, NOW, Default::default())
    }

    fn issued(difficulty: f64, lowest: f64) -> IssuedJob {
        let job = Arc::new(Job::new(1, builtin_work()));
        let puzzle = job.puzzle(None).unwrap();
        IssuedJob { id: JobId { serial: 1, issue: 7 }, job, puzzle, difficulty, lowest }
    }

    fn terms(version_mask: u32) -> Terms<'static> {
        Terms { extranonce1: &[1, 2, 3, 4], version_mask, now: NOW }
    }

    const SHARE: Submission<'_> =
        Submission { extranonce2: &[0; 8], ntime: NOW, nonce: 0, version_bits: None };

    fn code(issued: &IssuedJob, mask: u32, share: &Submission<'_>) -> u32 {
        validate(issued, &terms(mask), share).map_or_else(|refusal| refusal.reason.code, |_| 0)
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
            assert_eq!(code(&issued, 0, &Submission { ntime, ..SHARE }), expected, "{ntime}");
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
                code(&issued, mask, &Submission { version_bits: bits, ..SHARE }),
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
            assert_eq!(
                code(&issued, 0, &Submission { extranonce2: &extranonce2, ..SHARE }),
                expected,
                "{size}"
            );
        }
        let rolled = Submission { version_bits: Some(0x2000), ..SHARE };
        assert_eq!(code(&issued, MASK, &rolled), 0);
        // The connection may roll it on other jobs.
        let mut job = Job::new(1, builtin_work());
        job.version_mask = MASK & !0x2000;
        issued.job = Arc::new(job);
        assert_eq!(code(&issued, MASK, &rolled), 20);
    }

    #[test]
    fn two_hours_ahead_are_two_of_whichever_clock_is_ahead() {
        let issued = issued(1e-30, 1e-30);
        for (now, latest) in [(NOW - 500, NOW + MAX_AHEAD), (NOW + 500, NOW + 500 + MAX_AHEAD)] {
            let terms = Terms { now, ..terms(0) };
            assert!(validate(&issued, &terms, &Submission { ntime: latest, ..SHARE }).is_ok());
            assert!(validate(&issued, &terms, &Submission { ntime: latest + 1, ..SHARE }).is_err());
        }
    }

    #[test]
    fn a_block_counts_whatever_was_asked_for_and_a_refusal_names_the_version() {
        let mut issued = issued(1e9, 1e9);
        let rolled = Submission { version_bits: Some(0x2000), ..SHARE };
        let refusal = validate(&issued, &terms(MASK), &rolled).unwrap_err();
        assert_eq!((refusal.reason.code, refusal.version), (23, issued.puzzle.version() | 0x2000));
        // One hash of some forty makes a block.
        let mut job = Job::new(1, builtin_work());
        job.target = Target::from_difficulty(1e-8);
        issued.job = Arc::new(job);
        let proof = (0..).find_map(|nonce| validate(&issued, &terms(0), &Submission { nonce, ..SHARE }).ok());
        let proof = proof.unwrap();
        assert!(proof.solves && proof.work > 1);
        assert_eq!(proof.work, issued.job.target.work());
    }

    #[test]
    fn a_job_that_starts_ahead_of_our_clock_goes_no_further_than_nodes_do() {
        let mut issued = issued(1e-30, 1e-30);
        // As with the lowest difficulty of testnets, taken early.
        let start = NOW + 7_000;
        let mut job = Job::new(1, builtin_work());
        (job.times.start, job.times.first) = (start, start);
        issued.job = Arc::new(job);
        for (ntime, expected) in
            [(start - 1, 20), (start, 0), (NOW + MAX_AHEAD, 0), (NOW + MAX_AHEAD + 1, 20)]
        {
            assert_eq!(code(&issued, 0, &Submission { ntime, ..SHARE }), expected, "{ntime}");
        }
    }

    #[test]
    fn work_is_that_of_the_difficulty_that_was_met() {
        let (mut high, mut low, mut neither) = (0, 0, 0);
        let issued = issued(1e-8, 1e-9);
        for nonce in 0..2_000 {
            let share = Submission { nonce, ..SHARE };
            match validate(&issued, &terms(0), &share) {
                Ok(proof) if proof.work == Target::from_difficulty(1e-8).work() => {
                    assert!(proof.digest.difficulty() >= 1e-8 * 0.999_999);
                    high += 1;
                }
                Ok(proof) => {
                    assert_eq!(proof.work, Target::from_difficulty(1e-9).work());
                    assert!(proof.digest.difficulty() < 1e-8);
                    low += 1;
                }
                Err(refusal) => {
                    assert_eq!(refusal.reason.code, 23);
                    assert!(refusal.difficulty < 1e-9);
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
            let share = Submission { extranonce2: &extranonce2, ntime, nonce, version_bits: bits };
            match validate(&issued, &terms(mask), &share) {
                Ok(proof) => {
                    let crate::job::Puzzle::Block(draft) = &issued.puzzle else { panic!() };
                    let header = issued.puzzle.header(proof.solution(&issued, &share));
                    prop_assert_eq!(header.digest(), proof.digest);
                    prop_assert_eq!(&proof.extranonces[..6], &[0, 7, 1, 2, 3, 4]);
                    prop_assert_eq!(proof.version & !mask, issued.puzzle.version() & !mask);
                    prop_assert_eq!(draft.assemble(proof.solution(&issued, &share)).is_ok(), proof.solves);
                }
                Err(refusal) => prop_assert!([20, 23].contains(&refusal.reason.code)),
            }
        }
    }
}
