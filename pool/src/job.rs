//! A template on its way to the miners.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hasher::Target;

use crate::chain::Template;

/// Bytes of the coinbase that count the jobs which a connection got for one template, so that no two of them share
/// a single header: a miner that starts over with each job never repeats itself.
pub const ISSUE_SIZE: usize = 2;
/// Bytes of a connection's extranonce1.
pub const EXTRANONCE1_SIZE: usize = 4;
/// Bytes that the miner chooses.
pub const EXTRANONCE2_SIZE: usize = 8;

const _: () = assert!(ISSUE_SIZE + EXTRANONCE1_SIZE + EXTRANONCE2_SIZE == crate::chain::EXTRANONCE_SIZE);

/// Work for all connections. Each gives it an id, a difficulty and an extranonce1 of its own.
#[derive(Debug)]
pub struct Job {
    /// Rises with each job of the pool; the first is 1.
    pub serial: u32,
    /// The block to be made.
    pub template: Template,
    /// What the digest of a block must meet.
    pub target: Target,
    /// The target as a difficulty.
    pub difficulty: f64,
    /// Set by the first solution; shared by all jobs that would make the same block.
    solved: Arc<AtomicBool>,
}

impl Job {
    /// The job after `previous`, which is none for the first.
    pub fn next(previous: Option<&Job>, template: Template) -> Job {
        let target = hasher::CompactTarget(template.bits.to_consensus());
        // A template with nonsense in it can't be solved, but is no reason to fall over.
        let target = Target::from_compact(target).unwrap_or(Target::ZERO);
        let same_block = previous.filter(|previous| previous.template.prev_hash == template.prev_hash);
        Job {
            serial: previous.map_or(1, |previous| previous.serial.wrapping_add(1)),
            target,
            difficulty: target.difficulty(),
            solved: same_block.map(|previous| previous.solved.clone()).unwrap_or_default(),
            template,
        }
    }

    /// Claims the block; true for the first caller only, among all jobs on the same tip.
    pub fn claim(&self) -> bool {
        !self.solved.swap(true, Ordering::AcqRel)
    }

    /// Whether the block was claimed already.
    pub fn is_claimed(&self) -> bool {
        self.solved.load(Ordering::Acquire)
    }

    /// Whether `newer` makes this job worthless.
    pub fn is_outdated_by(&self, newer: &Job) -> bool {
        self.template.prev_hash != newer.template.prev_hash
    }
}

/// A job as one connection got it.
#[derive(Clone, Debug)]
pub struct IssuedJob {
    /// Its id on this connection.
    pub id: JobId,
    /// What all connections work on.
    pub job: Arc<Job>,
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
    fn one_block_per_tip() {
        let chain = BuiltinChain::new(Duration::from_secs(20), b"", 1_800_000_000);
        let first = Job::next(None, chain.template(0.0, 1_800_000_000));
        let harder = Job::next(Some(&first), chain.template(1e6, 1_800_000_000));
        assert_eq!((first.serial, harder.serial), (1, 2));
        assert!(!first.is_outdated_by(&harder));
        assert!(harder.difficulty > first.difficulty);
        assert!(harder.claim());
        assert!(!harder.claim() && !first.claim());

        let mut template = chain.template(0.0, 1_800_000_000);
        template.prev_hash = bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin).block_hash();
        let other = Job::next(Some(&harder), template);
        assert!(harder.is_outdated_by(&other) && other.claim());
    }
}
