//! The check of one share. Pure: the same input always gets the same verdict.

use hasher::{Digest, Target};
use stratum::Reason;

use crate::chain::Solution;
use crate::job::{EXTRANONCE1_SIZE, EXTRANONCE2_SIZE, IssuedJob};

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
pub struct Terms {
    /// The connection's part of the coinbase.
    pub extranonce1: [u8; EXTRANONCE1_SIZE],
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
    /// Whether it also meets the network's target.
    pub solves: bool,
    /// Issue number, extranonce1 and extranonce2 as they stand in the coinbase.
    pub extranonces: Vec<u8>,
}

impl Proof {
    /// The solution for [`Template::assemble`](crate::chain::Template::assemble).
    pub fn solution(&self, submission: &Submission<'_>) -> Solution<'_> {
        Solution {
            extranonces: &self.extranonces,
            version: self.version,
            ntime: submission.ntime,
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
pub fn validate(issued: &IssuedJob, terms: &Terms, share: &Submission<'_>) -> Result<Proof, Refusal> {
    let template = &issued.job.template;
    let version = rolled(template.version, terms.version_mask, share.version_bits);
    let refuse = |code, difficulty, message: String| Refusal {
        reason: Reason::new(code, &message),
        version: version.unwrap_or(template.version),
        difficulty,
    };
    let other = |message| Err(refuse(Reason::OTHER, 0.0, message));

    if share.extranonce2.len() != EXTRANONCE2_SIZE {
        return other(format!(
            "extranonce2 has {} bytes instead of {EXTRANONCE2_SIZE}",
            share.extranonce2.len()
        ));
    }
    let latest = terms.now.max(template.time).saturating_add(MAX_AHEAD);
    if !(template.min_time..=latest).contains(&share.ntime) {
        return other(format!("ntime {} is not in {}..={latest}", share.ntime, template.min_time));
    }
    let Some(version) = version else {
        let bits = share.version_bits.unwrap_or_default();
        return other(format!("version bits {bits:08x} exceed the mask {:08x}", terms.version_mask));
    };

    let extranonces = [&issued.id.issue.to_be_bytes()[..], &terms.extranonce1, share.extranonce2].concat();
    let (ntime, nonce) = (share.ntime, share.nonce);
    let digest = template.header(Solution { extranonces: &extranonces, version, ntime, nonce }).digest();
    let solves = issued.job.target.is_met_by(&digest);
    // Asked for the difficulty that was in force when the job was sent, and for a lower one that came since.
    let asked = [issued.difficulty, issued.lowest].map(Target::from_difficulty);
    let met = asked.into_iter().find(|target| target.is_met_by(&digest));
    match met {
        Some(target) => Ok(Proof { digest, version, work: target.work(), solves, extranonces }),
        // Rounding may put the lowest difficulty a hair above the network's.
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
